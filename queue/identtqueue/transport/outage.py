"""What the log says while Redis is in trouble: a few lines, however many try however often."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from identtqueue.errors import RedisAuthFailed

logger = logging.getLogger(__name__)

QUIET_SECONDS: Final = 10.0
"""At most one line in this time, however many fail and however often."""


class Outage:
    """One line when it begins, now and then one while it lasts, one when it is over.

    Shared by all who talk to Redis in one worker (or client), from any thread. Who reports a
    failure reports the next success too: it is over when all of them work again.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failing: set[str] = set()
        self._refused: dict[str, str] = {}
        self._since = 0.0
        self._quiet_until = float("-inf")
        self._told = False
        self.calm_since = float("-inf")
        """Since when all have worked; infinity while one fails."""

    @property
    def refusal(self) -> str:
        """Why Redis refuses the login or a command now; empty while it does not."""
        with self._lock:
            return next(iter(self._refused.values()), "")

    def failed(self, who: str, error: BaseException) -> None:
        """Whoever it is will try again."""
        with self._lock:
            now = self._clock()
            if not self._failing:
                self._since, self._told = now, False
                self.calm_since = float("inf")
            self._failing.add(who)
            if isinstance(error, RedisAuthFailed):
                self._refused[who] = str(error)
            else:
                self._refused.pop(who, None)
            if now < self._quiet_until:
                return
            self._quiet_until = now + QUIET_SECONDS
            self._told = True
            names, seconds = ", ".join(sorted(self._failing)), now - self._since
        if seconds:
            logger.warning("still failing after %.0f s: %s: %s", seconds, names, error)
        else:
            logger.warning("%s: %s; trying again", names, error)

    def worked(self, who: str) -> None:
        """Cheap while all is well."""
        if who not in self._failing:
            return
        with self._lock:
            self._forget(who)
            if self._failing or not self._told:
                return
            seconds = self._clock() - self._since
        logger.warning("Redis works again, after %.1f s", seconds)

    def gave_up(self, who: str) -> None:
        """Whoever it is does not try again; its caller is told."""
        with self._lock:
            self._forget(who)

    def _forget(self, who: str) -> None:
        if who in self._failing:
            self._failing.discard(who)
            self._refused.pop(who, None)
            if not self._failing:
                self.calm_since = self._clock()
