"""The TaskQueues of the cluster: how many replicas, and why."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from identtqueue.dashboard.board import Board, MenuEntry
from identtqueue.dashboard.history import STEP_MINUTES
from identtqueue.dashboard.live.view import View, Visit
from identtqueue.dashboard.pages.noun import Pages
from identtqueue.dashboard.pages.series import of_queue
from identtqueue.dashboard.task_queues import Json, TaskQueueSource

FRESH_SECONDS: Final = 5.0
"""The API server is asked no more often, however many browsers look."""
MOST_EVENTS: Final = 20


@dataclass(frozen=True, slots=True)
class TaskQueueRow:
    """One TaskQueue, as the API server has it. Fields that are missing are left empty.

    Attributes:
        body: the object.
    """

    body: Json

    @property
    def name(self) -> str:
        """Its name."""
        return str(_at(self.body, "metadata", "name") or "")

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return str(_at(self.body, "metadata", "namespace") or "")

    @property
    def status(self) -> Json:
        """The report of the operator."""
        found = self.body.get("status")
        return found if isinstance(found, Mapping) else {}

    @property
    def replicas(self) -> Json:
        """Numbers of replicas: desired, current, ready, draining."""
        found = self.status.get("replicas")
        return found if isinstance(found, Mapping) else {}

    @property
    def conditions(self) -> list[Json]:
        """Its conditions; `Ready` comes first."""
        found = [each for each in self.status.get("conditions") or () if isinstance(each, Mapping)]
        return sorted(found, key=lambda each: (each.get("type") != "Ready", str(each.get("type"))))

    @property
    def ready(self) -> str:
        """Status of the condition Ready: True, False or Unknown."""
        for each in self.conditions:
            if each.get("type") == "Ready":
                return str(each.get("status"))
        return "Unknown"

    @property
    def queues(self) -> list[str]:
        """Names of the queues that it serves, also those of its triggers."""
        spec = self.body.get("spec") or {}
        lists = [spec.get("queues"), *(each.get("queues") for each in spec.get("triggers") or ())]
        names = (each.get("name") for found in lists for each in found or ())
        return list(dict.fromkeys(str(name) for name in names if name))

    @property
    def bounds(self) -> str:
        """The smallest and the largest number of replicas."""
        scaling = _at(self.body, "spec", "scaling") or {}
        low, high = scaling.get("minReplicas", 0), scaling.get("maxReplicas", "?")
        return f"{low} to {high}"

    @property
    def history(self) -> list[Json]:
        """The last decisions, the newest first."""
        found = [each for each in self.status.get("history") or () if isinstance(each, Mapping)]
        return sorted(found, key=lambda each: str(each.get("time", "")), reverse=True)


def _at(body: Any, *path: str) -> Any:
    for name in path:
        body = body.get(name) if isinstance(body, Mapping) else None
    return body


def moment_ms(text: Any) -> int | None:
    """Return a time of Kubernetes (RFC 3339) in ms since 1970; None if it is none."""
    try:
        return round(datetime.fromisoformat(str(text)).timestamp() * 1000)
    except ValueError:
        return None


async def _list(board: Board, source: TaskQueueSource) -> list[TaskQueueRow]:
    found = await board.reader.once("task queues", source.task_queues, fresh_seconds=FRESH_SECONDS)
    rows = [TaskQueueRow(body) for body in found]
    return sorted(rows, key=lambda row: (row.ready == "True", row.namespace, row.name))


async def _find(board: Board, namespace: str, name: str) -> tuple[TaskQueueRow, TaskQueueSource]:
    source = board.task_queues
    if isinstance(source, str):
        raise HTTPException(404, source)
    for row in await _list(board, source):
        if (row.namespace, row.name) == (namespace, name):
            return row, source
    raise HTTPException(404, f"There is no TaskQueue {namespace}/{name}.")


async def read_all(board: Board, visit: Visit) -> dict[str, Any]:  # noqa: ARG001
    """Read all TaskQueues, or why there are none."""
    if isinstance(board.task_queues, str):
        return {"reason": board.task_queues, "rows": [], "moment_ms": moment_ms}
    try:
        rows = await _list(board, board.task_queues)
    except Exception as error:  # noqa: BLE001 - of whatever source; shown on the page
        return {"reason": str(error) or type(error).__name__, "rows": [], "moment_ms": moment_ms}
    return {"reason": "", "rows": rows, "moment_ms": moment_ms}


async def read_one(board: Board, visit: Visit) -> dict[str, Any]:
    """Read a TaskQueue, its Events, and the depth of its queues.

    Raises:
        HTTPException: there is no such TaskQueue.
    """
    namespace, name = visit["namespace"], visit["name"]
    row, source = await _find(board, namespace, name)
    events, known = await asyncio.gather(
        board.reader.once(
            ("events", namespace, name),
            lambda: source.events(namespace, name),
            fresh_seconds=FRESH_SECONDS,
        ),
        board.reader.queues(),
    )
    return {
        "row": row,
        "events": _newest(events),
        "here": [queue for queue in row.queues if queue in known],
        "moment_ms": moment_ms,
    }


def _newest(events: Sequence[Json]) -> list[dict[str, Any]]:
    """Return what a person reads of the latest Events, the newest first."""
    found: list[dict[str, Any]] = [
        {
            "at_ms": moment_ms(
                _at(each, "series", "lastObservedTime")
                or each.get("lastTimestamp")
                or each.get("eventTime")
                or _at(each, "metadata", "creationTimestamp")
            ),
            "type": str(each.get("type", "")),
            "reason": str(each.get("reason", "")),
            "text": str(each.get("message") or each.get("note") or ""),
            "count": _at(each, "series", "count") or each.get("count") or 1,
        }
        for each in events
    ]
    found.sort(key=lambda each: -(each["at_ms"] or 0))
    return found[:MOST_EVENTS]


async def series(request: Request) -> Response:
    """Answer with the replicas in the last 24 hours, over the depth of the first queue."""
    board = Board.of(request)
    namespace, name = request.path_params["namespace"], request.path_params["name"]
    row, _ = await _find(board, namespace, name)
    known = await board.reader.queues()
    here = [queue for queue in row.queues if queue in known]
    if not here:
        return JSONResponse({"at": []})
    columns = await of_queue(board, here[0])
    columns["replicas"] = _replicas_at(row, columns["at"])
    return JSONResponse(columns, headers={"Cache-Control": "no-store"})


def _replicas_at(row: TaskQueueRow, times: Sequence[int]) -> list[int | None]:
    """Return how many replicas were wanted at each time, as far as the decisions go back.

    Args:
        row: the TaskQueue.
        times: in s since 1970, in order.
    """
    changes = [
        (at_ms / 1000, each.get("from"), each.get("to"))
        for each in reversed(row.history)
        if (at_ms := moment_ms(each.get("time"))) is not None
    ]
    if not changes:
        now = row.replicas.get("current")
        return [now for _ in times]
    found: list[int | None] = []
    for at in times:
        before = [to for changed_at, _, to in changes if changed_at <= at + STEP_MINUTES * 60]
        found.append(before[-1] if before else changes[0][1])
    return found


PAGES: Final = Pages(
    views=(
        View("task_queues", "/taskqueues", "task_queues.html", read_all, live=("rows",)),
        View(
            "task_queue",
            "/taskqueues/{namespace}/{name}",
            "task_queue.html",
            read_one,
            live=("head", "decisions", "conditions", "events"),
        ),
    ),
    routes=(Route("/taskqueues/{namespace}/{name}/series.json", series, name="task_queue.series"),),
    navigation=(MenuEntry("task_queues", "TaskQueues", covers=("task_queue",)),),
)
