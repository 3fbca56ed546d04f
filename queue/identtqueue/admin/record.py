"""One task whole: its call, its result, its attempts, and the tasks that it is related to."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from msgspec import structs

from identtqueue.errors import PayloadUndecodable, TaskNotFound
from identtqueue.protocol import codec
from identtqueue.protocol.calls.listing import Place
from identtqueue.protocol.calls.record import KeptTask, PastAttempt, record
from identtqueue.redaction import ALL, HIDDEN, RedactFunction, ask_application, hide, hide_arguments
from identtqueue.task import Failure, State, Task, TaskInfo, TaskOptions
from identtqueue.transport.connection import AsyncRedis

_RESULT_TTL_SECONDS: Final = TaskOptions().result_ttl_seconds

_PLACES: Final = {
    State.SCHEDULED: Place.SCHEDULED,
    State.PENDING: Place.PENDING,
    State.RUNNING: Place.RUNNING,
    State.SUCCEEDED: Place.ENDED,
    State.FAILED: Place.DEAD,
    State.CANCELLED: Place.ENDED,
}


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One attempt of a task. Times are Redis time.

    Attributes:
        number: number of the attempt.
        worker: the worker incarnation that ran it.
        pod: its pod, or its host; None: it is not known.
        started_at_ms: when it started, in ms since 1970.
        waited_ms: how long the task had been pending before.
        ran_ms: how long it ran; None: it still runs.
        outcome: `running`, `succeeded`, `failed`, `cancelled`, `lost` (with its worker), `released`
            (given back by its worker) or `declined` (by a worker that cannot run it).
        error: why it ended. Only the last attempt has the traceback and the whole message.
    """

    number: int
    worker: str | None
    pod: str | None
    started_at_ms: int
    waited_ms: int
    ran_ms: int | None
    outcome: str
    error: Failure | None


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """The options that a task was enqueued with, and what follows from them.

    Attributes:
        timeout_seconds: how long one attempt may run; None: as set for the job or the worker.
        max_retries: how often it runs again after a failure; None: as set for the job or the
            worker.
        expires_at_ms: when it is dropped unless it has started; None: never.
        unique_key: its unique key; None: it has none.
        result_ttl_seconds: how long its result is kept.
        due_at_ms: when it is due; None: it is not scheduled.
        schedule: name of the cron entry that has fired it; None: none has.
        forgotten_in_ms: time until Redis forgets it; None: it has not ended.
    """

    timeout_seconds: float | None
    max_retries: int | None
    expires_at_ms: int | None
    unique_key: str | None
    result_ttl_seconds: float
    due_at_ms: int | None
    schedule: str | None
    forgotten_in_ms: int | None


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """All that is known of a task, without what its job hides.

    Attributes:
        info: its state, numbers, times, failure and progress.
        place: the list that it is in; None: it was just moved.
        call: job, arguments and options, as plain values; None: see `call_note`.
        call_note: why there is no `call`, or what of it is hidden; empty: it is whole.
        result: the return value of a job that has succeeded, as plain values.
        result_note: why the result is not shown; empty: it is, or there is none.
        options: the options that it was enqueued with.
        tags: its tags.
        attempts: its attempts, the first one first. Of a long history, the first one and the last
            20 are kept.
        parent: the task whose job has enqueued it; None: no job has.
        children: the first 100 tasks that its job has enqueued.
        children_count: how many tasks its job has enqueued.
    """

    info: TaskInfo
    place: Place | None
    call: Task | None
    call_note: str
    result: Any
    result_note: str
    options: RecordOptions
    tags: tuple[str, ...]
    attempts: list[AttemptRecord]
    parent: str | None
    children: list[str]
    children_count: int


@dataclass(frozen=True, slots=True)
class Hiding:
    """The part of a job's tasks that is hidden from those who look.

    Attributes:
        names: names of arguments and fields, in lower case.
        parameters: names of the job's parameters, by position.
        all_is_hidden: whether only the application knows what may be shown, and is not there.
        application: the application's function, if it is there.
    """

    names: Collection[str]
    parameters: Sequence[str]
    all_is_hidden: bool
    application: RedactFunction | None

    @classmethod
    def of(cls, declared: Mapping[str, Any], viewer: frozenset[str] | RedactFunction) -> Hiding:
        """Join what workers have declared and what the viewer's application says.

        Args:
            declared: what is declared about the job.
            viewer: names to hide besides, or the application's function.
        """
        names = {name for name in _texts(declared.get("hidden")) if name != ALL}
        function = viewer if callable(viewer) else None
        return cls(
            names=names if callable(viewer) else names | viewer,
            parameters=_texts(declared.get("parameters")),
            all_is_hidden=ALL in _texts(declared.get("hidden")) and function is None,
            application=function,
        )

    def call(self, payload: bytes | None, size: int) -> tuple[Task | None, str]:
        """Decode a call, and hide what has to be hidden. Returns a note if it is not whole."""
        if payload is None:
            return None, f"too large to show: {size:,} bytes" if size else "no longer kept"
        try:
            task = codec.decode_task(payload)
        except PayloadUndecodable as error:
            return None, str(error)
        if self.all_is_hidden:
            return None, "hidden by the application"
        shown: Task | None = task
        if self.application is not None:
            shown = ask_application(self.application, task)
            if shown is None:
                return None, "hidden: the application's function failed"
        assert shown is not None
        shown = hide_arguments(shown, self.parameters, self.names)
        return shown, "some values are hidden" if shown != task else ""

    def value(self, value: Any) -> Any:
        """Hide fields in a result or a progress value."""
        if self.all_is_hidden and value is not None:
            return HIDDEN
        return hide(value, self.names) if self.names else value


