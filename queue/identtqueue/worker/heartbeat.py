"""The heartbeat: a thread that renews the leases of a worker.

It has a connection of its own. So a job that keeps the event loop busy for a
while does not cost the lease. It stops renewing when the loop has been blocked for so long that the
worker's tasks should run elsewhere (see `watchdog`).

While Redis is down no worker can recover tasks of another. So a worker keeps running its attempts,
and renews the lease when Redis is back. It abandons them only when Redis answers that the lease is
lost.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from identtqueue.errors import RedisError
from identtqueue.protocol.answers import Lease
from identtqueue.protocol.calls import leasing
from identtqueue.transport.connect import blocking_redis
from identtqueue.transport.outage import Outage
from identtqueue.transport.settings import RedisSettings

if TYPE_CHECKING:
    from identtqueue.transport.blocking import SyncRedis

logger = logging.getLogger(__name__)

BEATS_PER_LEASE: Final = 3
"""Renewals per lease duration."""

ANSWER_PART: Final = 1 / 5
"""Longest wait for one answer, as a part of the lease. Even if two renewals in a row go unanswered,
with the pauses after them, nearly a fifth of the lease is left for the third:
1/3 + 2 * 1/5 + 1/40 + 1/20 = 0.81."""

PAUSE_PART: Final = 1 / 40
"""Longest pause after a first failure, as a part of the lease. It doubles with each further
failure, up to the time between two renewals."""


class Heartbeat:
    """Thread that renews the leases of one incarnation, one per queue, in one round trip.

    Args:
        settings: how to reach Redis.
        worker_id: id of the incarnation.
        queues: queues in which the incarnation has a lease.
        lease_seconds: duration of a lease.
        may_renew: asked before each renewal. While it returns False, the leases are not renewed.
        on_beat: called in this thread with the worst answer of each renewal.
        outage: logs trouble with Redis.
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
        self._calls = [leasing.extend(queue, worker_id, lease_ms) for queue in queues]
        self._may_renew = may_renew
        self._on_beat = on_beat
        self._outage = outage
        self._ended = threading.Event()
        answer_seconds = lease_seconds * ANSWER_PART
        self._settings = replace(
            settings,
            connect_timeout_seconds=min(settings.connect_timeout_seconds, answer_seconds),
            response_timeout_seconds=min(settings.response_timeout_seconds, answer_seconds),
        )
        self._redis: SyncRedis | None = None
        self._failures = 0
        self._why_not = ""
        self._renewed_at = self._steady_since = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True, name="identtqueue lease")

    def start(self) -> None:
        """Start the thread."""
        self._renewed_at = self._steady_since = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """Stop renewing. Returns at once; `join` waits for the thread."""
        self._ended.set()

    def join(self, seconds: float) -> None:
        """Wait until the thread has ended, at most this long: it may hang in a dead connection."""
        if self._thread.ident is not None:  # it was started
            self._thread.join(seconds)

    @property
    def alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    def steady_for(self, seconds: float) -> bool:
        """Return whether Redis has answered every renewal for this long.

        Only then do expired leases of other workers prove their loss. Right after an outage of
        Redis all leases have run out, and workers that reconnect a moment later are alive.
        """
        return time.monotonic() - self._steady_since >= seconds

    @property
    def account(self) -> str:
        """Description of the last renewals, for the log line about a lost lease."""
        seconds = time.monotonic() - self._renewed_at
        if self._why_not:
            return f"it was not renewed for {seconds:.1f} s: {self._why_not}"
        if seconds > 2 * self._interval:
            return (
                f"it was not renewed for {seconds:.1f} s: the process stood still (it was stopped, "
                "got no CPU, or a call in native code kept the GIL)"
            )
        return (
            f"it was renewed {seconds:.1f} s ago: a peer or the operator took this worker for dead"
        )

    def _run(self) -> None:
        try:
            # The registration has just begun the leases. So the first renewal is due later, and
            # its connection does not delay the first task.
            pause = self._pause()
            while not self._ended.wait(pause):
                pause = self.beat()
        finally:
            if self._redis is not None:
                self._redis.close()

    def beat(self) -> float:
        """Renew once, as the thread does at each beat.

        Returns:
            Seconds until the next renewal.
        """
        if not self._may_renew():
            self._why_not = "the event loop is blocked"
            return self._interval * random.uniform(0.25, 0.5)
        started = time.monotonic()
        try:
            answers = self._connection().run_all(self._calls)
        except Exception as error:
            if not isinstance(error, RedisError):  # our own bug must not cost the lease
                logger.exception("the heartbeat failed by a bug; it tries again")
            return self._failed(error)
        self._outage.worked("lease")
        ended = time.monotonic()
        if ended - started > self._interval:
            self._steady_since = ended  # the answer came far too late
        worst = _worst(answers)
        if worst is not Lease.LOST:
            self._failures, self._why_not, self._renewed_at = 0, "", started
        self._on_beat(worst)
        return max(0.0, self._pause() - (ended - started))

    def _pause(self) -> float:
        """Return the seconds between two renewals.

        Jitter spreads out the renewals of workers that have connected together.
        """
        return self._interval * random.uniform(0.9, 1.0)

    def _connection(self) -> SyncRedis:
        """Return the connection; it is made for the first renewal."""
        if self._redis is None:
            self._redis = blocking_redis(
                self._settings,
                client_name="identtqueue-lease",
                retry_for_seconds=0,
                pause=self._ended.wait,
            )
        return self._redis

    def _failed(self, error: Exception) -> float:
        """Note a failure; return the pause in seconds before the next try."""
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
    """Combine the answers of several queues: one lost lease is lost for all, one drain for all."""
    for answer in (Lease.LOST, Lease.DRAINING):
        if answer in answers:
            return answer
    return Lease.OK
