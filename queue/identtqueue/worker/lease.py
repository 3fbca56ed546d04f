"""The heartbeat: renews the lease.

It beats in an OS thread with a connection of its own, so that a job that keeps the event loop busy
can't lose the lease.

While Redis is away nobody can recover anything, so a worker keeps running its attempts and renews
when Redis is back. It lets go only when it is told that the lease is lost.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from identtqueue.errors import RedisError
from identtqueue.protocol import commands
from identtqueue.protocol.commands import Lease
from identtqueue.transport.blocking_cluster import blocking_redis
from identtqueue.transport.outage import Outage
from identtqueue.transport.settings import RedisSettings

logger = logging.getLogger(__name__)

BEATS_PER_LEASE: Final = 3
"""Two renewals may fail before the lease runs out."""

RETRY_SECONDS: Final = 0.5
"""After a failed renewal. Bounded by the jitter below one beat."""


class Heartbeat:
    """Renews one incarnation's leases, one per queue, in one round trip.

    Args:
        settings: where Redis is.
        worker_id, queues, lease_seconds: whose lease.
        on_beat: told each answer, in the heartbeat's thread.
        outage: tells the log.
    """

    def __init__(
        self,
        settings: RedisSettings,
        worker_id: str,
        queues: Sequence[str],
        lease_seconds: float,
        *,
        on_beat: Callable[[Lease], None],
        outage: Outage,
    ) -> None:
        self._lease_seconds = lease_seconds
        lease_ms = round(lease_seconds * 1000)
        self._calls = [commands.extend(queue, worker_id, lease_ms) for queue in queues]
        self._on_beat = on_beat
        self._outage = outage
        self._ended = threading.Event()
        self._redis = blocking_redis(
            settings, client_name="identtqueue-lease", retry_for_seconds=0, pause=self._ended.wait
        )
        self._steady_since = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True, name="identtqueue lease")

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """Stop beating; returns when the thread has ended or is stuck in a dead connection."""
        self._ended.set()
        if self._thread.ident is not None:  # it was started
            self._thread.join(timeout=1.0)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def steady_for(self, seconds: float) -> bool:
        """Whether Redis has answered every beat for so long.

        Only then are other workers' expired leases evidence: right after an outage all leases
        have run out, and those who come back a moment later are alive.
        """
        return time.monotonic() - self._steady_since >= seconds

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                self._ended.wait(self._beat())
        finally:
            self._redis.close()

    def _beat(self) -> float:
        """Renew once; gives the seconds until the next beat."""
        started = time.monotonic()
        try:
            answers = self._redis.run_all(self._calls)
        except RedisError as error:
            logger.debug("lease not renewed: %s", error)
            self._outage.failed("lease", error)
            self._steady_since = time.monotonic() + RETRY_SECONDS
            return RETRY_SECONDS
        self._outage.worked("lease")
        interval = self._lease_seconds / BEATS_PER_LEASE
        if time.monotonic() - started > interval:
            self._steady_since = time.monotonic()  # it answered, but far too late
        self._on_beat(_worst(answers))
        return max(0.0, interval - (time.monotonic() - started))


def _worst(answers: Sequence[Lease]) -> Lease:
    """Of several queues' answers: one lost lease is a lost incarnation, one drain a drain."""
    for answer in (Lease.LOST, Lease.DRAINING):
        if answer in answers:
            return answer
    return Lease.OK
