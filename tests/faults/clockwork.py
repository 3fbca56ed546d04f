"""An app whose one job is enqueued by the clock, every second."""

from __future__ import annotations

from identtqueue import App, Context
from support.ledger import Ledger

app = App(default_queue="clockwork")


@app.task
async def tick(ctx: Context) -> None:
    """Write down that it ran; the id says for which second."""
    Ledger.of_this_process().write("start", ctx.task_id, ctx.attempt)


app.cron("* * * * * *", tick)
