"""Outcomes of attempts: made by the executor, passed to hooks, recorded by the finisher."""

from __future__ import annotations

import logging
from typing import ClassVar

import msgspec

from identtqueue.task import Failure


class Outcome(msgspec.Struct, frozen=True):
    """Outcome of an attempt. `after_task` hooks get one.

    Attributes:
        name: `succeeded`; `failed` (the task is a dead letter); `retried` (the attempt failed and
            the task runs again); `cancelled` (on request); `released` (cut off at shutdown, and
            the task is back in its queue, uncharged); `declined` (this worker cannot run the task,
            which is left to workers that can, uncharged); `disowned` (cut off because the lease of
            a queue was lost).
        log_level: level at which the worker logs the outcome.
    """

    name: ClassVar[str]
    log_level: ClassVar[int] = logging.WARNING

    @property
    def failure(self) -> Failure | None:
        """Type, message and traceback of the error, if the attempt raised one or was declined."""
        return None


class Succeeded(Outcome, frozen=True):
    """Outcome of an attempt whose job returned.

    Attributes:
        data: the encoded result.
    """

    name: ClassVar[str] = "succeeded"
    log_level: ClassVar[int] = logging.INFO
    data: bytes


class Failed(Outcome, frozen=True):
    """Outcome of a failed attempt that is not retried: the task is a dead letter."""

    name: ClassVar[str] = "failed"
    log_level: ClassVar[int] = logging.ERROR
    failure: Failure


class Retried(Outcome, frozen=True):
    """Outcome of a failed attempt whose task runs again.

    Attributes:
        failure: the error of this attempt.
        retry_seconds: delay before the next attempt.
    """

    name: ClassVar[str] = "retried"
    failure: Failure
    retry_seconds: float


class Aborted(Outcome, frozen=True):
    """Outcome of an attempt that was cancelled on request."""

    name: ClassVar[str] = "cancelled"


class Released(Outcome, frozen=True):
    """Outcome of an attempt that was cut off at shutdown: the task is requeued, uncharged."""

    name: ClassVar[str] = "released"


class Declined(Outcome, frozen=True):
    """Outcome of an attempt whose task this worker cannot run: it is left to workers that can.

    The task is not charged.

    Attributes:
        failure: the reason.
        signature: signature of the job in this worker, under which it declines the task.
    """

    name: ClassVar[str] = "declined"
    log_level: ClassVar[int] = logging.DEBUG  # the executor warns once
    failure: Failure
    signature: str


class Disowned(Outcome, frozen=True):
    """Outcome of an attempt that was cut off because the lease of a queue was lost.

    If this worker still owns the task, it is requeued.
    """

    name: ClassVar[str] = "disowned"
