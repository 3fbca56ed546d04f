"""One life of a worker: from its first lease until it stops, or is told that it was given up.

Attempts, fetcher, finisher, upkeep and heartbeat each own what is theirs, and meet only through the
callbacks given to them here.
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
from identtqueue.protocol.commands import Claim, Lease
from identtqueue.protocol.roles import Role
from identtqueue.transport.aio import AsyncRedis
from identtqueue.transport.blocking_cluster import blocking_redis
from identtqueue.transport.offload import offload
from identtqueue.transport.outage import Outage
from identtqueue.transport.subscriber import Subscriber
from identtqueue.worker.attempts import Attempts
from identtqueue.worker.execute import Executor
from identtqueue.worker.fetch import Fetcher
from identtqueue.worker.finish import Finisher
from identtqueue.worker.lease import Heartbeat
from identtqueue.worker.metrics import Counters
from identtqueue.worker.order import FairOrder, QueueOrder, StrictOrder
from identtqueue.worker.outcome import Disowned, Released
from identtqueue.worker.progress import ProgressSender
from identtqueue.worker.running import Running
from identtqueue.worker.settings import Identity, WorkerSettings
from identtqueue.worker.shelves import Shelves
from identtqueue.worker.slots import Slots
from identtqueue.worker.upkeep import Upkeep

logger = logging.getLogger(__name__)

CUT_OFF_SECONDS: Final = 5.0
"""How long what is cancelled may take to end before it is left behind."""

FLUSH_SECONDS: Final = 5.0
"""How long the last reports may take at shutdown; if Redis is away, the lease decides."""

AFTER_DRAIN_SECONDS: Final = 5.0
"""How long attempts may run after a stop, at least: a drain may have used up the grace time."""

HEARTBEAT_SECONDS: Final = 1.0
"""How long the heartbeat's thread may take to end; it may be stuck in a dead connection."""

WIND_DOWN_SECONDS: Final = 4 * CUT_OFF_SECONDS + 3 * FLUSH_SECONDS + HEARTBEAT_SECONDS
"""How long the stop order may take besides the grace time: the sum of its bounds."""


class End(enum.Enum):
    """Why a life ended."""

    STOPPED = "stopped"
    LOST = "lost"


