"""One incarnation of a worker: from its first lease until it stops or the lease is lost.

Each part owns one thing, and the parts are connected here:

- `Attempts` owns what runs and the slots. The fetcher reserves slots, and starts attempts in them.
- `Draining` owns whether the worker drains. It is changed here, and the fetcher waits for its end.
- `Fetcher` owns what is known of the queues, except for `Shelves`, which upkeep fills too.
- `Finisher` owns the outcomes that Redis has not recorded yet. `Attempts` hands them over.
- `Registration` owns the leases, which its heartbeat renews. It reports each answer of Redis.

`Obstacles`, `Leftovers` and `Counters` belong to the worker, because they outlive an incarnation.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import math
from functools import partial
from typing import Any, Final

from identtqueue.protocol.answers import Claim, Lease
from identtqueue.transport.connection import AsyncRedis
from identtqueue.transport.outage import Outage
from identtqueue.worker.attempts import Attempts
from identtqueue.worker.control import Control
from identtqueue.worker.count_reports import CountReports
from identtqueue.worker.counts import Counters
from identtqueue.worker.draining import Draining
from identtqueue.worker.execute import Executor
from identtqueue.worker.fetch import Fetcher
from identtqueue.worker.finish import Finisher
from identtqueue.worker.handback import hand_back
from identtqueue.worker.leftovers import Leftovers
from identtqueue.worker.obstacles import Obstacles
from identtqueue.worker.order import FairOrder, QueueOrder, StrictOrder
from identtqueue.worker.outcome import Disowned, Released
from identtqueue.worker.progress import AttemptProgress, ProgressSender
from identtqueue.worker.registration import HEARTBEAT_SECONDS, Registration
from identtqueue.worker.running import Running
from identtqueue.worker.settings import WorkerSettings
from identtqueue.worker.shelves import Shelves
from identtqueue.worker.stopping import (
    CUT_OFF_SECONDS,
    FLUSH_SECONDS,
    bounded,
    cancel_and_wait,
)
from identtqueue.worker.upkeep import Upkeep

logger = logging.getLogger(__name__)

WIND_DOWN_SECONDS: Final = 4 * CUT_OFF_SECONDS + 3 * FLUSH_SECONDS + HEARTBEAT_SECONDS
"""How long an orderly stop may take besides the grace time: the sum of its steps' bounds."""


class End(enum.Enum):
    """Reason why an incarnation ended."""

    STOPPED = "stopped"
    LOST = "lost"


