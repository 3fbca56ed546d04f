"""One task, whole: what was called, where it is, each attempt, how it ended, what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from identtqueue.admin import AttemptRecord, TaskRecord
from identtqueue.dashboard import words
from identtqueue.dashboard.board import Board
from identtqueue.dashboard.live.view import View, Visit
from identtqueue.dashboard.pages.noun import Pages
from identtqueue.dashboard.plans import acts_in
from identtqueue.dashboard.values import WHOLE, Written, written
from identtqueue.errors import InvalidInput

LONGEST_TRACEBACK: Final = 20_000
"""Characters of a traceback on the page; the rest is on a page of its own."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of the call.

    Attributes:
        name: its name, or its position, counted from 1, if nobody has declared the job.
        value: the argument as text.
    """

    name: str
    value: Written


@dataclass(frozen=True, slots=True)
class ProgressShare:
    """Progress that can be drawn: a part of a whole."""

    value: float
    whole: float


async def read(board: Board, visit: Visit) -> Mapping[str, Any]:
    """Read the task."""
    record = await _record(board, visit["task_id"])
    info = record.info
    return {
        "task": info,
        "record": record,
        "arguments": _arguments(record, await _parameters(board, record)),
        "progress": None if info.progress is None else written(info.progress),
        "share": _share(info.progress),
        "result": written(record.result),
        "traceback": _traceback(info.failure.traceback if info.failure else ""),
        "acts": acts_in(record.place),
        "attempts": sorted(record.attempts, key=lambda attempt: attempt.number, reverse=True),
        "longest_ms": _longest_ms(record.attempts),
    }


async def _record(board: Board, task_id: str) -> TaskRecord:
    return await board.reader.once(
        ("record", task_id), lambda: board.admin.record(task_id), fresh_seconds=0
    )


async def _parameters(board: Board, record: TaskRecord) -> Sequence[str]:
    """Return the names of the job's parameters, as a worker has declared them."""
    jobs = await board.reader.jobs(record.info.queue)
    found = [job for job in jobs if job.name == record.info.function_name]
    return found[0].parameters if found else ()


def _arguments(record: TaskRecord, parameters: Sequence[str]) -> list[Argument]:
    if record.call is None:
        return []
    numbers = (f"{n}" for n in range(len(parameters) + 1, len(record.call.args) + 1))
    names = (*parameters, *numbers)
    by_position = zip(names, record.call.args, strict=False)
    return [
        Argument(name, written(value))
        for name, value in (*by_position, *record.call.kwargs.items())
    ]


def _traceback(text: str) -> Written:
    return Written(text[:LONGEST_TRACEBACK], is_cut=len(text) > LONGEST_TRACEBACK)


def _share(value: Any) -> ProgressShare | None:
    """Read progress as a share: a number from 0 to 1, or `done` of `total`."""
    if _is_number(value) and 0 <= value <= 1:
        return ProgressShare(value, 1)
    if isinstance(value, Mapping):
        for total in ("total", "of"):
            part, whole = value.get("done"), value.get(total)
            if _is_number(part) and _is_number(whole) and 0 <= part <= whole > 0:
                return ProgressShare(part, whole)
    return None


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _longest_ms(attempts: list[AttemptRecord]) -> int:
    """Return the longest attempt, waiting and running, as the scale of their bars."""
    return max([(one.waited_ms or 0) + (one.ran_ms or 0) for one in attempts], default=0)


async def whole(request: Request) -> Response:
    """Answer with one value of a task as plain text, as a whole, with the same parts hidden."""
    board = Board.of(request)
    record = await _record(board, request.query_params.get("task_id", ""))
    text = words.plain(_whole(record, request.query_params.get("part", "")))
    headers = {"Cache-Control": "no-store", "Content-Disposition": "inline; filename=value.txt"}
    return PlainTextResponse(str(text).encode("utf-8", "replace"), headers=headers)


def _whole(record: TaskRecord, part: str) -> str:
    failure, call = record.info.failure, record.call
    if part == "arguments" and call is not None:
        value = {"args": list(call.args), "kwargs": dict(call.kwargs)}
        return written(value, WHOLE).text
    if part == "result" and not record.result_note:
        return written(record.result, WHOLE).text
    if part == "progress":
        return written(record.info.progress, WHOLE).text
    if part == "traceback" and failure is not None:
        return f"{failure.type}: {failure.message}\n\n{failure.traceback}"
    raise InvalidInput(
        f"part={part!r}: must be arguments, result, progress or traceback, if the task has it"
    )


PAGES: Final = Pages(
    views=(
        View(
            "task",
            "/task",
            "task.html",
            read,
            live=("summary", "progress", "outcome", "attempts", "family"),
            query=frozenset({"task_id"}),
        ),
    ),
    routes=(Route("/task/value", whole, methods=["GET"], name="task.value"),),
)
