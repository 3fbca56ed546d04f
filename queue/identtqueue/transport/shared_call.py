"""Calls that threads share: each caller gives a part, and the thread that sends makes the call.

Eight threads that enqueue one task each would send eight scripts, each with its keys and its first
steps. Those that wait for the same batch (`combine`) send one instead, and each gets the answer for
its own part. `client.gathering` does the same for coroutines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from identtqueue.errors import IdenttqueueError
from identtqueue.protocol.call import Call
from identtqueue.transport import wire

MOST_PARTS: Final = 200
MOST_BYTES: Final = 32 * 1024
"""Upper bounds for the parts of one call, so that it stays a small one (`wire`)."""


class CallPart(NamedTuple):
    """The part of one caller in a call that it may share with others.

    Nothing of it may fail the call for the others, and the call must be one that may be sent again.

    Attributes:
        group: name of the parts that may share a call. They have the same `make`.
        value: what the caller puts into the call.
        size_bytes: bytes that the value adds to the call.
        make: makes the call for several values. Its parsed reply is one answer per value, in order.
    """

    group: str
    value: Any
    size_bytes: int
    make: Callable[[str, Sequence[Any]], Call[list[Any]]]


class SharedCall:
    """A call, and the places that its parts have in a batch."""

    __slots__ = ("_bytes", "_parts", "_places", "call")

    call: Call[list[Any]]
    """The call; `make` must have been called."""

    def __init__(self) -> None:
        self._parts: list[CallPart] = []
        self._places: list[int] = []
        self._bytes = 0

    def has_room(self) -> bool:
        """Return whether another part may join."""
        return len(self._parts) < MOST_PARTS and self._bytes < MOST_BYTES

    def add(self, part: CallPart, place: int) -> None:
        """Take a part, and note its place in the batch."""
        self._parts.append(part)
        self._places.append(place)
        self._bytes += part.size_bytes

    def make(self) -> Call[list[Any]]:
        """Make the call of all parts."""
        first = self._parts[0]
        self.call = first.make(first.group, [part.value for part in self._parts])
        return self.call

    def answer(self, reply: Any, answers: list[Any]) -> None:
        """Put the answer to each part, or the error of the call, in its place among the answers."""
        if not isinstance(reply, Exception):
            try:
                found = wire.parse(self.call, reply)
            except IdenttqueueError as error:
                reply = error
        if isinstance(reply, Exception):
            found = [reply] * len(self._parts)
        for place, answer in zip(self._places, found, strict=True):
            answers[place] = answer


def share(parts: Iterable[tuple[int, CallPart]]) -> list[SharedCall]:
    """Put parts into as few calls as they fit in.

    Args:
        parts: the parts of a batch, each with its place in it.
    """
    calls: list[SharedCall] = []
    open_: dict[str, SharedCall] = {}
    for place, part in parts:
        call = open_.get(part.group)
        if call is None or not call.has_room():
            call = open_[part.group] = SharedCall()
            calls.append(call)
        call.add(part, place)
    return calls
