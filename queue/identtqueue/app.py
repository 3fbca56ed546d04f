"""The typed way: declare jobs once, enqueue them with checked arguments, await typed results."""

from __future__ import annotations

import copy
import inspect
from collections import defaultdict
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
)
from functools import cached_property
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Final,
    Generic,
    ParamSpec,
    TypeVar,
    cast,
    overload,
)

import msgspec

from identtqueue.client import Client, check_client_settings
from identtqueue.errors import BadResult, InvalidInput, NotConnected, NotSerializable
from identtqueue.limits import JobLimits, RateLimit
from identtqueue.protocol.conversion import Conversion, conversions
from identtqueue.protocol.submission import Submission
from identtqueue.retry import RetryPolicy
from identtqueue.schedule import Cron
from identtqueue.signature import (
    Parameters,
    RunIn,
    UnknownType,
    argument_types,
    check_job,
    declared_types,
    place,
)
from identtqueue.task import Result, State, TaskOptions, check_queue_name
from identtqueue.transport.lifecycle import AsyncConnected
from identtqueue.transport.settings import RedisSettings

if TYPE_CHECKING:
    from identtqueue.sync import SyncClient
    from identtqueue.worker.context import Context
    from identtqueue.worker.hooks import AfterTask, BeforeTask, StateHook
    from identtqueue.worker.worker import Worker
else:
    Context = Any  # the worker's modules are loaded by `App.worker` only

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
Hook = TypeVar("Hook", bound="StateHook")
BeforeHook = TypeVar("BeforeHook", bound="BeforeTask")
AfterHook = TypeVar("AfterHook", bound="AfterTask")

MOST_SHAPES: Final = 256
"""Of calls of one job that are remembered to be good: their number of arguments, and classes."""

_STARTS: Final = frozenset({"at", "delay_seconds"})
"""Options that say when a task may start: one of them at most."""


class JobCall(msgspec.Struct, Generic[R_co], frozen=True):
    """A job with its arguments, not enqueued yet: what `enqueue_many` takes."""

    job: AppJob[Any, R_co]
    submission: Submission


class _Handle(msgspec.Struct, Generic[R_co], frozen=True, eq=False, weakref=True):
    """What both kinds of handles are."""

    _job: AppJob[Any, R_co]
    task_id: str
    created: bool

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.task_id})"


class TaskHandle(_Handle[R_co], frozen=True, eq=False):
    """An enqueued task, with the type of its result.

    Attributes:
        task_id: `<queue>:<unique part>`.
        created: False if the id (or the unique key) existed already: then this is that task.
    """

    async def result(self, timeout_seconds: float | None = None) -> R_co:
        """The job's return value, in its own type.

        Raises:
            TaskFailed, TaskCancelled, TaskExpired, ResultTimeout, TaskNotFound,
            RedisUnavailable: see `Client.wait_for_result`.
            BadResult: it doesn't fit that type.
        """
        result = await self._job.app.client.wait(self.task_id, timeout_seconds)
        return self._job.convert_result(result)

    def progress(self, timeout_seconds: float | None = None) -> AsyncIterator[Any]:
        """What the job reports, until the task has ended: see `Client.watch`."""
        return self._job.app.client.watch(self.task_id, timeout_seconds)

    async def status(self) -> State | None:
        """The task's state; None: its result has expired."""
        return await self._job.app.client.get_status(self.task_id)

    async def cancel(self) -> bool:
        """See `Client.cancel`."""
        return await self._job.app.client.cancel(self.task_id)


class SyncTaskHandle(_Handle[R_co], frozen=True, eq=False):
    """`TaskHandle` for code without a loop: the same methods, blocking."""

    def result(self, timeout_seconds: float | None = None) -> R_co:
        """See `TaskHandle.result`."""
        result = self._job.app.sync_client.wait(self.task_id, timeout_seconds)
        return self._job.convert_result(result)

    def progress(self, timeout_seconds: float | None = None) -> Iterator[Any]:
        """See `TaskHandle.progress`."""
        return self._job.app.sync_client.watch(self.task_id, timeout_seconds)

    def status(self) -> State | None:
        """See `TaskHandle.status`."""
        return self._job.app.sync_client.get_status(self.task_id)

    def cancel(self) -> bool:
        """See `Client.cancel`."""
        return self._job.app.sync_client.cancel(self.task_id)