class Incarnation:
    """See the module.

    Args:
        redis: for everything but blocking, the lease and the control channel.
        settings, identity: how and where it works.
        executor: runs attempts.
        limits: of its jobs, declared to each queue.
        counters: where they are counted.
        outage: what all its connections tell the log through.
        may_renew: False: let the lease run out, for now. Called in the heartbeat's thread.
    """

    def __init__(
        self,
        redis: AsyncRedis,
        settings: WorkerSettings,
        identity: Identity,
        executor: Executor,
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
        self._counters = counters
        self._outage = outage
        self._loop = asyncio.get_running_loop()
        self._owner: asyncio.Task[Any] | None = None  # whose cancellation ends this life
        self._end: asyncio.Future[End] = self._loop.create_future()
        self._hurry = asyncio.Event()
        self._draining = counters.draining = False
        self._drained_at = 0.0  # on the monotonic clock; counts while draining
        self._slots = Slots(settings.concurrency)
        progress = ProgressSender(redis, self.worker_id)
        self._attempts = Attempts(
            executor,
            self._slots,
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
            slots=self._slots,
            obstacles=executor.obstacles,
            owned=self._attempts.ids,
            shelves=shelves,
            start=self._attempts.start,
            outage=outage,
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
        """Whether it has a lease in every queue; False from the moment that one is lost."""
        return self._registered and self.lost_at is None

    def _torn_down(self) -> bool:
        """Whether this life ends by a cancellation; at the end of a loop, that of all its tasks."""
        return self._owner is not None and self._owner.cancelling() > 0

    def attempt_of(self, task: asyncio.Task[Any] | None) -> Running | None:
        """The attempt that a task of the event loop belongs to."""
        return self._attempts.of_task(task)

    def give_back_but(self, task: asyncio.Task[Any] | None) -> int:
        """Release all attempts but that of this task, because the event loop is blocked by it.

        In the watchdog's thread. If nobody knows whose task it is, nothing is given back: what
        blocks must be charged, or it would block one worker after the other without end.
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
            logger.debug("not given back: %s", error)  # the lease runs out
        finally:
            redis.close()
        return number

    @property
    def draining(self) -> bool:
        """Whether it was told to stop fetching."""
        return self._draining

    @property
    def grace_seconds(self) -> float:
        """How long attempts may still run after a stop that comes now.

        A worker that was drained before has been ending its attempts since then: the grace time
        counts from the drain. So a drain and the stop behind it take one grace time, not two.
        """
        grace = self._settings.grace_seconds
        if not self._draining:
            return grace
        left = grace - (time.monotonic() - self._drained_at)
        return max(left, min(AFTER_DRAIN_SECONDS, grace))

    def stop(self) -> None:
        """End this life in order; the second call cuts off what runs."""
        if self._end.done():
            self._hurry.set()
        else:
            self._end.set_result(End.STOPPED)

    async def live(self) -> End:
        """Work until `stop`, or until the lease is lost.

        Raises:
            ProtocolMismatch: a queue belongs to another protocol version.
            RedisAuthFailed: the ACL forbids what a worker does.
            Exception: a background loop ended by an error of ours.
        """
        self._owner = asyncio.current_task()
        loops: list[asyncio.Task[None]] = []
        begin = self._loop.create_task(self._begin(), name="begin")
        try:
            first: list[asyncio.Future[Any]] = [begin, self._end]
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if begin.done():  # else we are stopped already, and Redis may be away
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
            # An error of ours, or we are cancelled: give back what we can, at once.
            self._hurry.set()
            await self._wind_down(begin, loops)
            raise
        finally:
            self._registered = False
            await _cancel([begin, *loops])
            self._finisher.abandon()
            await bounded("closing the control channel", self._control.close(), CUT_OFF_SECONDS)

    def _start_loops(self) -> list[asyncio.Task[None]]:
        """The background loops; fetching is the first."""
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
        """Be heard first, then be known: `connected` must never lie about a registered worker."""
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
        """Refuse to begin with an ACL that would stop a script half way.

        Raises:
            RedisAuthFailed: it lacks a command.
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
        """Return when the end is decided. A background loop that exits is an error."""
        ends: set[asyncio.Future[Any]] = {*loops, self._end}
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for loop in loops:
            if loop in done:
                loop.result()
                raise RuntimeError(f"the {loop.get_name()} loop ended")

    async def _wind_down(self, begin: asyncio.Task[None], loops: list[asyncio.Task[None]]) -> None:
        """Stop in order. Each step relies on the one before."""
        # 1 Stop fetching: nothing new may start.
        await _cancel([begin, *loops[:1]])
        if self._registered:
            await bounded("handing on what is not ours", self._fetcher.hand_on(), FLUSH_SECONDS)
        # 2 Let running attempts end and arrive, until the grace deadline or a second signal.
        await self._wait_for_attempts(loops, self.grace_seconds)
        # 3 Cut off the rest; they go back to the head of their queue, uncharged.
        lost = self._end.done() and self._end.result() is End.LOST
        await self._attempts.cut_off(Disowned() if lost else Released())
        # 4 Flush the reports. The heartbeat goes on until then: we still own them.
        if loops and loops[1].done():  # cancelled, with all tasks of the event loop
            loops.append(self._loop.create_task(self._finisher.run(), name="finish"))
        await bounded("recording the last outcomes", self._finisher.flushed(), FLUSH_SECONDS)
        # 5 Stop the heartbeat, 6 give the lease back (refused while something is in flight:
        # then the lease runs out and a peer recovers it).
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
        """Return when none runs, and no big result is on its way over a slow link."""
        await self._attempts.nothing_runs.wait()
        lost = self._end.done() and self._end.result() is End.LOST
        if loops and not loops[1].done() and not lost and self._outage.calm_since < math.inf:
            await self._finisher.flushed()

    # --- what others say ---

    def _on_idle(self) -> None:
        self._fetcher.note_idle()

    def _on_control(self, message: str) -> None:
        verb, _, rest = message.partition(" ")
        if verb == "drain":
            self._set_draining(value=True)
        elif verb == "undrain":
            self._set_draining(value=False)
        elif verb == "cancel":
            task_id, _, number = rest.rpartition(" ")  # the id may hold spaces
            self._attempts.cancel(task_id, int(number))

    async def _tidy_up(self) -> None:
        """Put right what a lost reply or a lost message has left behind.

        A request to cancel is published once. It is missed while the control channel reconnects,
        or while the reply of the very claim is on its way.
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
            self._note_loss()  # at once, whenever the loop comes round to the rest
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
        if value == self._draining:
            return
        self._drained_at = time.monotonic()
        self._draining = self._counters.draining = value
        logger.info("%s: %s", self.worker_id, "draining" if value else "called back")
        if value:
            self._fetcher.hold()
        else:
            self._fetcher.resume()


def _order(settings: WorkerSettings) -> QueueOrder:
    if settings.queue_order == "strict":
        return StrictOrder(settings.queues)
    return FairOrder(settings.queues, settings.queue_weights)


async def bounded(what: str, work: Coroutine[Any, Any, Any], seconds: float) -> None:
    """Do it if it can be done in time; at shutdown nothing may wait for ever."""
    limit, us = asyncio.timeout(seconds), asyncio.current_task()
    cancellations = us.cancelling() if us else 0
    try:
        async with limit:
            await work
    except (
        Exception,
        asyncio.CancelledError,
    ) as error:  # the lease covers what did not get through
        if us and us.cancelling() > cancellations:
            raise
        why = f"not done within {seconds:g} s" if limit.expired() else explain(error)
        logger.warning("shutdown: %s: %s", what, why)


def explain(error: BaseException) -> str:
    """The text of an error for the log; its class where it has none."""
    return str(error) or type(error).__name__


async def _cancel(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Cancel them and see them end; a job that refuses to is left behind."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=CUT_OFF_SECONDS)
