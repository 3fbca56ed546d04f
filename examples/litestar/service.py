"""A Litestar service: the queue as a dependency, connected by the lifespan."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from litestar import Litestar, get, post
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException, NotFoundException
from litestar.params import FromPath, JSONBody
from tasks import Count, count
from tasks import app as queue

from identtqueue import Client, InvalidInput, ResultTimeout, TaskExpired, TaskFailed


@asynccontextmanager
async def connected(_service: Litestar) -> AsyncGenerator[None, None]:
    """Connect once for each process, and close the connection at its end."""
    async with queue:
        yield


def provide_client() -> Client:
    """Provide the connected client, so that a test can put another one in its place."""
    return queue.client


@post("/texts", status_code=202)
async def place(data: JSONBody[dict[str, str]]) -> dict[str, str]:
    """Accept the work and answer at once."""
    task = await count.enqueue(data["text"])
    return {"id": task.task_id}


@post("/texts/now", status_code=200)
async def place_and_wait(data: JSONBody[dict[str, str]]) -> Count:
    """Do the work while the caller waits."""
    task = await count.options(expires_seconds=10).enqueue(data["text"])
    try:
        return await task.result(timeout_seconds=10)
    except (ResultTimeout, TaskExpired):
        await task.cancel()
        raise HTTPException("try again later", status_code=504) from None
    except TaskFailed as error:
        raise HTTPException(error.remote_message, status_code=502) from error


@get("/texts/{task_id:str}")
async def show(task_id: FromPath[str], client: NamedDependency[Client]) -> dict[str, str]:
    """Say how far the work is."""
    try:
        info = await client.get_task(task_id)
    except InvalidInput:
        info = None
    if info is None:
        raise NotFoundException(f"there is no task {task_id}")
    return {"state": info.state}


service = Litestar(
    route_handlers=[place, place_and_wait, show],
    lifespan=[connected],
    dependencies={"client": Provide(provide_client, sync_to_thread=False)},
)
