"""The registration of a worker incarnation in its queues, which gives it a lease in each."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from identtqueue.errors import RedisAuthFailed
from identtqueue.limits import JobLimits
from identtqueue.protocol.answers import Lease
from identtqueue.protocol.calls import leasing, server_facts
from identtqueue.protocol.needs import WORKER_COMMANDS
from identtqueue.release import RELEASE
from identtqueue.transport.connection import AsyncRedis
from identtqueue.transport.offload import offload
from identtqueue.transport.outage import Outage
from identtqueue.worker.heartbeat import Heartbeat
from identtqueue.worker.identity import Identity, memory_bytes
from identtqueue.worker.settings import WorkerSettings
from identtqueue.worker.stopping import FLUSH_SECONDS, bounded

HEARTBEAT_SECONDS: Final = 1.0
"""How long the heartbeat's thread may take to end. It may be stuck in a dead connection."""

DESCRIBE_SECONDS: Final = 60.0
"""How often a worker renews what it says about itself, such as its memory."""

START_OVER_SECONDS: Final = 60.0
"""How long a worker that has lost its lease may take to get a new one while Redis answers. After
that /livez fails."""


class Registration:
    """Entry of one incarnation in the list of workers of each of its queues: one lease in each.

    Args:
        redis: connection for its calls.
        settings: the worker's settings.
        identity: where the worker runs: host, pod, container and process.
        limits: limits of the jobs by name, which are declared to each queue.
        declarations: what else is declared about these jobs (see `JobInfo`).
        outage: logs trouble with Redis.
        may_renew: called in the heartbeat's thread. While it returns False, the leases are not
            renewed.

    Attributes:
        worker_id: id of the incarnation.
        has_begun: whether it was registered, and the incarnation has not ended.
        lost_at: when a lease was lost, in monotonic time; None: none was. It is set in the
            heartbeat's thread, so that the probes know at once.
    """

    def __init__(
        self,
        redis: AsyncRedis,
        settings: WorkerSettings,
        identity: Identity,
        limits: Mapping[str, JobLimits],
        declarations: Mapping[str, Mapping[str, Any]],
        outage: Outage,
        *,
        may_renew: Callable[[], bool],
    ) -> None:
        self.worker_id = identity.worker_id(os.urandom(6).hex())
        self.identity = identity
        self.lost_at: float | None = None
        self._redis = redis
        self._settings = settings
        self._limits = limits
        self._declarations = declarations
        self._outage = outage
        self._loop = asyncio.get_running_loop()
        self._on_answer: Callable[[Lease], None] = lambda _: None
        self.has_begun = False
        self._said: dict[str, Any] = {}
        self._said_at = 0.0  # monotonic time
        self._heartbeat = Heartbeat(
            redis.settings,
            self.worker_id,
            settings.queues,
            settings.lease_seconds,
            may_renew=may_renew,
            on_beat=self._hear,
            outage=outage,
        )

    @property
    def is_held(self) -> bool:
        """Whether the incarnation has a lease in every queue. False as soon as one is lost."""
        return self.has_begun and self.lost_at is None

    @property
    def account(self) -> str:
        """Description of the last renewals, for the log line about a lost lease."""
        return self._heartbeat.account

    def is_steady(self) -> bool:
        """Return whether Redis has answered every renewal for the duration of a lease.

        Only then do expired leases of other workers prove their loss.
        """
        return self._heartbeat.steady_for(self._settings.lease_seconds)

    def live_problem(self, lost_before: float | None) -> str | None:
        """Describe why the worker should be restarted because of its lease; None: it is well.

        Args:
            lost_before: when the lease before this one was lost, in monotonic time.
        """
        if self.is_held:
            return None if self._heartbeat.alive else "the heartbeat has ended"
        now, lost_at = time.monotonic(), self.lost_at or lost_before
        if lost_at is None or now - max(lost_at, self._outage.calm_since) < START_OVER_SECONDS:
            return None
        return f"the lease was lost {now - lost_at:.0f} s ago, and there is no new one"

    def note_loss(self) -> None:
        """Note when Redis answered that a lease is lost. May be called in any thread."""
        if self.lost_at is None:
            self.lost_at = time.monotonic()

    async def check_rights(self) -> None:
        """Check the ACL before the start, because a missing command would stop a script half way.

        Raises:
            RedisAuthFailed: the ACL of the Redis user lacks a command.
        """
        needed, queues = WORKER_COMMANDS.split(), self._settings.queues
        found = await self._redis.run_all([leasing.permitted(q, needed) for q in queues])
        for queue, refused in zip(queues, found, strict=True):
            if refused:
                raise RedisAuthFailed(
                    f"queue {queue}: the ACL of this user lacks {', '.join(refused)}: "
                    f"`identtqueue acl worker --queue {queue}` prints what a worker needs"
                )

    async def begin(self, on_answer: Callable[[Lease], None]) -> None:
        """Register in all queues, and renew the leases from then on.

        Args:
            on_answer: called in the event loop with the worst answer to each renewal.

        Raises:
            ProtocolMismatch: a queue belongs to another protocol version.
        """
        lease_ms, info = self._settings.lease_ms, self._info(await self._clock_ahead_ms())
        keeping = self._settings.keeping
        await self._redis.run_all(
            [
                leasing.register(
                    queue,
                    self.worker_id,
                    lease_ms,
                    info,
                    self._limits,
                    self._declarations,
                    keeping=keeping,
                )
                for queue in self._settings.queues
            ]
        )

        self._said, self._said_at = info, time.monotonic()
        self._on_answer = on_answer
        self._heartbeat.start()
        self.has_begun = True

    async def describe_if_due(self) -> None:
        """Renew what the worker says about itself: once a minute, beside the leases."""
        if time.monotonic() - self._said_at < DESCRIBE_SECONDS:
            return
        self._said_at = time.monotonic()
        self._said["rss_bytes"] = memory_bytes()
        calls = [leasing.describe(q, self.worker_id, self._said) for q in self._settings.queues]
        await self._redis.run_all(calls)

    async def end(self) -> None:
        """Stop the heartbeat and give the leases back, each in a limited time.

        Redis refuses that in a queue where tasks are in flight. There the lease runs out, and a
        peer recovers the tasks.
        """
        self._heartbeat.stop()
        ending = offload(self._heartbeat.join, HEARTBEAT_SECONDS)
        await bounded("ending the heartbeat", ending, 2 * HEARTBEAT_SECONDS)
        calls = [leasing.leave(queue, self.worker_id) for queue in self._settings.queues]
        await bounded("giving the lease back", self._redis.run_all(calls), FLUSH_SECONDS)

    def over(self) -> None:
        """Note that the incarnation has ended."""
        self.has_begun = False

    def _hear(self, lease: Lease) -> None:
        """Pass an answer on to the event loop. Called in the heartbeat's thread."""
        if lease is Lease.LOST:
            self.note_loss()  # at once; the event loop does the rest when it gets to it
        with contextlib.suppress(RuntimeError):  # the loop has closed
            self._loop.call_soon_threadsafe(self._on_answer, lease)

    async def _clock_ahead_ms(self) -> int:
        """Measure how far this host's clock is ahead of Redis', to half of a round trip."""
        asked = time.time()
        redis_time = await self._redis.run(server_facts.server_time())
        return round(((asked + time.time()) / 2 - redis_time) * 1000)

    def _info(self, clock_ahead_ms: int) -> dict[str, Any]:
        timeout_seconds = self._settings.timeout_seconds
        return {
            "host": self.identity.host,
            "pod_uid": self.identity.pod_uid,
            "pod_name": self.identity.pod_name,
            "container": self.identity.container,
            "node": self.identity.node,
            "release": self.identity.release,
            "rss_bytes": memory_bytes(),
            "boot": self.identity.boot,
            "domain": self.identity.domain,
            "process": self.identity.process,
            "concurrency": self._settings.concurrency,
            "registered_at_ms": round(time.time() * 1000),
            "clock_ahead_ms": clock_ahead_ms,
            "timeout_ms": None if timeout_seconds is None else round(timeout_seconds * 1000),
            "version": RELEASE,
        }
