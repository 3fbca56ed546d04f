"""What a task is: frozen values, without any I/O.

Values that are made for each task are msgspec structs, here and elsewhere: one is made in a tenth
of the time that a frozen dataclass takes.
"""

from __future__ import annotations

import enum
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec

from identtqueue.checks import check_duration
from identtqueue.errors import (
    InvalidInput,
    InvalidQueueName,
    InvalidTaskId,
    TaskCancelled,
    TaskExpired,
    TaskFailed,
    is_number,
)

QUEUE_NAME: Final = re.compile(r"[a-z0-9._-]{1,63}")
LONGEST_UNIQUE_PART: Final = 255
UNIQUE_PART: Final = re.compile(
    rf"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{{1,{LONGEST_UNIQUE_PART}}}"
)
"""An id of the caller's own: any text on one line that UTF-8 can carry."""

OnExisting = Literal["keep", "replace", "raise"]


class State(enum.StrEnum):
    """Where a task is. The transitions are in `identtqueue.protocol.states`.

    Attributes:
        SCHEDULED: its time has not come: it was enqueued with a delay, or waits for a retry.
        PENDING: it waits in its queue for a worker; also while its job is at a limit.
        RUNNING: a worker owns it.
        SUCCEEDED: it has a result.
        FAILED: it is a dead letter: the job failed for good, or the task cost too many workers.
            It can be replayed or discarded.
        CANCELLED: it was cancelled, or did not start before its `expires_seconds`.
    """

    SCHEDULED = "scheduled"
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing happens to the task any more (a dead letter can be replayed)."""
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


def check_queue_name(name: str) -> str:
    """Return the name as it is.

    Raises:
        InvalidQueueName: it is not `[a-z0-9._-]{1,63}`.
    """
    if not isinstance(name, str) or not _is_queue_name(name):
        raise InvalidQueueName(name)
    return name


@lru_cache(maxsize=4096)
def _is_queue_name(name: str) -> bool:
    return QUEUE_NAME.fullmatch(name) is not None


def new_task_id(queue: str) -> str:
    """A fresh id `<queue>:<unique part>`, 96 random bits."""
    return f"{queue}:{os.urandom(12).hex()}"


def queue_of(task_id: str) -> str:
    """The queue an id belongs to, read from the id alone.

    Raises:
        InvalidTaskId: the id is not `<queue>:<unique part>`.
    """
    queue, colon, unique = task_id.partition(":") if isinstance(task_id, str) else ("", "", "")
    if not colon:
        raise InvalidTaskId(task_id, "it has no ':'")
    if not QUEUE_NAME.fullmatch(queue):
        raise InvalidTaskId(task_id, f"{queue!r} is no queue name")
    if not UNIQUE_PART.fullmatch(unique):
        raise InvalidTaskId(task_id, "its unique part breaks the rule")
    return queue


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """How one task is to be run.

    Attributes:
        task_id: an id of your own (`order:42`, a URL); `<queue>:` is put in front of it unless it
            begins with that. Enqueueing one id twice is one task. Default: random.
        on_existing: what happens if the id is taken. `keep`: the existing task stays as it is,
            whether it waits, runs or has ended. `replace`: a task that has ended (its result or
            its dead letter) makes room for the new one; one that has not ended stays. `raise`:
            TaskExists.
        delay_seconds: earliest start, from now.
        at: earliest start, as an aware datetime (instead of `delay_seconds`).
        timeout_seconds: longest run of one attempt; default: the job's, then the worker's.
        max_retries: how often a failed run is repeated; default: the job's, then the worker's.
        expires_seconds: dropped (TaskExpired) unless it has started by then.
        unique_key: at most one unfinished task of the queue has this key; a second enqueue
            returns the first one's id.
        unique_seconds: longest time that `unique_key` is held. Default 24 h.
        result_ttl_seconds: how long the result can be read. Default 1 h.
    """

    task_id: str | None = None
    on_existing: OnExisting = "keep"
    delay_seconds: float | None = None
    at: datetime | None = None
    timeout_seconds: float | None = None
    max_retries: int | None = None
    expires_seconds: float | None = None
    unique_key: str | None = None
    unique_seconds: float = 86_400
    result_ttl_seconds: float = 3_600

    def __post_init__(self) -> None:
        self._check_words()
        if self.delay_seconds is not None and self.at is not None:
            raise InvalidInput("give delay_seconds or at, not both")
        if not (self.at is None or _is_aware(self.at)):
            raise InvalidInput("at must be an aware datetime: datetime.now(timezone.utc) + …")
        if not (self.max_retries is None or is_number(self.max_retries, int)):
            raise InvalidInput(f"max_retries={self.max_retries!r}: must be a number, 0 or more")
        if not (self.delay_seconds is None or is_number(self.delay_seconds)):
            raise InvalidInput(f"delay_seconds={self.delay_seconds!r}: must be 0 to 100 years")
        for name in ("timeout_seconds", "expires_seconds"):
            if (value := getattr(self, name)) is not None:
                check_duration(name, value)
        for name in ("unique_seconds", "result_ttl_seconds"):
            check_duration(name, getattr(self, name))

    def _check_words(self) -> None:
        if not (self.task_id is None or isinstance(self.task_id, str)):
            raise InvalidTaskId(self.task_id, "it is no text")
        if self.on_existing not in ("keep", "replace", "raise"):
            raise InvalidInput(f"on_existing={self.on_existing!r}: must be keep, replace or raise")
        if not (self.unique_key is None or _is_unique_part(self.unique_key)):
            raise InvalidInput(
                f"unique_key={self.unique_key!r}: must be 1 to 255 characters without control "
                "characters and line breaks"
            )


OPTION_NAMES: Final = frozenset(entry.name for entry in fields(TaskOptions))


def _is_aware(value: object) -> bool:
    return isinstance(value, datetime) and value.utcoffset() is not None


def _is_unique_part(value: object) -> bool:
    return isinstance(value, str) and UNIQUE_PART.fullmatch(value) is not None


class Failure(msgspec.Struct, frozen=True):
    """Why an attempt failed: what the caller is shown as TaskFailed."""

    type: str
    message: str
    traceback: str = ""


class Task(msgspec.Struct, frozen=True):
    """A task as it is enqueued: the content of the envelope."""

    function_name: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = msgspec.field(default_factory=dict)
    timeout_seconds: float | None = None
    max_retries: int | None = None


class Attempt(msgspec.Struct, frozen=True):
    """One execution, as claimed by a worker.

    Attributes:
        number: counts the claims of the task. With the worker's id it is what Redis checks a
            report against.
        fencing_token: for the job's own writes; see `Context`.
        alone: the task may be what has killed workers: nothing else may run beside it.
    """

    task_id: str
    queue: str
    number: int
    failures: int
    losses: int
    enqueued_at_ms: int
    started_at_ms: int
    waited_ms: int
    payload: bytes
    fencing_token: int
    alone: bool = False


class Result(msgspec.Struct, frozen=True):
    """How a task ended: `value` if it succeeded, else `failure`."""

    task_id: str
    state: State
    value: Any = None
    failure: Failure | None = None

    def unwrap(self) -> Any:
        """The value, if it succeeded.

        Raises:
            TaskFailed, TaskCancelled, TaskExpired: how it ended instead.
        """
        if self.state is State.SUCCEEDED:
            return self.value
        failure = self.failure
        assert failure is not None
        if self.state is State.FAILED:
            raise TaskFailed(self.task_id, failure.type, failure.message, failure.traceback)
        raise (TaskExpired if failure.type == "Expired" else TaskCancelled)(self.task_id)


class Progress(msgspec.Struct, frozen=True):
    """A value that a job reported; `number` grows with each that is sent in an attempt."""

    attempt: int
    number: int
    value: Any

    def is_newer_than(self, other: Progress | None) -> bool:
        """Whether it was reported after the other one."""
        return other is None or (self.attempt, self.number) > (other.attempt, other.number)


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """All that is known of a task. Times are Redis time, in ms since 1970; None: not yet.

    Attributes:
        task_id: `<queue>:<unique part>`.
        queue: where it was enqueued.
        state: where it is; FAILED means a dead letter.
        function_name: the job that it calls.
        attempt: how often it was started: the number of the last attempt; 0: never.
        failures: attempts whose job failed. A replay begins again at 0, as for `losses`.
        losses: attempts whose worker was lost.
        enqueued_at_ms: when the caller enqueued it.
        started_at_ms, finished_at_ms: when the last attempt began; when the task ended.
        owner: the worker (incarnation) that took it last.
        failure: why the last attempt failed, or why the task was cancelled; None: it was not.
        progress: the latest value that the last attempt reported; None: it reported nothing (yet).
        fencing_token: of the last attempt, see `Context`; None: it was never started.
    """

    task_id: str
    queue: str
    state: State
    function_name: str
    attempt: int
    failures: int
    losses: int
    enqueued_at_ms: int
    started_at_ms: int | None
    finished_at_ms: int | None
    owner: str | None
    failure: Failure | None
    progress: Any = None
    fencing_token: int | None = None
