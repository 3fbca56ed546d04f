"""Observers: tools that monitor all workers of a process, such as Sentry.

A hook belongs to one worker, gets a description of an error and may be async. An observer belongs
to the process, gets the exception itself, and encloses each attempt, so that it can keep apart what
the attempts do. No error of an observer harms an attempt.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Final, Protocol

from identtqueue.task import Attempt, Task
from identtqueue.worker.attempt_log import fields_of, log_about
from identtqueue.worker.outcome import Outcome

logger = logging.getLogger(__name__)


class Observer(Protocol):
    """The interface of an observer. Both methods are called in the worker's event loop."""

    def around(self, fields: dict[str, Any]) -> AbstractContextManager[Any]:
        """Return a context manager that encloses an attempt, in its own asyncio task.

        Args:
            fields: `task_id`, `job`, `queue` and `attempt`.
        """
        ...

    def failed(
        self, attempt: Attempt, task: Task | None, outcome: Outcome, error: BaseException
    ) -> None:
        """Take note of an attempt that has failed, whether or not it is retried.

        Args:
            attempt: the attempt.
            task: the task; None: its payload can't be read.
            outcome: `failed`, `retried` or `declined`.
            error: what was raised. For a job in a process it is a `RaisedElsewhere`. Keep no
                reference to it: its frames refer to the data of the job.
        """
        ...


OBSERVERS: Final[list[Observer]] = []
"""The observers of this process."""


@contextmanager
def observed(attempt: Attempt) -> Iterator[None]:
    """Enclose an attempt in what the observers want around it."""
    with ExitStack() as stack:
        for observer in OBSERVERS:
            try:
                stack.enter_context(observer.around(fields_of(attempt)))
            except Exception as error:  # noqa: BLE001 - see the module's docstring
                _log(attempt, error)
        yield


def report(attempt: Attempt, task: Task | None, outcome: Outcome, error: BaseException) -> None:
    """Report a failed attempt to all observers."""
    for observer in OBSERVERS:
        try:
            observer.failed(attempt, task, outcome, error)
        except Exception as broken:  # noqa: BLE001 - see the module's docstring
            _log(attempt, broken)


def _log(attempt: Attempt, error: Exception) -> None:
    log_about(logger, logging.WARNING, attempt, "an observer failed", error=error)
