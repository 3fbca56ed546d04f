"""The worker: runs hooks, the health server and one incarnation after the other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar, Unpack

from identtqueue import logs
from identtqueue.checks import check_names
from identtqueue.errors import InvalidInput
from identtqueue.redaction import check_redact
from identtqueue.retry import RetryPolicy
from identtqueue.schedule import Cron
from identtqueue.transport.connect import async_redis
from identtqueue.transport.connection import AsyncRedis
from identtqueue.transport.inherited import Inheritance
from identtqueue.transport.offload import offload
from identtqueue.transport.outage import Outage
from identtqueue.transport.settings import RedisSettings
from identtqueue.worker import leftovers, program, threads
from identtqueue.worker.contain import exits_contained
from identtqueue.worker.context import JobFunction
from identtqueue.worker.counts import Counters
from identtqueue.worker.execute import Executor
from identtqueue.worker.gauges import Gauges
from identtqueue.worker.hooks import (
    SHUTDOWN_SECONDS,
    AfterTasks,
    BeforeTasks,
    Hooks,
    StateHooks,
)
from identtqueue.worker.identity import Identity
from identtqueue.worker.incarnation import WIND_DOWN_SECONDS, End, Incarnation
from identtqueue.worker.leftovers import Leftovers
from identtqueue.worker.obstacles import Obstacles
from identtqueue.worker.processes.inside import is_child
from identtqueue.worker.reference import reference_to
from identtqueue.worker.registration import Registration
from identtqueue.worker.registry import Job, Registry
from identtqueue.worker.settings import SETTING_NAMES, WORKER_NAMES, WorkerSettings
from identtqueue.worker.stopping import CUT_OFF_SECONDS, StopRequest, bounded
from identtqueue.worker.watchdog import Watchdog
from identtqueue.worker_state import S, check_state

if TYPE_CHECKING:
    from identtqueue.worker.health import HealthServer
    from identtqueue.worker.keywords import SettingKeywords
    from identtqueue.worker.processes.pool import Processes

logger = logging.getLogger(__name__)

FOR_EVER: Final = float("inf")

T = TypeVar("T")

_OWN_NAMES: Final = frozenset(["redis_address", "queue_name", "queue_names", "cron", "state"])

PROCESSES_SECONDS: Final = 15.0
"""How long all processes for jobs may take to end together. Each is killed after 5 s."""

STOP_SECONDS: Final = WIND_DOWN_SECONDS + PROCESSES_SECONDS + 2 * CUT_OFF_SECONDS
"""How long a stop may take besides the grace time and hooks: the sum of its steps' bounds."""


