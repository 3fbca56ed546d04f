"""What a server may cost: a bound on what is read, and a say in when it is connected to.

A client of one's own Redis needs none. The operator connects to any address that somebody writes
into a TaskQueue, and what answers there may send a reply without an end, one of a billion elements,
or one that is nested a million times. So each byte is looked at before it is decoded. The meter
follows the structure of the replies and no more, in constant memory.
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
"""What an element takes in memory, beside its text."""
ERROR_BYTES: Final = 512
"""What an error reply takes: an exception, which three bytes can make."""
LINE_BYTES: Final = 64 * 1024
"""Numbers, states and errors are lines, and shorter than that."""
DEEPEST: Final = 8
"""Redis' own replies have four levels (`CLUSTER SLOTS`), those of the scripts two."""
STEP_BYTES: Final = 256 * 1024
"""The sum over all connections is taken each time a reply has grown by so much."""

_COUNT: Final = re.compile(rb"-1|[0-9]{1,18}")


class Gate(Protocol):
    """Decides when a connection may be opened."""

    def passage(self) -> AbstractAsyncContextManager[None]:
        """Return what is held while one is opened.

        Raises (on entering):
            RedisUnavailable: none may be opened now.
        """


class ReplyRefused(redis_errors.InvalidResponse):
    """What answers says more than a reply may, takes too long, or is no Redis."""


class ReplyBudget:
    """What the replies on a number of connections may take in memory.

    Where all of them together take too much, those above an equal share are refused. So a server
    that answers modestly goes on being heard beside others that do not.

    Args:
        exchange_bytes: the replies to one batch of calls.
        total_bytes: all replies that are being read.
        exchange_seconds: how long they may take. Each byte is a sign of life, so a server that
            sends one now and then is never silent.
        clock: seconds, monotonic.
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
        """Start to measure one connection."""
        meter = ReplyMeter(self)
        self._meters.add(meter)
        return meter

    def check_total(self, weight: int) -> None:
        """Refuse a reply of this weight if there is no room for it beside the others.

        Raises:
            ReplyRefused: it takes more than its share of what is used up.
        """
        weights = [meter.weight for meter in self._meters if meter.weight]
        if sum(weights) > self.total_bytes and weight > self.total_bytes / len(weights):
            raise ReplyRefused("too many large replies are being read at the same time")


class ReplyMeter:
    """Measures what one connection reads.

    Attributes:
        weight: bytes that the replies since `begin` take, about.
    """

    def __init__(self, budget: ReplyBudget) -> None:
        self._budget = budget
        self._line = b""  # the beginning of one
        self._skip = 0  # bytes of a text that are still to come
        self._open: list[int] = []  # elements that each array around this place still lacks
        self.weight = 0
        self._checked = 0
        self._begun_at = budget.clock()

    @property
    def between_replies(self) -> bool:
        """Whether what was fed ends with the end of a reply."""
        return not (self._line or self._skip or self._open)

    def begin(self) -> None:
        """Start to measure anew: calls are sent, or the last reply was taken."""
        self.weight = self._checked = 0
        self._begun_at = self._budget.clock()

    def feed(self, data: bytes) -> None:
        """Take in what was read, before it is decoded.

        Raises:
            ReplyRefused: a bound is passed.
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
                # At most one line's length is copied once more; the break may be cut in two.
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
            raise ReplyRefused(f"{line[:1]!r} begins no reply")

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
        """Refuse what is announced, before any of it has come."""
        if self.weight + size > self._budget.exchange_bytes:
            mib = self._budget.exchange_bytes / MIB
            raise ReplyRefused(f"replies of more than {mib:g} MiB at a time")


def _count(line: bytes) -> int:
    if _COUNT.fullmatch(line, 1) is None:
        raise ReplyRefused("a length is no number")
    return int(line[1:])