def _texts(listed: Any) -> tuple[str, ...]:
    """Return the texts of a list that something else than a worker may have written."""
    items = listed if isinstance(listed, list | tuple) else ()
    return tuple(item for item in items if isinstance(item, str))


async def read_record(
    redis: AsyncRedis, task_id: str, viewer: frozenset[str] | RedactFunction
) -> TaskRecord:
    """Read a task whole: see `Admin.record`."""
    stored = await redis.run(record(task_id))
    if stored is None:
        raise TaskNotFound(task_id)
    hiding = Hiding.of(stored.job, viewer)
    call, call_note = hiding.call(stored.payload, stored.payload_bytes)
    result, result_note = _result(stored, hiding)
    return TaskRecord(
        info=structs.replace(stored.info, progress=hiding.value(stored.info.progress)),
        place=_place(stored),
        call=call,
        call_note=call_note,
        result=result,
        result_note=result_note,
        options=_options(stored),
        tags=stored.tags,
        attempts=_attempts(stored),
        parent=stored.parent,
        children=list(stored.children),
        children_count=stored.children_count,
    )


def _place(stored: KeptTask) -> Place:
    if stored.info.state is State.PENDING and stored.is_held:
        return Place.HELD
    return _PLACES[stored.info.state]


def _result(stored: KeptTask, hiding: Hiding) -> tuple[Any, str]:
    if stored.info.state is not State.SUCCEEDED:
        return None, ""
    if stored.result is None:
        return None, f"too large to show: {stored.result_bytes:,} bytes"
    try:
        return hiding.value(codec.decode_value(stored.result)), ""
    except PayloadUndecodable as error:
        return None, str(error)


def _options(stored: KeptTask) -> RecordOptions:
    try:
        called = codec.decode_task(stored.payload) if stored.payload else None
    except PayloadUndecodable:
        called = None
    ttl_ms = stored.result_ttl_ms
    return RecordOptions(
        timeout_seconds=called.timeout_seconds if called else None,
        max_retries=called.max_retries if called else None,
        expires_at_ms=stored.expires_at_ms,
        unique_key=stored.unique_key,
        result_ttl_seconds=_RESULT_TTL_SECONDS if ttl_ms is None else ttl_ms / 1000,
        due_at_ms=stored.due_ms,
        schedule=stored.schedule,
        forgotten_in_ms=stored.forgotten_in_ms,
    )


def _attempts(stored: KeptTask) -> list[AttemptRecord]:
    """List the attempts: those of the history, then the one that other fields describe."""
    info = stored.info
    found = [_past(past) for past in stored.past]
    short, whole = found[-1].error if found else None, info.failure
    if short is not None and whole is not None and short.type == whole.type:
        found[-1] = replace(found[-1], error=whole)
    last = _last_attempt(stored)
    if last is not None and (not found or found[-1].number != last.number):
        found.append(last)
    return found


def _last_attempt(stored: KeptTask) -> AttemptRecord | None:
    """Describe the attempt that runs, or with which the task has ended; None: it waits."""
    info, started = stored.info, stored.info.started_at_ms
    if started is None or not (info.state is State.RUNNING or info.state.ended):
        return None
    ended, since = info.finished_at_ms, stored.pending_since_ms or info.enqueued_at_ms
    is_failure = info.state in (State.FAILED, State.CANCELLED)
    return AttemptRecord(
        number=info.attempt,
        worker=info.owner,
        pod=stored.worker.get("pod_name") or stored.worker.get("host"),
        started_at_ms=started,
        waited_ms=max(0, started - since),
        ran_ms=None if ended is None else max(0, ended - started),
        outcome=info.state.value,
        error=info.failure if is_failure else None,
    )


def _past(past: PastAttempt) -> AttemptRecord:
    return AttemptRecord(
        number=past.number,
        worker=past.worker or None,
        pod=past.pod or None,
        started_at_ms=past.started_at_ms,
        waited_ms=past.waited_ms,
        ran_ms=past.ran_ms,
        outcome=past.outcome,
        error=Failure(past.error_type, past.error_line) if past.error_type else None,
    )
