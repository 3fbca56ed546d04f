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
from typing import Final

from identtqueue.errors import RedisError
from identtqueue.protocol.answers import Claim, Claimed
from identtqueue.protocol.calls import claiming, one_task, reporting
from identtqueue.task import Attempt
from identtqueue.transport.backoff import backoff_seconds
from identtqueue.transport.connection import AsyncRedis
from identtqueue.transport.outage import Outage
from identtqueue.worker.alarms import Alarms
from identtqueue.worker.claims import Claims
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
        self._outage = outage
        self._on_refused = on_refused
        self._loop = asyncio.get_running_loop()
        self._alarms = Alarms(self._look_again)
        self._blocked = False  # in BLPOP, with nothing to claim as far as is known
        self._bells = Bells(redis.settings, on_late=self._late)
        self._failures = 0  # in a row
        self._draining = draining
        self._isolation = Isolation()
        self._claims = Claims(
            redis,
            worker_id,
            order=order,
            slots=slots,
            owned=owned,
            shelves=shelves,
            isolation=self._isolation,
            start=start,
            on_reply=self._note_due,
            on_refused=self._refused,
            on_claim=on_claim,
        )
        self._idle = asyncio.Event()

    async def run(self) -> None:
        """Fetch until cancelled."""
        try:
            while True:
                await self._wait_out_drain()
                await self._wait_out_obstacles()
                if not await self._slots.wait(self._claims.slots_wanted):
                    # They were free already. Wait one turn of the loop, so that attempts which
                    # have just started, and end at once, free their slots before the claim.
                    await asyncio.sleep(0)
                try:
                    await self._step()
                except RedisError as error:
                    await self._back_off(error)
        finally:
            await self._claims.cancel()
            await self._alarms.end()
            await self._bells.drop()

    async def _step(self) -> None:
        """Do what comes next: claim, make room for a suspect, or wait for work."""
        if self._claims.take_replies():
            self._worked()
        # Meanwhile an attempt may have met an obstacle, or upkeep has taken all slots.
        if self._obstacles or self._slots.free < self._claims.slots_wanted:
            return
        now, share = self._loop.time(), self._claims.share
        if self._claims.under_way:
            self._claims.begin(self._order.plan(share, now))
            return
        if self._isolation.alone or self._isolation.holding(now):
            await self._isolate()
            return
        plan = self._order.plan(share, now)
        if (queue := self._suspects_of(plan)) is not None:
            self._claims.begin({queue: self._slots.free})
        elif plan:
            self._claims.begin(plan)
        else:
            await self._block()
            self._worked()
            # If this worker may start nothing now, the token is needed elsewhere.
            if self._obstacles or self._draining:
                await self.pass_on()

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
            await self._claims.ask(queue, self._slots.free)

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
            self._claims.begin({queue: 0 if self._owned else self._slots.free})

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
                for part in reporting.in_releases(pairs):
                    await self._redis.run(reporting.release(queue, self._worker_id, part))

    def _worked(self) -> None:
        """Note that Redis has answered."""
        self._failures = 0
        self._outage.worked("fetching")

    async def _back_off(self, error: RedisError) -> None:
        """Pause after an error of Redis, which does not end the loop."""
        self._failures += 1
        self._outage.failed("fetching", error)
        await self._bells.drop()
        self._order.look_everywhere()
        self._claims.forget()
        self._isolation.forget()
        await asyncio.sleep(backoff_seconds(FIRST_BACKOFF + self._failures))

    async def _refused(self, refusal: Claim) -> None:
        """Pass on a refusal, and the wake token that this worker may have taken."""
        self._on_refused(refusal)
        await self.pass_on()

    def _note_due(self, queue: str, claimed: Claimed) -> None:
        """Set the alarm for the next scheduled task of a queue, if it is for this worker."""
        if claimed.next_due_ms is not None:
            self._alarms.set(queue, claimed.next_due_ms, claimed.alarm_ms)

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
            elif refusal := await self._claims.ask(queue, self._slots.free):
                await self._refused(refusal)

    def _late(self, queue: str) -> None:
        """Handle a token that arrived while this worker was busy: look, or wake another worker."""
        if self._can_start:
            self._order.look_everywhere()
        elif not self._redis.closed:
            self._redis.send(claiming.wake(queue), lambda _: None)
