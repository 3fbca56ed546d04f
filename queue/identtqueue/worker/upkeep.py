"""The upkeep loop: promotes due tasks, recovers the tasks of lost workers, and plans cron.

Because of it, queues work without an operator. Every worker runs it, at its own pace. All of it is
idempotent.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from identtqueue.errors import RedisError
from identtqueue.protocol import codec
from identtqueue.protocol.answers import Planned, Recovery, WorkerRow
from identtqueue.protocol.calls import inspecting, recovering, scheduling
from identtqueue.protocol.calls.scheduling import SCHEDULE_KEPT_MS
from identtqueue.protocol.submission import Submission, new_task
from identtqueue.schedule import Cron
from identtqueue.transport.connection import AsyncRedis
from identtqueue.transport.enlistment import Enlistment
from identtqueue.transport.outage import Outage
from identtqueue.worker import identity
from identtqueue.worker.identity import Identity
from identtqueue.worker.shelves import Shelves

logger = logging.getLogger(__name__)

PERIOD_SECONDS: Final = 2.0
"""Average time between rounds. Together with the lease it bounds how long the recovery of a lost
worker's tasks takes. An idle worker promotes due tasks at once; upkeep does it when all workers are
busy, or when the one that was to do it has died."""

RECOVERY_ROUNDS: Final = 100
"""How often one round of upkeep looks for lost workers in a queue, at most. Each look finds up to
16."""

PROMOTIONS: Final = 100
"""Most promote calls per queue and round, when thousands of tasks fall due or expire at once."""

CRON_AHEAD_MS: Final = 10_000
"""Firings of cron entries are planned this long ahead, and the next one always. So a late round
skips none."""

MOST_NAMED: Final = 20
"""Most dead letters that one log line lists."""


class Upkeep:
    """The upkeep loop of one worker incarnation.

    Args:
        redis: connection for its calls, shared with the fetcher.
        worker_id: id of this incarnation, which does not recover itself.
        queues: names of the queues to maintain.
        max_deliveries: number of lost workers after which a task becomes a dead letter.
        may_recover: tells whether expired leases prove a loss now (`Registration.is_steady`).
        tidy_up: repairs what a lost reply or message has left in this worker. Called each round.
        shelves: the shelves whose tasks this worker may run. Upkeep notes which ones exist.
        on_shelves: called in each round with a queue that has shelves for this worker.
        unrunnable_seconds: how long declined tasks wait for a worker that can run them.
        outage: logs trouble with Redis.
        cron: entries of the schedule.
    """

    def __init__(
        self,
        redis: AsyncRedis,
        worker_id: str,
        queues: Sequence[str],
        *,
        max_deliveries: int,
        may_recover: Callable[[], bool],
        tidy_up: Callable[[], Awaitable[None]],
        shelves: Shelves,
        on_shelves: Callable[[str], Awaitable[None]],
        unrunnable_seconds: float,
        outage: Outage,
        cron: Sequence[Cron],
    ) -> None:
        self._redis = redis
        self._worker_id = worker_id
        self._queues = tuple(queues)
        self._max_deliveries = max_deliveries
        self._may_recover = may_recover
        self._tidy_up = tidy_up
        self._shelves = shelves
        self._on_shelves = on_shelves
        self._unrunnable_ms = round(unrunnable_seconds * 1000)
        self._outage = outage
        self._schedules = [_Schedule(entry, entry.queue or queues[0]) for entry in cron]
        self._enlistment = Enlistment()

    async def run(self) -> None:
        """Maintain the queues until cancelled."""
        while True:
            try:
                await self._round()
                self._outage.worked("upkeep")
            except RedisError as error:
                self._outage.failed("upkeep", error)
            # Jitter spreads out the rounds of workers that have started together.
            await asyncio.sleep(PERIOD_SECONDS * random.uniform(0.75, 1.25))

    async def recover_predecessors(self, me: Identity) -> None:
        """Recover at once the tasks of incarnations that are certainly dead.

        Their lease need not run out first. An incarnation is certainly dead if nobody subscribes to
        its control channel in Redis, and if it was an earlier start of this container or a process
        of this host that has ended.

        Args:
            me: identity of this worker.
        """
        for queue in self._queues:
            rows = await self._redis.run(inspecting.workers(queue))
            earlier = [row.worker_id for row in rows if _is_predecessor(row, me)]
            if not earlier:
                continue
            alive = await self._redis.run(recovering.connected(earlier))
            for worker_id, connected in zip(earlier, alive, strict=True):
                if not connected:
                    await self._recover(queue, worker_id, waive_lease=True)

    async def _round(self) -> None:
        for queue in {*self._queues, *(schedule.queue for schedule in self._schedules)}:
            self._enlistment.note(self._redis, queue)
        now_ms, shelves = await self._promote()
        await self._tidy_up()
        for queue, names in shelves.items():
            await self._see_to_shelves(queue, names)
        if self._may_recover():
            for queue in self._queues:
                await self._recover_expired(queue, now_ms)
        await self._tick(now_ms)

    async def _promote(self) -> tuple[int, dict[str, Sequence[str]]]:
        """Promote due tasks in all queues, with several calls where many are due.

        Queues in which another worker has just done so are left out.

        Returns:
            The time of Redis in ms, at most `PROMOTED_MS` old; and the shelves by queue.
        """
        done_ms = await self._redis.run_all(list(map(scheduling.promoted_at, self._queues)))
        now_ms = max(done_ms)
        left = [queue for queue, ms in zip(self._queues, done_ms, strict=True) if not ms]
        shelves: dict[str, Sequence[str]] = {}
        for _ in range(PROMOTIONS):
            if not left:
                break
            promoted = await self._redis.run_all(
                [scheduling.promote(queue, serves=self._shelves.of(queue)) for queue in left]
            )
            now_ms = promoted[0].now_ms
            shelves |= {q: done.shelves for q, done in zip(left, promoted, strict=True)}
            left = [queue for queue, done in zip(left, promoted, strict=True) if done.more]
        return now_ms, shelves

    async def _see_to_shelves(self, queue: str, names: Sequence[str]) -> None:
        """Claim from shelves that this worker serves, and give up tasks that no worker can run."""
        self._shelves.note(queue, names)
        # In each round, because a shelf that was empty may hold a task again, without a wake token.
        if self._shelves.of(queue):
            await self._on_shelves(queue)
        hopeless = [name for name in names if not self._shelves.serves(name)]
        # Right after a start or an outage, workers that can run them may not be back yet.
        if hopeless and self._may_recover():
            dead = await self._redis.run(recovering.give_up(queue, hopeless, self._unrunnable_ms))
            if dead:
                logger.error(
                    "%s: no worker was able to run %d tasks for %g s: they are dead letters now%s",
                    queue,
                    len(dead),
                    self._unrunnable_ms / 1000,
                    _named(dead),
                )

    async def _recover_expired(self, queue: str, now_ms: int) -> None:
        """Recover the tasks of all peers whose lease has run out, a batch of peers at a time."""
        for _ in range(RECOVERY_ROUNDS):
            expired = await self._redis.run(recovering.expired(queue, now_ms))
            found = [
                await self._recover(queue, worker_id, waive_lease=False)
                for worker_id in expired
                if worker_id != self._worker_id
            ]
            if not any(recovery.lost for recovery in found):
                break

    async def _tick(self, now_ms: int) -> None:
        """Plan all cron entries, even if one is refused (by an ACL of its queue, say).

        Raises:
            RedisError: the first refusal, after all entries were tried.
        """
        refusal: RedisError | None = None
        for schedule in self._schedules:
            try:
                await schedule.tick(self._redis, now_ms)
            except RedisError as error:
                refusal = refusal or error
        if refusal is not None:
            raise refusal

    async def _recover(self, queue: str, worker_id: str, *, waive_lease: bool) -> Recovery:
        call = recovering.recover(
            queue, worker_id, waive_lease=waive_lease, max_deliveries=self._max_deliveries
        )
        recovery = await self._redis.run(call)
        while recovery.more:
            recovery += await self._redis.run(call)
        if recovery.requeued or recovery.dead:
            logger.log(
                logging.ERROR if recovery.dead else logging.WARNING,
                "%s: worker %s is lost: %d tasks requeued (%d to run alone), %d dead letters%s",
                queue,
                worker_id,
                len(recovery.requeued),
                len(recovery.isolated),
                len(recovery.dead),
                _named(recovery.dead),
            )
        return recovery


def _named(dead: Sequence[str]) -> str:
    """List the first few ids. A lost worker may have had thousands."""
    more = ", …" if len(dead) > MOST_NAMED else ""
    return f": {', '.join(dead[:MOST_NAMED])}{more}" if dead else ""


def _is_predecessor(row: WorkerRow, me: Identity) -> bool:
    info = row.info
    if me.domain is not None and info.get("domain") == me.domain and info.get("process"):
        return identity.is_gone(info["process"])
    return (
        me.pod_uid is not None
        and me.boot is not None
        and info.get("pod_uid") == me.pod_uid
        and info.get("container") == me.container
        and info.get("boot") not in (None, me.boot)
    )


_PLANNED: Final = {
    Planned.OK: "planned here again",
    Planned.REPLACED: "workers with a newer definition plan it",
    Planned.SUSPENDED: "it is paused",
}
"""Texts of the log line when the answer changes."""


class _Schedule:
    """One cron entry, and the firings of it that were last sent to Redis."""

    def __init__(self, entry: Cron, queue: str) -> None:
        self._entry = entry
        self.queue = queue
        self._task = new_task(
            Submission(queue, entry.function_name, entry.args, entry.kwargs, entry.options),
            codec.DEFAULT_MAX_PAYLOAD_BYTES,
        )
        self._definition = entry.definition(self._task.payload, self._task.options)
        self._sent: Sequence[int] = ()
        self._sent_at_ms = 0
        self._planned = Planned.OK

    async def tick(self, redis: AsyncRedis, now_ms: int) -> None:
        """Plan the firings of the next `CRON_AHEAD_MS`, and always at least the next one."""
        ahead = self._ahead(now_ms)
        if ahead == self._sent and now_ms < self._sent_at_ms + SCHEDULE_KEPT_MS / 3:
            return
        firings = {self._entry.task_id(self.queue, fire_ms): fire_ms for fire_ms in ahead}
        planned = await redis.run(
            scheduling.schedule(
                self.queue,
                self._entry.name,
                self._definition,
                self._task,
                firings,
                expression=self._entry.expression,
                timezone=self._entry.timezone,
            )
        )
        # While it is paused, Redis is kept informed of the next firings in each round, so that a
        # resume can plan them at once.
        self._sent = () if planned is Planned.SUSPENDED else ahead
        self._sent_at_ms = now_ms
        if planned is not self._planned:
            self._planned = planned
            logger.info("cron %s: %s", self._entry.name, _PLANNED[planned])

    def _ahead(self, now_ms: int) -> list[int]:
        """List the firings to plan: the next one, and all within `CRON_AHEAD_MS`."""
        found: list[int] = []
        until = now_ms
        while (fire_ms := self._entry.next_fire_ms(until)) is not None:
            if found and fire_ms > now_ms + CRON_AHEAD_MS:
                break
            found.append(fire_ms)
            until = fire_ms
        return found
