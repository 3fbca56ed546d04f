"""An app whose jobs run in processes and threads and enqueue others. Its own Redis is not there."""

from __future__ import annotations

import os
import threading

from identtqueue import App, Context

NOWHERE = "redis://127.0.0.1:1"
QUEUE = os.environ.get("PROCESSING_QUEUE", "processing")
"""Of the test, also in the processes that its worker starts."""


class Services:
    """The things that a process opens when it starts."""

    pool: str = "closed"


app = App(NOWHERE, state=Services, default_queue=QUEUE, retry_for_seconds=0.5)
included = App(default_queue=QUEUE, state=Services)
other = App("redis://127.0.0.1:2", retry_for_seconds=0.5)


@app.on_process_startup
def open_pool(state: Services) -> None:
    state.pool = "open"


@app.task
async def follow_up(ctx: Context[Services], text: str) -> str:
    return f"{text} with a pool that is {ctx.state.pool}"


@included.task
async def follow_up_of_included(ctx: Context[Services], text: str) -> str:
    return f"included: {text}"


@other.task
async def elsewhere(ctx: Context) -> None: ...


@app.task(run_in="process")
async def in_a_process(ctx: Context[Services]) -> list[str]:
    one = await follow_up.enqueue(f"async, {ctx.state.pool}")
    two = await follow_up_of_included.enqueue("async")
    return [await one.result(30), await two.result(30)]


@app.task(run_in="process")
def blocking_in_a_process(ctx: Context[Services]) -> list[str]:
    tasks = [follow_up.enqueue_sync(f"sync, {ctx.state.pool}")]
    tasks.append(follow_up_of_included.enqueue_sync("sync"))
    return [task.result(30) for task in tasks]


@app.task
def in_a_thread(ctx: Context[Services]) -> list[str]:
    task = follow_up.enqueue_sync(f"{threading.current_thread().name.split()[0]}, {ctx.state.pool}")
    return [task.result(30)]


@app.task(run_in="process")
async def to_another_redis(ctx: Context[Services]) -> str:
    try:
        await elsewhere.enqueue()
    except Exception as error:
        return type(error).__name__
    return "enqueued"


app.include(included)
