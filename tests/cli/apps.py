"""Apps for tests of the command line."""

from __future__ import annotations

from datetime import date

from identtqueue import App, Context

app = App()
named = App()
fixed = App("redis://127.0.0.1:1")
no_jobs = App()
discreet = App(redact=lambda _job, args, _kwargs: (args[:1], {"pin": "•••"}))
no_app = 5


@app.task(queue="from-the-app")
@named.task
@fixed.task
async def hello(_ctx: Context, name: str) -> str:
    """Greet."""
    return f"hello {name}"


@app.task(queue="from-the-app")
async def count(_ctx: Context, number: int, at: date | None = None) -> int:
    """Have arguments of types that JSON lacks."""
    return number if at is None else at.year


@discreet.task
async def log_in(_ctx: Context, user: str, *, pin: str) -> str:
    """Have an argument that the application hides."""
    return user
