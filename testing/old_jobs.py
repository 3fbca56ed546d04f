"""Older release of `testing.jobs`, which lacks some jobs and has one with other arguments."""

from __future__ import annotations

from identtqueue import App, Context
from testing.ledger import Ledger

app = App(default_queue="jobs")


@app.task
async def resize(ctx: Context, width: int) -> int:
    """Resize, in the release in which it did not take a height yet."""
    ledger = Ledger.of_this_process()
    ledger.write("start", ctx.task_id, ctx.attempt)
    ledger.write("end", ctx.task_id, ctx.attempt)
    return width
