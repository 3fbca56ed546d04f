"""Progress of attempts: the latest value of each is sent to Redis, and jobs never wait for that.

A job's call only stores the value. If the attempt has sent nothing for a while, the value is sent
at once. Otherwise it waits, and a later value replaces it. While Redis is down, one value for each
attempt waits. A value that Redis refuses because it is full is dropped and not sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from identtqueue.errors import RedisUnavailable
from identtqueue.protocol.answers import Ack
from identtqueue.protocol.calls import reporting
from identtqueue.task import Attempt
from identtqueue.transport.connection import AsyncRedis

logger = logging.getLogger(__name__)

INTERVAL_SECONDS: Final = 0.1
"""Shortest time between two values of one attempt, so at most ten are sent per second. To a person,
a response within 0.1 s seems immediate (Miller 1968; Nielsen, "Response Times", 1993), so nobody
would notice more."""


class ProgressSender:
    """Sender of the progress of one worker incarnation's attempts.

    Args:
        redis: connection for progress, shared with the finisher, so that the last progress is sent
            before the result.
        worker_id: id of this incarnation.
    """

    def __init__(self, redis: AsyncRedis, worker_id: str) -> None:
        self.redis = redis
        self.worker_id = worker_id
        self.loop = asyncio.get_running_loop()
        self._fails = False

    def answered(self, answer: Ack | Exception) -> None:
        """Note Redis' answer. Of failures in a row only the first is logged."""
        fails = isinstance(answer, Exception) and not self.redis.closed
        if fails and not self._fails:
            logger.warning("progress is dropped: %s", answer)
        self._fails = fails


class AttemptProgress:
    """Progress of one attempt. `put` may be called in any thread, all else in the event loop.

    One is made for each attempt, and few attempts report anything. So all but two fields are class
    attributes at first.
    """

    _data: bytes | None = None  # the latest value, not sent yet
    _number = 0
    _woken = False  # a call of `_wake` is due
    _under_way = False
    _ended = False
    _not_before = 0.0
    _timer: asyncio.TimerHandle | None = None

    def __init__(self, sender: ProgressSender, attempt: Attempt) -> None:
        self._sender = sender
        self._attempt = attempt

    def put(self, data: bytes) -> None:
        """Take an encoded value to send. Returns at once. After `end` it does nothing."""
        self._data = data
        if not self._woken and not self._ended:
            self._woken = True
            # A thread that was left behind may outlive the event loop.
            with contextlib.suppress(RuntimeError):
                self._sender.loop.call_soon_threadsafe(self._wake)

    def end(self) -> None:
        """Send the value that waits, if there is one, and ignore all later values."""
        if self._timer is not None:
            self._timer.cancel()
        if self._data is not None and not self._ended:
            self._send()
        self._ended = True

    def _wake(self) -> None:
        self._woken = False  # before `_data` is read, so that a `put` from now on wakes again
        if self._data is None or self._ended:
            return
        if self._under_way:
            self._woken = True  # the answer will call `_wake`
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
        call = reporting.progress(
            self._sender.worker_id, attempt.task_id, attempt.number, self._number, data
        )
        try:
            self._sender.redis.send(call, self._answered)
        except RedisUnavailable as error:  # the connection is closed, because the worker stops
            self._answered(error)

    def _answered(self, answer: Ack | Exception) -> None:
        self._under_way = False
        self._sender.answered(answer)
        if isinstance(answer, Ack) and not answer.recorded:
            self._ended = True  # the task no longer belongs to this worker
        else:
            self._wake()
