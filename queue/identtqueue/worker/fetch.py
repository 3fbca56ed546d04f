"""The fetch loop: waits for work, claims as many tasks as there are free slots, and starts them.

An idle worker blocks in BLPOP on its queues' `wake` lists. A wake token only tells a worker to
look; it is not a task. If one is lost (its worker dies right after taking it), no task is lost: the
next round of upkeep, of any worker, pushes another one. A worker never claims more than it can
start, so LLEN(pending) is the true number of waiting tasks.

One idle worker has an alarm for the next task that time lets start (`worker/alarms.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from identtqueue.errors import RedisError
from identtqueue.protocol.answers import Claim, Claimed
from identtqueue.protocol.calls import claiming, one_task, reporting
from identtqueue.task import Attempt
from identtqueue.transport.address import Topology
from identtqueue.transport.backoff import backoff_seconds
from identtqueue.transport.connection import AsyncRedis
from identtqueue.transport.outage import Outage
from identtqueue.worker.alarms import Alarms
from identtqueue.worker.draining import Draining
from identtqueue.worker.isolation import ASK_SECONDS, Isolation
from identtqueue.worker.obstacles import Obstacles
from identtqueue.worker.order import QueueOrder
from identtqueue.worker.shelves import Shelves
from identtqueue.worker.slots import Slots
from identtqueue.worker.wake import Bells

logger = logging.getLogger(__name__)

BLOCK_SECONDS: Final = 5.0
"""Longest time to block. It bounds how long a half-open connection can go unnoticed."""

FIRST_BACKOFF: Final = 3
"""Steps of the backoff that are skipped: an idle worker can wait half a second from the start."""


class Fetcher:
    """The fetch loop of one worker incarnation.

    Args:
        redis: connection for claims, shared with the finisher, so that claims and reports share
            round trips.
        worker_id: id of this incarnation.
        queues: queues of this worker.
        order: decides which queues to claim from, and how many tasks.
        slots: the free slots, which bound each claim.
        obstacles: while there is one, nothing is claimed.
        owned: ids of the tasks that this worker knows it owns. Call `note_idle` when it is empty.
        shelves: the shelves whose tasks this worker may run.
        start: starts each claimed attempt, whose slot is already reserved.
        outage: logs trouble with Redis.
        draining: while it is true, nothing is claimed.
        on_refused: called when a claim was refused, because the lease is lost or the worker drains.
        on_claim: called with the queue of each claim that Redis has answered, and how many seconds
            that took.
    """

    def __init__(
        self,
        redis: AsyncRedis,
        worker_id: str,
        queues: Sequence[str],
        *,
        order: QueueOrder,
        slots: Slots,
        obstacles: Obstacles,
        owned: Collection[str],
        shelves: Shelves,
        start: Callable[[Attempt], None],
        outage: Outage,
        draining: Draining,
        on_refused: Callable[[Claim], None],
        on_claim: Callable[[str, float], None],
    ) -> None:
        self._redis = redis
        self._worker_id = worker_id
        self._queues = tuple(queues)
        self._order = order
        self._slots = slots
        self._obstacles = obstacles
        self._owned = owned
        self._shelves = shelves
        self._start = start
        self._outage = outage
        self._on_refused = on_refused
        self._on_claim = on_claim
        self._loop = asyncio.get_running_loop()
        self._alarms = Alarms(self._look_again)
        self._blocked = False  # in BLPOP, with nothing to claim as far as is known
        self._bells = Bells(redis.settings, on_late=self._late)
        # In a cluster one node may be down while the others work. No claim waits for that node.
        in_cluster = redis.settings.topology is Topology.CLUSTER
        self._claim_patience = 0.0 if in_cluster else None
        self._failures = 0  # in a row
        self._draining = draining
        self._isolation = Isolation()
        self._idle = asyncio.Event()

    async def run(self) -> None:
        """Fetch until cancelled."""
        try:
            while True:
                await self._wait_out_drain()
                await self._wait_out_obstacles()
                await self._slots.wait()
                # Wait one turn of the loop, so that attempts that end together free their slots
                # before the claim.
                await asyncio.sleep(0)
                # Meanwhile an attempt may have met an obstacle, or upkeep has taken all slots.
                if self._obstacles or not self._slots.free:
                    continue
                if self._isolation.alone or self._isolation.holding(self._loop.time()):
                    await self._guarded(self._isolate())
                    continue
                plan = self._order.plan(self._slots.free, self._loop.time())
                if (queue := self._suspects_of(plan)) is not None:
                    await self._guarded(self._claim_all({queue: self._slots.free}))
                elif plan:
                    await self._guarded(self._claim_all(plan))
                else:
                    await self._guarded(self._block())
                    # If this worker may start nothing now, the token is needed elsewhere.
                    if self._obstacles or self._draining:
                        await self._guarded(self.pass_on())
        finally:
            await self._alarms.end()
            await self._bells.drop()

    async def _wait_out_drain(self) -> None:
        if self._draining:
            await self._draining.over()
            self._order.look_everywhere()  # tokens that arrived meanwhile were passed on

    async def _wait_out_obstacles(self) -> None:
        if self._obstacles:
            await self._obstacles.gone()
            self._order.look_everywhere()  # tokens that arrived meanwhile were passed on

    def note_idle(self) -> None:
        """Note that this worker owns no task any more, as far as it knows."""
        self._idle.set()

    async def look_at_shelves(self, queue: str) -> None:
        """Claim from a queue whose shelves may hold tasks for this worker.

        This does not wait for the fetch loop, which may be blocked: tasks on shelves push no wake
        token.
        """
        if self._can_start and not self._isolation.holding(self._loop.time()):
            await self._claim(queue, self._slots.free)

    def _suspects_of(self, plan: Mapping[str, int]) -> str | None:
        """Choose the queue from which to claim a suspect now; None: no suspect comes next."""
        if self._owned or not self._isolation.any_known:
            return None
        return self._isolation.to_ask(self._queues, others=bool(plan))

    async def _isolate(self) -> None:
        """Wait while an attempt runs alone here, or until this worker is idle for a suspect.

        A worker that has become idle then claims the suspect.
        """
        if self._owned:
            self._idle.clear()
            # A worker that only holds back asks again from time to time: another worker may have
            # taken the suspect.
            limit = None if self._isolation.alone else ASK_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit):
                    await self._idle.wait()
        if self._isolation.alone:
            if not self._owned:
                self._isolation.released()
        elif (queue := self._isolation.holding(self._loop.time())) is not None:
            await self._claim_all({queue: 0 if self._owned else self._slots.free})

    @property
    def _can_start(self) -> bool:
        """Whether a task of any queue could start here now."""
        may_not = self._draining or self._obstacles or self._isolation.alone
        return not may_not and self._slots.free > 0

    async def pass_on(self) -> None:
        """Wake another worker, because this one may have taken a token and will not act on it.

        That worker also takes over the alarms of this one.
        """
        promised = [(queue, self._alarms.take_back(queue)) for queue in self._queues]
        await self._redis.run_all([claiming.wake(*promise) for promise in promised])

    async def hand_on(self) -> None:
        """Leave nothing behind after the loop: release unknown tasks, and pass the token on."""
        await self.give_back_unknown()
        await self.pass_on()

    async def give_back_unknown(self) -> None:
        """Release tasks that Redis counts as this worker's, but that it does not know of.

        A claim whose reply was lost leaves such tasks. The claim may even reach Redis late, from
        the buffers of an abandoned connection. So this does not only follow a lost reply: upkeep
        calls it in every round, and it runs once at the end. It never releases an attempt whose
        reply is still in transit, because the claim was answered earlier on the same connection.
        """
        for queue in self._queues:
            ids = await self._redis.run(claiming.in_flight(queue, self._worker_id))
            unknown = [task_id for task_id in ids if task_id not in self._owned]
            infos = await self._redis.run_all([one_task.task_info(task_id) for task_id in unknown])
            pairs = [
                (info.task_id, info.attempt)
                for info in infos
                if info is not None and info.task_id not in self._owned
            ]
            if pairs:
                logger.warning(
                    "%s: releasing %d tasks of a claim with a lost reply", queue, len(pairs)
                )
                await self._redis.run(reporting.release(queue, self._worker_id, pairs))

    async def _guarded(self, step: Any) -> None:
        """Run one step of the loop. An error of Redis does not end the loop: it backs off."""
        try:
            await step
            self._failures = 0
            self._outage.worked("fetching")
        except RedisError as error:
            self._failures += 1
            self._outage.failed("fetching", error)
            await self._bells.drop()
            self._order.look_everywhere()
            self._isolation.forget()
            await asyncio.sleep(backoff_seconds(FIRST_BACKOFF + self._failures))

    async def _claim_all(self, plan: Mapping[str, int]) -> None:
        """Claim from several queues in one round trip.

        The answer of one queue is acted on even if the claims on the others fail.
        """
        if len(plan) == 1:
            refusals: list[Claim | BaseException | None] = [
                await self._claim(*item, idle=not self._owned) for item in plan.items()
            ]
        else:
            refusals = await asyncio.gather(
                *(self._claim(*item) for item in plan.items()), return_exceptions=True
            )
        refused = [refusal for refusal in refusals if isinstance(refusal, Claim)]
        if refused:
            self._on_refused(Claim.LOST if Claim.LOST in refused else refused[0])
            await self.pass_on()
        for refusal in refusals:
            if isinstance(refusal, BaseException):
                raise refusal

    async def _claim(self, queue: str, limit: int, *, idle: bool = False) -> Claim | None:
        """Claim tasks of one queue and start them at once; return the refusal, if it is refused.

        The slots are reserved before the call, as the loop and upkeep may claim at the same time.
        """
        limit = min(limit, self._slots.free)
        call = claiming.claim(
            queue, self._worker_id, limit, idle=idle, shelves=self._shelves.of(queue)
        )
        self._slots.reserve(limit)
        asked_at = self._loop.time()
        try:
            claimed = await self._redis.run(call, retry_for_seconds=self._claim_patience)
            self._on_claim(queue, self._loop.time() - asked_at)
            if claimed.status in (Claim.LOST, Claim.DRAINING):
                return claimed.status
            self._note(queue, claimed)
            for attempt in claimed.attempts:
                self._start(attempt)
        finally:
            self._slots.unreserve(limit)
        return None

    def _note(self, queue: str, claimed: Claimed) -> None:
        """Note what a claim said of its queue."""
        now = self._loop.time()
        if claimed.next_due_ms is not None:
            self._alarms.set(queue, claimed.next_due_ms, claimed.alarm_ms)
        unasked = self._shelves.note(queue, claimed.shelves)  # new ones may have tasks to run here
        self._order.note(queue, len(claimed.attempts), claimed.pending + unasked)
        self._isolation.note(queue, claimed, now)

    async def _block(self) -> None:
        """Sleep until a wake token arrives, or the time is over."""
        seconds = ASK_SECONDS if self._isolation.any_known else BLOCK_SECONDS
        self._blocked = True
        try:
            rung = await self._bells.wait(self._order.to_block_on(), seconds)
        finally:
            self._blocked = False
        if len(rung) == 1:
            self._order.rung(rung[0], self._loop.time())
        elif rung:
            self._order.look_everywhere()

    async def _look_again(self, queue: str) -> None:
        """Claim what has become due in a queue, or have another worker do it if this one is busy.

        An error of Redis is no trouble: upkeep of any worker finds that nobody looks.
        """
        holding = self._isolation.holding(self._loop.time())
        with contextlib.suppress(RedisError):
            if not self._blocked or self._owned or holding or not self._can_start:
                await self._redis.run(claiming.wake(queue))
            elif refusal := await self._claim(queue, self._slots.free):
                self._on_refused(refusal)
                await self.pass_on()

    def _late(self, queue: str) -> None:
        """Handle a token that arrived while this worker was busy: look, or wake another worker."""
        if self._can_start:
            self._order.look_everywhere()
        elif not self._redis.closed:
            self._redis.send(claiming.wake(queue), lambda _: None)
