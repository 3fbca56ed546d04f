"""The web service: accepts pages, says how far they are, and returns what was read."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import uuid4

from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel

from identtqueue import ResultTimeout, State, TaskExpired, TaskFailed, TaskInfo
from passports.tasks import Passport, Scan, app, read_passport


@asynccontextmanager
async def lifespan(_service: FastAPI) -> AsyncGenerator[None, None]:
    """Connect once for all requests of this process."""
    async with app:
        yield


service = FastAPI(lifespan=lifespan)

Customer = Annotated[str, Header(alias="x-customer", pattern="^[a-z]+$")]


class Status(BaseModel):
    """How far a page is, and what came of it."""

    state: State
    progress: Any = None
    passport: Passport | None = None
    error: str | None = None


async def find_task(page: str, customer: Customer) -> TaskInfo:
    """Find the task of a page. The id contains the customer: nobody sees the pages of others."""
    found = await app.client.get_task(f"{read_passport.queue}:{customer}/{page}")
    if found is None:
        raise HTTPException(404, "there is no such page, or its result has expired")
    return found


Task = Annotated[TaskInfo, Depends(find_task)]


@service.post("/passports", status_code=202)
async def accept(scan: Scan, customer: Customer) -> dict[str, str]:
    """Accept a page, and answer at once."""
    page = uuid4().hex
    await read_passport.options(task_id=f"{customer}/{page}").enqueue(scan, customer)
    return {"page": page}


@service.post("/passports/now")
async def read_now(scan: Scan, customer: Customer) -> Passport:
    """Read a page while the caller waits."""
    task = await read_passport.options(expires_seconds=10, max_retries=0).enqueue(scan, customer)
    try:
        return await task.result(timeout_seconds=10)
    except (ResultTimeout, TaskExpired):
        await task.cancel()
        raise HTTPException(504, "try again later") from None
    except TaskFailed as error:
        raise HTTPException(502, error.remote_type) from error


@service.get("/passports/{page}")
async def status(task: Task) -> Status:
    """Say how far a page is."""
    if task.state is not State.SUCCEEDED:
        error = task.failure.type if task.failure else None
        return Status(state=task.state, progress=task.progress, error=error)
    passport = await read_passport.handle(task.task_id).result(timeout_seconds=0)
    return Status(state=task.state, progress=task.progress, passport=passport)


@service.delete("/passports/{page}", status_code=204)
async def cancel(task: Task) -> None:
    """Stop reading a page."""
    if not await app.client.cancel(task.task_id):
        raise HTTPException(409, f"it has {task.state} already")
