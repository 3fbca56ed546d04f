"""What keeps a queue going without an operator: promote due tasks, recover lost peers, tick cron.

Every worker does it, in its own rhythm; all of it is idempotent.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from identtqueue.errors import RedisError
from identtqueue.protocol import codec, commands
from identtqueue.protocol.commands import SCHEDULE_KEPT_MS, Planned, Recovery, WorkerRow
from identtqueue.protocol.submission import Submission, new_task
from identtqueue.schedule import Cron
from identtqueue.transport.aio import AsyncRedis
from identtqueue.transport.outage import Outage
from identtqueue.worker import kernel
from identtqueue.worker.settings import Identity
from identtqueue.worker.shelves import Shelves

logger = logging.getLogger(__name__)

PERIOD_SECONDS: Final = 2.0
"""Between rounds, on average. With the lease it bounds the recovery of a lost worker's tasks;
blocked fetchers promote due tasks at once, this is for when all workers are busy."""

RECOVERY_ROUNDS: Final = 100
"""Rounds of 16 lost workers that one round of the upkeep takes at most."""

PROMOTIONS: Final = 100
"""Calls per queue and round at most, where thousands of tasks are due or expire at once."""

CRON_AHEAD_MS: Final = 10_000
"""Firings are planned this long ahead (and the next one always), so a late round skips none."""


MOST_NAMED: Final = 20
"""Dead letters that one log line names."""


class Upkeep:
    """The upkeep loop of one worker incarnation.

    Args:
        redis: shared with the fetcher.
        worker_id: of this incarnation; it does not recover itself.
        queues: those that it keeps.
        max_deliveries: lost workers per task before it is a dead letter.
        may_recover: whether expired leases are evidence now (`Heartbeat.steady_for`).
        tidy_up: puts right what is this worker's own.
        shelves: of tasks that other workers have declined.
        on_shelves: called in each round with a queue that has such tasks for this worker.
        unrunnable_seconds: how long tasks wait for a worker that can run them.
        outage: tells the log.
        cron: the schedule.
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

    async def run(self) -> None:
        """Keep the queues, until cancelled."""
        while True:
            try:
                await self._round()
                self._outage.worked("upkeep")
            except RedisError as error:
                self._outage.failed("upkeep", error)
            # Jittered, so that a fleet that started together spreads out.
            await asyncio.sleep(PERIOD_SECONDS * random.uniform(0.75, 1.25))

    async def recover_predecessors(self, me: Identity) -> None:
        """Recover at once what certainly is dead, without waiting for its lease.

        Certain means that Redis sees nobody behind the incarnation's control channel, and that it
        was an earlier start of this very container, or a process of this host that is gone.
        """
        for queue in self._queues:
            rows = await self._redis.run(commands.workers(queue))
            earlier = [row.worker_id for row in rows if _is_predecessor(row, me)]
            if not earlier:
                continue
            alive = await self._redis.run(commands.connected(earlier))
            for worker_id, connected in zip(earlier, alive, strict=True):
                if not connected:
                    await self._recover(queue, worker_id, waive_lease=True)

    async def _round(self) -> None:
        now_ms, shelves = await self._promote()
        await self._tidy_up()
        for queue, names in shelves.items():
            await self._see_to_shelves(queue, names)
        if self._may_recover():
            for queue in self._queues:
                await self._recover_expired(queue, now_ms)
        await self._tick(now_ms)

    async def _promote(self) -> tuple[int, dict[str, Sequence[str]]]:
        """Promote in all queues, call by call where much is due; gives the time and the shelves."""
        now_ms, left = 0, list(self._queues)
        shelves: dict[str, Sequence[str]] = {}
        for _ in range(PROMOTIONS):
            promoted = await self._redis.run_all(
                [commands.promote(queue, serves=self._shelves.of(queue)) for queue in left]
            )
            now_ms = promoted[0].now_ms
            shelves |= {q: done.shelves for q, done in zip(left, promoted, strict=True)}
            left = [queue for queue, done in zip(left, promoted, strict=True) if done.more]
            if not left:
                break
        return now_ms, shelves

    async def _see_to_shelves(self, queue: str, names: Sequence[str]) -> None:
        self._shelves.note(queue, names)
        # In each round: a shelf that was empty a moment ago may hold a task again. Nobody rings.
        if self._shelves.of(queue):
            await self._on_shelves(queue)
        hopeless = [name for name in names if not self._shelves.serves(name)]
        if hopeless and self._may_recover():  # a worker that can run them may have just started
            dead = await self._redis.run(commands.give_up(queue, hopeless, self._unrunnable_ms))
            if dead:
                logger.error(
                    "%s: no worker has been able to run %d tasks for %g s: dead letters%s",
                    queue,
                    len(dead),
                    self._unrunnable_ms / 1000,
                    _named(dead),
                )

    async def _recover_expired(self, queue: str, now_ms: int) -> None:
        """Recover all peers whose lease has run out, some at a time."""
        for _ in range(RECOVERY_ROUNDS):
            expired = await self._redis.run(commands.expired(queue, now_ms))
            found = [
                await self._recover(queue, worker_id, waive_lease=False)
                for worker_id in expired
                if worker_id != self._worker_id
            ]
            if not any(recovery.lost for recovery in found):
                break

    async def _tick(self, now_ms: int) -> None:
        """Every entry, also behind one that is refused (an ACL per queue, say)."""
        refusal: RedisError | None = None
        for schedule in self._schedules:
            try:
                await schedule.tick(self._redis, now_ms)
            except RedisError as error:
                refusal = refusal or error
        if refusal is not None:
            raise refusal

    async def _recover(self, queue: str, worker_id: str, *, waive_lease: bool) -> Recovery:
        call = commands.recover(
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
    """The first few ids: a lost worker may have had thousands."""
    more = ", …" if len(dead) > MOST_NAMED else ""
    return f": {', '.join(dead[:MOST_NAMED])}{more}" if dead else ""


def _is_predecessor(row: WorkerRow, me: Identity) -> bool:
    info = row.info
    if me.domain is not None and info.get("domain") == me.domain and info.get("process"):
        return kernel.is_gone(info["process"])
    return (
        me.pod_uid is not None
        and me.boot is not None
        and info.get("pod_uid") == me.pod_uid
        and info.get("container") == me.container
        and info.get("boot") not in (None, me.boot)
    )


class _Schedule:
    """One cron entry, and what Redis was last told of it."""

    def __init__(self, entry: Cron, queue: str) -> None:
        self._entry = entry
        self._queue = queue
        self._task = new_task(
            Submission(queue, entry.function_name, entry.args, entry.kwargs, entry.options),
            codec.DEFAULT_MAX_PAYLOAD_BYTES,
        )
        self._definition = entry.definition(self._task.payload, self._task.options)
        self._told: Sequence[int] = ()
        self._told_at_ms = 0
        self._replaced = False

    async def tick(self, redis: AsyncRedis, now_ms: int) -> None:
        """Plan the firings of the time ahead, and in any case the next one."""
        ahead = self._ahead(now_ms)
        if ahead == self._told and now_ms < self._told_at_ms + SCHEDULE_KEPT_MS / 3:
            return
        firings = {self._entry.task_id(self._queue, fire_ms): fire_ms for fire_ms in ahead}
        planned = await redis.run(
            commands.schedule(self._queue, self._entry.name, self._definition, self._task, firings)
        )
        self._told, self._told_at_ms = ahead, now_ms
        if (planned is Planned.REPLACED) != self._replaced:
            self._replaced = planned is Planned.REPLACED
            logger.info(
                "cron %s: %s",
                self._entry.name,
                "workers with a newer definition keep it" if self._replaced else "kept again",
            )

    def _ahead(self, now_ms: int) -> list[int]:
        found: list[int] = []
        until = now_ms
        while (fire_ms := self._entry.next_fire_ms(until)) is not None:
            if found and fire_ms > now_ms + CRON_AHEAD_MS:
                break
            found.append(fire_ms)
            until = fire_ms
        return found
