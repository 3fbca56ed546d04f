"""The log lines of an outage of Redis: a few, however many connections fail and how often."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from identtqueue.errors import RedisAuthFailed

logger = logging.getLogger(__name__)

QUIET_SECONDS: Final = 10.0
"""Shortest time between two lines."""


class Outage:
    """The outage log of one worker or client, shared by all its connections, from any thread.

    It logs one line when an outage begins, one now and then while it lasts, and one when it is
    over. Its reporters are connections and loops, each under a name. A reporter that has reported a
    failure must also report its next success. The outage is over when all of them have.

    Args:
        clock: monotonic clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failing: set[str] = set()
        self._refused: dict[str, str] = {}
        self._since = 0.0
        self._quiet_until = float("-inf")
        self._logged = False
        self._opened: set[str] = set()
        self.calm_since = float("-inf")
        """Monotonic time since which no reporter fails; infinity while one does."""
        self.reconnects = 0
        """How many connections were opened again, after they had been lost."""

    @property
    def refusal(self) -> str:
        """The reason why Redis refuses a login or a command now; empty while it does not."""
        with self._lock:
            return next(iter(self._refused.values()), "")

    def failed(self, who: str, error: BaseException) -> None:
        """Note a failure of a reporter that will try again.

        Args:
            who: name of the reporter, for the log.
            error: the error.
        """
        with self._lock:
            now = self._clock()
            if not self._failing:
                self._since, self._logged = now, False
                self.calm_since = float("inf")
            self._failing.add(who)
            if isinstance(error, RedisAuthFailed):
                self._refused[who] = str(error)
            else:
                self._refused.pop(who, None)
            if now < self._quiet_until:
                return
            self._quiet_until = now + QUIET_SECONDS
            self._logged = True
            names, seconds = ", ".join(sorted(self._failing)), now - self._since
        if seconds:
            logger.warning("still failing after %.0f s: %s: %s", seconds, names, error)
        else:
            logger.warning("%s: %s; trying again", names, error)

    def worked(self, who: str) -> None:
        """Note a success of a reporter. This is cheap while there is no outage."""
        if who not in self._failing:
            return
        with self._lock:
            self._forget(who)
            if self._failing or not self._logged:
                return
            seconds = self._clock() - self._since
        logger.warning("Redis works again, after %.1f s", seconds)

    def opened(self, connection: str) -> None:
        """Note that a connection is open.

        Args:
            connection: its name, the same each time that it is opened.
        """
        with self._lock:
            self.reconnects += connection in self._opened
            self._opened.add(connection)

    def gave_up(self, who: str) -> None:
        """Note that a reporter does not try again, because its caller gets the error."""
        with self._lock:
            self._forget(who)

    def _forget(self, who: str) -> None:
        if who in self._failing:
            self._failing.discard(who)
            self._refused.pop(who, None)
            if not self._failing:
                self.calm_since = self._clock()
