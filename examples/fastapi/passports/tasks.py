"""The jobs. The web process imports them to enqueue tasks, the workers to run them."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from datetime import date
from typing import Any

import httpx
from pydantic import BaseModel

from identtqueue import App, Context, Retry, RetryPolicy

app = App(default_queue="passports")  # the address is in IDENTTQUEUE_REDIS_ADDRESS


class Scan(BaseModel):
    """A scanned page: where it is."""

    url: str


class Passport(BaseModel):
    """The data that was read."""

    number: str
    name: str
    valid_until: date


class Unreadable(Exception):
    """Nothing can be read on the page, however often one tries."""


def open_scanner() -> httpx.AsyncClient:
    """Open a client of the text recognition, another service of the company."""
    return httpx.AsyncClient(base_url=os.environ.get("SCANNER_URL", "http://scanner"))


@app.on_startup
def start(state: MutableMapping[str, Any]) -> None:
    """Open what all jobs of a worker share."""
    state["scanner"] = open_scanner()


@app.on_shutdown
async def stop(state: MutableMapping[str, Any]) -> None:
    """Close it after the last job."""
    await state["scanner"].aclose()


@app.task(
    timeout_seconds=60,
    retry=RetryPolicy(max_retries=3, first_delay_seconds=2, give_up_on=(Unreadable,)),
)
async def read_passport(ctx: Context, scan: Scan, customer: str) -> Passport:
    """Read a page, and tell the customer."""
    await ctx.report_progress("reading")
    answer = await ctx.state["scanner"].post("/read", json={"url": scan.url})
    if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        raise Retry(after_seconds=float(answer.headers["retry-after"]))
    if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
        raise Unreadable(scan.url)
    answer.raise_for_status()
    passport = Passport.model_validate(answer.json())
    # An id of its own: however often this job is retried, the customer gets one message.
    follow_up = tell_customer.options(task_id=ctx.follow_up_id("tell"))
    await follow_up.enqueue(customer, f"Passport {passport.number} was read.")
    return passport


@app.task(queue="mail", max_retries=5)
def tell_customer(ctx: Context, customer: str, text: str) -> None:
    """Send a message. A plain function runs in a thread, so it may block."""
    ctx.logger.info("to %s: %s", customer, text)


@app.task
async def remind(ctx: Context, days: int) -> int:
    """Remind customers whose passports will expire; return for how many days that was done."""
    ctx.logger.info("passports that expire within %d days", days)
    return days


app.cron("0 7 * * mon-fri", remind.call(30), timezone="Europe/Berlin")
