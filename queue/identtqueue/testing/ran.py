"""The attempts of a run, and the error that shows those that failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from identtqueue.task import Failure

FAILED: Final = frozenset({"failed", "retried"})
"""Names of the outcomes of attempts that raised an error."""


@dataclass(frozen=True, slots=True)
class RanAttempt:
    """One attempt that has ended.

    Attributes:
        task_id: id of its task.
        job: name of the job.
        queue: queue of the task.
        attempt: number of the attempt, counted from 1.
        outcome: name of its `identtqueue.Outcome`: `succeeded`, `failed`, `retried`, …
        value: the result as plain values, if it succeeded.
        failure: the error, if it raised one.
        retry_seconds: delay before the next attempt, if it is retried.
    """

    task_id: str
    job: str
    queue: str
    attempt: int
    outcome: str
    value: Any = None
    failure: Failure | None = None
    retry_seconds: float | None = None

    def __str__(self) -> str:
        text = f"{self.job} ({self.task_id}), attempt {self.attempt}: {self.outcome}"
        if self.failure is None:
            return text
        reason = f"{self.failure.type}: {self.failure.message}"
        return f"{text}: {reason}\n{self.failure.traceback}".rstrip()


class Ran(Sequence[RanAttempt]):
    """The attempts of a run, in the order in which they ended.

    Args:
        attempts: the attempts.
    """

    def __init__(self, attempts: Iterable[RanAttempt] = ()) -> None:
        self._attempts = tuple(attempts)

    def __len__(self) -> int:
        return len(self._attempts)

    def __getitem__(self, index: Any) -> Any:
        return self._attempts[index]

    def __repr__(self) -> str:
        lines = "".join(f"\n  {attempt.job}: {attempt.outcome}" for attempt in self)
        return f"<Ran: {len(self)} attempt{'s' if len(self) != 1 else ''}{lines}>"

    @property
    def jobs(self) -> list[str]:
        """The name of the job of each attempt."""
        return [attempt.job for attempt in self]

    @property
    def outcomes(self) -> list[str]:
        """The name of the outcome of each attempt."""
        return [attempt.outcome for attempt in self]

    @property
    def failures(self) -> list[RanAttempt]:
        """The attempts that raised an error, whether their task is retried or not."""
        return [attempt for attempt in self if attempt.outcome in FAILED]

    def raise_failures(self) -> None:
        """Raise an error if an attempt has failed.

        Raises:
            JobsFailed: it shows the error of each, with its traceback.
        """
        if failures := self.failures:
            raise JobsFailed(failures)


class JobsFailed(AssertionError):
    """Attempts have failed, in a run that was asked to raise this.

    Attributes:
        attempts: the attempts that failed.
    """

    def __init__(self, attempts: Sequence[RanAttempt]) -> None:
        self.attempts = list(attempts)
        number = len(self.attempts)
        what = "1 attempt has" if number == 1 else f"{number} attempts have"
        super().__init__("\n\n".join([f"{what} failed:", *map(str, self.attempts)]))