class Incarnation:
    """One incarnation of a worker, with its own id, leases and background loops.

    Args:
        redis: connection for all calls except blocking, the lease and the control channel, which
            have connections of their own.
        settings: the worker's settings.
        registration: its leases.
        executor: runs the attempts.
        leftovers: takes the attempts that are left behind.
        counters: count attempts for the metrics.
        outage: logs trouble with Redis for all its connections.
    """

    def __init__(
        self,
        redis: AsyncRedis,
        settings: WorkerSettings,
        registration: Registration,
        executor: Executor,
        leftovers: Leftovers,
        counters: Counters,
        outage: Outage,
    ) -> None:
        self.worker_id = registration.worker_id
        self._redis = redis
        self._settings = settings
        self._registration = registration
        self._counters = counters
        self._outage = outage
        self._loop = asyncio.get_running_loop()
        self._owner: asyncio.Task[Any] | None = None  # its cancellation ends this incarnation
        self._end: asyncio.Future[End] = self._loop.create_future()
        self._hurry = asyncio.Event()  # set: do not wait for running attempts
        self._draining = Draining()
        self._shelves = Shelves(executor.may_run)
        self._attempts = Attempts(
            settings.concurrency,
            executor,
            leftovers,
            partial(AttemptProgress, ProgressSender(redis, self.worker_id)),
            counters,
            torn_down=self._torn_down,
            on_idle=self._on_idle,
        )
        self._fetcher = self._new_fetcher(executor.obstacles)
        self._finisher = Finisher(
            redis,
            self.worker_id,
            keeping=settings.keeping,
            on_ack=self._attempts.answered,
            outage=outage,
            obstacles=executor.obstacles,
        )
        self._attempts.report_to(self._finisher)
        self._upkeep = self._new_upkeep()
        self._count_reports = CountReports(redis, self.worker_id, settings.queues, counters)
        self._control = Control(
            redis, self.worker_id, self._attempts, on_drain=self._set_draining, outage=outage
        )

    def _new_fetcher(self, obstacles: Obstacles) -> Fetcher:
        return Fetcher(
            self._redis,
            self.worker_id,
            self._settings.queues,
            order=_order(self._settings),
            slots=self._attempts.slots,
            obstacles=obstacles,
            owned=self._attempts.ids,
            shelves=self._shelves,
            start=self._attempts.start,
            outage=self._outage,
            draining=self._draining,
            on_refused=self._on_refused,
            on_claim=self._counters.claim,
        )

    def _new_upkeep(self) -> Upkeep:
        return Upkeep(
            self._redis,
            self.worker_id,
            self._settings.queues,
            max_deliveries=self._settings.max_deliveries,
            may_recover=self._registration.is_steady,
            tidy_up=self._tidy_up,
            shelves=self._shelves,
            on_shelves=self._fetcher.look_at_shelves,
            unrunnable_seconds=self._settings.unrunnable_seconds,
            outage=self._outage,
            cron=self._settings.cron,
        )

    @property
    def registered(self) -> bool:
        """Whether it has a lease in every queue. False as soon as one is lost."""
        return self._registration.is_held

    @property
    def lost_at(self) -> float | None:
        """When a lease was lost, in monotonic time; None: none was."""
        return self._registration.lost_at

    def _torn_down(self) -> bool:
        """Return whether this incarnation is being cancelled, as at the end of the event loop."""
        return self._owner is not None and self._owner.cancelling() > 0

    def attempt_of(self, task: asyncio.Task[Any] | None) -> Running | None:
        """Find the attempt that an asyncio task belongs to."""
        return self._attempts.of_task(task)

    def give_back_but(self, task: asyncio.Task[Any] | None) -> int:
        """Release all attempts except that of this task, because the task blocks the event loop.

        Called in the watchdog's thread. If the task belongs to no known attempt, nothing is
        released: the attempt that blocks must be charged, or its task would block one worker after
        the other without end.

        Args:
            task: the asyncio task that blocks the event loop, if it is known.

        Returns:
            The number of released attempts.
        """
        culprit = self._attempts.of_task(task)
        if culprit is None:
            return 0
        others = self._attempts.by_queue(culprit)
        return hand_back(self._redis.settings, self.worker_id, others)

    @property
    def draining(self) -> bool:
        """Whether it drains: it was told to fetch no more tasks."""
        return bool(self._draining)

    @property
    def running(self) -> int:
        """Number of attempts that run now."""
        return self._attempts.running

    @property
    def grace_seconds(self) -> float:
        """How long attempts may still run if the worker is stopped now."""
        return self._draining.grace_left(self._settings.grace_seconds)

    def live_problem(self, lost_before: float | None) -> str | None:
        """Describe why the worker should be restarted because of its lease; None: it is well.

        Args:
            lost_before: when the lease before this one was lost, in monotonic time.
        """
        return self._registration.live_problem(lost_before)

    def ready_problem(self) -> str | None:
        """Describe why the worker gets no tasks from its queues; None: it is well."""
        if not self.registered:
            return "no lease" if self.lost_at else "not registered yet"
        return "draining" if self._draining else None

    def stop(self) -> None:
        """Stop in order. The second call cuts off the running attempts."""
        if self._end.done():
            self._hurry.set()
        else:
            self._end.set_result(End.STOPPED)

    async def live(self) -> End:
        """Work until `stop`, or until the lease is lost.

        Returns:
            Why it ended.

        Raises:
            ProtocolMismatch: a queue belongs to another protocol version.
            RedisAuthFailed: the ACL of the Redis user lacks a command that a worker needs.
            Exception: a bug of this library ended a background loop.
        """
        self._owner = asyncio.current_task()
        loops: list[asyncio.Task[None]] = []
        begin = self._loop.create_task(self._begin(), name="begin")
        try:
            first: list[asyncio.Future[Any]] = [begin, self._end]
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if begin.done():  # otherwise it is already stopped, and Redis may be unreachable
                begin.result()
                loops = self._start_loops()
                await self._watch(loops)
            if self._end.result() is End.LOST:
                logger.warning(
                    "%s: the lease is lost (%s); starting over",
                    self.worker_id,
                    self._registration.account,
                )
                self._hurry.set()
            await self._wind_down(begin, loops)
            return self._end.result()
        except BaseException:
            # A bug of this library, or a cancellation: release what can be released, at once.
            self._hurry.set()
            await self._wind_down(begin, loops)
            raise
        finally:
            self._registration.over()
            await cancel_and_wait([begin, *loops])
            self._finisher.abandon()
            await bounded("closing the control channel", self._control.close(), CUT_OFF_SECONDS)

    def _start_loops(self) -> list[asyncio.Task[None]]:
        """Start the background loops. Fetching is the first, finishing the second."""
        return [
            self._loop.create_task(body, name=name)
            for name, body in (
                ("fetch", self._fetcher.run()),
                ("finish", self._finisher.run()),
                ("upkeep", self._upkeep.run()),
                ("overdue attempts", self._attempts.look_after()),
                ("counts", self._count_reports.run()),
            )
        ]

    async def _begin(self) -> None:
        """Subscribe to the control channel, then register.

        In this order, because a registered worker without a subscription looks dead.
        """
        await self._registration.check_rights()
        await self._control.open()
        await self._registration.begin(self._on_answer)
        await self._upkeep.recover_predecessors(self._registration.identity)
        logger.info("worker %s: queues %s", self.worker_id, self._settings.order_text)

    async def _watch(self, loops: list[asyncio.Task[None]]) -> None:
        """Wait until the incarnation has to end. A background loop that exits is an error."""
        ends: set[asyncio.Future[Any]] = {*loops, self._end}
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for loop in loops:
            if loop in done:
                loop.result()
                raise RuntimeError(f"the {loop.get_name()} loop ended")

    async def _wind_down(self, begin: asyncio.Task[None], loops: list[asyncio.Task[None]]) -> None:
        """Stop in order. Each step relies on the one before it."""
        # 1. Stop fetching, so that nothing new starts.
        await cancel_and_wait([begin, *loops[:1]])
        if self._registration.has_begun:
            await bounded("releasing unknown tasks", self._fetcher.hand_on(), FLUSH_SECONDS)
        # 2. Let running attempts end and be recorded, until the grace deadline or a second signal.
        await self._wait_for_attempts(loops, self.grace_seconds)
        # 3. Cut off the rest. They go back to the head of their queue, uncharged.
        lost = self._end.done() and self._end.result() is End.LOST
        if lost:
            await self._attempts.cut_off(Disowned(), "because the lease was lost")
        else:
            await self._attempts.cut_off(Released(), "because the worker stops")
        # 4. Flush the reports. The heartbeat continues until then, because the tasks are still
        # owned by this worker.
        if loops and loops[1].done():  # cancelled, with all tasks of the event loop
            loops.append(self._loop.create_task(self._finisher.run(), name="finish"))
        await bounded("recording the last outcomes", self._record_last(), FLUSH_SECONDS)
        # 5. Stop the heartbeat. 6. Give the lease back.
        await self._registration.end()

    async def _record_last(self) -> None:
        """Wait until all outcomes are recorded, and report what was counted at last."""
        await self._finisher.flushed()
        if self._registration.has_begun and self._outage.calm_since < math.inf:
            await self._count_reports.report()

    async def _wait_for_attempts(self, loops: list[asyncio.Task[None]], seconds: float) -> None:
        waits = [
            asyncio.ensure_future(self._attempts_over(loops)),
            asyncio.ensure_future(self._hurry.wait()),
        ]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        await cancel_and_wait(waits)

    async def _attempts_over(self, loops: list[asyncio.Task[None]]) -> None:
        """Wait until no attempt is running and no big result is in transit over a slow link."""
        await self._attempts.none_runs()
        lost = self._end.done() and self._end.result() is End.LOST
        if loops and not loops[1].done() and not lost and self._outage.calm_since < math.inf:
            await self._finisher.flushed()

    # --- callbacks of the parts ---

    def _on_idle(self) -> None:
        self._fetcher.note_idle()

    async def _tidy_up(self) -> None:
        """Repair what a lost reply or a lost message has left behind."""
        await self._fetcher.give_back_unknown()
        await self._control.repeat()
        await self._registration.describe_if_due()

    def _on_refused(self, claim: Claim) -> None:
        if claim is Claim.LOST:
            self._lose()
        else:
            self._set_draining(True)

    def _on_answer(self, lease: Lease) -> None:
        if lease is Lease.LOST:
            self._lose()
        else:
            self._set_draining(lease is Lease.DRAINING)

    def _lose(self) -> None:
        self._registration.note_loss()
        if not self._end.done():
            self._end.set_result(End.LOST)

    def _set_draining(self, value: bool) -> None:
        if value == bool(self._draining):
            return
        if value:
            self._draining.begin()
        else:
            self._draining.end()
        logger.info(
            "%s: %s",
            self.worker_id,
            "draining, takes no more tasks" if value else "called back, takes tasks again",
        )


def _order(settings: WorkerSettings) -> QueueOrder:
    if settings.queue_order == "strict":
        return StrictOrder(settings.queues)
    return FairOrder(settings.queues, settings.queue_weights)
