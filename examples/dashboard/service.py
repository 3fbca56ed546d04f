"""A FastAPI service with the dashboard of its queues below /queues."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from identtqueue import App
from identtqueue.dashboard import BasicAuth, create_dashboard

app = App(default_queue="mail")  # the address is in IDENTTQUEUE_REDIS_ADDRESS


@app.task(max_retries=3)
async def send_mail(_ctx: object, customer: str) -> None:
    """Send a message."""
    if "@" not in customer:
        raise ValueError(f"{customer} is no address")


dashboard = create_dashboard(
    app.redis_settings,
    title="shop",
    queues=["mail"],
    auth=BasicAuth(os.environ.get("DASHBOARD_USERS", "users")),
)


@asynccontextmanager
async def lifespan(_service: FastAPI) -> AsyncGenerator[None, None]:
    """Connect once. At the end the dashboard's streams end too: mounted, it has no lifespan."""
    async with app:
        yield
        await dashboard.close()


service = FastAPI(lifespan=lifespan)
service.mount("/queues", dashboard)


@service.post("/mails/{customer}", status_code=202)
async def accept(customer: str) -> dict[str, str]:
    """Accept a message, and answer at once."""
    return {"task": (await send_mail.enqueue(customer)).task_id}
