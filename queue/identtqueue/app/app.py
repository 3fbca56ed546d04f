"""The app of a service: its jobs, its schedule, its workers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, Unpack, overload

from identtqueue.app.call import JobCall, NeedsNoArguments
from identtqueue.app.declared import Declarations
from identtqueue.app.decorator import Decorator, TaskKeywords
from identtqueue.app.handles import SyncTaskHandle, TaskHandle
from identtqueue.app.job import AppJob
from identtqueue.app.kinds import AsyncJob, PlainJob
from identtqueue.checks import check_names
from identtqueue.client.settings import ClientKeywords
from identtqueue.errors import InvalidInput
from identtqueue.redaction import Redact, check_redact
from identtqueue.schedule import Cron
from identtqueue.transport.inherited import inheritance
from identtqueue.transport.settings import RedisSettings
from identtqueue.worker_state import S, check_context, check_state

if TYPE_CHECKING:
    from identtqueue.worker.context import Context
    from identtqueue.worker.hooks import StateHook
    from identtqueue.worker.keywords import WorkerKeywords
    from identtqueue.worker.worker import Worker

P = ParamSpec("P")
R = TypeVar("R")

_SETTINGS = frozenset(
    [
        *ClientKeywords.__optional_keys__,
        *("default_queue", "state", "on_startup", "on_shutdown", "redact", "keep_arguments"),
    ]
)


class App(Declarations[S]):
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
        state: a class or function without arguments. It makes the object that start-up hooks fill
            and that jobs find in `ctx.state`: one for each worker, and one for each of its
            processes for jobs. `state=Services` makes the app an `App[Services]`, whose jobs
            declare `Context[Services]`. Default: a dict.
        on_startup, on_shutdown: hooks of the app's workers. They can also be declared by the
            decorators of the same names.
        redact: what lists, the command line and dashboards must not show of arguments, results and
            progress: names of arguments and fields, as in `{"password", "iban"}`, which count at
            any depth and in any case. Or a function `(job, args, kwargs) -> (args, kwargs)`, which
            only a viewer with this app can call; others see no arguments at all. Arguments and
            fields of the types `SecretStr` and `SecretBytes` are hidden anyway.
        keep_arguments: whether the arguments of a task are kept after its end as long as its
            result, up to 16 KiB. False: they are deleted, except those of dead letters, which a
            replay needs.
        **client_settings: other settings of its clients; see `Client`.

    Attributes:
        jobs: the jobs by name, also those of included apps.
        crons: the schedules, also those of included apps.
        redact: the names to hide, in lower case, or the function; for `Admin(redact=…)`.
        keep_arguments: as given.

    Raises:
        UnknownOption: there is no setting of that name.
        InvalidInput: a setting breaks a rule.
    """

    def __init__(
        self,
        redis_address: str | RedisSettings | None = None,
        *,
        default_queue: str = "default",
        state: Callable[[], S] | None = None,
        on_startup: StateHook[S] | None = None,
        on_shutdown: StateHook[S] | None = None,
        redact: Redact | None = None,
        keep_arguments: bool = True,
        **client_settings: Unpack[ClientKeywords],
    ) -> None:
        check_names("App", client_settings, _SETTINGS)
        super().__init__(redis_address, client_settings, default_queue, state)
        self.redact = check_redact(redact)
        if not isinstance(keep_arguments, bool):
            raise InvalidInput(f"keep_arguments={keep_arguments!r}: must be True or False")
        self.keep_arguments = keep_arguments
        if on_startup is not None:
            self.on_startup(on_startup)
        if on_shutdown is not None:
            self.on_shutdown(on_shutdown)

    @overload
    def task(self, **settings: Unpack[TaskKeywords]) -> Decorator[S]: ...

    @overload
    def task(  # type: ignore[overload-overlap]  # an async function is both
        self, function: Callable[Concatenate[Context[S], P], Coroutine[Any, Any, R]]
    ) -> AsyncJob[P, R]: ...

    @overload
    def task(self, function: Callable[Concatenate[Context[S], P], R]) -> PlainJob[P, R]: ...

    def task(self, function: Callable[..., Any] | None = None, **settings: Any) -> Any:
        """Make a function a job.

        Args:
            function: `async def f(ctx, …)`, or a plain `def`, which runs in a thread.
            **settings: see `TaskKeywords` and, for the options of the job, `JobOptions`.

        Raises:
            UnknownOption: there is no option of that name.
            InvalidInput: a setting breaks a rule, or the name is taken.
        """
        check_names("App.task", settings, TaskKeywords.__optional_keys__)
        if function is None:
            return Decorator(lambda function: self._declare(function, **settings))
        return self._declare(function, **settings)

    @overload
    def cron(
        self,
        expression: str,
        job: NeedsNoArguments | JobCall[Any],
        /,
        *,
        name: str | None = None,
        timezone: str = "UTC",
    ) -> Cron: ...

    @overload
    def cron(
        self, expression: str, job: AppJob[P, Any], /, *args: P.args, **kwargs: P.kwargs
    ) -> Cron: ...

    def cron(  # type: ignore[misc]  # no signature has options beside arguments of the job
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

        ::

            app.cron("0 3 * * *", forget)
            app.cron("0 3 * * *", forget, older_than_days=30)
            app.cron("0 3 * * *", forget.call(older_than_days=30), timezone="Europe/Berlin")

        Args:
            expression: when the schedule fires; see `Cron`.
            job: the job, followed by its arguments; or a call, `job.call(…)`. Give a call if you
                also give `name` or `timezone`, unless the job needs no arguments.
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
            job.refuse_ambiguous([w for w, is_given in given.items() if is_given], args, kwargs)
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
        self._declare_cron(entry)
        return entry

    async def enqueue_many(self, calls: Iterable[JobCall[R]]) -> list[TaskHandle[R]]:
        """Enqueue many tasks in batches of up to 200 tasks or 1 MiB of a queue.

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
        **settings: Unpack[WorkerKeywords[S]],
    ) -> Worker:
        """Create a worker for this app's jobs.

        Args:
            queues: the queues to work on. Default: all queues that the app's jobs name.
            redis_address: where the worker connects, if not to the app's address.
            **settings: see `Worker`. Hooks that are given here replace those of the app.

        Raises:
            UnknownOption: there is no setting of that name.
            InvalidInput: a setting breaks a rule, or the app has no jobs, or a job declares a
                `Context` with another state.
        """
        if isinstance(queues, str):
            raise InvalidInput(f"give a list: queues=[{queues!r}]")
        from identtqueue.worker.hooks import Hooks  # noqa: PLC0415 - clients never need it
        from identtqueue.worker.registry import Job  # noqa: PLC0415 - clients never need it
        from identtqueue.worker.settings import WORKER_NAMES  # noqa: PLC0415
        from identtqueue.worker.worker import Worker as RealWorker  # noqa: PLC0415

        check_names("App.worker", settings, WORKER_NAMES | {"queues", "redis_address"})
        state = check_state(self._state)
        for job in self.jobs.values():
            check_context(job.name, job.function, state)
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
        redis = self._settings(redis_address)
        served = None if redis_address is None else redis
        given: dict[str, Any] = {**self._worker_hooks(), **self._privacy(), **settings}
        # Between these two hooks, jobs and hooks may enqueue without `connect`: see `client`.
        hooks = Hooks.of(**{k: given.get(k) for k in ("on_startup", "on_shutdown")})
        given["on_startup"] = (lambda _state: self._begin_service(served), *hooks.on_startup)
        given["on_shutdown"] = (*hooks.on_shutdown, lambda _state: self._end_service(served))
        worker = RealWorker(
            jobs,
            redis,
            queue_names=names or [self.default_queue],
            cron=self.crons,
            state=self._state,
            **given,
        )
        worker.pass_on(inheritance(self._redis_address, redis))
        return worker
