"""App with a single job, which cron enqueues every second."""

from __future__ import annotations

from identtqueue import App, Context
from testing.ledger import Ledger

app = App(default_queue="clockwork")


@app.task
async def tick(ctx: Context) -> None:
    """Write a line into the ledger. The task's id tells for which second it ran."""
    Ledger.of_this_process().write("start", ctx.task_id, ctx.attempt)


app.cron("* * * * * *", tick)
