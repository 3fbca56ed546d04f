"""Progress -> command: the latest value of each attempt, now and then, never in a job's way.

A job's call only puts the value down. It is sent at once if the attempt has been silent for a
while; what comes sooner waits for its time, and the latest replaces what waits. Nothing is
repeated for its own sake: while Redis is away one value per attempt waits for it, and a value that
Redis refuses (it is full) is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from identtqueue.errors import RedisUnavailable
from identtqueue.protocol import commands
from identtqueue.protocol.commands import Ack
from identtqueue.task import Attempt
from identtqueue.transport.aio import AsyncRedis

logger = logging.getLogger(__name__)

INTERVAL_SECONDS: Final = 0.1
"""Between two values of one attempt, so at most ten a second: what follows a cause within 0.1 s
seems immediate to a person (Miller 1968; Nielsen, "Response Times", 1993), so more is not seen."""


class ProgressSender:
    """Sends what the attempts of one worker incarnation report.

    Args:
        redis: shared with the finisher: a last value leaves before the result.
        worker_id: of this incarnation.
    """

    def __init__(self, redis: AsyncRedis, worker_id: str) -> None:
        self.redis = redis
        self.worker_id = worker_id
        self.loop = asyncio.get_running_loop()
        self._fails = False

    def answered(self, answer: Ack | Exception) -> None:
        """Tell the log, once until it works again."""
        fails = isinstance(answer, Exception) and not self.redis.closed
        if fails and not self._fails:
            logger.warning("progress is dropped: %s", answer)
        self._fails = fails


class AttemptProgress:
    """One attempt's progress. `put` is for any thread, the rest for the loop's.

    One is made for each attempt, and few report anything: so all but two fields start as the
    class's.
    """

    _data: bytes | None = None  # the latest, not sent yet
    _number = 0
    _woken = False  # somebody will call `_wake`
    _under_way = False
    _ended = False
    _not_before = 0.0
    _timer: asyncio.TimerHandle | None = None

    def __init__(self, sender: ProgressSender, attempt: Attempt) -> None:
        self._sender = sender
        self._attempt = attempt

    def put(self, data: bytes) -> None:
        """Report an encoded value; returns at once. After the end it does nothing."""
        self._data = data
        if not self._woken and not self._ended:
            self._woken = True
            # A thread that was left behind may outlive the loop.
            with contextlib.suppress(RuntimeError):
                self._sender.loop.call_soon_threadsafe(self._wake)

    def end(self) -> None:
        """Send what waits; whatever comes later is not heard."""
        if self._timer is not None:
            self._timer.cancel()
        if self._data is not None and not self._ended:
            self._send()
        self._ended = True

    def _wake(self) -> None:
        self._woken = False  # first: whoever puts something down from now on wakes us again
        if self._data is None or self._ended:
            return
        if self._under_way:
            self._woken = True  # by the answer
        elif self._sender.loop.time() < self._not_before:
            self._woken = True
            self._timer = self._sender.loop.call_at(self._not_before, self._wake)
        else:
            self._send()

    def _send(self) -> None:
        data, self._data = self._data, None
        assert data is not None
        self._number += 1
        self._under_way = True
        self._not_before = self._sender.loop.time() + INTERVAL_SECONDS
        attempt = self._attempt
        call = commands.progress(
            self._sender.worker_id, attempt.task_id, attempt.number, self._number, data
        )
        try:
            self._sender.redis.send(call, self._answered)
        except RedisUnavailable as error:  # it was closed: the worker stops
            self._answered(error)

    def _answered(self, answer: Ack | Exception) -> None:
        self._under_way = False
        self._sender.answered(answer)
        if isinstance(answer, Ack) and not answer.recorded:
            self._ended = True  # the task is not ours any more
        else:
            self._wake()
