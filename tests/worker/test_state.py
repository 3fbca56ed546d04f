"""The state of a worker: what makes it, and who sees which."""

from __future__ import annotations

import asyncio
from typing import Protocol, TypedDict

import pytest

from identtqueue import App, Context, InvalidInput, Job, Worker
from testing.redis_server import RedisServer
from testing.serving import Serve, serving

ADDRESS = "redis://nowhere"


class Services:
    """The common state of the jobs of a worker."""

    def __init__(self) -> None:
        self.log: list[str] = []


class HasLog(Protocol):
    log: list[str]


class Shared(TypedDict):
    log: list[str]


async def own_state(ctx: Context[Services]) -> str:
    ctx.state.log.append("job")
    return f"{type(ctx.state).__name__} {ctx.state.log}"


def fill(state: Services) -> None:
    state.log.append("process")


@pytest.mark.slow
async def test_hooks_and_jobs_share_one_state(serve: Serve, client, queue: str) -> None:
    ended: asyncio.Queue[list[str]] = asyncio.Queue()
    worker = await serve(
        [
            Job(name="here", function=own_state),
            Job(name="there", function=own_state, run_in="process"),
        ],
        state=Services,
        on_startup=lambda state: state.log.append("start"),
        before_task=lambda ctx: ctx.state.log.append("before"),
        on_process_startup=fill,
        on_shutdown=lambda state: ended.put_nowait(state.log),
    )
    here, there = [await client.enqueue_job(queue, name) for name in ("here", "there")]
    assert await client.wait_for_result(here, 60) in (
        "Services ['start', 'before', 'job']",
        "Services ['start', 'before', 'before', 'job']",
    )
    assert await client.wait_for_result(there, 60) == "Services ['process', 'job']"
    worker.stop()
    async with asyncio.timeout(30):
        log = await ended.get()
    assert sorted(log) == ["before", "before", "job", "start"]


async def test_each_worker_has_its_own(redis_server: RedisServer, queue: str) -> None:
    app = App(redis_server.address, default_queue=queue, state=Services)
    app.task(name="job")(own_state)
    first, second = app.worker(), app.worker()
    assert isinstance(first.state, Services)
    assert first.state is not second.state
    async with app, serving(first):
        assert await (await app.jobs["job"].enqueue()).result(30) == "Services ['job']"
    assert (first.state.log, second.state.log) == (["job"], [])


def test_what_a_job_may_declare() -> None:
    def app_with(job: object, state: object = None) -> Worker:
        app = App(ADDRESS, state=state)
        app.task(name="job")(job)
        return app.worker()

    async def part(ctx: Context[HasLog]) -> None: ...
    async def anything(ctx: Context[object]) -> None: ...
    async def plain(ctx: Context) -> None: ...
    async def typed_dict(ctx: Context[Shared]) -> None: ...
    async def a_dict(ctx: Context[dict[str, int]]) -> None: ...

    for job in (part, anything, plain, own_state):
        assert isinstance(app_with(job, Services).state, Services)
    for job in (part, anything, plain, typed_dict, a_dict):
        assert app_with(job).state == {}
    assert app_with(own_state, lambda: Services()).state.log == [], "its class is not known before"  # noqa: PLW0108
    with pytest.raises(InvalidInput, match=r"job job: it declares Context\[Services\]"):
        app_with(own_state)
    with pytest.raises(InvalidInput, match=r"job job: it declares Context\[dict\]"):
        app_with(typed_dict, Services)


def test_a_process_has_to_import_what_makes_the_state() -> None:
    in_a_process = Job(name="job", function=own_state, run_in="process")
    with pytest.raises(InvalidInput, match=r"state: .* can't run in a process"):
        Worker([in_a_process], ADDRESS, "q", state=lambda: Services())  # noqa: PLW0108
    assert Worker([in_a_process], ADDRESS, "q", state=Services)
