"""The values that describe a task, its options, its attempts and its result. No I/O.

Values that are made for each task are msgspec structs, here and elsewhere, since a struct is made
in a tenth of the time of a frozen dataclass.
"""

from __future__ import annotations

import enum
import os
import re
import string
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, Literal, TypedDict

import msgspec

from identtqueue.bounds import is_number
from identtqueue.checks import check_duration
from identtqueue.errors import (
    InvalidInput,
    InvalidQueueName,
    InvalidTaskId,
    TaskCancelled,
    TaskExpired,
    TaskFailed,
)

QUEUE_NAME: Final = re.compile(r"[a-z0-9._-]{1,63}")
LONGEST_UNIQUE_PART: Final = 255
_NOT_IN_AN_ID: Final = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"
"""Controls, line breaks, and what UTF-8 can't encode."""

NEW_PART: Final = 14
"""Characters in the unique part of a new id."""

_CHARACTERS: Final = 4 * f"{string.ascii_letters}{string.digits}-_".encode()
"""The character for each value of a random byte: each of 64 stands for four values."""

MOST_TAGS: Final = 10
LONGEST_TAG: Final = 64

OnExisting = Literal["keep", "replace", "raise"]


class State(enum.StrEnum):
    """State of a task. The transitions are in `identtqueue.protocol.states`.

    Attributes:
        SCHEDULED: the task is not due yet: it was enqueued with a delay or waits for a retry.
        PENDING: the task waits in its queue for a worker, also while its job is at a limit.
        RUNNING: a worker owns the task.
        SUCCEEDED: the task has a result.
        FAILED: the task is a dead letter: the job failed for good, the task lost too many workers,
            or no worker could run it. It can be replayed or discarded.
        CANCELLED: the task was cancelled, or did not start before its `expires_seconds`.
    """

    SCHEDULED = "scheduled"
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether the task is in a final state; a dead letter can still be replayed."""
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


def check_queue_name(name: str) -> str:
    """Check the name of a queue and return it unchanged.

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
    """Make a new id, `<queue>:<unique part>`."""
    return f"{queue}:{unique_parts(1)[0]}"


def unique_parts(number: int) -> list[str]:
    """Make the unique parts of so many new ids, each with 84 random bits in 14 characters.

    Redis keeps the id of a packed task twice; with 14 characters it takes 16 bytes there, not 32.
    """
    text = os.urandom(NEW_PART * number).translate(_CHARACTERS).decode()
    return [text[i : i + NEW_PART] for i in range(0, len(text), NEW_PART)]


def queue_of(task_id: str) -> str:
    """Return the queue that a task id belongs to, read from the id alone.

    Raises:
        InvalidTaskId: the id is not `<queue>:<unique part>`.
    """
    queue, colon, unique = task_id.partition(":") if isinstance(task_id, str) else ("", "", "")
    if not colon:
        raise InvalidTaskId(task_id, "it has no ':'")
    if not QUEUE_NAME.fullmatch(queue):
        raise InvalidTaskId(task_id, f"{queue!r} is not a queue name")
    if not is_unique_part(unique):
        raise InvalidTaskId(task_id, "its unique part breaks the rule")
    return queue


class TaskOptionKeywords(TypedDict, total=False):
    """The fields of `TaskOptions` as keyword arguments of `job.options(…)` (PEP 692)."""

    task_id: str | None
    on_existing: OnExisting
    delay_seconds: float | None
    at: datetime | None
    timeout_seconds: float | None
    max_retries: int | None
    expires_seconds: float | None
    unique_key: str | None
    unique_seconds: float
    result_ttl_seconds: float
    tags: Sequence[str]


class TaskOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of one task.

    Attributes:
        task_id: an id of your own (`order:42`, a URL). `<queue>:` is put in front of it unless it
            begins with that. Enqueueing the same id twice makes one task. Default: a random id.
        on_existing: what happens if the id is taken. `keep`: the existing task stays as it is,
            whether it waits, runs or has ended. `replace`: a task that has ended is replaced, with
            its result or dead letter; one that has not ended stays. `raise`: the enqueue raises
            TaskExists.
        delay_seconds: earliest start, counted from now.
        at: earliest start, as an aware datetime (instead of `delay_seconds`).
        timeout_seconds: how long one attempt may run. Default: the job's, then the worker's.
        max_retries: how often a failed task runs again. Default: the job's, then the worker's.
        expires_seconds: the task is dropped (TaskExpired) unless it starts within this time.
        unique_key: at most one unfinished task of the queue holds this key. A second enqueue
            returns the id of the first task.
        unique_seconds: how long `unique_key` is held at most. Default: 24 h.
        result_ttl_seconds: how long the result can be read. Default: 1 h.
        tags: words by which the task is found in lists, such as `tenant:42`: at most 10, each of at
            most 64 characters on one line.

    Raises:
        InvalidInput: an option breaks a rule.
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
    tags: Sequence[str] = ()

    def __post_init__(self) -> None:
        self._check_words()
        if self.tags:
            self._check_tags()
        if self.delay_seconds is not None and self.at is not None:
            raise InvalidInput("give delay_seconds or at, not both")
        if not (self.at is None or _is_aware(self.at)):
            raise InvalidInput("at must be an aware datetime: datetime.now(timezone.utc) + …")
        if not (self.max_retries is None or is_number(self.max_retries, int)):
            raise InvalidInput(
                f"max_retries={self.max_retries!r}: must be a whole number, 0 or more"
            )
        if not (self.delay_seconds is None or is_number(self.delay_seconds)):
            raise InvalidInput(f"delay_seconds={self.delay_seconds!r}: must be 0 to 100 years")
        for name in ("timeout_seconds", "expires_seconds"):
            if (value := getattr(self, name)) is not None:
                check_duration(name, value)
        for name in ("unique_seconds", "result_ttl_seconds"):
            check_duration(name, getattr(self, name))

    def _check_tags(self) -> None:
        listed = isinstance(self.tags, Sequence) and not isinstance(self.tags, str | bytes)
        if not (listed and len(self.tags) <= MOST_TAGS and all(map(_is_tag, self.tags))):
            raise InvalidInput(
                f"tags={self.tags!r}: give a list of at most {MOST_TAGS} texts, each of 1 to "
                f"{LONGEST_TAG} characters without control characters and line breaks"
            )
        msgspec.structs.force_setattr(self, "tags", tuple(dict.fromkeys(self.tags)))

    def _check_words(self) -> None:
        if not (self.task_id is None or isinstance(self.task_id, str)):
            raise InvalidTaskId(self.task_id, "it is not text")
        if self.on_existing not in ("keep", "replace", "raise"):
            raise InvalidInput(f"on_existing={self.on_existing!r}: must be keep, replace or raise")
        if not (self.unique_key is None or is_unique_part(self.unique_key)):
            raise InvalidInput(
                f"unique_key={self.unique_key!r}: must be 1 to 255 characters without control "
                "characters and line breaks"
            )


OPTION_NAMES: Final = frozenset(TaskOptions.__struct_fields__)


def _is_aware(value: object) -> bool:
    return isinstance(value, datetime) and value.utcoffset() is not None


def _is_tag(value: object) -> bool:
    return is_unique_part(value) and len(str(value)) <= LONGEST_TAG


def is_unique_part(value: object) -> bool:
    """Return whether this can be the unique part of a task id.

    That is any text of 1 to 255 characters on one line that can be encoded as UTF-8.
    """
    if not (isinstance(value, str) and 0 < len(value) <= LONGEST_UNIQUE_PART):
        return False
    # What is printable may be in an id; so the pattern is rarely needed, and compiled late.
    return value.isprintable() or not re.search(_NOT_IN_AN_ID, value)


class Failure(msgspec.Struct, frozen=True):
    """The reason why an attempt failed; callers see it as TaskFailed."""

    type: str
    message: str
    traceback: str = ""


class Task(msgspec.Struct, frozen=True):
    """A task as it is enqueued: the content of its envelope."""

    function_name: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = msgspec.field(default_factory=dict)
    timeout_seconds: float | None = None
    max_retries: int | None = None


class Attempt(msgspec.Struct, frozen=True):
    """One execution of a task, as a worker claimed it.

    Attributes:
        number: counts the claims of the task. Redis accepts a report only under this number and
            from this worker.
        failures: how many attempts have failed before.
        losses: how many attempts have lost their worker before.
        waited_ms: how long the task was pending.
        payload: the envelope.
        fencing_token: a token for the job's own writes; see `Context`.
        alone: True for a suspect, a task that may have killed workers: nothing else may run beside
            it in this worker.
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
    """The end of a task: with a `value` if it succeeded, else with a `failure`."""

    task_id: str
    state: State
    value: Any = None
    failure: Failure | None = None

    def unwrap(self) -> Any:
        """Return the value of a task that succeeded.

        Raises:
            TaskFailed, TaskCancelled, TaskExpired: the task ended without a value.
        """
        if self.state is State.SUCCEEDED:
            return self.value
        failure = self.failure
        assert failure is not None
        if self.state is State.FAILED:
            raise TaskFailed(self.task_id, failure.type, failure.message, failure.traceback)
        raise (TaskExpired if failure.type == "Expired" else TaskCancelled)(self.task_id)


class Progress(msgspec.Struct, frozen=True):
    """A value that a job reported; `number` counts the values of one attempt."""

    attempt: int
    number: int
    value: Any

    def is_newer_than(self, other: Progress | None) -> bool:
        """Return whether it was reported after the other value."""
        return other is None or (self.attempt, self.number) > (other.attempt, other.number)


class TaskInfo(msgspec.Struct, frozen=True):
    """All that is known of a task. Times are Redis time, in ms since 1970; None: not yet.

    Attributes:
        task_id: `<queue>:<unique part>`.
        queue: the queue it was enqueued in.
        state: its state; FAILED means that it is a dead letter.
        function_name: the name of its job.
        attempt: the number of the last attempt, which is how often it was started; 0: never.
        failures: how many attempts have failed. A replay resets it to 0.
        losses: how many attempts have lost their worker. A replay resets it to 0.
        enqueued_at_ms: when it was enqueued.
        started_at_ms, finished_at_ms: when the last attempt started; when the task ended.
        owner: the worker incarnation that claimed it last.
        failure: why the last attempt failed, or why the task was cancelled; None: neither.
        progress: the latest value that the last attempt reported; None: it has reported nothing.
        fencing_token: the token of the last attempt, see `Context`; None: it was never started.
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
