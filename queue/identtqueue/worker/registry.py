"""Name -> job: what a worker can run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from identtqueue.errors import BadArguments, InvalidInput, UnknownJob
from identtqueue.protocol import codec
from identtqueue.retry import RetryPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A function that tasks call.

    Attributes:
        name: what callers say.
        function: `async def f(ctx, …)`, or a plain `def`, which runs in a thread.
        timeout_seconds, retry: of this job; None: the worker's.
        types: of the arguments by name, for those that are converted (typed jobs only).
    """

    name: str
    function: Callable[..., Any]
    timeout_seconds: float | None = None
    retry: RetryPolicy | None = None
    types: Mapping[str, Any] = field(default_factory=dict)
    is_async: bool = field(init=False)
    _signature: inspect.Signature = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        call = getattr(self.function, "__call__", None)  # noqa: B004 - a callable object's method
        is_async = inspect.iscoroutinefunction(self.function) or inspect.iscoroutinefunction(call)
        object.__setattr__(self, "is_async", is_async)
        if self.types:
            object.__setattr__(self, "_signature", inspect.signature(self.function))
        if self.timeout_seconds is not None and not self.timeout_seconds > 0:
            raise InvalidInput(f"job {self.name}: timeout_seconds must be more than 0")

    def bind(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments in the types that the job declares.

        Raises:
            BadArguments: they don't fit the signature, or a value doesn't fit its type.
        """
        if not self.types:
            return args, dict(kwargs)
        try:
            bound = self._signature.bind(None, *args, **kwargs)
        except TypeError as error:
            raise BadArguments(self.name, str(error)) from error
        for name, target in self.types.items():
            if name in bound.arguments:
                try:
                    bound.arguments[name] = codec.convert(bound.arguments[name], target)
                except msgspec.ValidationError as error:
                    raise BadArguments(self.name, f"{name}: {error}") from error
        return bound.args[1:], bound.kwargs


class Registry:
    """The jobs of one worker."""

    def __init__(self, jobs: Mapping[str, Callable[..., Any] | Job] | Iterable[Job]) -> None:
        if isinstance(jobs, Mapping):
            jobs = [
                job if isinstance(job, Job) else Job(name=name, function=job)
                for name, job in jobs.items()
            ]
        self._jobs: dict[str, Job] = {}
        for job in jobs:
            if not callable(job.function):
                raise InvalidInput(f"job {job.name!r} is not callable: {job.function!r}")
            if job.name in self._jobs:
                raise InvalidInput(f"two jobs are named {job.name!r}")
            self._jobs[job.name] = job

    def __contains__(self, name: str) -> bool:
        return name in self._jobs

    def resolve(self, name: str) -> Job:
        """The job of that name.

        Raises:
            UnknownJob: there is none.
        """
        job = self._jobs.get(name)
        if job is None:
            raise UnknownJob(name, list(self._jobs))
        return job
