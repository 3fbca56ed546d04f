"""The notes of a client or a worker in the registry of queues: each queue, once a minute at most.

The registry tells those who look at a Redis which queues it has. It is no part of what a queue
promises: a user whose ACL lacks its key goes on without it.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from identtqueue.errors import RedisAuthFailed, RedisError
from identtqueue.protocol.call import Call
from identtqueue.protocol.calls import registry
from identtqueue.transport.connection import AsyncRedis

logger = logging.getLogger(__name__)

INTERVAL_SECONDS: Final = 60.0
"""How often a queue in use is noted."""

REFUSED_SECONDS: Final = 3600.0
"""How long no queue is noted after the ACL has refused it."""

MOST_KNOWN: Final = 10_000
"""With more queues than this in use, all are noted anew, instead of remembered."""


class Enlistment:
    """Decides when queues are to be noted, for all threads and event loops of a client or worker.

    A race of two threads costs one call too many, so there is no lock.
    """

    def __init__(self) -> None:
        self._due: dict[str, float] = {}  # by queue: monotonic time of its next note
        self._refused = False
        self._refused_until = float("-inf")

    def note(self, redis: AsyncRedis, queue: str) -> None:
        """Note that a queue is in use, if that is due, with the next batch of calls.

        Args:
            redis: sends the call.
            queue: name of the queue.

        Raises:
            RedisUnavailable: the client was closed.
        """
        if (call := self.due(queue)) is not None:
            redis.send(call, self.answered)

    def due(self, queue: str) -> Call[bool] | None:
        """Return the call that notes a queue; None: it is not due yet.

        The caller sends the call, and passes the answer to `answered`.
        """
        now, known = time.monotonic(), self._due
        if known.get(queue, now) > now or now < self._refused_until:
            return None
        if len(known) > MOST_KNOWN:
            known.clear()
        known[queue] = now + INTERVAL_SECONDS
        return registry.enlist([queue])

    def answered(self, answer: bool | Exception) -> None:
        """Take the answer to a note.

        Raises:
            Exception: it is an error, but none of Redis: a bug of this library.
        """
        if isinstance(answer, RedisAuthFailed):
            self._refused_until = time.monotonic() + REFUSED_SECONDS
            if not self._refused:
                self._refused = True
                logger.info(
                    "this user of Redis may not write the registry of queues, so its queues may "
                    "be missing in overviews; `identtqueue acl` prints what it needs (%s)",
                    answer,
                )
        elif isinstance(answer, RedisError):
            self._due.clear()  # the next use is noted anew
        elif isinstance(answer, Exception):
            raise answer
