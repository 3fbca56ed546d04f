"""How an attempt ended: made by the executor, told to hooks, recorded by the finisher."""

from __future__ import annotations

import logging
from typing import ClassVar

import msgspec

from identtqueue.task import Failure


class Outcome(msgspec.Struct, frozen=True):
    """How an attempt ended. `after_task` hooks are handed one.

    Attributes:
        name: `succeeded`; `failed` (a dead letter); `retried` (it failed and runs again);
            `cancelled`; `released` (cut off at shutdown: back to its queue, uncharged);
            `declined` (this worker cannot run it: it goes to those that can, uncharged);
            `disowned` (cut off because the lease of a queue was lost).
        log_level: at which the worker logs it.
    """

    name: ClassVar[str]
    log_level: ClassVar[int] = logging.WARNING

    @property
    def failure(self) -> Failure | None:
        """Why, if it failed (or is retried): type, message and traceback."""
        return None


class Succeeded(Outcome, frozen=True):
    """The encoded result."""

    name: ClassVar[str] = "succeeded"
    log_level: ClassVar[int] = logging.INFO
    data: bytes


class Failed(Outcome, frozen=True):
    """For good: a dead letter."""

    name: ClassVar[str] = "failed"
    log_level: ClassVar[int] = logging.ERROR
    failure: Failure


class Retried(Outcome, frozen=True):
    """It failed, and runs again after so many seconds."""

    name: ClassVar[str] = "retried"
    failure: Failure
    retry_seconds: float


class Cancelled(Outcome, frozen=True):
    """It was cancelled on request."""

    name: ClassVar[str] = "cancelled"


class Released(Outcome, frozen=True):
    """It was cut off at shutdown and goes back to the queue, uncharged."""

    name: ClassVar[str] = "released"


class Declined(Outcome, frozen=True):
    """This worker cannot run it: it goes to those that can, uncharged.

    Attributes:
        failure: why not.
        signature: what this worker knows of the job.
    """

    name: ClassVar[str] = "declined"
    log_level: ClassVar[int] = logging.DEBUG  # the executor warns once
    failure: Failure
    signature: str


class Disowned(Outcome, frozen=True):
    """It was cut off because the lease of a queue was lost; what is still ours goes back."""

    name: ClassVar[str] = "disowned"
