"""Tasks as rows of a table, and as lines of JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from identtqueue.cli.display.states import styled_state
from identtqueue.cli.display.table import Column, Styled, Table
from identtqueue.cli.display.times import Clock
from identtqueue.protocol.calls.listing import Place, TaskRow


def task_table(rows: Sequence[TaskRow], clock: Clock) -> Table:
    """Make a table of tasks. A column that is empty in all rows is left out.

    Args:
        rows: the tasks.
        clock: writes the times.
    """
    has_worker = any(row.worker for row in rows)
    has_error = any(row.error for row in rows)
    has_tags = any(row.tags for row in rows)
    table = Table(
        "task",
        "state",
        Column("job", shrinks=True),
        _time_title({row.place for row in rows}),
        Column("tries", right=True),
        *([Column("worker", shrinks=True)] if has_worker else []),
        *([Column("tags", shrinks=True)] if has_tags else []),
        *([Column("error", shrinks=True)] if has_error else []),
    )
    for row in rows:
        table.add(
            Styled(row.task_id, "name"),
            styled_state(row.state if row.place is Place.ENDED else row.place),
            row.job,
            clock.moment(row.since_ms),
            row.attempt,
            *([row.worker] if has_worker else []),
            *([" ".join(row.tags)] if has_tags else []),
            *([row.error and Styled(row.error, "bad")] if has_error else []),
        )
    return table


def _time_title(places: set[Place]) -> str:
    titles = {Place.SCHEDULED: "due", Place.RUNNING: "started", Place.DEAD: "died"}
    titles |= {Place.ENDED: "ended", Place.PENDING: "waits since", Place.HELD: "waits since"}
    found = {titles[place] for place in places}
    return found.pop() if len(found) == 1 else "since or due"


def task_row(row: TaskRow) -> dict[str, Any]:
    """Return the values of a task for JSON. Times are ms since 1970."""
    return {
        "task_id": row.task_id,
        "queue": row.queue,
        "place": row.place,
        "state": row.state,
        "job": row.job,
        "attempt": row.attempt,
        "failures": row.failures,
        "losses": row.losses,
        "enqueued_at_ms": row.enqueued_at_ms,
        "since_ms": row.since_ms,
        "due_at_ms": row.due_at_ms,
        "started_at_ms": row.started_at_ms,
        "finished_at_ms": row.finished_at_ms,
        "worker": row.worker,
        "error": row.error,
        "tags": row.tags,
    }
