"""The typed interface: declare jobs, enqueue them with checked arguments, await typed results."""

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
from dataclasses import replace
from functools import cached_property
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Final,
    Generic,
    ParamSpec,
    TypeVar,
    Unpack,
    cast,
    overload,
)

import msgspec

from identtqueue.client.client import Client, check_client_settings
from identtqueue.errors import BadResult, InvalidInput, NotConnected, NotSerializable
from identtqueue.job_options import JobKeywords, JobOptions
from identtqueue.protocol.conversion import Conversion, conversions
from identtqueue.protocol.submission import Submission
from identtqueue.retry import RetryPolicy
from identtqueue.schedule import Cron
from identtqueue.signature import Parameters, UnknownType, argument_types, declared_types
from identtqueue.task import Result, State, TaskOptions, check_queue_name
from identtqueue.transport.lifecycle import AsyncConnected
from identtqueue.transport.settings import RedisSettings

if TYPE_CHECKING:
    from identtqueue.client.sync import SyncClient
    from identtqueue.worker.hooks import AfterTask, BeforeTask, StateHook
    from identtqueue.worker.worker import Worker

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
Hook = TypeVar("Hook", bound="StateHook")
BeforeHook = TypeVar("BeforeHook", bound="BeforeTask")
AfterHook = TypeVar("AfterHook", bound="AfterTask")

MOST_SHAPES: Final = 256
"""Upper bound for the shapes of calls that a job remembers as valid. A shape is the classes of the
arguments, in order, and the names of those given by keyword."""

_STARTS: Final = frozenset({"at", "delay_seconds"})
"""Options that say when a task may start. A task has at most one of them."""


class TaskKeywords(JobKeywords, total=False):
    """The keyword arguments of `@app.task`: the options of the job, and these.

    Attributes:
        queue: queue of the job's tasks. Default: the app's.
        name: name of the job. Default: the function's.
        max_retries: `retry=RetryPolicy(max_retries=…)` in short.
    """

    queue: str | None
    name: str | None
    max_retries: int | None


class JobCall(msgspec.Struct, Generic[R_co], frozen=True):
    """A job with its arguments, not enqueued yet; `enqueue_many` takes these."""

    job: AppJob[Any, R_co]
    submission: Submission


class _Handle(msgspec.Struct, Generic[R_co], frozen=True, eq=False, weakref=True):
    """Common base of the asyncio and the blocking handle."""

    _job: AppJob[Any, R_co]
    task_id: str
    created: bool

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.task_id})"


class TaskHandle(_Handle[R_co], frozen=True, eq=False):
    """An enqueued task, with the type of its result.

    Attributes:
        task_id: `<queue>:<unique part>`.
        created: False if the task id or the unique key existed already. The handle then stands
            for the existing task.
    """

    async def result(self, timeout_seconds: float | None = None) -> R_co:
        """Wait for the job's return value and convert it to the type that the job declares.

        Args:
            timeout_seconds: how long to wait; None: until the task has ended.

        Raises:
            TaskFailed, TaskCancelled, TaskExpired, ResultTimeout, TaskNotFound,
            RedisUnavailable: see `Client.wait_for_result`.
            BadResult: the value doesn't fit the declared type.
        """
        result = await self._job.app.client.wait(self.task_id, timeout_seconds)
        return self._job.convert_result(result)

    def progress(self, timeout_seconds: float | None = None) -> AsyncIterator[Any]:
        """Iterate over the progress that the job reports until it has ended: see `Client.watch`."""
        return self._job.app.client.watch(self.task_id, timeout_seconds)

    async def status(self) -> State | None:
        """Return the task's state; None if its result has expired."""
        return await self._job.app.client.get_status(self.task_id)

    async def cancel(self) -> bool:
        """See `Client.cancel`."""
        return await self._job.app.client.cancel(self.task_id)


