"""One incarnation of a worker: from its first lease until it stops or the lease is lost.

Each part owns one thing, and the parts are connected here:

- `Attempts` owns what runs and the slots. The fetcher reserves slots, and starts attempts in them.
- `Draining` owns whether the worker drains. It is changed here, and the fetcher waits for its end.
- `Fetcher` owns what is known of the queues, except for `Shelves`, which upkeep fills too.
- `Finisher` owns the outcomes that Redis has not recorded yet. `Attempts` hands them over.
- `Heartbeat` owns the lease. It reports each answer of Redis from its thread.

`Obstacles`, `Leftovers` and `Counters` belong to the worker, because they outlive an incarnation.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import math
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from identtqueue.errors import RedisAuthFailed, RedisError
from identtqueue.limits import JobLimits
from identtqueue.protocol import commands, keys, roles
from identtqueue.protocol.answers import Claim, Lease
from identtqueue.protocol.roles import Role
from identtqueue.transport.connect import blocking_redis
from identtqueue.transport.connection import AsyncRedis
from identtqueue.transport.offload import offload
from identtqueue.transport.outage import Outage
from identtqueue.transport.subscriber import Subscriber
from identtqueue.worker.attempts import Attempts
from identtqueue.worker.draining import Draining
from identtqueue.worker.execute import Executor
from identtqueue.worker.fetch import Fetcher
from identtqueue.worker.finish import Finisher
from identtqueue.worker.heartbeat import Heartbeat
from identtqueue.worker.identity import Identity
from identtqueue.worker.leftovers import Leftovers
from identtqueue.worker.metrics import Counters
from identtqueue.worker.order import FairOrder, QueueOrder, StrictOrder
from identtqueue.worker.outcome import Disowned, Released
from identtqueue.worker.progress import ProgressSender
from identtqueue.worker.running import Running
from identtqueue.worker.settings import WorkerSettings
from identtqueue.worker.shelves import Shelves
from identtqueue.worker.upkeep import Upkeep

logger = logging.getLogger(__name__)

CUT_OFF_SECONDS: Final = 5.0
"""How long cancelled work may take to end before it is left behind."""

FLUSH_SECONDS: Final = 5.0
"""How long the last reports may take at shutdown. If Redis cannot be reached for so long, other
workers recover the tasks when the lease runs out."""

HEARTBEAT_SECONDS: Final = 1.0
"""How long the heartbeat's thread may take to end. It may be stuck in a dead connection."""

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
        identity: where the worker runs: host, pod, container and process.
        executor: runs the attempts.
        leftovers: takes the attempts that are left behind.
        limits: limits of the jobs by name, which are declared to each queue.
        counters: count attempts for the metrics.
        outage: logs trouble with Redis for all its connections.
        may_renew: called in the heartbeat's thread. While it returns False, the leases are not
            renewed.
    """

    def __init__(
        self,
        redis: AsyncRedis,
        settings: WorkerSettings,
        identity: Identity,
        executor: Executor,
        leftovers: Leftovers,
        limits: Mapping[str, JobLimits],
        counters: Counters,
        outage: Outage,
        may_renew: Callable[[], bool],
    ) -> None:
        self.worker_id = identity.worker_id(secrets.token_hex(6))
        self._registered = False
        self.lost_at: float | None = None  # set in the heartbeat's thread as well
        self._redis = redis
        self._settings = settings
        self._identity = identity
        self._limits = limits
        self._outage = outage
        self._loop = asyncio.get_running_loop()
        self._owner: asyncio.Task[Any] | None = None  # its cancellation ends this incarnation
        self._end: asyncio.Future[End] = self._loop.create_future()
        self._hurry = asyncio.Event()
        self._draining = Draining()
        progress = ProgressSender(redis, self.worker_id)
        self._attempts = Attempts(
            settings.concurrency,
            executor,
            leftovers,
            progress,
            counters,
            torn_down=self._torn_down,
            on_idle=self._on_idle,
        )
        shelves = Shelves(executor.may_run)
        self._fetcher = Fetcher(
            redis,
            self.worker_id,
            settings.queues,
            order=_order(settings),
            slots=self._attempts.slots,
            obstacles=executor.obstacles,
            owned=self._attempts.ids,
            shelves=shelves,
            start=self._attempts.start,
            outage=outage,
            draining=self._draining,
            on_refused=self._on_refused,
        )
        self._finisher = Finisher(
            redis,
            self.worker_id,
            on_ack=self._attempts.answered,
            outage=outage,
            obstacles=executor.obstacles,
        )
        self._attempts.report_to(self._finisher)
        self.heartbeat = Heartbeat(
            redis.settings,
            self.worker_id,
            settings.queues,
            settings.lease_seconds,
            may_renew=may_renew,
            on_beat=self._from_thread,
            outage=outage,
        )
        self._upkeep = Upkeep(
            redis,
            self.worker_id,
            settings.queues,
            max_deliveries=settings.max_deliveries,
            may_recover=lambda: self.heartbeat.steady_for(settings.lease_seconds),
            tidy_up=self._tidy_up,
            shelves=shelves,
            on_shelves=self._fetcher.look_at_shelves,
            unrunnable_seconds=settings.unrunnable_seconds,
            outage=outage,
            cron=settings.cron,
        )
        self._control = Subscriber(
            redis.settings,
            client_name="identtqueue-control",
            on_message=lambda _, data: self._on_control(data.decode()),
            outage=outage,
        )

    @property
    def registered(self) -> bool:
        """Whether it has a lease in every queue. False as soon as one is lost."""
        return self._registered and self.lost_at is None

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
        settings = replace(
            self._redis.settings, connect_timeout_seconds=1.0, response_timeout_seconds=1.0
        )
        redis = blocking_redis(settings, client_name="identtqueue-release", retry_for_seconds=0)
        number = 0
        try:
            for queue, pairs in self._attempts.by_queue(culprit).items():
                redis.run(commands.release(queue, self.worker_id, pairs))
                number += len(pairs)
        except RedisError as error:
            logger.debug("attempts were not released: %s", error)  # the lease runs out instead
        finally:
            redis.close()
        return number

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
                    self.heartbeat.account,
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
            self._registered = False
            await _cancel([begin, *loops])
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
            )
        ]

    async def _begin(self) -> None:
        """Subscribe to the control channel, then register.

        In this order, because a registered worker without a subscription looks dead.
        """
        await self._check_rights()
        await self._control.add(keys.control_channel(self.worker_id))
        await self._redis.run_all(
            [
                commands.register(
                    queue, self.worker_id, self._settings.lease_ms, self._info(), self._limits
                )
                for queue in self._settings.queues
            ]
        )
        self.heartbeat.start()
        self._registered = True
        await self._upkeep.recover_predecessors(self._identity)
        logger.info("worker %s: queues %s", self.worker_id, self._settings.order_text)

    async def _check_rights(self) -> None:
        """Check the ACL before the start, because a missing command would stop a script half way.

        Raises:
            RedisAuthFailed: the ACL of the Redis user lacks a command.
        """
        needed = roles.script_commands(Role.WORKER)
        queues = self._settings.queues
        found = await self._redis.run_all([commands.permitted(q, needed) for q in queues])
        for queue, refused in zip(queues, found, strict=True):
            if refused:
                raise RedisAuthFailed(
                    f"queue {queue}: the ACL of this user lacks {', '.join(refused)}: "
                    f"`identtqueue acl worker --queue {queue}` prints what a worker needs"
                )

    def _info(self) -> dict[str, Any]:
        return {
            "host": self._identity.host,
            "pod_uid": self._identity.pod_uid,
            "pod_name": self._identity.pod_name,
            "container": self._identity.container,
            "boot": self._identity.boot,
            "domain": self._identity.domain,
            "process": self._identity.process,
            "concurrency": self._settings.concurrency,
            "registered_at_ms": round(time.time() * 1000),
        }

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
        await _cancel([begin, *loops[:1]])
        if self._registered:
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
        await bounded("recording the last outcomes", self._finisher.flushed(), FLUSH_SECONDS)
        # 5. Stop the heartbeat. 6. Give the lease back. Redis refuses that while tasks are in
        # flight. Then the lease runs out, and a peer recovers them.
        self.heartbeat.stop()
        ending = offload(self.heartbeat.join, HEARTBEAT_SECONDS)
        await bounded("ending the heartbeat", ending, 2 * HEARTBEAT_SECONDS)
        calls = [commands.leave(queue, self.worker_id) for queue in self._settings.queues]
        await bounded("giving the lease back", self._redis.run_all(calls), FLUSH_SECONDS)

    async def _wait_for_attempts(self, loops: list[asyncio.Task[None]], seconds: float) -> None:
        waits = [
            asyncio.ensure_future(self._attempts_over(loops)),
            asyncio.ensure_future(self._hurry.wait()),
        ]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        await _cancel(waits)

    async def _attempts_over(self, loops: list[asyncio.Task[None]]) -> None:
        """Wait until no attempt is running and no big result is in transit over a slow link."""
        await self._attempts.none_runs()
        lost = self._end.done() and self._end.result() is End.LOST
        if loops and not loops[1].done() and not lost and self._outage.calm_since < math.inf:
            await self._finisher.flushed()

    # --- callbacks and messages ---

    def _on_idle(self) -> None:
        self._fetcher.note_idle()

    def _on_control(self, message: str) -> None:
        verb, _, rest = message.partition(" ")
        if verb == "drain":
            self._set_draining(value=True)
        elif verb == "undrain":
            self._set_draining(value=False)
        elif verb == "cancel":
            task_id, _, number = rest.rpartition(" ")  # the id may contain spaces
            self._attempts.cancel(task_id, int(number))

    async def _tidy_up(self) -> None:
        """Repair what a lost reply or a lost message has left behind.

        A request to cancel is published only once. The worker misses it while the control channel
        reconnects, or while the reply to the task's claim is still in transit.
        """
        await self._fetcher.give_back_unknown()
        running = self._attempts.cancellable
        asked = await self._redis.run_all([commands.cancel_asked(i) for i in running])
        for task_id, number in zip(running, asked, strict=True):
            if number is not None:
                self._attempts.cancel(task_id, number)

    def _on_refused(self, claim: Claim) -> None:
        if claim is Claim.LOST:
            self._lose()
        else:
            self._set_draining(value=True)

    def _from_thread(self, lease: Lease) -> None:
        if lease is Lease.LOST:
            self._note_loss()  # at once; the event loop does the rest when it gets to it
        with contextlib.suppress(RuntimeError):  # the loop has closed
            self._loop.call_soon_threadsafe(self._on_beat, lease)

    def _on_beat(self, lease: Lease) -> None:
        if lease is Lease.LOST:
            self._lose()
        else:
            self._set_draining(value=lease is Lease.DRAINING)

    def _lose(self) -> None:
        self._note_loss()
        if not self._end.done():
            self._end.set_result(End.LOST)

    def _note_loss(self) -> None:
        if self.lost_at is None:
            self.lost_at = time.monotonic()

    def _set_draining(self, *, value: bool) -> None:
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


async def bounded(what: str, work: Coroutine[Any, Any, Any], seconds: float) -> None:
    """Await work for a limited time, and log it if it fails: a shutdown must not wait for ever.

    Args:
        what: name of the step, for the log.
        work: coroutine to await.
        seconds: longest time to wait.
    """
    limit, us = asyncio.timeout(seconds), asyncio.current_task()
    cancellations = us.cancelling() if us else 0
    try:
        async with limit:
            await work
    except (
        Exception,
        asyncio.CancelledError,
    ) as error:  # what was not sent is recovered when the lease runs out
        if us and us.cancelling() > cancellations:
            raise
        why = f"not done within {seconds:g} s" if limit.expired() else explain(error)
        logger.warning("shutdown: %s: %s", what, why)


def explain(error: BaseException) -> str:
    """Return the text of an error for the log, or the name of its class if it has no text."""
    return str(error) or type(error).__name__


async def _cancel(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Cancel tasks and wait for their end. A task that does not end in time is left behind."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=CUT_OFF_SECONDS)
