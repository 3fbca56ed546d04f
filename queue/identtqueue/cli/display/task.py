"""One task whole: as a page for people, and as one line of JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from identtqueue.cli.display.sheet import Sheet
from identtqueue.cli.display.states import styled_state
from identtqueue.cli.display.table import Column, Styled, Table
from identtqueue.cli.display.times import Clock, duration, exact
from identtqueue.cli.display.values import failure_row
from identtqueue.task import State, Task, TaskInfo

if TYPE_CHECKING:
    from identtqueue.admin import AttemptRecord, TaskRecord

LONGEST_VALUE: Final = 4_000
"""Upper bound for the characters of arguments and results in the text form. JSON shows them all."""
MOST_CHILDREN: Final = 10
"""How many children the text form names."""


def task_page(record: TaskRecord, clock: Clock) -> Sheet:
    """Describe a task for people: its id, then one line for each thing that is known.

    Args:
        record: the task.
        clock: writes how long ago something was.
    """
    info = record.info
    page = Sheet()
    page.line(Styled(info.task_id, "name"))
    page.field("job", info.function_name)
    page.field("state", _state(record))
    page.field("arguments", _arguments(record))
    if info.state is State.SUCCEEDED:
        note = record.result_note
        page.field("result", f"({note})" if note else _short(repr(record.result)))
    page.field("tags", " ".join(record.tags) or None)
    page.field("unique key", record.options.unique_key)
    page.field("schedule", record.options.schedule)
    page.field("attempts", f"{info.attempt}  (failures {info.failures}, losses {info.losses})")
    page.field("enqueued", _time(info.enqueued_at_ms, clock))
    page.field("due", _time(record.options.due_at_ms, clock))
    page.field("expires", _time(record.options.expires_at_ms, clock))
    page.field("started", _started(info, clock))
    page.field("ended", _ended(info, clock))
    page.field("worker", info.owner)
    page.field("progress", None if info.progress is None else _short(repr(info.progress)))
    page.field("parent", record.parent)
    page.field("children", _children(record))
    if info.failure is not None:
        page.field("failure", Styled(f"{info.failure.type}: {info.failure.message}", "bad"))
        page.block(info.failure.traceback)
    if record.attempts:
        page.line("")
        page.table(_attempts(record.attempts, clock))
    return page


def task_json(record: TaskRecord) -> dict[str, Any]:
    """Describe a task in values for JSON. Times are ms since 1970."""
    info, call = record.info, record.call
    return {
        "task_id": info.task_id,
        "queue": info.queue,
        "job": info.function_name,
        "state": info.state,
        "place": record.place,
        "args": None if call is None else call.args,
        "kwargs": None if call is None else call.kwargs,
        "call_note": record.call_note,
        "result": record.result,
        "result_note": record.result_note,
        "tags": record.tags,
        "attempt": info.attempt,
        "failures": info.failures,
        "losses": info.losses,
        "enqueued_at_ms": info.enqueued_at_ms,
        "started_at_ms": info.started_at_ms,
        "finished_at_ms": info.finished_at_ms,
        "worker": info.owner,
        "progress": info.progress,
        "failure": failure_row(info.failure),
        "options": record.options,
        "attempts": [_attempt(each) for each in record.attempts],
        "parent": record.parent,
        "children": record.children,
        "children_count": record.children_count,
    }


def _attempt(each: AttemptRecord) -> dict[str, Any]:
    return {
        "number": each.number,
        "worker": each.worker,
        "pod": each.pod,
        "started_at_ms": each.started_at_ms,
        "waited_ms": each.waited_ms,
        "ran_ms": each.ran_ms,
        "outcome": each.outcome,
        "error": failure_row(each.error),
    }


def _state(record: TaskRecord) -> Styled:
    state = styled_state(record.info.state)
    if record.info.state is State.FAILED:
        return Styled("failed (a dead letter)", state.style)
    place = record.place
    return state if place is None or record.info.state.ended else styled_state(place)


def _arguments(record: TaskRecord) -> str:
    note = f"({record.call_note})" if record.call_note else ""
    if record.call is None:
        return note
    return "  ".join(word for word in (_called(record.call), note) if word)


def _called(call: Task) -> str:
    words = [repr(value) for value in call.args]
    words += [f"{name}={value!r}" for name, value in call.kwargs.items()]
    return _short(", ".join(words)) or "(none)"


def _short(text: str) -> str:
    if len(text) <= LONGEST_VALUE:
        return text
    return f"{text[:LONGEST_VALUE]}… ({len(text)} characters; --json shows all)"


def _time(ms: int | None, clock: Clock) -> str | None:
    return None if ms is None else f"{exact(ms)}  ({clock.ago(ms)})"


def _started(info: TaskInfo, clock: Clock) -> str | None:
    if info.started_at_ms is None:
        return None
    which = "" if info.attempt < 2 else f"  (attempt {info.attempt})"
    return f"{_time(info.started_at_ms, clock)}{which}"


def _ended(info: TaskInfo, clock: Clock) -> str | None:
    if info.finished_at_ms is None:
        return None
    if info.started_at_ms is None:
        return _time(info.finished_at_ms, clock)
    ran = duration(info.finished_at_ms - info.started_at_ms)
    return f"{_time(info.finished_at_ms, clock)}  ({ran} after the last start)"


def _children(record: TaskRecord) -> str | None:
    if not record.children_count:
        return None
    shown = record.children[:MOST_CHILDREN]
    left = record.children_count - len(shown)
    return "\n".join([*shown, *([f"and {left:,} more"] if left else [])])


def _attempts(attempts: list[AttemptRecord], clock: Clock) -> Table:
    table = Table(
        Column("attempt", right=True),
        "started",
        Column("waited", right=True),
        Column("ran", right=True),
        "outcome",
        Column("worker", shrinks=True),
        Column("error", shrinks=True),
    )
    for each in attempts:
        error = each.error
        table.add(
            each.number,
            clock.moment(each.started_at_ms),
            duration(each.waited_ms),
            None if each.ran_ms is None else duration(each.ran_ms),
            styled_state(each.outcome),
            each.pod or each.worker,
            None if error is None else Styled(f"{error.type}: {error.message}", "bad"),
        )
    return table