class SyncTaskHandle(_Handle[R_co], frozen=True, eq=False):
    """An enqueued task, for code without an event loop: `TaskHandle` with blocking methods."""

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
    """A function that `@app.task` has made a job. Calling it still calls the plain function.

    ::

        task = await read_mrz.enqueue("s3://…")        # arguments are type-checked
        call = read_mrz.call("s3://…")                 # for enqueue_many
        task = await read_mrz.options(delay_seconds=60).enqueue("s3://…")
        task = read_mrz.enqueue_sync("s3://…")         # in code without an event loop
    """

    def __init__(
        self,
        app: App,
        function: Callable[..., Any],
        *,
        name: str,
        queue: str,
        job_options: JobOptions,
    ) -> None:
        self.app = app
        self.function = function
        self.name = name
        self.queue = queue
        self.job_options = job_options
        self.task_options: TaskOptions | None = None
        self._given: dict[str, Any] = {}
        self._parameters = Parameters(name, function)
        self._good_shapes: set[tuple[object, ...]] = set()
        self._returns: Conversion | None = None
        self.__name__ = name
        self.__doc__ = function.__doc__

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, here and now: for tests and for calls from other jobs."""
        return self.function(*args, **kwargs)

    def options(self, /, **options: Any) -> AppJob[P, R]:
        """Return a copy of the job that enqueues its tasks with these `TaskOptions`.

        Options from an earlier call are kept, unless they are given again. `at` and
        `delay_seconds` replace each other.

        Args:
            **options: the fields of `TaskOptions`.

        Raises:
            InvalidInput: an option breaks a rule.
        """
        same = copy.copy(self)
        same._given = _merged(self._given, options)  # noqa: SLF001 - a copy of our own
        same.task_options = TaskOptions(**same._given)  # noqa: SLF001
        return same

    def call(self, /, *args: P.args, **kwargs: P.kwargs) -> JobCall[R]:
        """Bind arguments to the job, for `App.enqueue_many`.

        Args:
            *args: positional arguments of the job, without its context.
            **kwargs: keyword arguments of the job.

        Raises:
            InvalidInput: the arguments don't fit the signature, or a value does not fit its
                declared type.
            NotSerializable: a value would arrive in the worker as another value.
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
        """Enqueue one task with these arguments.

        Raises:
            InvalidInput, NotSerializable: see `call`.
            NotConnected: before `App.connect`.
            TaskExists, RedisUnavailable, RedisFull, RedisAuthFailed, ProtocolMismatch: see
                `Client.enqueue_job`.
        """
        call = self.call(*args, **kwargs)
        receipt = await self.app.client.submit(call.submission)
        return TaskHandle(call.job, receipt.task_id, created=receipt.created)

    def enqueue_sync(self, /, *args: P.args, **kwargs: P.kwargs) -> SyncTaskHandle[R]:
        """Enqueue one task from code without an event loop: see `App.sync_client`.

        Raises:
            InvalidInput, NotSerializable: see `call`.
            TaskExists, RedisUnavailable, RedisFull, RedisAuthFailed, ProtocolMismatch: see
                `Client.enqueue_job`.
        """
        return self.app.enqueue_many_sync([self.call(*args, **kwargs)])[0]

    def refuse_ambiguous(self, words: Iterable[str], args: tuple[Any, ...]) -> None:
        """Refuse keyword arguments of `App.cron` that could also be arguments of the job.

        Args:
            words: names of the keyword arguments that were given to `App.cron`.
            args: positional arguments of the job that were given with them.

        Raises:
            InvalidInput: the job has an argument of that name, and `args` does not supply it.
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
        """Convert the value of a result to the type that the function declares to return.

        Raises:
            BadResult: the value doesn't fit the type.
            TaskFailed, TaskCancelled, TaskExpired: the task ended without a value.
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
        """Return the declared types of the arguments that have to be converted, by name.

        Raises:
            InvalidInput: a type can't be found at run time.
        """
        return argument_types(self.name, self.function)

    @cached_property
    def _types(self) -> dict[str, Any]:
        return declared_types(self.name, self.function)

    @cached_property
    def _conversions(self) -> Mapping[str, Conversion]:
        """Conversion of each argument; empty if a type exists for type checkers only."""
        try:
            declared = self.argument_types()
        except UnknownType:  # the worker needs the types, and reports this
            return {}
        return conversions(self.name, declared)

    def check_types(self) -> None:
        """Check the declared types, as far as they are defined already.

        Raises:
            InvalidInput: no value can be converted to one of them.
        """
        try:
            declared = self.argument_types()
        except UnknownType:  # the type may be defined further down in its module
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
        """Return whether the classes alone show that a call is valid, without its values."""
        return all(
            type(v) in conversion.exact for _, conversion, v in self._converted(args, kwargs)
        )

    def _converted(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Iterator[tuple[str, Conversion, Any]]:
        """Iterate over the arguments that have to be converted: name, conversion, value."""
        known = self._conversions
        for name, value in (*zip(self._parameters.by_place, args, strict=False), *kwargs.items()):
            if (conversion := known.get(name)) is not None:
                yield name, conversion, value


def _hook(name: str, hook: Any) -> Any:
    if not callable(hook):
        raise InvalidInput(f"{name}: {hook!r} is not callable")
    return hook


def _checked(redis_address: object) -> str | RedisSettings | None:
    """Check an address; the environment completes it later, when something connects.

    Raises:
        InvalidInput: it can't be read as an address.
    """
    if redis_address is None or isinstance(redis_address, RedisSettings):
        return redis_address
    return RedisSettings(address=redis_address).address  # type: ignore[arg-type]  # it checks that


def _merged(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Merge options of a task. New ones win; `at` and `delay_seconds` replace each other."""
    dropped = _STARTS if _STARTS & now.keys() else set()
    return {name: value for name, value in before.items() if name not in dropped} | dict(now)


def _name_of(target: Any) -> str:
    return target.__qualname__ if isinstance(target, type) else str(target)


class App(AsyncConnected):
    """The jobs of a service, and its connection to Redis.

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
        default_queue: the queue of jobs that name none.
        on_startup, on_shutdown: hooks of the app's workers. They can also be declared by the
            decorators of the same names.
        **client_settings: other settings of its clients; see `Client`.

    Raises:
        InvalidInput: a setting breaks a rule.
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
        self._served: list[RedisSettings] = []  # where each running worker of this app connects
        self._is_workers = False  # the client was made for a worker's jobs, not by `connect`
        self._hooks: dict[str, list[Any]] = defaultdict(list)
        if on_startup is not None:
            self.on_startup(on_startup)
        if on_shutdown is not None:
            self.on_shutdown(on_shutdown)

    @property
    def client(self) -> Client:
        """The connected client. While a worker of this app runs, its jobs need no `connect`.

        Raises:
            NotConnected: `connect` was not called, and no worker of this app runs here.
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

        It needs no `connect`: its first call opens the connections, in each forked process anew.
        They are closed at the end of the program at the latest.
        """
        from identtqueue.client.sync import SyncClient  # noqa: PLC0415 - asyncio programs never need it

        return SyncClient(self._settings(), **self._client_settings)

    async def connect(self) -> None:
        """Connect; do nothing if it is connected already.

        Raises:
            RedisUnavailable, RedisAuthFailed, RedisTlsFailed, RedisTopologyMismatch, RedisTooOld:
                Redis cannot be reached or refuses the connection.
        """
        if self._client is None:
            client = Client(self._settings(), **self._client_settings)
            await client.__aenter__()
            if self._client is None:
                self._client = client
            else:  # another coroutine has connected meanwhile
                await client.close()

    async def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        self._is_workers = False
        if client is not None:
            await client.close()

    @overload
    def task(self, **settings: Unpack[TaskKeywords]) -> _Decorator: ...

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
            **settings: see `TaskKeywords` and, for the options of the job, `JobOptions`.

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
        """Enqueue a job on a schedule, which every worker of the app keeps.

        Args:
            expression: when the schedule fires; see `Cron`.
            job: the job, followed by its arguments; or a call, `job.call(…)`, which may also have
                arguments that are named `name` or `timezone`.
            *args: positional arguments of the job.
            **kwargs: keyword arguments of the job.
            name: name of the schedule. Default: the job's name in lower case.
            timezone: IANA name of the time zone.

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
        """Register a hook: workers call it with their `state` before the first task.

        Use it as a decorator, like the other hooks below. Several hooks of a kind are called in
        the order of their definition, and each may be async. `identtqueue.worker.hooks` says what
        an error in a hook does.

        Args:
            hook: a function of one argument, the worker's `state`.

        Raises:
            InvalidInput: the hook is not callable.
        """
        self._hooks["on_startup"].append(_hook("on_startup", hook))
        return hook

    def on_shutdown(self, hook: Hook) -> Hook:
        """Register a hook: workers call it with their `state` after the last task.

        Args:
            hook: a function of one argument, the worker's `state`.
        """
        self._hooks["on_shutdown"].append(_hook("on_shutdown", hook))
        return hook

    def before_task(self, hook: BeforeHook) -> BeforeHook:
        """Register a hook: workers call it with the job's context before each attempt.

        Args:
            hook: a function of one argument, the job's context.
        """
        self._hooks["before_task"].append(_hook("before_task", hook))
        return hook

    def after_task(self, hook: AfterHook) -> AfterHook:
        """Register a hook: workers call it after each attempt, with its context and `Outcome`.

        Args:
            hook: a function of two arguments, the job's context and the `Outcome`.
        """
        self._hooks["after_task"].append(_hook("after_task", hook))
        return hook

    def on_process_startup(self, hook: Hook) -> Hook:
        """Register a hook: each process for jobs calls it when it starts, with its own `state`.

        Args:
            hook: a function of one argument, the `state` of that process.
        """
        self._hooks["on_process_startup"].append(_hook("on_process_startup", hook))
        return hook

    async def enqueue_many(self, calls: Iterable[JobCall[R]]) -> list[TaskHandle[R]]:
        """Enqueue many tasks in batches: one round trip for up to 200 tasks or 1 MiB of a queue.

        Args:
            calls: made by `AppJob.call`, of any jobs of this app.

        Returns:
            One handle per call, in the given order.

        Raises:
            NotConnected: before `connect`.
            InvalidInput, TaskExists, RedisUnavailable, RedisFull, RedisAuthFailed,
            ProtocolMismatch: see `Client.submit_many`.
        """
        wanted = list(calls)
        receipts = await self.client.submit_many([call.submission for call in wanted])
        return [
            TaskHandle(call.job, receipt.task_id, created=receipt.created)
            for call, receipt in zip(wanted, receipts, strict=True)
        ]

    def enqueue_many_sync(self, calls: Iterable[JobCall[R]]) -> list[SyncTaskHandle[R]]:
        """Enqueue many tasks from code without an event loop.

        Args:
            calls: see `enqueue_many`.

        Returns:
            One handle per call, in the given order.

        Raises:
            InvalidInput, TaskExists, RedisUnavailable, RedisFull, RedisAuthFailed,
            ProtocolMismatch: see `Client.submit_many`.
        """
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
        """Create a worker for this app's jobs.

        Args:
            queues: the queues to work on. Default: all queues that the app's jobs name.
            redis_address: where the worker connects, if not to the app's address.
            **settings: see `WorkerSettings`.

        Raises:
            InvalidInput: a setting breaks a rule, or the app has no jobs.
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
                types=job.argument_types(),
                **job.job_options.as_keywords(),
            )
            for job in self.jobs.values()
        ]
        if not jobs:
            raise InvalidInput(
                "this app has no jobs: import the modules that declare them before you make the "
                "worker (on the command line: --import MODULE)"
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
        """Note that a worker has ended; after the last one, close the client that jobs opened."""
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
        max_retries: int | None = None,
        **given: Unpack[JobKeywords],
    ) -> AppJob[Any, Any]:
        options = JobOptions(**given)
        if max_retries is not None:
            if options.retry is not None:
                raise InvalidInput("give max_retries or retry, not both")
            options = replace(options, retry=RetryPolicy(max_retries=max_retries))
        if isinstance(function, AppJob):  # a job of another app: use its function
            function = function.function
        if name is None:
            name = getattr(function, "__name__", None)
            if name is None:  # a partial or a callable object
                raise InvalidInput(f"{function!r} has no name: give it one, @app.task(name=…)")
        options.check(name, function)
        job: AppJob[Any, Any] = AppJob(
            self,
            function,
            name=name,
            queue=self.default_queue if queue is None else check_queue_name(queue),
            job_options=options,
        )
        job.check_types()
        if job.name in self.jobs:
            raise InvalidInput(f"two jobs are named {job.name!r}: give one of them a name=")
        self.jobs[job.name] = job
        return job


class _Decorator:
    """The decorator that `@app.task(…)` returns, typed for async and plain functions."""

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
