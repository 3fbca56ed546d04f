"""The jobs that a worker can run, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Final

import msgspec
from msgspec import structs

from identtqueue.errors import BadArguments, InvalidInput, NotSerializable, UnknownJob
from identtqueue.job_options import JobOptions
from identtqueue.limits import JobLimits
from identtqueue.protocol.conversion import Conversion, conversions
from identtqueue.redaction import RedactFunction, hidden_names
from identtqueue.signature import Parameters, is_async, known_types, module_of, place
from identtqueue.worker.context import JobFunction
from identtqueue.worker.job_hash import signature_hash
from identtqueue.worker.reference import reference_to
from identtqueue.worker.shelves import ENVELOPE_SIGNATURE, UNKNOWN_JOB

MOST_SHAPES: Final = 256
"""Upper bound for the shapes of calls that a job remembers: the classes of their arguments, and the
names of those given by keyword."""


class Job(JobOptions, frozen=True, kw_only=True, dict=True):
    """A function that tasks call, with its options.

    Attributes:
        name: name under which callers enqueue its tasks.
        function: `async def f(ctx, …)` or a plain `def`. If a plain function returns an awaitable
            (a decorator around an async function, a lambda), that is awaited.
        types: declared types of the arguments to convert, by name (typed jobs only).

    The other options are those of `JobOptions`. `run_in` is never None here.
    """

    name: str
    function: JobFunction
    types: Mapping[str, Any] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        self.check(self.name, self.function)
        run_in = place(self.name, self.function, self.run_in)
        structs.force_setattr(self, "run_in", run_in)
        if self.types:  # an error in the declaration is raised here, not by the first task
            _ = self._parameters, self._conversions
        _ = self.reference

    @cached_property
    def is_async(self) -> bool:
        """Whether a call of the function gives a coroutine."""
        return is_async(self.function)

    @cached_property
    def reference(self) -> str | None:
        """How a process finds the function; None: the job runs in no process."""
        if self.run_in != "process":
            return None
        return reference_to(f"job {self.name}", self.function)

    @cached_property
    def _parameters(self) -> Parameters:
        return Parameters(self.name, self.function)

    @cached_property
    def _conversions(self) -> Mapping[str, Conversion]:
        return conversions(self.name, self.types)

    @cached_property
    def _plain_shapes(self) -> set[tuple[object, ...]]:
        return set()

    def declaration(self, redact: frozenset[str] | RedactFunction) -> Mapping[str, Any]:
        """Describe what is declared about the job in Redis: see `JobInfo`.

        Args:
            redact: what the application hides, from `check_redact`.
        """
        timeout = self.timeout_seconds
        return {
            "parameters": Parameters(self.name, self.function).names,
            "hidden": hidden_names(redact, self.types or known_types(self.name, self.function)),
            "module": module_of(self.function),
            "timeout_ms": None if timeout is None else round(timeout * 1000),
        }

    def takes(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
        """Check arguments: return why the function can't be called with them; None: it can."""
        try:
            Parameters(self.name, self.function).check(args, kwargs)
        except InvalidInput as error:
            return str(error).removeprefix(f"{self.name}: ")
        return None

    def bind(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
        """Convert arguments to the types that the job declares.

        This is done for each attempt, and nearly always there is nothing to convert: the classes of
        the arguments are those of a call that fitted before.

        Args:
            args: positional arguments of the task.
            kwargs: keyword arguments of the task.

        Returns:
            Positional and keyword arguments for the function.

        Raises:
            BadArguments: they don't fit the signature, or a value doesn't fit its declared type.
        """
        if not self.types:
            return args, kwargs
        shape: tuple[object, ...] = tuple(map(type, args))
        if kwargs:
            shape = (*shape, *kwargs, *map(type, kwargs.values()))
        if shape in self._plain_shapes:
            return args, kwargs
        try:
            self._parameters.check(args, kwargs)
            places = zip(args, self._parameters.by_place, strict=False)
            converted = [self._converted(name, value) for value, name in places]
            by_name = {name: self._converted(name, value) for name, value in kwargs.items()}
        except InvalidInput as error:
            raise BadArguments(self.name, str(error).removeprefix(f"{self.name}: ")) from None
        if len(self._plain_shapes) < MOST_SHAPES and self._are_plain(args, kwargs):
            self._plain_shapes.add(shape)
        return (*converted, *args[len(converted) :]), by_name

    def _are_plain(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Return whether the classes of arguments show that none of them is to be converted."""
        named = (*zip(self._parameters.by_place, args, strict=False), *kwargs.items())
        found = ((self._conversions.get(name), value) for name, value in named)
        return all(
            conversion is None or conversion.keeps(type(value)) for conversion, value in found
        )

    def _converted(self, name: str, value: Any) -> Any:
        conversion = self._conversions.get(name)
        if conversion is None:
            return value
        try:
            return conversion.convert(value)
        except NotSerializable as error:
            raise InvalidInput(f"{name}: {error}") from None


class Registry:
    """The jobs of one worker.

    Args:
        jobs: functions or jobs by name, or a list of jobs.

    Raises:
        InvalidInput: an entry is not a job, or two jobs have the same name.
    """

    def __init__(self, jobs: Mapping[str, JobFunction | Job] | Iterable[Job]) -> None:
        if isinstance(jobs, Mapping):
            jobs = [
                job if isinstance(job, Job) else Job(name=name, function=job)
                for name, job in jobs.items()
            ]
        self._jobs: dict[str, Job] = {}
        self._signatures: dict[str, str] = {}
        for job in jobs:
            if not isinstance(job, Job):
                raise InvalidInput(
                    f"jobs: {job!r} is not a Job: give names, as in {{'read_mrz': read_mrz}}, or "
                    "Job(name='read_mrz', function=read_mrz)"
                )
            if job.name in self._jobs:
                raise InvalidInput(f"two jobs are named {job.name!r}")
            self._jobs[job.name] = job

    def __contains__(self, name: str) -> bool:
        return name in self._jobs

    def in_processes(self) -> list[Job]:
        """List the jobs that run in processes."""
        return [job for job in self._jobs.values() if job.run_in == "process"]

    @property
    def limits(self) -> Mapping[str, JobLimits]:
        """Limits of each job by name. Jobs without limits are included: they may have had some."""
        return {name: job.limits for name, job in self._jobs.items()}

    def declarations(
        self, redact: frozenset[str] | RedactFunction
    ) -> Mapping[str, Mapping[str, Any]]:
        """Describe what this worker declares about its jobs, for those who look at its queues.

        Args:
            redact: what the application hides, from `check_redact`.
        """
        return {name: job.declaration(redact) for name, job in self._jobs.items()}

    def signature(self, name: str) -> str:
        """Return the signature of a job here. In other workers the job may take other arguments."""
        job = self._jobs.get(name)
        if job is None:
            return UNKNOWN_JOB
        if name not in self._signatures:  # rarely needed and expensive, so made on demand
            self._signatures[name] = signature_hash(job.function, job.types)
        return self._signatures[name]

    def may_run(self, name: str, declined_by: frozenset[str]) -> bool:
        """Return whether this worker may run tasks of a job that these signatures have declined."""
        return name in self._jobs and not declined_by & {self.signature(name), ENVELOPE_SIGNATURE}

    def resolve(self, name: str) -> Job:
        """Find a job by name.

        Raises:
            UnknownJob: this worker has no job of that name.
        """
        job = self._jobs.get(name)
        if job is None:
            raise UnknownJob(name, list(self._jobs))
        return job
