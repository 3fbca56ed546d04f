"""An app of a user, as `tests/testing_plugin` tests the help for its tests."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime

from identtqueue import App, Context, Retry


@dataclass
class Document:
    path: str
    pages: int = 1
    seen: datetime | None = None


@dataclass
class Seen:
    """The things that the hooks and jobs of the app have seen."""

    hooks: list[str] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)


def new_app() -> tuple[App, Seen]:
    """Make an app with jobs of all kinds, and what they note."""
    app, seen = App("redis://production.invalid"), Seen()

    @app.on_startup
    async def connect(state: dict[str, object]) -> None:
        state["scale"] = 2
        seen.hooks.append("startup")

    @app.on_shutdown
    async def disconnect(state: dict[str, object]) -> None:
        seen.hooks.append("shutdown")

    @app.before_task
    def begin(ctx: Context) -> None:
        seen.hooks.append(f"before {ctx.function_name}")

    @app.task(queue="mrz")
    async def read(ctx: Context, document: Document) -> Document:
        await ctx.report_progress({"page": document.pages})
        await check.options(task_id=ctx.follow_up_id("check")).enqueue(document.pages)
        return Document(document.path.upper(), document.pages * ctx.state["scale"], document.seen)

    @app.task(queue="checks")
    def check(ctx: Context, pages: int, *, strict: bool = False) -> bool:
        seen.threads.add(threading.get_ident())
        return pages > 0 and not strict

    @app.task(queue="mrz", max_retries=2)
    async def flaky(ctx: Context, good_from: int = 2) -> int:
        if ctx.failures < good_from:
            raise ValueError(f"failure {ctx.failures}")
        return ctx.attempt

    @app.task(queue="mrz")
    async def fail(ctx: Context) -> None:
        raise ValueError("it is broken")

    @app.task(queue="mrz", timeout_seconds=0.05)
    async def hang(ctx: Context) -> None:
        await ctx.state["forever"].wait()

    @app.task(max_retries=1)
    async def later(ctx: Context, seconds: float) -> int:
        if not ctx.failures:
            raise Retry(after_seconds=seconds)
        return ctx.enqueued_at_ms

    @app.task
    async def parent(ctx: Context) -> int:
        task = await flaky.enqueue(0)
        return await task.result()

    @app.task
    def parent_in_thread(ctx: Context) -> int:
        return flaky.enqueue_sync(0).result()

    @app.task
    async def again(ctx: Context) -> None:
        await again.enqueue()

    app.cron("0 3 * * *", check.call(3), name="nightly")
    app.cron("0 * * * *", check.options(expires_seconds=60).call(4, strict=True), name="hourly")
    return app, seen


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
