"""The heartbeat: renews the lease.

It beats in an OS thread with a connection of its own, so that a job that keeps the event loop busy
for a while can't lose the lease. It stops renewing when the loop has been blocked for so long that
its tasks are better off elsewhere (`watchdog`).

While Redis is away nobody can recover anything, so a worker keeps running its attempts and renews
when Redis is back. It lets go only when it is told that the lease is lost.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from identtqueue.errors import RedisError
from identtqueue.protocol import commands
from identtqueue.protocol.commands import Lease
from identtqueue.transport.blocking_cluster import blocking_redis
from identtqueue.transport.outage import Outage
from identtqueue.transport.settings import RedisSettings

logger = logging.getLogger(__name__)

BEATS_PER_LEASE: Final = 3
"""Renewals in the time of one lease."""

ANSWER_PART: Final = 1 / 5
"""Part of the lease that one answer may take. Two renewals in a row may fail by silence, with the
pauses behind them, and a fifth of the lease is left for the third: 1/3 + 2 * 1/5 + 1/40 + 1/20."""

PAUSE_PART: Final = 1 / 40
"""Part of the lease that the pause after a first failure takes at most. It doubles with each
further failure, up to the time between two renewals."""


class Heartbeat:
    """Renews one incarnation's leases, one per queue, in one round trip.

    Args:
        settings: where Redis is.
        worker_id, queues, lease_seconds: whose lease.
        may_renew: False: let the lease run out, for now.
        on_beat: called with each answer, in the heartbeat's thread.
        outage: tells the log.
    """

    def __init__(
        self,
        settings: RedisSettings,
        worker_id: str,
        queues: Sequence[str],
        lease_seconds: float,
        *,
        may_renew: Callable[[], bool],
        on_beat: Callable[[Lease], None],
        outage: Outage,
    ) -> None:
        self._lease_seconds = lease_seconds
        self._interval = lease_seconds / BEATS_PER_LEASE
        lease_ms = round(lease_seconds * 1000)
        self._calls = [commands.extend(queue, worker_id, lease_ms) for queue in queues]
        self._may_renew = may_renew
        self._on_beat = on_beat
        self._outage = outage
        self._ended = threading.Event()
        answer_seconds = lease_seconds * ANSWER_PART
        self._redis = blocking_redis(
            replace(
                settings,
                connect_timeout_seconds=min(settings.connect_timeout_seconds, answer_seconds),
                response_timeout_seconds=min(settings.response_timeout_seconds, answer_seconds),
            ),
            client_name="identtqueue-lease",
            retry_for_seconds=0,
            pause=self._ended.wait,
        )
        self._failures = 0
        self._why_not = ""
        self._renewed_at = self._steady_since = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True, name="identtqueue lease")

    def start(self) -> None:
        """Begin to beat."""
        self._renewed_at = self._steady_since = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """Beat no more. Returns at once; `join` waits for the thread."""
        self._ended.set()

    def join(self, seconds: float) -> None:
        """Wait until the thread has ended; it may be stuck in a dead connection."""
        if self._thread.ident is not None:  # it was started
            self._thread.join(seconds)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def steady_for(self, seconds: float) -> bool:
        """Tell whether Redis has answered every beat for so long.

        Only then are other workers' expired leases evidence: right after an outage all leases
        have run out, and those who come back a moment later are alive.
        """
        return time.monotonic() - self._steady_since >= seconds

    @property
    def account(self) -> str:
        """What became of the last renewals, in words, for the log line about a lost lease."""
        seconds = time.monotonic() - self._renewed_at
        if self._why_not:
            return f"it was not renewed for {seconds:.1f} s: {self._why_not}"
        if seconds > 2 * self._interval:
            return (
                f"it was not renewed for {seconds:.1f} s: the process stood still (it was stopped, "
                "got no CPU, or a call in native code kept the GIL)"
            )
        return f"it was renewed {seconds:.1f} s ago: somebody has given this worker up"

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                self._ended.wait(self._beat())
        finally:
            self._redis.close()

    def _beat(self) -> float:
        """Renew once; gives the seconds until the next beat."""
        if not self._may_renew():
            self._why_not = "the event loop is blocked"
            return self._interval * random.uniform(0.25, 0.5)
        started = time.monotonic()
        try:
            answers = self._redis.run_all(self._calls)
        except Exception as error:
            if not isinstance(error, RedisError):  # ours; the lease must not be lost for its sake
                logger.exception("heartbeat")
            return self._failed(error)
        self._outage.worked("lease")
        ended = time.monotonic()
        if ended - started > self._interval:
            self._steady_since = ended  # it answered, but far too late
        worst = _worst(answers)
        if worst is not Lease.LOST:
            self._failures, self._why_not, self._renewed_at = 0, "", started
        self._on_beat(worst)
        # Jittered, so that a fleet that has reconnected together spreads out.
        return max(0.0, self._interval * random.uniform(0.9, 1.0) - (ended - started))

    def _failed(self, error: Exception) -> float:
        """Note a failure; gives the pause before the next attempt."""
        logger.debug("lease not renewed: %s", error)
        self._outage.failed("lease", error)
        self._failures += 1
        self._why_not = str(error) or type(error).__name__
        doublings = float(2 ** min(self._failures - 1, 16))
        longest = min(self._lease_seconds * PAUSE_PART * doublings, self._interval)
        pause = longest * random.uniform(0.5, 1.0)
        self._steady_since = time.monotonic() + pause
        return pause


def _worst(answers: Sequence[Lease]) -> Lease:
    """Of several queues' answers: one lost lease is a lost incarnation, one drain a drain."""
    for answer in (Lease.LOST, Lease.DRAINING):
        if answer in answers:
            return answer
    return Lease.OK
