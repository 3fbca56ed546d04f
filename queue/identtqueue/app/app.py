"""The app of a service: its jobs, its schedule, its workers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, Unpack, overload

from identtqueue.app.connection import AppConnection
from identtqueue.app.decorator import Decorator, TaskKeywords
from identtqueue.app.handles import SyncTaskHandle, TaskHandle
from identtqueue.app.hooks import AppHooks
from identtqueue.app.job import AppJob, JobCall
from identtqueue.errors import InvalidInput
from identtqueue.job_options import JobKeywords, JobOptions
from identtqueue.retry import RetryPolicy
from identtqueue.schedule import Cron
from identtqueue.task import check_queue_name
from identtqueue.transport.settings import RedisSettings

if TYPE_CHECKING:
    from identtqueue.worker.hooks import StateHook
    from identtqueue.worker.worker import Worker

P = ParamSpec("P")
R = TypeVar("R")


class App(AppConnection, AppHooks):
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
        AppConnection.__init__(self, redis_address, client_settings)
        AppHooks.__init__(self)
        self.default_queue = check_queue_name(default_queue)
        self.jobs: dict[str, AppJob[Any, Any]] = {}
        self.crons: list[Cron] = []
        if on_startup is not None:
            self.on_startup(on_startup)
        if on_shutdown is not None:
            self.on_shutdown(on_shutdown)

    @overload
    def task(self, **settings: Unpack[TaskKeywords]) -> Decorator: ...

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
            return Decorator(lambda function: self._declare(function, **settings))
        return self._declare(function, **settings)

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
        # Between these two hooks, jobs and hooks may enqueue without `connect`: see `client`.
        hooks = Hooks.of(**{k: settings.get(k) for k in ("on_startup", "on_shutdown")})
        settings["on_startup"] = (lambda _state: self._begin_service(redis), *hooks.on_startup)
        settings["on_shutdown"] = (*hooks.on_shutdown, lambda _state: self._end_service(redis))
        return RealWorker(
            jobs,
            redis,
            queue_names=names or [self.default_queue],
            cron=self.crons,
            **settings,
        )

    def _declare(
        self,
        function: Callable[..., Any],
        *,
        queue: str | None = None,
        name: str | None = None,
        max_retries: int | None = None,
        **given: Unpack[JobKeywords],
    ) -> AppJob[Any, Any]:
        """Make a function a job of this app: see `task`."""
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
