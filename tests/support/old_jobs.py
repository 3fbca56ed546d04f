"""An older release of `support.jobs`: without some jobs, and one with other arguments."""

from __future__ import annotations

from identtqueue import App, Context
from support.ledger import Ledger

app = App(default_queue="jobs")


@app.task
async def resize(ctx: Context, width: int) -> int:
    """Before it had a height."""
    ledger = Ledger.of_this_process()
    ledger.write("start", ctx.task_id, ctx.attempt)
    ledger.write("end", ctx.task_id, ctx.attempt)
    return width
