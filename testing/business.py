"""A small business with queues, for tests and pictures of the dashboard.

Its jobs read documents, send mails and render reports. Some tasks fail, some hang, some wait for
their time, so that there are tasks in each place.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final
from urllib.parse import quote

from identtqueue import App, Context
from identtqueue.admin import Admin
from testing.serving import serving
from testing.shown_cluster import NAMESPACE, SCALED
from testing.waiting import eventually

DAMAGED: Final = 12
"""Pages that can't be read: dead letters with one error."""
REFUSED: Final = 5
"""Mails that are refused: dead letters with another error."""
PASSWORD: Final = "correct horse battery staple"
"""An argument that no page may show."""


async def read_page(_ctx: Context, path: str, page: int = 1) -> dict[str, Any]:
    """Read one page of a document."""
    if "damaged" in path:
        raise ValueError(f"{path}: page {page} has no text layer")
    return {"path": path, "page": page, "words": 412, "language": "de"}


async def send_mail(_ctx: Context, to: str, subject: str, *, password: str = "") -> str:
    """Send a mail."""
    if to.endswith(".invalid"):
        raise ConnectionRefusedError(f"{to}: 554 5.7.1 relay access denied")
    return f"{to}: {subject}"


ADDRESSES: Final = {
    "overview": "/",
    "queue": "/queues/documents",
    "tasks": "/queues/documents/tasks?place=dead",
    "ended": "/queues/documents/tasks?place=ended",
    "task": "/task?task_id={damaged}",
    "running": "/task?task_id={report}",
    "dead": "/dead",
    "act": "/queues/documents/act?act=replay&place=dead&job=read_page&error=ValueError",
    "workers": "/workers",
    "taskqueues": "/taskqueues",
    "taskqueue": f"/taskqueues/{NAMESPACE}/{SCALED}",
    "audit": "/audit",
}
"""The pages of the dashboard, by name; in braces a task of `Business.tasks`."""


class Business:
    """The app of the business, and what is going on in it.

    Args:
        redis: address of Redis.

    Attributes:
        app, mails: the apps with its jobs.
        tasks: ids of some tasks by what they show: `document` has enqueued others, `damaged` and
            `mail` are dead letters, `report` is running, `later` is scheduled.
    """

    def __init__(self, redis: str) -> None:
        self.tasks: dict[str, str] = {}
        self.app = app = App(redis, default_queue="documents")
        # An app of its own: no task of an app that hides something is searched for a text.
        self.mails = App(redis, default_queue="mails", redact={"password"})
        self._page = app.task(queue="documents", max_retries=0)(read_page)
        self._mail = self.mails.task(max_retries=0)(send_mail)
        self._document = app.task(queue="documents")(self.read_document)
        self._report = app.task(queue="reports", max_running=2)(self.render_report)
        daily = self._report.call("daily")
        app.cron("0 6 * * *", daily, name="daily-report", timezone="Europe/Berlin")

    async def read_document(self, ctx: Context, path: str, pages: int) -> int:
        """Enqueue a task for each page."""
        for page in range(1, pages + 1):
            options = {"task_id": ctx.follow_up_id(f"page-{page}")}
            await self._page.options(**options).enqueue(path, page)
        return pages

    async def render_report(self, ctx: Context, name: str, sheets: int = 40) -> str:
        """Report progress, and hang in the middle until the worker stops."""
        await ctx.report_progress({"done": sheets // 2, "total": sheets, "name": name})
        await asyncio.Event().wait()
        return f"{name}.pdf"

    def address(self, page: str) -> str:
        """Return the address of a page that shows something of the business."""
        return ADDRESSES[page].format(
            **{key: quote(one, safe="") for key, one in self.tasks.items()}
        )

    async def begin(self, admin: Admin) -> None:
        """Enqueue what there is to do, and wait until each task is where it belongs."""
        document = await self._document.options(tags=("tenant:7",)).enqueue("contract.pdf", 3)
        damaged = await self.app.enqueue_many(
            self._page.options(tags=(f"tenant:{n % 3}", "scan")).call(f"damaged-{n}.pdf", n)
            for n in range(DAMAGED)
        )
        mails = await self.mails.enqueue_many(
            self._mail.call(f"team@shop-{n}.invalid", "Your invoice", password=PASSWORD)
            for n in range(REFUSED)
        )
        reports = await self.app.enqueue_many(self._report.call(f"sales-{n}") for n in range(4))
        later = await self._page.options(delay_seconds=3_600, tags=("night",)).enqueue(
            "archive.pdf"
        )
        await eventually(lambda: _is_in_step(admin), "each task is where it belongs")
        supervisor = admin.acting_as("sam")
        await supervisor.pause("mails")
        await supervisor.resume("mails")
        self.tasks = {
            "document": document.task_id,
            "damaged": damaged[0].task_id,
            "mail": mails[0].task_id,
            "report": await _running(admin, [report.task_id for report in reports]),
            "later": later.task_id,
        }


@asynccontextmanager
async def playing(redis: str, admin: Admin) -> AsyncIterator[Business]:
    """Run the business within a `with` block, with workers in the event loop of the caller.

    Args:
        redis: address of Redis.
        admin: asks Redis how far it is.
    """
    business = Business(redis)
    async with AsyncExitStack() as stack:
        for app in (business.app, business.mails):
            await stack.enter_async_context(app)
            await stack.enter_async_context(serving(app.worker(concurrency=8, grace_seconds=0)))
        await business.begin(admin)
        yield business


async def _is_in_step(admin: Admin) -> bool:
    depths = await admin.depths(["documents", "mails", "reports"])
    documents, mails, reports = depths["documents"], depths["mails"], depths["reports"]
    return (
        (documents.dead, mails.dead) == (DAMAGED, REFUSED)
        and documents.queued == documents.in_flight == 0
        and (reports.in_flight, reports.held) == (2, 2)
    )


async def _running(admin: Admin, reports: list[str]) -> str:
    for task_id in reports:
        if (await admin.task(task_id)).progress is not None:
            return task_id
    raise AssertionError("no report has begun")
