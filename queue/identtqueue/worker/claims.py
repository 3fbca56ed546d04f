"""The claims on their way to Redis: at most two, so that Redis works while Python does.

A claim reserves slots before it leaves, and each of its tasks starts as soon as the reply is there.
So a worker never owns a task that it cannot start at once.

With one claim at a time, Redis would idle while the worker runs short jobs, and the worker while
Redis looks for tasks. So while a claim is on its way, the slots that have become free meanwhile ask
for tasks in a second one. It waits in the connection for the reply to the first one, and leaves
before the jobs of that reply begin, together with the reports of those that have ended. While the
queue is full, half of the slots work like this for each other:

    Redis   | claim 1 | claim 2    | claim 3, reports 1 | claim 4, reports 2 | …
    Python            | run 1      | run 2              | run 3              | …

With few tasks left there is one claim at a time, for all free slots.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final

from identtqueue.protocol.answers import Claim, Claimed
from identtqueue.protocol.calls import claiming
from identtqueue.task import Attempt
from identtqueue.transport.address import Topology
from identtqueue.transport.connection import AsyncRedis
from identtqueue.worker.isolation import Isolation
from identtqueue.worker.order import QueueOrder
from identtqueue.worker.shelves import Shelves
from identtqueue.worker.slots import Slots

AHEAD_SHARE: Final = 4
"""A second claim leaves when a quarter of the slots is free. A smaller one would cost more than it
gains: Redis needs as long for a claim of none as for two tasks."""

_REFUSED: Final = (Claim.LOST, Claim.DRAINING)


class Claims:
    """The claims of one fetch loop.

    `begin` and `ask` may be called at the same time, by the fetch loop and by upkeep.

    Args:
        redis: connection for claims, shared with the finisher.
        worker_id: id of this incarnation.
        order: is told what each queue has left.
        slots: the free slots, which bound each claim.
        owned: ids of the tasks that this worker knows it owns.
        shelves: the shelves whose tasks this worker may run.
        isolation: is told of suspects.
        start: starts each claimed attempt, whose slot is already reserved.
        on_reply: called with the queue and each reply that was not refused.
        on_refused: called when a claim was refused, because the lease is lost or the worker drains.
        on_claim: called with the queue of each claim that Redis has answered, and how many seconds
            that took.
    """

    def __init__(
        self,
        redis: AsyncRedis,
        worker_id: str,
        *,
        order: QueueOrder,
        slots: Slots,
        owned: Collection[str],
        shelves: Shelves,
        isolation: Isolation,
        start: Callable[[Attempt], None],
        on_reply: Callable[[str, Claimed], None],
        on_refused: Callable[[Claim], Awaitable[None]],
        on_claim: Callable[[str, float], None],
    ) -> None:
        self._redis = redis
        self._worker_id = worker_id
        self._order = order
        self._slots = slots
        self._owned = owned
        self._shelves = shelves
        self._isolation = isolation
        self._start = start
        self._on_reply = on_reply
        self._on_refused = on_refused
        self._on_claim = on_claim
        self._loop = asyncio.get_running_loop()
        # In a cluster one node may be down while the others work. No claim waits for that node.
        in_cluster = redis.settings.topology is Topology.CLUSTER
        self._patience = 0.0 if in_cluster else None
        self._under_way: dict[asyncio.Task[None], int] = {}  # and how many tasks each asks for
        self._ended: list[asyncio.Task[None]] = []  # since the loop has looked at them
        self._idle = False  # the claim on its way says that this worker runs nothing
        self._pending: dict[str, int] = {}  # by queue: how many tasks it had left

    @property
    def under_way(self) -> int:
        """Number of rounds on their way."""
        return len(self._under_way)

    @property
    def slots_wanted(self) -> int:
        """How many slots must be free for the next round; more than there are: it has to wait.

        No claim goes ahead while a task could be claimed that has to run alone.
        """
        if not self._under_way:
            return 1
        if len(self._under_way) > 1 or self._idle or self._isolation.is_needed or self._left <= 0:
            return self._slots.total + 1
        return max(1, self._slots.total // AHEAD_SHARE)

    @property
    def share(self) -> int:
        """How many slots the next round may reserve: all free ones, or half of all.

        It is half of them if the queues have more tasks than that, so that the other half can run
        meanwhile.
        """
        free = self._slots.free
        return min(free, (self._slots.total + 1) // 2) if self._left > free else free

    @property
    def _left(self) -> int:
        """Number of tasks that the queues had left, without those that are asked for already."""
        return sum(self._pending.values()) - sum(self._under_way.values())

    def begin(self, plan: Mapping[str, int]) -> None:
        """Claim from several queues in one round trip, without waiting for the replies.

        Args:
            plan: how many tasks to claim by queue. If it is empty, no further round goes ahead.
        """
        if not plan:
            self.forget()
            return
        if len(plan) == 1:
            ((queue, number),) = plan.items()
            idle = self._idle = not self._owned and not self._under_way
            body = self._alone(queue, self._reserve(number), idle=idle)
        else:
            self._idle = False
            reserved = {queue: self._reserve(number) for queue, number in plan.items()}
            body = self._together(reserved)
        task = self._loop.create_task(body, name="claim")
        self._under_way[task] = sum(plan.values())
        task.add_done_callback(self._note_end)

    async def ask(self, queue: str, number: int) -> Claim | None:
        """Claim tasks of one queue, and start them; return the refusal, if the claim is refused."""
        return await self._claim(queue, self._reserve(number))

    def take_replies(self) -> bool:
        """Return whether a round has been answered since the last call.

        Raises:
            RedisError: one has failed.
        """
        ended, self._ended = self._ended, []
        error = next(filter(None, (task.exception() for task in ended)), None)
        if error is not None:
            raise error
        return bool(ended)

    def forget(self) -> None:
        """Forget what the queues had left, because it may be outdated."""
        self._pending.clear()

    async def cancel(self) -> None:
        """Give up the claims on their way. Tasks that Redis gives to them are not known here."""
        under_way = list(self._under_way)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, *self._ended, return_exceptions=True)
        self._ended.clear()

    def _note_end(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        if not task.cancelled():
            self._ended.append(task)
        self._slots.wake()

    def _reserve(self, number: int) -> int:
        """Reserve slots at once, as the fetch loop and upkeep may claim at the same time."""
        number = min(number, self._slots.free)
        self._slots.reserve(number)
        return number

    async def _alone(self, queue: str, reserved: int, *, idle: bool) -> None:
        refusal = await self._claim(queue, reserved, idle=idle)
        if refusal is not None:
            await self._on_refused(refusal)

    async def _together(self, plan: Mapping[str, int]) -> None:
        """Claim from several queues. Each reply is acted on, even if the other claims fail."""
        answers = await asyncio.gather(
            *(self._claim(*item) for item in plan.items()), return_exceptions=True
        )
        refused = [answer for answer in answers if isinstance(answer, Claim)]
        if refused:
            await self._on_refused(Claim.LOST if Claim.LOST in refused else refused[0])
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    async def _claim(self, queue: str, reserved: int, *, idle: bool = False) -> Claim | None:
        """Claim tasks of one queue and start them at once; return the refusal, if it is refused."""
        try:
            call = claiming.claim(
                queue, self._worker_id, reserved, idle=idle, shelves=self._shelves.of(queue)
            )
            asked_at = self._loop.time()
            claimed = await self._redis.run(call, retry_for_seconds=self._patience)
            self._on_claim(queue, self._loop.time() - asked_at)
            if claimed.status in _REFUSED:
                return claimed.status
            self._note(queue, claimed)
            for attempt in claimed.attempts:
                self._start(attempt)
        finally:
            self._slots.unreserve(reserved)
        return None

    def _note(self, queue: str, claimed: Claimed) -> None:
        """Note what a claim said of its queue."""
        unasked = self._shelves.note(queue, claimed.shelves)  # new ones may have tasks to run here
        self._pending[queue] = claimed.pending
        self._order.note(queue, len(claimed.attempts), claimed.pending + unasked)
        self._isolation.note(queue, claimed, self._loop.time())
        self._on_reply(queue, claimed)
