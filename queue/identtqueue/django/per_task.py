"""The options of idenTTqueue for one task of Django: retries, time-out, limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypedDict, TypeVar, Unpack

from identtqueue.errors import InvalidInput
from identtqueue.job_options import JobOptions
from identtqueue.limits import RateLimit
from identtqueue.retry import RetryPolicy

F = TypeVar("F", bound=Callable[..., Any])

_ATTRIBUTE: Final = "identtqueue_job_options"


class DjangoJobKeywords(TypedDict, total=False):
    """The options as keyword arguments. They are those of `JobOptions`, without `run_in`."""

    max_retries: int
    retry: RetryPolicy
    timeout_seconds: float
    max_running: int
    rate_limit: RateLimit


def job_options(**options: Unpack[DjangoJobKeywords]) -> Callable[[F], F]:
    """Set options of the job of a task. Put it below `@task`.

    ::

        @task(queue_name="emails")
        @job_options(max_retries=5, timeout_seconds=30)
        def email_users(emails, subject, message): ...

    Args:
        **options: `max_retries` or `retry`, `timeout_seconds`, `max_running` and `rate_limit`; see
            `JobOptions`.

    Raises:
        InvalidInput: an option is unknown or breaks a rule, or what is decorated is no function.
    """
    found: dict[str, Any] = dict(options)
    if unknown := sorted(set(found) - set(DjangoJobKeywords.__annotations__)):
        raise InvalidInput(
            f"job_options has no {', '.join(map(repr, unknown))}; it has: "
            f"{', '.join(DjangoJobKeywords.__annotations__)}"
        )
    if (max_retries := found.pop("max_retries", None)) is not None:
        if "retry" in found:
            raise InvalidInput("give max_retries or retry, not both")
        found["retry"] = RetryPolicy(max_retries=max_retries)
    made = JobOptions(**found)
    made.check("task", lambda ctx: None)  # noqa: ARG005 - any function: the options are checked

    def decorate(function: F) -> F:
        if not hasattr(function, "__code__"):
            raise InvalidInput(
                f"job_options decorates a function, not {function!r}: put it below @task"
            )
        setattr(function, _ATTRIBUTE, made)
        return function

    return decorate


def options_of(function: Callable[..., Any]) -> JobOptions:
    """Return the options that a function was decorated with."""
    found = getattr(function, _ATTRIBUTE, None)
    return found if isinstance(found, JobOptions) else JobOptions()