class AppJob(Generic[P, R]):
    """A function made a job by `@app.task`; it can still be called as the plain function.

    ::

        task = await read_mrz.enqueue("s3://…")        # arguments are type-checked
        call = read_mrz.call("s3://…")                 # for enqueue_many
        task = await read_mrz.options(delay_seconds=60).enqueue("s3://…")
        task = read_mrz.enqueue_sync("s3://…")         # in code without a loop
    """

    def __init__(
        self,
        app: App,
        function: Callable[..., Any],
        *,
        name: str,
        queue: str,
        timeout_seconds: float | None,
        retry: RetryPolicy | None,
        run_in: RunIn | None = None,
        limits: JobLimits,
    ) -> None:
        self.app = app
        self.function = function
        self.name = name
        self.queue = queue
        self.timeout_seconds = timeout_seconds
        self.retry = retry
        self.run_in = run_in
        self.limits = limits
        self.task_options: TaskOptions | None = None
        self._given: dict[str, Any] = {}
        self._parameters = Parameters(name, function)
        self._good_shapes: set[tuple[object, ...]] = set()
        self._returns: Conversion | None = None
        self.__name__ = name
        self.__doc__ = function.__doc__

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """The function itself, run here: for tests and for calls from other jobs."""
        return self.function(*args, **kwargs)

    def options(self, /, **options: Any) -> AppJob[P, R]:
        """The same job with `TaskOptions` for what it enqueues.

        Options that were given before are kept, unless they are given again. `at` and
        `delay_seconds` replace each other.

        Raises:
            InvalidInput: an option breaks a rule.
        """
        same = copy.copy(self)
        same._given = _merged(self._given, options)  # noqa: SLF001 - a copy of our own
        same.task_options = TaskOptions(**same._given)  # noqa: SLF001
        return same

    def call(self, /, *args: P.args, **kwargs: P.kwargs) -> JobCall[R]:
        """The job with arguments, to be enqueued by `App.enqueue_many`.

        Raises:
            InvalidInput: the arguments don't fit the signature, or a value does not fit the type
                that is declared.
            NotSerializable: a value would not arrive as it is.
        """
        shape: tuple[object, ...] = tuple(map(type, args))
        if kwargs:
            shape += (*kwargs, *map(type, kwargs.values()))
        if shape not in self._good_shapes:
            self._check_call(args, kwargs)
            if len(self._good_shapes) < MOST_SHAPES and self._are_exact(args, kwargs):
                self._good_shapes.add(shape)
        return JobCall(self, Submission(self.queue, self.name, args, kwargs, self.task_options))

    async def enqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> TaskHandle[R]:
        """Enqueue one task.

        Raises:
            InvalidInput, RedisUnavailable, RedisFull, RedisAuthFailed, ProtocolMismatch: see
                `Client.enqueue_job`.
        """
        call = self.call(*args, **kwargs)
        receipt = await self.app.client.submit(call.submission)
        return TaskHandle(call.job, receipt.task_id, created=receipt.created)

    def enqueue_sync(self, /, *args: P.args, **kwargs: P.kwargs) -> SyncTaskHandle[R]:
        """Enqueue one task from code without a loop: see `App.sync_client`.

        Raises:
            InvalidInput, RedisUnavailable, RedisFull, RedisAuthFailed, ProtocolMismatch: see
                `Client.enqueue_job`.
        """
        return self.app.enqueue_many_sync([self.call(*args, **kwargs)])[0]

    def refuse_ambiguous(self, words: Iterable[str], args: tuple[Any, ...]) -> None:
        """Refuse keyword arguments of `App.cron` that the job might be meant to get.

        Raises:
            InvalidInput: the job has an argument of that name, and none of `args` is it.
        """
        free = inspect.signature(self.function).parameters.keys() - {
            *self._parameters.by_place[: len(args)]
        }
        for word in words:
            if word in free:
                raise InvalidInput(
                    f"cron {self.name}: {word!r} is ambiguous, as the job has an argument of that "
                    f"name: give a call, as in app.cron(…, {self.name}.call({word}=…))"
                )

    def convert_result(self, result: Result) -> R:
        """The value in the type that the function declares to return.

        Raises:
            BadResult: it doesn't fit.
            TaskFailed, TaskCancelled, TaskExpired: there is none.
        """
        value, target = result.unwrap(), self._types.get("return", Any)
        if target in (Any, object):
            return cast("R", value)
        try:
            if self._returns is None:
                self._returns = Conversion(f"job {self.name}: its result", target)
            return cast("R", self._returns.convert(value))
        except InvalidInput as error:
            raise BadResult(result.task_id, _name_of(target), str(error)) from None

    def argument_types(self) -> Mapping[str, Any]:
        """Declared types of the arguments that are to be converted.

        Raises:
            InvalidInput: a type can't be found at run time.
        """
        return argument_types(self.name, self.function)

    @cached_property
    def _types(self) -> dict[str, Any]:
        return declared_types(self.name, self.function)

    @cached_property
    def _conversions(self) -> Mapping[str, Conversion]:
        """How each argument is converted; none, if a type is there for type checkers only."""
        try:
            declared = self.argument_types()
        except UnknownType:  # the worker, which can't do without, says so
            return {}
        return conversions(self.name, declared)

    def check_types(self) -> None:
        """Look at the declared types, as far as they can be found yet.

        Raises:
            InvalidInput: nothing can be converted to one of them.
        """
        try:
            declared = self.argument_types()
        except UnknownType:  # it may be defined further down in its module
            return
        self.__dict__["_conversions"] = conversions(self.name, declared)

    def _check_call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if kwargs:
            self._parameters.refuse_options(kwargs)
        self._parameters.check(args, kwargs)
        for name, conversion, value in self._converted(args, kwargs):
            try:
                conversion.check(value)
            except NotSerializable as error:
                raise NotSerializable(f"{self.name}: {name}: {error}") from None

    def _are_exact(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Whether all calls with values of these classes are as good as this one."""
        return all(
            type(v) in conversion.exact for _, conversion, v in self._converted(args, kwargs)
        )

    def _converted(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Iterator[tuple[str, Conversion, Any]]:
        """The arguments that are converted: name, how, value."""
        known = self._conversions
        for name, value in (*zip(self._parameters.by_place, args, strict=False), *kwargs.items()):
            if (conversion := known.get(name)) is not None:
                yield name, conversion, value


def _hook(name: str, hook: Any) -> Any:
    if not callable(hook):
        raise InvalidInput(f"{name}: {hook!r} is not callable")
    return hook


def _checked(redis_address: object) -> str | RedisSettings | None:
    """The address as it is; the environment completes it later, when something connects.

    Raises:
        InvalidInput: it is none.
    """
    if redis_address is None or isinstance(redis_address, RedisSettings):
        return redis_address
    return RedisSettings(address=redis_address).address  # type: ignore[arg-type]  # it says so


def _merged(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a task, the newer ones first; one moment to start at replaces the other."""
    dropped = _STARTS if _STARTS & now.keys() else set()
    return {name: value for name, value in before.items() if name not in dropped} | dict(now)


def _name_of(target: Any) -> str:
    return target.__qualname__ if isinstance(target, type) else str(target)


class App(AsyncConnected):
    """A service's jobs and its connection.

    ::

        app = App("redis://redis")

        @app.task(queue="mrz", timeout_seconds=30, max_retries=3)
        async def read_mrz(ctx: Context, path: str) -> Mrz: ...

        async with app:
            task = await read_mrz.enqueue("s3://bucket/document.jpg")
            mrz = await task.result(timeout_seconds=10)

        app.worker(queues=["mrz"], concurrency=32).run()

    Args:
        redis_address: see `Client`.
        default_queue: of jobs that name none.
        on_startup, on_shutdown: hooks of its workers; or decorate them, as below.
        **client_settings: see `Client`.
    """

    def __init__(
        self,
        redis_address: str | RedisSettings | None = None,
        *,
        default_queue: str = "default",
        on_startup: StateHook | None = None,
        on_shutdown: StateHook | None = None,
        **client_settings: Any,
    ) -> None:
        self.default_queue = check_queue_name(default_queue)
        self.jobs: dict[str, AppJob[Any, Any]] = {}
        self.crons: list[Cron] = []
        self._redis_address = _checked(redis_address)
        self._client_settings = client_settings
        check_client_settings(**client_settings)
        self._client: Client | None = None
        self._served: list[RedisSettings] = []  # Redis of each worker of ours that serves now
        self._is_workers = False  # the client was made for jobs, nobody has connected it
        self._hooks: dict[str, list[Any]] = defaultdict(list)
        if on_startup is not None:
            self.on_startup(on_startup)
        if on_shutdown is not None:
            self.on_shutdown(on_shutdown)

    @property
    def client(self) -> Client:
        """The connected client. While a worker of this app serves, its jobs need no `connect`.

        Raises:
            NotConnected: before `connect`.
        """
        if self._client is None:
            if not self._served:
                raise NotConnected
            self._client = Client(self._served[-1], **self._client_settings)
            self._is_workers = True
        return self._client

    @cached_property
    def sync_client(self) -> SyncClient:
        """The blocking client: for Flask, Django, scripts, and threads of an asyncio program.

        It needs no `connect`: it opens its connections with its first call, in each process that
        was forked, and has them closed at the end of the program at the latest.
        """
        from identtqueue.sync import SyncClient  # noqa: PLC0415 - asyncio programs never need it

        return SyncClient(self._settings(), **self._client_settings)

    async def connect(self) -> None:
        """Connect; does nothing the second time.

        Raises:
            RedisUnavailable, RedisAuthFailed, RedisTlsFailed, RedisTopologyMismatch, RedisTooOld:
                Redis is not to be had.
        """
        if self._client is None:
            client = Client(self._settings(), **self._client_settings)
            await client.__aenter__()
            if self._client is None:
                self._client = client
            else:  # somebody else has connected it meanwhile
                await client.close()

    async def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        self._is_workers = False
        if client is not None:
            await client.close()

    @overload
    def task(
        self,
        *,
        queue: str | None = None,
        name: str | None = None,
        timeout_seconds: float | None = None,
        max_retries: int | None = None,
        retry: RetryPolicy | None = None,
        run_in: RunIn | None = None,
        max_running: int | None = None,
        rate_limit: RateLimit | None = None,
    ) -> _Decorator: ...

    @overload
    def task(
        self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]
    ) -> AppJob[P, R]: ...

    @overload
    def task(self, function: Callable[Concatenate[Any, P], R]) -> AppJob[P, R]: ...

    def task(self, function: Callable[..., Any] | None = None, **settings: Any) -> Any:
        """Make a function a job.

        Args:
            function: `async def f(ctx, …)`, or a plain `def`, which runs in a thread.
            **settings: `queue` (default: the app's), `name` (default: the function's),
                `run_in` ("process" for code that keeps a CPU busy; default: "loop" or "thread"),
                `timeout_seconds`, `max_retries` or a `retry` policy; and, for all workers of a
                queue together, `max_running` (tasks of the job at the same time) and `rate_limit`
                (how often one may start).

        Raises:
            InvalidInput: a setting breaks a rule, or the name is taken.
        """
        if function is None:
            return _Decorator(self, settings)
        return self._add(function, **settings)

    def cron(
        self,
        expression: str,
        job: AppJob[Any, Any] | JobCall[Any],
        /,
        *args: Any,
        name: str | None = None,
        timezone: str = "UTC",
        **kwargs: Any,
    ) -> Cron:
        """Enqueue a job by the clock; every worker of the app keeps the schedule.

        Args:
            expression: when; see `Cron`.
            job: the job, and its arguments behind it; or a call, `job.call(…)`, which also takes
                arguments that are called `name` or `timezone`.
            *args: of the job.
            **kwargs: of the job.
            name: of the schedule. Default: the job's.
            timezone: IANA name.

        Raises:
            InvalidInput: the expression or the timezone can't be read, or the arguments don't
                fit the job's signature.
        """
        if isinstance(job, JobCall):
            if args or kwargs:
                raise InvalidInput("cron: a call has its arguments already: job.call(…)")
            call = job
        else:
            call = job.call(*args, **kwargs)
            given = {"name": name is not None, "timezone": timezone != "UTC"}
            job.refuse_ambiguous([word for word, is_given in given.items() if is_given], args)
        job, submission = call.job, call.submission
        entry = Cron(
            name=job.name.lower() if name is None else name,
            function_name=job.name,
            expression=expression,
            queue=job.queue,
            timezone=timezone,
            args=tuple(submission.args),
            kwargs=submission.kwargs,
            options=submission.options,
        )
        self.crons.append(entry)
        return entry

    def on_startup(self, hook: Hook) -> Hook:
        """Decorator: call it with the worker's `state` before the first task.

        What an error in a hook does is told in `identtqueue.worker.hooks`. Several hooks of a
        kind are called in the order of their definition; each may be async.
        """
        self._hooks["on_startup"].append(_hook("on_startup", hook))
        return hook

    def on_shutdown(self, hook: Hook) -> Hook:
        """Decorator: call it with the worker's `state` after the last task."""
        self._hooks["on_shutdown"].append(_hook("on_shutdown", hook))
        return hook

    def before_task(self, hook: BeforeHook) -> BeforeHook:
        """Decorator: call it with the job's context before each attempt."""
        self._hooks["before_task"].append(_hook("before_task", hook))
        return hook

    def after_task(self, hook: AfterHook) -> AfterHook:
        """Decorator: call it with the job's context and the `Outcome` after each attempt."""
        self._hooks["after_task"].append(_hook("after_task", hook))
        return hook

    def on_process_startup(self, hook: Hook) -> Hook:
        """Decorator: call it with the process's own `state` in each process for jobs."""
        self._hooks["on_process_startup"].append(_hook("on_process_startup", hook))
        return hook

    async def enqueue_many(self, calls: Iterable[JobCall[R]]) -> list[TaskHandle[R]]:
        """Enqueue many tasks, one round trip per batch (1,000 tasks of one queue).

        Raises:
            InvalidInput, RedisUnavailable, RedisFull, RedisAuthFailed, ProtocolMismatch: see
                `Client.enqueue_job`.
        """
        wanted = list(calls)
        receipts = await self.client.submit_many([call.submission for call in wanted])
        return [
            TaskHandle(call.job, receipt.task_id, created=receipt.created)
            for call, receipt in zip(wanted, receipts, strict=True)
        ]

    def enqueue_many_sync(self, calls: Iterable[JobCall[R]]) -> list[SyncTaskHandle[R]]:
        """`enqueue_many` from code without a loop: see `sync_client`."""
        wanted = list(calls)
        receipts = self.sync_client.submit_many([call.submission for call in wanted])
        return [
            SyncTaskHandle(call.job, receipt.task_id, created=receipt.created)
            for call, receipt in zip(wanted, receipts, strict=True)
        ]

    def worker(
        self,
        queues: Sequence[str] | None = None,
        *,
        redis_address: str | RedisSettings | None = None,
        **settings: Any,
    ) -> Worker:
        """A worker for this app's jobs.

        Args:
            queues: default: all that its jobs name.
            redis_address: instead of the app's.
            **settings: see `WorkerSettings`.

        Raises:
            InvalidInput: a setting breaks a rule.
        """
        if isinstance(queues, str):
            raise InvalidInput(f"give a list: queues=[{queues!r}]")
        from identtqueue.worker.hooks import Hooks  # noqa: PLC0415 - clients never need it
        from identtqueue.worker.registry import Job  # noqa: PLC0415 - clients never need it
        from identtqueue.worker.worker import Worker as RealWorker  # noqa: PLC0415

        jobs = [
            Job(
                name=job.name,
                function=job.function,
                run_in=job.run_in,
                timeout_seconds=job.timeout_seconds,
                retry=job.retry,
                max_running=job.limits.max_running,
                rate_limit=job.limits.rate_limit,
                types=job.argument_types(),
            )
            for job in self.jobs.values()
        ]
        if not jobs:
            raise InvalidInput(
                "this app has no jobs: import the modules that declare them before its worker is "
                "made (on the command line: --import MODULE)"
            )
        names = list(dict.fromkeys(queues or [job.queue for job in self.jobs.values()]))
        redis, settings = self._settings(redis_address), {**self._hooks, **settings}
        hooks = Hooks.of(**{k: settings.get(k) for k in ("on_startup", "on_shutdown")})
        settings["on_startup"] = (lambda _state: self._served.append(redis), *hooks.on_startup)
        settings["on_shutdown"] = (*hooks.on_shutdown, lambda _state: self._end_service(redis))
        return RealWorker(
            jobs,
            redis,
            queue_names=names or [self.default_queue],
            cron=self.crons,
            **settings,
        )

    async def _end_service(self, redis: RedisSettings) -> None:
        """Close the client that jobs have opened, with the last worker that serves."""
        self._served.remove(redis)
        if self._is_workers and not self._served:
            await self.close()

    def _settings(self, instead: str | RedisSettings | None = None) -> RedisSettings:
        return RedisSettings.of(instead or self._redis_address)

    def _add(
        self,
        function: Callable[..., Any],
        *,
        queue: str | None = None,
        name: str | None = None,
        timeout_seconds: float | None = None,
        max_retries: int | None = None,
        retry: RetryPolicy | None = None,
        run_in: RunIn | None = None,
        max_running: int | None = None,
        rate_limit: RateLimit | None = None,
    ) -> AppJob[Any, Any]:
        if max_retries is not None and retry is not None:
            raise InvalidInput("give max_retries or retry, not both")
        if max_retries is not None:
            retry = RetryPolicy(max_retries=max_retries)
        if isinstance(function, AppJob):  # another app's: the function is meant
            function = function.function
        if name is None:
            name = getattr(function, "__name__", None)
            if name is None:  # a partial, a callable object
                raise InvalidInput(f"{function!r} has no name: give it one, @app.task(name=…)")
        check_job(name, function, timeout_seconds, retry)
        place(name, function, run_in)
        job: AppJob[Any, Any] = AppJob(
            self,
            function,
            name=name,
            queue=self.default_queue if queue is None else check_queue_name(queue),
            timeout_seconds=timeout_seconds,
            retry=retry,
            run_in=run_in,
            limits=JobLimits(max_running=max_running, rate_limit=rate_limit),
        )
        job.check_types()
        if job.name in self.jobs:
            raise InvalidInput(f"two jobs are named {job.name!r}: give one of them a name=")
        self.jobs[job.name] = job
        return job


class _Decorator:
    """`@app.task(…)`: typed for async and plain functions."""

    def __init__(self, app: App, settings: MutableMapping[str, Any]) -> None:
        self._app = app
        self._settings = settings

    @overload
    def __call__(
        self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]
    ) -> AppJob[P, R]: ...

    @overload
    def __call__(self, function: Callable[Concatenate[Any, P], R]) -> AppJob[P, R]: ...

    def __call__(self, function: Callable[..., Any]) -> Any:
        return self._app._add(function, **self._settings)  # noqa: SLF001 - its other half
