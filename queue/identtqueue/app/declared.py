"""The jobs, schedules and hooks that an app and the apps that it includes declare."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Any, Final, Unpack

from msgspec import structs

from identtqueue.app.connection import AppConnection
from identtqueue.app.hooks import AppHooks
from identtqueue.app.job import AppJob
from identtqueue.app.kinds import AsyncJob, PlainJob
from identtqueue.client.settings import ClientKeywords
from identtqueue.errors import InvalidInput
from identtqueue.job_options import JobKeywords, JobOptions
from identtqueue.redaction import RedactFunction
from identtqueue.retry import RetryPolicy
from identtqueue.schedule import Cron
from identtqueue.signature import is_async
from identtqueue.task import check_queue_name
from identtqueue.transport.settings import RedisSettings
from identtqueue.worker_state import S, check_state

_LAST_FIRST: Final = frozenset({"after_task", "on_shutdown"})
"""Hooks that are called for included apps first: they undo what other hooks have done."""

_AROUND: Final = frozenset({"before_task", "after_task"})
"""Hooks that an included app has for its own jobs only."""


class Declarations(AppConnection, AppHooks[S]):
    """The jobs, schedules and hooks of an app.

    Args:
        redis_address, client_settings: see `AppConnection`.
        default_queue, state: see `App`.

    Raises:
        InvalidInput: a setting breaks a rule.
    """

    def __init__(
        self,
        redis_address: str | RedisSettings | None,
        client_settings: ClientKeywords,
        default_queue: str,
        state: Callable[[], S] | None,
    ) -> None:
        AppConnection.__init__(self, redis_address, client_settings)
        AppHooks.__init__(self)
        self.default_queue = check_queue_name(default_queue)
        self.jobs: dict[str, AppJob[Any, Any]] = {}
        self.crons: list[Cron] = []
        self._state = state
        check_state(state)
        self.redact: frozenset[str] | RedactFunction = frozenset()
        self.keep_arguments = True
        self._includes: list[Declarations[Any]] = []
        self._included_by: list[Declarations[Any]] = []

    def include(self, other: Declarations[S]) -> None:
        """Take over the jobs, schedules and hooks of another app, also those it declares later.

        ::

            # orders.py                          # main.py
            orders = App(default_queue="orders") app = App("redis://redis")
                                                 app.include(orders)
            @orders.task
            async def ship(ctx: Context, …): …

        Workers of this app run the jobs of both. The jobs of the other app enqueue through this
        app's connection. Its `before_task` and `after_task` hooks are called for its own jobs only.
        Including an app again changes nothing.

        Args:
            other: an app without a Redis address, or with that of this app.

        Raises:
            InvalidInput: both apps have a job or a schedule of the same name, or the other one has
                a Redis, settings or a state of its own, or includes this app.
        """
        if not isinstance(other, Declarations):
            raise InvalidInput(f"include({other!r}): give an App")
        if other in self._includes:
            return
        if any(app is self for app in other._apps_below()):
            raise InvalidInput("include: an app can't include itself, directly or through another")
        if callable(other.redact) and other.redact is not self.redact:
            raise InvalidInput(
                "include: the included app's redact is a function: give it to the app that "
                "includes it"
            )
        if other._state not in (None, self._state):
            raise InvalidInput(
                f"include: the included app's state is {other._state!r}, the other's is "
                f"{self._state!r}: a worker has one state, so give both the same"
            )
        for app in self._apps_above():
            app._refuse_clashes(other)
        other._refuse_own_redis(self)
        other._included_by.append(self)
        self._includes.append(other)
        for app in self._apps_above():
            app._adopt(other.jobs.values(), other.crons)

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
            options = structs.replace(options, retry=RetryPolicy(max_retries=max_retries))
        if isinstance(function, AppJob):  # a job of another app: use its function
            function = function.function
        if name is None:
            name = getattr(function, "__name__", None)
            if name is None:  # a partial or a callable object
                raise InvalidInput(f"{function!r} has no name: give it one, @app.task(name=…)")
        options.check(name, function)
        kind = AsyncJob if is_async(function) else PlainJob
        job: AppJob[Any, Any] = kind(
            self,
            function,
            name=name,
            queue=self.default_queue if queue is None else check_queue_name(queue),
            job_options=options,
        )
        job.check_types()
        self._declare_job(job)
        return job

    def _declare_job(self, job: AppJob[Any, Any]) -> None:
        """Register a job here and in the apps that include this one.

        Raises:
            InvalidInput: the name is taken in one of them.
        """
        apps = self._apps_above()
        if any(job.name in app.jobs for app in apps):
            raise InvalidInput(f"two jobs are named {job.name!r}: give one of them a name=")
        for app in apps:
            app._adopt([job], [])

    def _declare_cron(self, entry: Cron) -> None:
        """Register a schedule here and in the apps that include this one."""
        for app in self._apps_above():
            app._adopt([], [entry])

    def _privacy(self) -> dict[str, Any]:
        """Join what this app and the included ones say about redaction and kept arguments."""
        apps = self._apps_below()
        own = self.redact
        named = [app.redact for app in apps if not callable(app.redact)]
        return {
            "redact": own if callable(own) else frozenset().union(*named),
            "keep_arguments": all(app.keep_arguments for app in apps),
        }

    def _worker_hooks(self) -> dict[str, list[Any]]:
        """Collect the hooks of a worker by kind, this app's and those of the included apps."""
        found: dict[str, list[Any]] = {}
        for app in self._apps_below():
            for kind, hooks in app._hooks.items():
                if kind in _AROUND and app is not self:
                    hooks = [_only_for(app.jobs, hook) for hook in hooks]  # noqa: PLW2901
                known = found.get(kind, [])
                found[kind] = [*hooks, *known] if kind in _LAST_FIRST else [*known, *hooks]
        return found

    def _adopt(self, jobs: Iterable[AppJob[Any, Any]], crons: Iterable[Cron]) -> None:
        for job in jobs:
            self.jobs.setdefault(job.name, job.bound_to(self))
        self.crons.extend(entry for entry in crons if all(entry is not own for own in self.crons))

    def _refuse_clashes(self, other: Declarations[Any]) -> None:
        """Refuse an app whose jobs or schedules have a name that is taken here.

        The same job may arrive twice, through two apps that both include its app.
        """
        for name in self.jobs.keys() & other.jobs.keys():
            if self.jobs[name].function is not other.jobs[name].function:
                raise InvalidInput(
                    f"include: both apps have a job named {name!r}: give one of them a name="
                )
        for entry in other.crons:
            for own in self.crons:
                if own is not entry and (own.queue, own.name) == (entry.queue, entry.name):
                    raise InvalidInput(
                        f"include: both apps have a schedule named {entry.name!r} for queue "
                        f"{entry.queue!r}: give one of them a name="
                    )

    def _apps_above(self) -> list[Declarations[Any]]:
        """List this app and all apps that include it."""
        found: list[Declarations[Any]] = [self]
        for app in found:
            found.extend(a for a in app._included_by if all(a is not b for b in found))
        return found

    def _apps_below(self) -> list[Declarations[Any]]:
        """List this app and all apps that it includes, each after those that include it."""
        found: list[Declarations[Any]] = [self]
        for app in found:
            found.extend(a for a in app._includes if all(a is not b for b in found))
        return found


def _only_for(jobs: Container[str], hook: Callable[..., Any]) -> Callable[..., Any]:
    """Limit a hook to the attempts of some jobs, by name."""
    return lambda ctx, *rest: hook(ctx, *rest) if ctx.function_name in jobs else None
