"""Wait for work, claim as much as there are free slots, hand it on.

An idle worker blocks in BLPOP on its queues' `wake` lists. A token says "look", it is not a task:
losing one (the worker dies with it in its hands) loses nothing, and costs at most one block
time-out. A worker never claims more than it can start, so LLEN(pending) is the truth.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Container, Sequence
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection

from identtqueue.errors import RedisError
from identtqueue.protocol import commands
from identtqueue.protocol.commands import Claim, Claimed
from identtqueue.task import Attempt
from identtqueue.transport import wire
from identtqueue.transport.aio import AsyncRedis, open_connection
from identtqueue.worker.slots import Slots

logger = logging.getLogger(__name__)

BLOCK_SECONDS: Final = 5.0
"""The longest block. Bounds how long a half-open connection or a lost token can go unnoticed."""

LOOK_AROUND_SECONDS: Final = 0.1
"""While there is always work on one queue, the others are looked at this often."""


class Fetcher:
    """The fetch loop of one worker incarnation.

    Args:
        redis: for claims; shared with the finisher, so both leave in one round trip.
        worker_id: of this incarnation.
        queues: fetched from in turn, so that none starves.
        slots: bounds each claim.
        owned: ids that this worker knows it owns.
        start: gets each attempt; its slot is taken already.
        on_refused: told when a claim was refused because the lease is lost or we drain.
    """

    def __init__(
        self,
        redis: AsyncRedis,
        worker_id: str,
        queues: Sequence[str],
        *,
        slots: Slots,
        owned: Container[str],
        start: Callable[[Attempt], None],
        on_refused: Callable[[Claim], None],
    ) -> None:
        self._redis = redis
        self._worker_id = worker_id
        self._queues = tuple(queues)
        self._slots = slots
        self._owned = owned
        self._start = start
        self._on_refused = on_refused
        self._ready: deque[str] = deque(queues)  # queues that may have tasks, the next one first
        self._look_around_at = 0.0  # loop time
        self._next_due: dict[str, float] = {}  # queue -> loop time of its next scheduled task
        self._connection: AbstractConnection | None = None
        self._may_fetch = asyncio.Event()
        self._may_fetch.set()

    def hold(self) -> None:
        """Fetch nothing until `resume`: this worker drains."""
        self._may_fetch.clear()

    def resume(self) -> None:
        """Fetch again, and look everywhere."""
        self._ready = deque(self._queues)
        self._may_fetch.set()

    async def run(self) -> None:
        """Fetch, until cancelled."""
        try:
            while True:
                await self._may_fetch.wait()
                await self._slots.wait()
                # One turn of the loop: attempts that end together free their slots together.
                await asyncio.sleep(0)
                if self._ready:
                    await self._guarded(self._claim_next())
                else:
                    await self._guarded(self._block())
                    if not self._may_fetch.is_set():  # told to drain while it blocked
                        await self._guarded(self.pass_on())
        finally:
            await self._drop()

    async def pass_on(self) -> None:
        """Ring for others: this worker may have swallowed a token that it does not act on."""
        await self._redis.run_all([commands.wake(queue) for queue in self._queues])

    async def hand_on(self) -> None:
        """After the loop: give back what a claim on its way gave us, ring on a token we hold."""
        await self.give_back_unknown()
        await self.pass_on()

    async def give_back_unknown(self) -> None:
        """A claim whose reply was lost may have given us tasks that we know nothing of.

        It may even arrive late, from the buffers of a connection that was given up. So this is
        not bound to a lost reply, but repeated (by upkeep, and once at the end). An attempt that
        is on its way to us is no danger: its claim was answered before this question, on the
        same connection.
        """
        for queue in self._queues:
            ids = await self._redis.run(commands.in_flight(queue, self._worker_id))
            unknown = [task_id for task_id in ids if task_id not in self._owned]
            infos = await self._redis.run_all([commands.task_info(task_id) for task_id in unknown])
            pairs = [
                (info.task_id, info.attempt)
                for info in infos
                if info is not None and info.task_id not in self._owned
            ]
            if pairs:
                logger.warning("%s: giving back %d tasks of a lost reply", queue, len(pairs))
                await self._redis.run(commands.release(queue, self._worker_id, pairs))

    async def _guarded(self, step: Any) -> None:
        """A Redis outage never ends the loop."""
        try:
            await step
        except RedisError as error:
            logger.warning("fetching: %s", error)
            await self._drop()
            self._ready = deque(self._queues)
            await asyncio.sleep(wire.backoff_seconds(4))

    async def _claim_next(self) -> None:
        self._look_around()
        queue = self._ready.popleft()
        claimed = await self._redis.run(commands.claim(queue, self._worker_id, self._slots.free))
        if claimed.status in (Claim.LOST, Claim.DRAINING):
            self._on_refused(claimed.status)
            self.hold()
            await self.pass_on()
            return
        self._note(queue, claimed)
        self._slots.take(len(claimed.attempts))
        for attempt in claimed.attempts:
            self._start(attempt)

    def _look_around(self) -> None:
        """A queue that never runs dry keeps us from blocking, and so from hearing the others."""
        now = asyncio.get_running_loop().time()
        if now >= self._look_around_at:
            self._look_around_at = now + LOOK_AROUND_SECONDS
            self._ready.extend(queue for queue in self._queues if queue not in self._ready)

    def _note(self, queue: str, claimed: Claimed) -> None:
        """Remember whether the queue has more, and when it will."""
        if claimed.pending > 0:
            self._ready.append(queue)  # behind the others: in turn
        if claimed.next_due_ms is None:
            self._next_due.pop(queue, None)
        else:
            now = asyncio.get_running_loop().time()
            self._next_due[queue] = now + claimed.next_due_ms / 1000

    async def _block(self) -> None:
        """Sleep until a queue rings, a scheduled task falls due, or the time-out."""
        if self._connection is None:
            self._connection = await open_connection(self._redis.settings, "identtqueue-fetch")
        seconds = self._block_seconds()
        call = commands.block_for_work(self._queues, seconds)
        try:
            await self._connection.send_command(*wire.words(call), check_health=False)
            async with asyncio.timeout(seconds + self._redis.settings.response_timeout_seconds):
                reply = await self._connection.read_response(disconnect_on_error=False)
        except Exception as error:  # noqa: BLE001 - translated
            wire.fail(error)
        rung = call.parse(reply)
        self._ready = deque(self._queues if rung is None else (rung,))

    def _block_seconds(self) -> float:
        if not self._next_due:
            return BLOCK_SECONDS
        left = min(self._next_due.values()) - asyncio.get_running_loop().time()
        # 0 would block for ever; 1 ms is Redis' resolution.
        return min(BLOCK_SECONDS, max(0.001, left))

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
