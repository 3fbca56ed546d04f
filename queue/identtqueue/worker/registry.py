"""Name -> job: what a worker can run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from identtqueue.errors import BadArguments, InvalidInput, NotSerializable, UnknownJob
from identtqueue.limits import JobLimits, RateLimit
from identtqueue.protocol.conversion import Conversion, conversions
from identtqueue.retry import RetryPolicy
from identtqueue.signature import Parameters, RunIn, check_job, is_async, place
from identtqueue.worker.job_hash import signature_hash
from identtqueue.worker.reference import reference_to
from identtqueue.worker.shelves import ENVELOPE_SIGNATURE, UNKNOWN_JOB


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A function that tasks call.

    Attributes:
        name: what callers say.
        function: `async def f(ctx, …)` or a plain `def`. If a plain one returns an awaitable (a
            decorator around an async function, a lambda), that is awaited.
        run_in: None: "loop" if the function is async, else "thread". A plain function can't run in
            the loop, which it would block (unless it wraps an async one), nor an async one in a
            thread; both run in a "process".
        timeout_seconds, retry: of this job; None: the worker's.
        max_running, rate_limit: how many of its tasks run at the same time, and how often one
            starts: in each queue, all workers together. None: no limit. See `JobLimits`.
        types: of the arguments by name, for those that are converted (typed jobs only).
    """

    name: str
    function: Callable[..., Any]
    run_in: RunIn | None = None
    timeout_seconds: float | None = None
    retry: RetryPolicy | None = None
    max_running: int | None = None
    rate_limit: RateLimit | None = None
    types: Mapping[str, Any] = field(default_factory=dict)
    is_async: bool = field(init=False)
    reference: str | None = field(init=False, default=None)
    limits: JobLimits = field(init=False, repr=False)
    _parameters: Parameters = field(init=False, repr=False, compare=False)
    _conversions: Mapping[str, Conversion] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_job(self.name, self.function, self.timeout_seconds, self.retry)
        object.__setattr__(self, "is_async", is_async(self.function))
        if self.types:
            object.__setattr__(self, "_parameters", Parameters(self.name, self.function))
            object.__setattr__(self, "_conversions", conversions(self.name, self.types))
        run_in = place(self.name, self.function, self.run_in)
        object.__setattr__(self, "run_in", run_in)
        if run_in == "process":
            reference = reference_to(f"job {self.name}", self.function)
            object.__setattr__(self, "reference", reference)
        limits = JobLimits(max_running=self.max_running, rate_limit=self.rate_limit)
        object.__setattr__(self, "limits", limits)

    def takes(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
        """Why the function can't be called with these arguments; None: it can."""
        try:
            Parameters(self.name, self.function).check(args, kwargs)
        except InvalidInput as error:
            return str(error).removeprefix(f"{self.name}: ")
        return None

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
            self._parameters.check(args, kwargs)
            places = zip(args, self._parameters.by_place, strict=False)
            converted = [self._converted(name, value) for value, name in places]
            by_name = {name: self._converted(name, value) for name, value in kwargs.items()}
        except InvalidInput as error:
            raise BadArguments(self.name, str(error).removeprefix(f"{self.name}: ")) from None
        return (*converted, *args[len(converted) :]), by_name

    def _converted(self, name: str, value: Any) -> Any:
        conversion = self._conversions.get(name)
        if conversion is None:
            return value
        try:
            return conversion.convert(value)
        except NotSerializable as error:
            raise InvalidInput(f"{name}: {error}") from None


class Registry:
    """The jobs of one worker."""

    def __init__(self, jobs: Mapping[str, Callable[..., Any] | Job] | Iterable[Job]) -> None:
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
                    f"jobs: {job!r} is no Job: give names, as in {{'read_mrz': read_mrz}}, or "
                    "Job(name='read_mrz', function=read_mrz)"
                )
            if job.name in self._jobs:
                raise InvalidInput(f"two jobs are named {job.name!r}")
            self._jobs[job.name] = job

    def __contains__(self, name: str) -> bool:
        return name in self._jobs

    def in_processes(self) -> list[Job]:
        """The jobs that run in processes of their own."""
        return [job for job in self._jobs.values() if job.run_in == "process"]

    @property
    def limits(self) -> Mapping[str, JobLimits]:
        """Of each job, of one without limits too: it may have had some."""
        return {name: job.limits for name, job in self._jobs.items()}

    def signature(self, name: str) -> str:
        """What this worker knows of a job: another one may take other arguments."""
        job = self._jobs.get(name)
        if job is None:
            return UNKNOWN_JOB
        if name not in self._signatures:  # seldom needed, and not cheap
            self._signatures[name] = signature_hash(job.function, job.types)
        return self._signatures[name]

    def may_run(self, name: str, declined_by: frozenset[str]) -> bool:
        """Whether this worker may run a job's tasks that these signatures have declined."""
        return name in self._jobs and not declined_by & {self.signature(name), ENVELOPE_SIGNATURE}

    def resolve(self, name: str) -> Job:
        """The job of that name.

        Raises:
            UnknownJob: there is none.
        """
        job = self._jobs.get(name)
        if job is None:
            raise UnknownJob(name, list(self._jobs))
        return job
