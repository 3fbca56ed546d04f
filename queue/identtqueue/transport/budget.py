"""Bounds on what a server may cost: how much is read from it, and when it is connected to.

A client of your own Redis needs no bounds. The operator, however, connects to any address that a
user writes into a TaskQueue. The server there may send a reply without an end, one of a billion
elements, or one that is nested a million times. So each byte is measured before it is decoded. The
meter follows only the structure of the replies, in constant memory.
"""

from __future__ import annotations

import re
import time
import weakref
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from redis import exceptions as redis_errors

MIB: Final = 1024 * 1024
ELEMENT_BYTES: Final = 64
"""Memory that one element takes, in addition to its text."""
ERROR_BYTES: Final = 512
"""Memory that the exception of an error reply takes; three bytes of reply can create one."""
LINE_BYTES: Final = 64 * 1024
"""Upper bound for a line. Numbers, states and errors are lines, and are shorter than this."""
DEEPEST: Final = 8
"""Upper bound for nesting. Redis' own replies have four levels (`CLUSTER SLOTS`), those of the
scripts two."""
STEP_BYTES: Final = 256 * 1024
"""How much a reply grows between two checks of the sum over all connections."""

_COUNT: Final = re.compile(rb"-1|[0-9]{1,18}")


class Gate(Protocol):
    """A gate that decides when a connection may be opened."""

    def passage(self) -> AbstractAsyncContextManager[None]:
        """Return a context manager to hold while a connection is opened.

        Entering it raises RedisUnavailable if no connection may be opened now.
        """


class ReplyRefused(redis_errors.InvalidResponse):
    """A reply is too large, takes too long, or is not in Redis' protocol."""


class ReplyBudget:
    """A bound on the memory that the replies on a number of connections take.

    If all of them together take too much, those above an equal share are refused. So a server with
    small replies still gets answers through while others send too much.

    Args:
        exchange_bytes: upper bound for the replies to one batch of calls.
        total_bytes: upper bound for all replies that are being read.
        exchange_seconds: upper bound for the time that the replies to one batch take. It is
            needed because a server that sends a byte now and then never counts as silent.
        clock: monotonic clock, in seconds.
    """

    def __init__(
        self,
        exchange_bytes: int = 16 * MIB,
        total_bytes: int = 32 * MIB,
        exchange_seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.exchange_bytes = exchange_bytes
        self.total_bytes = total_bytes
        self.exchange_seconds = exchange_seconds
        self.clock = clock
        self._meters: weakref.WeakSet[ReplyMeter] = weakref.WeakSet()

    def meter(self) -> ReplyMeter:
        """Create a meter for one connection."""
        meter = ReplyMeter(self)
        self._meters.add(meter)
        return meter

    def check_total(self, weight: int) -> None:
        """Refuse a reply of this weight if all replies together are too large.

        Args:
            weight: bytes of memory that the reply takes.

        Raises:
            ReplyRefused: the total is used up, and this reply takes more than an equal share.
        """
        weights = [meter.weight for meter in self._meters if meter.weight]
        if sum(weights) > self.total_bytes and weight > self.total_bytes / len(weights):
            raise ReplyRefused("too many large replies are being read at the same time")


class ReplyMeter:
    """A meter for the replies of one connection.

    Attributes:
        weight: approximate bytes of memory that the replies since `begin` take.
    """

    def __init__(self, budget: ReplyBudget) -> None:
        self._budget = budget
        self._line = b""  # the beginning of a line whose end has not arrived
        self._skip = 0  # bytes of a text that are still to come
        self._open: list[int] = []  # for each open array, outermost first: its missing elements
        self.weight = 0
        self._checked = 0
        self._begun_at = budget.clock()

    @property
    def between_replies(self) -> bool:
        """Whether the data up to now ends with the end of a reply."""
        return not (self._line or self._skip or self._open)

    def begin(self) -> None:
        """Start to measure anew, because calls are sent or the last reply was taken."""
        self.weight = self._checked = 0
        self._begun_at = self._budget.clock()

    def feed(self, data: bytes) -> None:
        """Measure data that was read, before it is decoded.

        Raises:
            ReplyRefused: a bound is exceeded.
        """
        if self._budget.clock() - self._begun_at > self._budget.exchange_seconds:
            raise ReplyRefused(f"a reply takes more than {self._budget.exchange_seconds:g} s")
        at = 0
        while at < len(data):
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
                self._weigh(step)
                if not self._skip:
                    self._end_element()
                continue
            if self._line:
                # This copies at most the length of a line again. The line break may be cut in two.
                data, at, self._line = self._line + data[at:], 0, b""
            end = data.find(b"\r\n", at, at + LINE_BYTES + 2)
            if end < 0:
                if len(data) - at > LINE_BYTES:
                    raise ReplyRefused(f"a line is longer than {LINE_BYTES} bytes")
                self._line = data[at:]
                break
            self._take(data[at:end])
            at = end + 2
        if self.weight - self._checked >= STEP_BYTES:
            self._checked = self.weight
            self._budget.check_total(self.weight)

    def _take(self, line: bytes) -> None:
        kind = line[:1]
        if kind == b"$":
            size = _count(line)
            self._check_room(size)
            if size >= 0:
                self._skip = size + 2
            else:
                self._end_element()
        elif kind == b"*":
            size = _count(line)
            self._check_room(size * ELEMENT_BYTES)
            self._weigh(max(size, 1) * ELEMENT_BYTES)
            if size > 0:
                if len(self._open) >= DEEPEST:
                    raise ReplyRefused(f"a reply is nested more than {DEEPEST} times")
                self._open.append(size)
            else:
                self._end_element()
        elif kind in (b"+", b":", b"-"):
            self._weigh(len(line) + (ERROR_BYTES if kind == b"-" else 0))
            self._end_element()
        else:
            raise ReplyRefused(f"a reply can't begin with {line[:1]!r}")

    def _end_element(self) -> None:
        if not self._open:
            self._weigh(ELEMENT_BYTES)
        while self._open:
            self._open[-1] -= 1
            if self._open[-1]:
                break
            self._open.pop()

    def _weigh(self, size: int) -> None:
        self.weight += size
        self._check_room(0)

    def _check_room(self, size: int) -> None:
        """Refuse a reply that exceeds the bound, if need be before its data has arrived."""
        if self.weight + size > self._budget.exchange_bytes:
            mib = self._budget.exchange_bytes / MIB
            raise ReplyRefused(f"the replies to one batch take more than {mib:g} MiB")


def _count(line: bytes) -> int:
    if _COUNT.fullmatch(line, 1) is None:
        raise ReplyRefused("a length is not a number")
    return int(line[1:])
