"""Apps that include other apps: jobs, schedules, hooks, connections and what contradicts."""

from __future__ import annotations

import asyncio

import pytest

from identtqueue import App, Context, InvalidInput
from identtqueue.errors import NotConnected
from testing.redis_server import RedisServer
from testing.serving import serving


class Services:
    def __init__(self) -> None:
        self.opened: list[str] = []


def orders_of(queue: str) -> App:
    """Make an app as a module of a service has it: without an address."""
    orders = App(default_queue=queue, state=Services)

    @orders.task
    async def ship(_ctx: Context[Services], number: int) -> str:
        return (await notify.enqueue(f"{number} is on its way")).task_id

    @orders.task(name="notify")
    def notify(ctx: Context[Services], text: str) -> str:
        return f"{text} by {', '.join(ctx.state.opened)}"

    @orders.on_startup
    async def open_mail(state: Services) -> None:
        state.opened.append("mail")

    orders.cron("0 3 * * *", notify, "good night")
    return orders


async def test_a_service_of_two_modules(redis_server: RedisServer, queue: str) -> None:
    orders = orders_of(queue)
    app = App(redis_server.address, default_queue=queue, state=Services)
    seen: list[tuple[str, str]] = []
    app.include(orders)
    app.include(orders)

    @app.on_startup
    def open_pool(state: Services) -> None:
        state.opened.append("pool")

    @app.before_task
    def begin(ctx: Context[Services]) -> None:
        seen.append(("app", ctx.function_name))

    @orders.before_task
    async def begin_order(ctx: Context[Services]) -> None:
        seen.append(("orders", ctx.function_name))

    @app.task
    async def own(_ctx: Context) -> None: ...

    @orders.task(name="late")
    async def late(_ctx: Context) -> None: ...

    assert set(app.jobs) == {"ship", "notify", "own", "late"}
    assert [entry.function_name for entry in app.crons] == ["notify"]
    ship, notify = orders.jobs["ship"], orders.jobs["notify"]
    with pytest.raises(NotConnected, match="another one includes"):
        await ship.enqueue(1)
    async with app, serving(app.worker()):
        text = await notify.handle(await (await ship.enqueue(7)).result(30)).result(30)
        assert text == "7 is on its way by pool, mail"
        await (await own.enqueue()).result(30)
        await (await late.enqueue()).result(30)
    both = {(owner, job) for owner in ("app", "orders") for job in ("ship", "notify", "late")}
    assert set(seen) == both | {("app", "own")}
    assert app.jobs["ship"].app is app


async def test_in_its_worker_it_needs_no_connection(redis_server: RedisServer, queue: str) -> None:
    """The jobs of an included app enqueue where the worker of the including app connects."""
    orders = orders_of(queue)
    app = App("redis://nowhere", state=Services)
    app.include(orders)
    async with (
        App(redis_server.address) as producer,
        serving(app.worker(redis_address=redis_server.address)),
    ):
        task_id = await producer.client.enqueue_job(queue, "ship", 1)
        follow_up = await producer.client.wait_for_result(task_id, 30)
        assert await producer.client.wait_for_result(follow_up, 30) == "1 is on its way by mail"


async def test_apps_that_include_the_same_one(redis_server: RedisServer, queue: str) -> None:
    """Two services of one repository include it, and a program imports both."""
    common = App(default_queue=queue)

    @common.task
    async def tidy(_ctx: Context) -> None: ...

    here, there = App(redis_server.address), App("redis://nowhere")
    here.include(common)
    there.include(common)
    async with here:
        assert (await tidy.enqueue()).task_id.startswith(queue)
    with pytest.raises(InvalidInput, match=r"app\.jobs\['name'\]"):
        tidy.enqueue_sync()
    task = await asyncio.to_thread(here.jobs["tidy"].enqueue_sync)
    assert task.cancel() is True
    here.sync_client.close()


async def test_an_app_that_is_included_on_two_ways() -> None:
    common, left, right, top = App(), App(), App(), App("redis://nowhere")

    @common.task
    async def tidy(_ctx: Context) -> None: ...

    common.cron("* * * * *", tidy)
    left.include(common)
    right.include(common)
    top.include(left)
    top.include(right)
    assert list(top.jobs) == ["tidy"]
    assert len(top.crons) == 1
    hooked = []
    common.on_startup(hooked.append)
    (hook,) = top.worker().settings.hooks.on_startup[1:]
    assert hook == hooked.append


def test_the_order_of_hooks() -> None:
    called: list[str] = []
    inner, outer = App(), App("redis://nowhere")
    outer.include(inner)
    for app, name in ((inner, "inner"), (outer, "outer")):
        app.on_startup(lambda _state, name=name: called.append(name))
        app.on_shutdown(lambda _state, name=name: called.append(name))
    outer.task(name="job")(lambda ctx: None)
    hooks = outer.worker().settings.hooks
    for hook in (*hooks.on_startup[1:], *hooks.on_shutdown[:-1]):
        hook({})
    assert called == ["outer", "inner", "inner", "outer"]


def test_what_contradicts_is_refused() -> None:
    async def job(_ctx: Context) -> None: ...

    app, other = App("redis://nowhere"), App()
    app.task(job)
    other.task(job)  # the same function under the same name: the same job
    another = App()
    another.task(name="job")(lambda ctx: None)
    with pytest.raises(InvalidInput, match="both apps have a job named 'job'"):
        app.include(another)
    app.include(other)
    with pytest.raises(InvalidInput, match="two jobs are named 'job'"):
        other.task(name="job")(lambda ctx: None)
    with pytest.raises(InvalidInput, match="can't include itself"):
        other.include(app)
    with pytest.raises(InvalidInput, match="can't include itself"):
        app.include(app)
    with pytest.raises(InvalidInput, match="both apps name a Redis"):
        app.include(App("redis://elsewhere"))
    with pytest.raises(InvalidInput, match=r"settings of its own \(max_payload_bytes\)"):
        app.include(App(max_payload_bytes=5))
    app.cron("* * * * *", app.jobs["job"])
    clock = App()
    clock.cron("* * * * *", clock.task(name="tick")(lambda ctx: None), name="job")
    with pytest.raises(InvalidInput, match="a schedule named 'job' for queue 'default'"):
        app.include(clock)
    assert list(app.jobs) == ["job"]
