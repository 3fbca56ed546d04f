"""The decorator that `@app.task(…)` returns, and its keyword arguments."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from identtqueue.app.job import AppJob
from identtqueue.app.kinds import AsyncJob, PlainJob
from identtqueue.job_options import JobKeywords
from identtqueue.worker_state import S

if TYPE_CHECKING:
    from identtqueue.worker.context import Context

P = ParamSpec("P")
R = TypeVar("R")


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


class Decorator(Generic[S]):
    """The decorator that `@app.task(…)` returns, typed for async and plain functions.

    Args:
        declare: declares a function as a job of the app, with the settings of `@app.task`.
    """

    def __init__(self, declare: Callable[[Callable[..., Any]], AppJob[Any, Any]]) -> None:
        self._declare = declare

    @overload
    def __call__(  # type: ignore[overload-overlap]  # an async function is both
        self, function: Callable[Concatenate[Context[S], P], Coroutine[Any, Any, R]]
    ) -> AsyncJob[P, R]: ...

    @overload
    def __call__(self, function: Callable[Concatenate[Context[S], P], R]) -> PlainJob[P, R]: ...

    def __call__(self, function: Callable[..., Any]) -> Any:
        """Make the function a job."""
        return self._declare(function)
