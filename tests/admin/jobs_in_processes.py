"""An app whose job runs in a process and enqueues another."""

from __future__ import annotations

import os

from identtqueue import App, Context

app = App("redis://127.0.0.1:1", default_queue=os.environ.get("CHILDREN_QUEUE", "children"))


@app.task
async def child(ctx: Context, number: int) -> None: ...


@app.task(run_in="process")
async def parent(ctx: Context) -> None:
    await child.options(task_id="of-a-process").enqueue(1)
