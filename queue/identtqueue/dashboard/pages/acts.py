"""Acts on one task, on the selected ones, or on all that match: asked about, then run in steps.

The page asks with a count. What it then sends is run for a few seconds and answered with lines of
JSON, one for each step, so that the browser shows how far it is. If the browser goes away, the act
stops after the step that runs. The last line has a cursor, with which the act goes on.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, cast

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from identtqueue.admin import ActProgress, Admin
from identtqueue.dashboard import acting, words
from identtqueue.dashboard.access.user import NotAllowed
from identtqueue.dashboard.board import Board
from identtqueue.dashboard.pages.noun import Pages
from identtqueue.dashboard.plans import TASK, Plan
from identtqueue.errors import IdenttqueueError

logger = logging.getLogger(__name__)

LONGEST_SECONDS: Final = 10.0
"""How long one request acts. The browser sends the next one, and its user is identified again."""
COUNTED: Final = 20_000
"""Tasks that are looked at for the number in the question."""
SAMPLE: Final = 10
"""Tasks that the question shows."""
LINES: Final = "application/x-ndjson"

_going_on: Final[set[asyncio.Task[None]]] = set()
"""Acts whose browser may have gone: the event loop alone would forget them."""


async def ask(request: Request) -> Response:
    """Ask whether an act is meant, with the number of tasks and some of them."""
    board = Board.of(request)
    user = board.user(request)
    if not user.can_act:
        raise NotAllowed(f"{user.name} may look, but not act: that needs the role operator.")
    form = {name: request.query_params.getlist(name) for name in request.query_params}
    plan = Plan.of(request.path_params["queue"], form, final=False)
    context = _beginning(plan) | {"queues": sorted(await board.reader.queues())}
    if not plan.ids:
        counted = await board.admin.count(plan.queue, plan.place, plan.filter, scan_limit=COUNTED)
        page = await board.admin.tasks(plan.queue, plan.place, plan.filter, limit=SAMPLE)
        context |= {"number": int(counted), "exact": counted.exact, "sample": page.rows}
    return board.page(request, "act.html", context, name="act")


def _beginning(plan: Plan) -> dict[str, Any]:
    """Return what the page shows of an act that has not begun."""
    return {
        "plan": plan,
        "number": len(plan.ids),
        "exact": True,
        "sample": [],
        "queues": [],
        "given": {"in": "", "to_queue": ""},
        "going": False,
        "cursor": "",
        "scanned": 0,
        "matched": 0,
        "changed": 0,
    }


async def perform(act: acting.ActRequest) -> Response:
    """Run an act for a while, and answer how far it has come."""
    plan = Plan.of(act.path["queue"], act.form, final=True)
    run = ActRun(act.admin, plan, _Sums.of(act))
    if LINES in act.request.headers.get("accept", ""):
        return StreamingResponse(
            run.lines(),
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
            media_type=LINES,
        )
    last: dict[str, Any] = {}
    async with aclosing(run.states()) as states:
        async for state in states:
            last = state
    if plan.ids and "error" not in last:
        return act.then(_back(act, plan), last["text"])
    given = {"in": act.field("in"), "to_queue": act.field("to_queue")}
    context = _beginning(plan) | last | {"going": True, "number": last["matched"], "given": given}
    return act.board.page(act.request, "act.html", context, name="act")


def _back(act: acting.ActRequest, plan: Plan) -> str:
    if len(plan.ids) == 1 and act.field("back") == TASK:
        return act.links.to("task", task_id=plan.ids[0])
    return act.links.to("tasks", queue=plan.queue, place=plan.place.value)


@dataclass(frozen=True, slots=True)
class _Sums:
    """How far earlier requests of the same act have come, as the form says. For display only."""

    cursor: str | None = None
    scanned: int = 0
    matched: int = 0
    changed: int = 0

    @classmethod
    def of(cls, act: acting.ActRequest) -> _Sums:
        def number(name: str) -> int:
            text = act.field(name)
            return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0

        return cls(
            act.field("cursor") or None, number("scanned"), number("matched"), number("changed")
        )


class ActRun:
    """One request's share of an act.

    The steps run in a task of their own. So a browser that goes away does not cut off a step, and
    the entry of the audit list gets its numbers in any case.

    Args:
        admin: acts, under the name of the user.
        plan: what is to be done.
        before: what earlier requests have done.
    """

    def __init__(self, admin: Admin, plan: Plan, before: _Sums) -> None:
        self._admin = admin
        self._plan = plan
        self._before = before
        self._stop = False
        self._news: asyncio.Queue[ActProgress | Exception | None] = asyncio.Queue()

    async def lines(self) -> AsyncGenerator[str, None]:
        """Yield each state as a line of JSON."""
        async with aclosing(self.states()) as states:
            async for state in states:
                yield json.dumps(state) + "\n"

    async def states(self) -> AsyncGenerator[dict[str, Any], None]:
        """Yield how far the act has come after each step."""
        task = asyncio.create_task(self._work(), name=f"dashboard: {self._plan.choice.name}")
        _going_on.add(task)
        task.add_done_callback(_going_on.discard)
        last = self._state(ActProgress(0, 0, 0, 0, self._before.cursor, False))
        try:
            while (news := await self._news.get()) is not None:
                last = self._state(news) if isinstance(news, ActProgress) else last | _trouble(news)
                yield last
        finally:
            self._stop = True

    async def _work(self) -> None:
        try:
            if self._plan.ids:
                await self._on_ids()
            else:
                await self._on_filter()
        except Exception as error:
            if not isinstance(error, IdenttqueueError):
                logger.exception("an act of the dashboard has failed")
            self._news.put_nowait(error)
        finally:
            self._news.put_nowait(None)

    async def _on_ids(self) -> None:
        plan = self._plan
        changed = await self._admin.act_on(plan.choice.act, plan.ids, **plan.options)
        number = len(plan.ids)
        self._news.put_nowait(ActProgress(number, number, number, len(changed), None, True))

    async def _on_filter(self) -> None:
        plan, until = self._plan, time.monotonic() + LONGEST_SECONDS
        steps = self._admin.act(
            plan.choice.act,
            plan.queue,
            plan.place,
            plan.filter,
            cursor=self._before.cursor,
            **plan.options,
        )
        async with aclosing(cast("AsyncGenerator[ActProgress, None]", steps)):
            async for progress in steps:
                self._news.put_nowait(progress)
                if self._stop or time.monotonic() > until:
                    return

    def _state(self, progress: ActProgress) -> dict[str, Any]:
        before, choice = self._before, self._plan.choice
        matched = before.matched + progress.matched
        changed = before.changed + progress.changed
        text = f"{choice.done.capitalize()}: {words.plural(changed, 'task')}"
        if matched > changed:
            text += f"; {matched - changed:,} had changed meanwhile, or could not be"
        return {
            "scanned": before.scanned + progress.scanned,
            "total": before.scanned + progress.total,
            "matched": matched,
            "changed": changed,
            "cursor": progress.cursor or "",
            "done": progress.done,
            "text": f"{text}.",
        }


def _trouble(error: Exception) -> dict[str, Any]:
    known = isinstance(error, IdenttqueueError)
    return {"error": str(error) if known else "The dashboard has failed; its log says why."}


PAGES: Final = Pages(
    routes=(
        Route("/queues/{queue}/act", ask, methods=["GET"], name="act"),
        acting.acting("/queues/{queue}/act", "act.perform", perform),
    )
)
