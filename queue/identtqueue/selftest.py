"""A tiny app to test an installation: run a worker of it, then `identtqueue selftest`."""

from __future__ import annotations

import os

from identtqueue.app import App
from identtqueue.worker.context import Context

app = App(default_queue=os.environ.get("IDENTTQUEUE_SELFTEST_QUEUE", "selftest"))


@app.task
async def echo(_ctx: Context, text: str) -> str:
    """Return the text."""
    return text
