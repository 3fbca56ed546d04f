"""A tiny app that proves an installation: `identtqueue selftest` against a worker of it."""

from __future__ import annotations

import os

from identtqueue.app import App
from identtqueue.worker.context import Context

app = App(default_queue=os.environ.get("IDENTTQUEUE_SELFTEST_QUEUE", "selftest"))


@app.task
async def echo(_ctx: Context, text: str) -> str:
    """Give back what came."""
    return text
