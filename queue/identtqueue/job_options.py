"""The options of a job: `@app.task(…)` takes them, and `Job` has them as fields.

A new option is declared here and nowhere else: in `JobOptions`, which checks it, and in
`JobKeywords`, from which type checkers and editors know the keyword arguments of `@app.task`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict, cast

import msgspec

from identtqueue.checks import check_duration, check_function_name
from identtqueue.errors import InvalidInput
from identtqueue.limits import JobLimits, RateLimit
from identtqueue.retry import RetryPolicy
from identtqueue.signature import RunIn, check_function, place


class JobKeywords(TypedDict, total=False):
    """The fields of `JobOptions` as keyword arguments of a signature (PEP 692)."""

    run_in: RunIn | None
    timeout_seconds: float | None
    retry: RetryPolicy | None
    max_running: int | None
    rate_limit: RateLimit | None


class JobOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a job.

    Attributes:
        run_in: where the function runs. None: in the "loop" if it is async, otherwise in a
            "thread". A plain function can't run in the loop, because it would block it, unless it
            wraps an async one, or declares "inline": that it never blocks. Then it is called in the
            loop, without the way to a thread and back. An async function can't run in a thread.
            Both can run in a "process".
        timeout_seconds: longest run of one attempt; None: as set for the worker.
        retry: retry policy of the job; None: as set for the worker.
        max_running: how many tasks of the job may run at the same time, in each queue and over all
            workers; None: no limit. See `JobLimits`.
        rate_limit: how often a task of the job may start, in each queue and over all workers; None:
            no limit. See `JobLimits`.
    """

    run_in: RunIn | None = None
    timeout_seconds: float | None = None
    retry: RetryPolicy | None = None
    max_running: int | None = None
    rate_limit: RateLimit | None = None

    def check(self, name: str, function: Callable[..., Any]) -> None:
        """Check the declaration of a job with these options, in an app or in a worker.

        Args:
            name: name of the job.
            function: the job's function.

        Raises:
            InvalidInput: the name, the function or an option breaks a rule, or the function can't
                run where `run_in` says.
        """
        check_function_name(name)
        check_function(name, function)
        if self.timeout_seconds is not None:
            check_duration(f"job {name}: timeout_seconds", self.timeout_seconds)
        if not (self.retry is None or isinstance(self.retry, RetryPolicy)):
            raise InvalidInput(f"job {name}: retry={self.retry!r}: give RetryPolicy(max_retries=3)")
        place(name, function, self.run_in)
        _ = self.limits

    @property
    def limits(self) -> JobLimits:
        """The limits among the options.

        Raises:
            InvalidInput: one of them breaks a rule.
        """
        return JobLimits(max_running=self.max_running, rate_limit=self.rate_limit)

    def as_keywords(self) -> JobKeywords:
        """Return the options as keyword arguments, for the signature of another declaration."""
        named = {option: getattr(self, option) for option in JobOptions.__struct_fields__}
        return cast("JobKeywords", named)