class Worker:
    """A worker, which fetches tasks and runs their jobs.

    ::

        async def read_mrz(ctx, path): ...

        Worker(jobs={"read_mrz": read_mrz}, redis_address="redis://redis", queue_name="mrz").run()

    Args:
        jobs: jobs by name. Each is an `async def job(ctx, …)`, or a plain `def`, which runs in a
            thread, or a `Job`, which can also run in a process. Or a list of `Job`s, or a
            `Registry` that finds them.
        redis_address: address or settings of Redis; see `Client`.
        queue_name: the queue to fetch from, if there is only one.
        queue_names: the queues to fetch from, if there are several. See `queue_order` and
            `queue_weights` in `WorkerSettings`.
        max_retries: shorthand for `retry=RetryPolicy(max_retries=…)`.
        retry: retry policy for failed attempts, unless the job sets another.
        cron: jobs that are enqueued on a schedule.
        state: a class or function without arguments. It makes the object that start-up hooks fill
            and that jobs find in `ctx.state`: one for the worker, and one for each process for
            jobs. Default: a dict.
        on_startup, on_shutdown, before_task, after_task, on_process_startup: hooks, each a function
            or several. `identtqueue.worker.hooks` describes when they are called and what an error
            in one does.
        **settings: all other settings of `WorkerSettings`.

    Attributes:
        state: what `ctx.state` is in the jobs that do not run in a process.

    Raises:
        UnknownOption: there is no setting of that name.
        InvalidInput: a setting is not allowed, or two contradict each other.
    """

    def __init__(
        self,
        jobs: Mapping[str, JobFunction | Job] | Sequence[Job] | Iterator[Job] | Registry,
        redis_address: str | RedisSettings | None = None,
        queue_name: str | None = None,
        *,
        queue_names: Sequence[str] | None = None,
        max_retries: int | None = None,
        retry: RetryPolicy | None = None,
        cron: Sequence[Cron] = (),
        state: Callable[[], S] | None = None,
        on_startup: StateHooks[S] = None,
        on_shutdown: StateHooks[S] = None,
        before_task: BeforeTasks[S] = None,
        after_task: AfterTasks[S] = None,
        on_process_startup: StateHooks[S] = None,
        **settings: Unpack[SettingKeywords],
    ) -> None:
        if not settings.keys() <= SETTING_NAMES:
            check_names("Worker", settings, WORKER_NAMES | _OWN_NAMES)
        self.settings = WorkerSettings(
            queues=_queues(queue_name, queue_names),
            retry=_retry(retry, max_retries),
            cron=_listed("cron", cron),
            hooks=Hooks.of(
                on_startup=on_startup,
                on_shutdown=on_shutdown,
                before_task=before_task,
                after_task=after_task,
                on_process_startup=on_process_startup,
            ),
            **settings,
        )
        self.redis_settings = RedisSettings.of(redis_address)
        self._make_state = check_state(state)
        self.state: Any = self._make_state()
        self.counters = Counters(self.settings.metrics_buckets)
        self._registry = jobs if isinstance(jobs, Registry) else Registry(jobs)
        if not self._registry.limits:
            raise InvalidInput("a worker needs a job: jobs is empty")
        self._process_hooks = [
            reference_to("on_process_startup", hook)
            for hook in self.settings.hooks.on_process_startup
        ]
        self._state_reference = (
            reference_to("state", self._make_state) if self._registry.in_processes() else ""
        )
        _check_cron(self.settings.cron, self._registry)
        for entry in self.settings.cron:
            self.counters.plan(entry.queue or self.settings.queues[0], entry.function_name)
        self._inheritance: Inheritance | None = None
        self._obstacles = Obstacles()
        self._leftovers = Leftovers(self.settings.concurrency, self._obstacles)
        self._pool: Processes | None = None
        self._executor: Executor | None = None
        self._incarnation: Incarnation | None = None
        self._stop = StopRequest()
        self._outage = Outage()
        self._watchdog: Watchdog | None = None
        self._signals: Callable[[Watchdog], contextlib.AbstractContextManager[None]] = lambda _: (
            contextlib.nullcontext()
        )
        self._lost_at: float | None = None  # when the last incarnation lost its lease

    def pass_on(self, inheritance: Inheritance | None) -> None:
        """Let jobs in processes enqueue through their app. `App.worker` calls this.

        Args:
            inheritance: what each process for jobs inherits; None: nothing.
        """
        self._inheritance = inheritance

    def run(self) -> None:
        """Work until SIGTERM or SIGINT, in a new event loop. It is uvloop's if that is installed.

        If asyncio tasks or threads of `asyncio.to_thread` are cancelled at the end and do not end
        in time, the process exits here without them.

        Raises:
            RedisAuthFailed, RedisTlsFailed, RedisTopologyMismatch, RedisTooOld, ProtocolMismatch:
                at the start. Later the worker waits until trouble with Redis is over.
            InvalidInput: an event loop is already running, or this is not the main thread, or the
                worker has served before.
        """
        program.check_place()
        if not logging.getLogger().handlers:
            logs.set_up(logging.INFO)
        program.run(self._run_with_signals)

    async def serve(self) -> None:
        """Work until `stop`, in the running event loop. The caller handles signals.

        Raises:
            InvalidInput: the worker is serving already, or has served before.
            RedisAuthFailed, RedisTlsFailed, RedisTopologyMismatch, RedisTooOld, ProtocolMismatch:
                at the start, as in `run`.
        """
        if is_child():
            raise RuntimeError(
                "a process for jobs has imported a module that runs a worker: put the call below "
                'if __name__ == "__main__":'
            )
        if self._watchdog is not None:
            raise InvalidInput(
                "this worker is serving, or has served before, and a worker serves only once: make "
                "another Worker for another run"
            )
        watchdog = self._watchdog = Watchdog(self, self.settings.max_loop_block_seconds)
        watchdog.start()
        try:
            with self._signals(watchdog):
                await self._serve()
        finally:
            watchdog.stop()

    async def _serve(self) -> None:
        redis = async_redis(
            self.redis_settings,
            client_name="identtqueue-worker",
            retry_for_seconds=FOR_EVER,
            outage=self._outage,
        )
        processes = self._pool = self.processes()
        health = self._health_server()
        try:
            if await self._stop.unless_made(lambda: self._start(redis)):
                try:
                    if await self._stop.unless_made(lambda: self._start_process(processes)):
                        with exits_contained(asyncio.get_running_loop()):
                            await self._live(redis, processes)
                finally:
                    await self.settings.hooks.shut_down(self.state)
        finally:
            if processes is not None:
                await bounded("ending the processes for jobs", processes.close(), PROCESSES_SECONDS)
            await bounded("closing the connection", redis.close(), CUT_OFF_SECONDS)
            if health is not None:
                closing = offload(health.close)
                await bounded("closing the health server", closing, CUT_OFF_SECONDS)

    def stop(self) -> None:
        """Stop in order; a second call cuts off running attempts. Call it in the worker's loop."""
        hooks_seconds = len(self.settings.hooks.on_shutdown) * (SHUTDOWN_SECONDS + 1)
        self._stop.make(self.grace_seconds() + hooks_seconds + STOP_SECONDS)
        if self._incarnation is not None:
            self._incarnation.stop()

    async def _run_with_signals(self) -> None:
        self._signals = lambda watchdog: watchdog.hearing(program.STOP_SIGNALS, self._on_signal)
        await self.serve()

    def _on_signal(self, number: int) -> None:
        name = signal.Signals(number).name
        running, seconds = self.gauges.running, round(self.grace_seconds(), 1)
        run = f"{running} attempt{'s' if running != 1 else ''}"
        if self._stop.times == 0 and running:
            have = "have" if running != 1 else "has"
            logger.info(
                "%s: stopping: %s %s %g s to end, then tasks that are left are requeued. A second "
                "signal cuts off at once",
                *(name, run, have, seconds),
            )
        elif self._stop.times == 0:
            logger.info("%s: stopping: no attempt runs", name)
        else:
            logger.info("%s again: cutting off %s", name, run if running else "nothing, none runs")
        self.stop()

    @property
    def gauges(self) -> Gauges:
        """The numbers of the worker now. They may be read in any thread."""
        life = self._incarnation
        return Gauges(
            running=life.running if life else 0,
            concurrency=self.settings.concurrency,
            abandoned_threads=self._executor.abandoned_threads if self._executor else 0,
            abandoned_attempts=len(self._leftovers),
            processes=len(self._pool) if self._pool is not None else 0,
            draining=life.draining if life else False,
            reconnects=self._outage.reconnects,
            loop_blocked_seconds=self._watchdog.total_blocked_seconds if self._watchdog else 0.0,
        )

    @property
    def worker_id(self) -> str | None:
        """The id under which it is registered now; None before and after. Any thread may ask."""
        life = self._incarnation
        return life.worker_id if life else None

    # --- what the watchdog asks, from its thread ---

    def is_working(self) -> bool:
        """Return whether this worker has a lease."""
        return self._incarnation is not None and self._incarnation.registered

    def grace_seconds(self) -> float:
        """Return how long attempts may still run if the worker is stopped now."""
        life = self._incarnation
        return self.settings.grace_seconds if life is None else life.grace_seconds

    def name_of(self, task: asyncio.Task[Any] | None) -> str:
        """Describe what an asyncio task belongs to, for the log."""
        entry = self._incarnation.attempt_of(task) if self._incarnation else None
        if entry is not None:
            return f"task {entry.attempt.task_id} attempt {entry.attempt.number}"
        return "a callback" if task is None else f"asyncio's task {task.get_name()!r}"

    def give_back_but(self, task: asyncio.Task[Any] | None) -> int:
        """Release all attempts except that of this asyncio task; return their number."""
        return self._incarnation.give_back_but(task) if self._incarnation else 0

    # --- what the probes ask, from their threads ---

    def live_problem(self) -> str | None:
        """Describe why this worker should be restarted, as /livez does. Any thread may call this.

        Returns:
            The problem; None if it is alive, also before it has started.
        """
        if self._stop.is_overdue:
            return "the stop is overdue"
        blocked = self._watchdog.problem if self._watchdog else None
        if blocked or self._incarnation is None or self._stop.times:
            return blocked
        return self._incarnation.live_problem(self._lost_at) or self._stuck_problem()

    def ready_problem(self) -> str | None:
        """Describe why this worker takes no tasks, as /readyz does. Any thread may call this.

        Returns:
            The problem; None if it is ready.
        """
        if self._stop.times:
            return "stopping"
        life = self._incarnation
        if (problem := life.ready_problem() if life else "not registered yet") is not None:
            return problem
        # If Redis is down, all pods are affected. A refused login affects this pod alone, and must
        # stop a rollout.
        if refusal := self._outage.refusal:
            return f"Redis refuses this worker: {refusal}"
        blocked = self._watchdog.problem if self._watchdog else None
        return blocked or self._obstacles.text

    def _stuck_problem(self) -> str | None:
        """Describe why nothing can run here any more, although it could after a restart."""
        texts = (self._obstacles.text_of(name) for name in (threads.OBSTACLE, leftovers.OBSTACLE))
        text = next(filter(None, texts), None)
        return f"nothing runs, and {text}" if text and not self.gauges.running else None

    # --- the parts that `_serve` makes and starts ---

    async def _start(self, redis: AsyncRedis) -> None:
        await redis.connect()
        await self.settings.hooks.start_up(self.state)

    def processes(self) -> Processes | None:
        """Make the processes for this worker's jobs. None is started yet.

        Returns:
            The processes. None: no job needs one.
        """
        references = [job.reference or "" for job in self._registry.in_processes()]
        if not references:
            return None
        # Imported late: most workers have no such job, and this takes 2 % of a start.
        from identtqueue.worker.processes.pool import Processes  # noqa: PLC0415

        return Processes(
            self._process_hooks,
            state=self._state_reference,
            inheritance=self._inheritance,
            needs_main=any(
                r.startswith("__main__:")
                for r in (*references, *self._process_hooks, self._state_reference)
            ),
            max_payload_bytes=self.settings.max_payload_bytes,
            max_tasks=self.settings.max_tasks_per_process,
            counters=self.counters,
            obstacles=self._obstacles,
        )

    def executor(self, processes: Processes | None) -> Executor:
        """Make what runs this worker's attempts. It needs no Redis.

        Args:
            processes: run the jobs that need a process. None: no job does.
        """
        return Executor(
            self._registry,
            timeout_seconds=self.settings.timeout_seconds,
            retry=self.settings.retry,
            state=self.state,
            max_payload_bytes=self.settings.max_payload_bytes,
            processes=processes,
            hooks=self.settings.hooks,
            counters=self.counters,
            most_abandoned_threads=self.settings.most_abandoned_threads,
            obstacles=self._obstacles,
            declines=self.settings.unrunnable_seconds > 0,
        )

    async def _start_process(self, processes: Processes | None) -> None:
        if processes is not None:
            await processes.start()

    async def _live(self, redis: AsyncRedis, processes: Processes | None) -> None:
        """Live one incarnation after the other, until one ends because of a stop."""
        executor = self._executor = self.executor(processes)
        identity = Identity.from_environment()
        end = End.LOST
        try:
            while end is End.LOST and not self._stop.times:
                self._incarnation = Incarnation(
                    redis,
                    self.settings,
                    self._registration(redis, identity),
                    executor,
                    self._leftovers,
                    self.counters,
                    self._outage,
                )
                end = await self._incarnation.live()
                self._lost_at = self._incarnation.lost_at
        finally:
            executor.close()

    def _registration(self, redis: AsyncRedis, identity: Identity) -> Registration:
        assert self._watchdog is not None
        return Registration(
            redis,
            self.settings,
            identity,
            self._registry.limits,
            self._registry.declarations(check_redact(self.settings.redact)),
            self._outage,
            may_renew=self._watchdog.may_renew,
        )

    def _health_server(self) -> HealthServer | None:
        if self.settings.http_port is None:
            return None
        # Imported late: an HTTP server and its metrics cost as much as a tenth of a start.
        from identtqueue.worker.health import HealthServer  # noqa: PLC0415
        from identtqueue.worker.metrics import Metrics  # noqa: PLC0415

        server = HealthServer(
            self.settings.http_port,
            live=self.live_problem,
            ready=self.ready_problem,
            collector=Metrics(self.counters, lambda: self.gauges),
        )
        server.start()
        return server


def _queues(name: str | None, names: Sequence[str] | None) -> tuple[str, ...]:
    if (name is None) == (names is None):
        raise InvalidInput("give either queue_name or queue_names")
    if isinstance(names, str):
        raise InvalidInput(f"give a list: queue_names=[{names!r}]")
    return _listed("queue_names", names) if name is None else (name,)


def _retry(policy: RetryPolicy | None, max_retries: int | None) -> RetryPolicy:
    if policy is not None and max_retries is not None:
        raise InvalidInput("give max_retries or retry, not both")
    return policy or RetryPolicy(max_retries=0 if max_retries is None else max_retries)


def _check_cron(cron: Sequence[Cron], registry: Registry) -> None:
    for entry in cron:
        if entry.function_name not in registry:
            known = ", ".join(sorted(registry.limits)) or "none"
            raise InvalidInput(
                f"cron {entry.name}: this worker has no job {entry.function_name!r}; it has: "
                f"{known}"
            )


def _listed(what: str, values: Iterable[T] | None) -> tuple[T, ...]:
    if not isinstance(values, Iterable | None):
        raise InvalidInput(f"{what}={values!r}: give a list")
    return tuple(values or ())
