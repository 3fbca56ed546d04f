"""Typed apps: jobs are declared once, arguments are checked, values keep their types."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
import pydantic
import pytest
import redis

from identtqueue import (
    App,
    Context,
    InvalidInput,
    RetryPolicy,
    State,
    SyncTaskHandle,
    TaskCancelled,
    TaskFailed,
    TaskHandle,
    TaskNotFound,
    TaskOptions,
)
from identtqueue.errors import BadResult, NotConnected, NotSerializable
from testing.redis_server import RedisServer
from testing.serving import serving
from testing.waiting import eventually

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForTypeCheckers


class Side(enum.Enum):
    FRONT = "front"
    BACK = "back"


@dataclass
class Page:
    path: str
    number: int
    side: Side = Side.FRONT


class Box(msgspec.Struct, frozen=True):
    x: int
    y: float


class Mrz(pydantic.BaseModel):
    name: str
    born: date
    boxes: list[int] = []


def in_plain_words(value: object) -> str:
    return f"{type(value).__module__.rpartition('.')[2]}.{type(value).__name__}"


@pytest.fixture
async def app(redis_server: RedisServer, queue: str) -> AsyncIterator[App]:
    """Make an app whose jobs return their argument and its type."""
    async with App(redis_server.address, default_queue=queue) as connected:
        yield connected


async def test_the_documented_example(redis_server: RedisServer, queue: str) -> None:
    app = App(redis_server.address)

    @app.task(queue=queue, timeout_seconds=30, max_retries=3)
    async def read_mrz(ctx: Context, path: str) -> Mrz:
        return Mrz(name=f"{path} by {ctx.attempt}", born=date(1970, 1, 1))

    async with app, serving(app.worker(queues=[queue, "default"], concurrency=32)):
        task = await read_mrz.enqueue("s3://bucket/document.jpg")
        mrz = await task.result(timeout_seconds=30)
        assert mrz == Mrz(name="s3://bucket/document.jpg by 1", born=date(1970, 1, 1))
        paths = [f"page-{n}" for n in range(20)]
        tasks = await app.enqueue_many(read_mrz.call(path) for path in paths)
        assert [(await t.result(30)).name for t in tasks] == [f"{p} by 1" for p in paths]
        assert await tasks[0].status() is State.SUCCEEDED
        assert isinstance(task, TaskHandle)
        assert task.created


async def test_arguments_and_results_keep_their_types(app: App) -> None:
    @app.task
    async def page(_ctx: Context, value: Page) -> Page:
        assert isinstance(value, Page)
        assert isinstance(value.side, Side)
        return Page(value.path, value.number + 1, Side.BACK)

    @app.task
    async def box(_ctx: Context, value: Box, *, times: int = 2) -> list[Box]:
        assert isinstance(value, Box)
        return [value] * times

    @app.task
    async def mrz(_ctx: Context, value: Mrz) -> Mrz:
        assert isinstance(value, Mrz)
        return value.model_copy(update={"boxes": [*value.boxes, 3]})

    @app.task
    async def mixed(
        _ctx: Context, at: datetime, ident: UUID, maybe: Page | None, *rest: int, **names: str
    ) -> tuple[datetime, UUID, Page | None, int]:
        assert isinstance(at, datetime)
        assert isinstance(ident, UUID)
        return at, ident, maybe, sum(rest) + len(names)

    @app.task
    def in_a_thread(_ctx: Context, value: Page) -> Box:
        assert isinstance(value, Page)
        return Box(value.number, 0.5)

    @app.task
    async def nothing(_ctx: Context) -> None: ...

    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    ident = UUID(int=7)
    async with serving(app.worker()):
        assert await (await page.enqueue(Page("p", 1))).result(30) == Page("p", 2, Side.BACK)
        assert await (await box.enqueue(Box(1, 2.5), times=3)).result(30) == [Box(1, 2.5)] * 3
        person = Mrz(name="Mustermann", born=date(1964, 8, 12), boxes=[1])
        answer = await (await mrz.enqueue(person)).result(30)
        assert answer == Mrz(name="Mustermann", born=date(1964, 8, 12), boxes=[1, 3])
        task = await mixed.enqueue(at, ident, None, 1, 2, a="x")
        assert await task.result(30) == (at, ident, None, 4)
        assert await (await in_a_thread.enqueue(Page("p", 4))).result(30) == Box(4, 0.5)
        assert await (await nothing.enqueue()).result(30) is None


async def test_bad_arguments_are_refused_at_the_caller(
    app: App, raw: redis.Redis, queue: str
) -> None:
    @app.task
    async def read(_ctx: Context, path: str, *, dpi: int = 300) -> str:
        return path

    for args, kwargs in (
        ((), {}),
        (("a", "b"), {}),
        (("a",), {"zoom": 2}),
        (("a",), {"path": "b"}),
    ):
        with pytest.raises(InvalidInput, match="read: "):
            await read.enqueue(*args, **kwargs)
    with pytest.raises(NotSerializable):
        await read.enqueue(object())
    assert not raw.exists(f"idtq:{{{queue}}}:pending")


async def test_values_of_the_wrong_type_fail_at_the_worker(app: App) -> None:
    """The error names the argument, for callers in other languages or of other releases."""
    calls = []

    @app.task(max_retries=3)
    async def read(_ctx: Context, page: Page) -> None:
        calls.append(page)

    async with serving(app.worker(unrunnable_seconds=0)):
        task_id = await app.client.enqueue_job(read.queue, "read", {"path": 5, "number": "x"})
        with pytest.raises(TaskFailed) as caught:
            await app.client.wait_for_result(task_id, 30)
        short = await app.client.enqueue_job(read.queue, "read")
        with pytest.raises(TaskFailed, match="job read: missing a required argument: 'page'"):
            await app.client.wait_for_result(short, 30)
    assert caught.value.remote_type == "identtqueue.errors.BadArguments"
    assert caught.value.remote_message == "job read: page: Expected `str`, got `int` - at `$.path`"
    assert (await app.client.get_task(task_id)).attempt == 1, "it would end the same way"
    assert calls == []


async def test_a_result_of_the_wrong_type_is_an_error_of_ours(app: App) -> None:
    """The worker may run another release than the caller."""

    @app.task
    async def read(_ctx: Context) -> Page:
        return {"path": 5}  # type: ignore[return-value]

    @app.task
    async def make(_ctx: Context) -> Plain:
        return {}  # type: ignore[return-value]

    async with serving(app.worker()):
        task = await read.enqueue()
        with pytest.raises(BadResult, match=f"result of task {task.task_id} is not a Page: ") as e:
            await task.result(30)
        assert "Expected `str`, got `int` - at `$.path`" in str(e.value)
        assert await app.client.wait_for_result(task.task_id, 30) == {"path": 5}
        with pytest.raises(BadResult, match="is not a Plain: "):
            await (await make.enqueue()).result(30)


async def test_options(app: App) -> None:
    @app.task
    async def read(_ctx: Context, path: str) -> str:
        return path

    twice = [await read.options(task_id="one").enqueue("a") for _ in range(2)]
    assert [task.created for task in twice] == [True, False]
    assert twice[0].task_id == twice[1].task_id == f"{app.default_queue}:one"
    later = await read.options(delay_seconds=3600).enqueue("b")
    assert await later.status() is State.SCHEDULED
    assert await later.cancel() is True
    with pytest.raises(TaskCancelled):
        await later.result(30)
    with pytest.raises(InvalidInput):
        read.options(delay_seconds=-1)
    with pytest.raises(TypeError):
        read.options(delay=5)
    async with serving(app.worker()):
        many = [read.options(unique_key="k").call("c") for _ in range(3)]
        tasks = await app.enqueue_many([*many, read.call("d")])
        assert len({task.task_id for task in tasks}) == 2
        assert [await task.result(30) for task in tasks] == ["c", "c", "c", "d"]


def test_a_cron_job_may_have_arguments_of_any_name() -> None:
    app = App("redis://nowhere")

    @app.task
    async def greet(_ctx: Context, name: str = "you", timezone: str = "UTC") -> None: ...

    entry = app.cron("* * * * *", greet.call(name="me", timezone="CET"), name="hello")
    assert (entry.name, entry.timezone) == ("hello", "UTC")
    assert entry.kwargs == {"name": "me", "timezone": "CET"}
    for word in ("name", "timezone"):
        with pytest.raises(InvalidInput, match=f"cron greet: '{word}' is ambiguous"):
            app.cron("* * * * *", greet, **{word: "CET"})
    with pytest.raises(InvalidInput, match="a call has its arguments already"):
        app.cron("* * * * *", greet.call(), "me")


def test_options_of_a_schedule_beside_arguments_of_its_job() -> None:
    """No signature can express both for type checkers, so both refuse it and say what to do."""
    app = App("redis://nowhere")

    @app.task
    async def read(_ctx: Context, path: str = "") -> None: ...

    assert app.cron("* * * * *", read, name="plain").name == "plain"
    for arguments, named in ((("a",), {}), ((), {"path": "a"})):
        with pytest.raises(InvalidInput, match=r"app\.cron\(…, read\.call\(…\), timezone=…\)"):
            app.cron("* * * * *", read, *arguments, timezone="CET", **named)
    assert [entry.name for entry in app.crons] == ["plain"]


async def test_every_name_can_be_an_argument(app: App) -> None:
    """A job may have arguments named like the library's own parameters or a task's options."""

    @app.task
    async def odd(
        _ctx: Context,
        self: int,
        job: int,
        args: int,
        queue_name: int,
        function_name: int,
        task_options: int,
        name: int,
        timezone: int,
        delay_seconds: int,
        task_id: int,
    ) -> list[int]:
        return [self, job, args, queue_name, function_name, task_options, name, timezone]

    @app.task
    async def anything(_ctx: Context, **kwargs: int) -> dict[str, int]:
        return kwargs

    names = (
        *("self", "job", "args", "queue_name", "function_name", "task_options", "name"),
        *("timezone", "delay_seconds", "task_id"),
    )
    given = {name: n for n, name in enumerate(names)}
    async with serving(app.worker()):
        assert await (await odd.enqueue(**given)).result(30) == list(range(8))
        free = {name: n for name, n in given.items() if name not in ("delay_seconds", "task_id")}
        assert await (await anything.enqueue(**free)).result(30) == free
        for name in ("delay_seconds", "task_id", "max_retries"):
            with pytest.raises(InvalidInput, match=f"anything: {name} is an option of the task"):
                await anything.enqueue(**{name: 5})


def test_options_add_up() -> None:
    app = App("redis://nowhere")

    @app.task
    async def read(_ctx: Context, path: str) -> str:
        return path

    first = read.options(max_retries=3, delay_seconds=60)
    both = first.options(timeout_seconds=5).options(max_retries=4)
    assert both.task_options == TaskOptions(max_retries=4, delay_seconds=60, timeout_seconds=5)
    at = datetime(2030, 1, 1, tzinfo=UTC)
    assert first.options(at=at).task_options == TaskOptions(max_retries=3, at=at)
    assert first.options(at=at).options(delay_seconds=1).task_options.at is None
    assert first.options(delay_seconds=None).task_options == TaskOptions(max_retries=3)
    assert first.task_options == TaskOptions(max_retries=3, delay_seconds=60)
    assert read.task_options is None
    with pytest.raises(InvalidInput, match="delay_seconds or at"):
        read.options(at=at, delay_seconds=1)


async def test_settings_of_a_job(app: App) -> None:
    @app.task(name="renamed", max_retries=1, timeout_seconds=0.1)
    async def first(ctx: Context) -> None:
        await asyncio.Event().wait()

    @app.task(retry=RetryPolicy(max_retries=2, first_delay_seconds=0.01))
    async def second(ctx: Context) -> int:
        if ctx.failures < 2:
            raise ValueError(ctx.failures)
        return ctx.failures

    assert first.name == "renamed"
    assert first.job_options.retry.max_retries == 1
    async with serving(app.worker()):
        assert await (await second.enqueue()).result(30) == 2
        task = await first.options(max_retries=0).enqueue()
        with pytest.raises(TaskFailed, match=r"renamed ran longer than 0\.1 s"):
            await task.result(30)


async def test_a_job_is_still_a_function(app: App) -> None:
    @app.task
    async def double(_ctx: Context | None, n: int) -> int:
        """Twice."""
        return 2 * n

    @app.task
    def triple(_ctx: Context | None, n: int) -> int:
        return 3 * n

    assert await double(None, 4) == 8
    assert triple(None, n=4) == 12
    assert double.__doc__ == "Twice."
    assert double.__name__ == "double"


class Plain:
    """Plain class, neither dataclass nor model."""


class Node:
    """Plain class that is declared after the job that names it."""


def test_a_type_that_nothing_can_be_converted_to() -> None:
    """It is refused where the job is declared, and not for each task in a worker."""
    app = App("redis://nowhere")

    async def known(_ctx: Context, what: Plain | None = None) -> None: ...
    async def two(_ctx: Context, what: Plain | complex) -> None: ...
    async def inside(_ctx: Context, what: list[Plain]) -> None: ...
    async def called(_ctx: Context, what: Callable[[], None]) -> None: ...
    async def endless(_ctx: Context, what: Iterator[int]) -> None: ...

    for function in (known, two, inside, called, endless):
        with pytest.raises(InvalidInput, match=f"job {function.__name__}: what: nothing can be"):
            app.task(function)
    assert not app.jobs

    @app.task
    async def later(_ctx: Context, what: DefinedLater) -> None: ...  # noqa: F821 - not yet

    globals().update(DefinedLater=Node)
    with pytest.raises(InvalidInput, match="job later: what: nothing can be converted"):
        app.worker()


def test_declarations_that_break_a_rule() -> None:
    app = App("redis://nowhere")

    @app.task
    async def taken(_ctx: Context) -> None: ...

    with pytest.raises(InvalidInput, match="two jobs are named 'taken'"):
        app.task(name="taken")(lambda ctx: None)
    with pytest.raises(InvalidInput, match="first parameter must be the context"):
        app.task(name="bare")(lambda: None)
    with pytest.raises(InvalidInput, match="max_retries or retry, not both"):
        app.task(max_retries=1, retry=RetryPolicy())(lambda ctx: None)
    with pytest.raises(InvalidInput, match="queue name 'No Name' is not valid"):
        app.task(queue="No Name")(lambda ctx: None)
    with pytest.raises(InvalidInput, match="queue name"):
        App(default_queue="No Name")
    with pytest.raises(InvalidInput, match=r"give a list: queues=\['default'\]"):
        app.worker("default")
    assert list(app.jobs) == ["taken"], "what was refused is not there"


async def test_a_type_that_only_type_checkers_see(redis_server: RedisServer) -> None:
    """The annotation can't be evaluated. Making the worker raises an error that names the job."""
    app = App(redis_server.address)

    @app.task
    async def pay(_ctx: Context, amount: OnlyForTypeCheckers) -> None: ...

    with pytest.raises(InvalidInput, match=r"job pay: .*'OnlyForTypeCheckers'.* TYPE_CHECKING"):
        app.worker()


async def test_a_context_that_only_type_checkers_see(redis_server: RedisServer, queue: str) -> None:
    """Linters move the import of Context under TYPE_CHECKING. Its type is not needed."""
    app = App(redis_server.address, default_queue=queue)
    scope: dict[str, object] = {"app": app}
    exec(
        "from __future__ import annotations\n"
        "@app.task\n"
        "async def half(ctx: Context, n: int) -> float:\n"
        "    return n / 2\n",
        scope,
    )
    async with app, serving(app.worker()):
        assert await (await scope["half"].enqueue(3)).result(30) == 1.5


async def test_without_a_loop(app: App) -> None:
    """A Flask or Django view enqueues without connecting first."""

    @app.task
    async def born(ctx: Context, side: Side, day: date) -> tuple[Side, date]:
        await ctx.report_progress("reading")
        return side, day

    def view() -> None:
        task = born.enqueue_sync(Side.BACK, date(1964, 8, 12))
        assert isinstance(task, SyncTaskHandle)
        assert list(task.progress(30)) == ["reading"]
        assert task.result(timeout_seconds=30) == (Side.BACK, date(1964, 8, 12))
        assert (task.created, task.status()) == (True, State.SUCCEEDED)
        assert str(task) == f"SyncTaskHandle({task.task_id})"
        same = born.options(task_id=task.task_id).enqueue_sync(Side.BACK, date(1964, 8, 12))
        assert (same.created, same.task_id) == (False, task.task_id)
        later = born.options(delay_seconds=3600).enqueue_sync(Side.BACK, date(1964, 8, 12))
        assert later.cancel() is True
        with pytest.raises(TaskCancelled):
            later.result(30)
        many = app.enqueue_many_sync(born.call(side, date(2000, 1, 1)) for side in Side)
        assert [one.result(30)[0] for one in many] == list(Side)
        with pytest.raises(InvalidInput, match="missing a required argument: 'day'"):
            born.enqueue_sync(Side.BACK)

    async with serving(app.worker()):
        await asyncio.to_thread(view)
    app.sync_client.close()


async def test_not_connected() -> None:
    app = App("redis://nowhere")

    @app.task
    async def job(_ctx: Context) -> None: ...

    with pytest.raises(NotConnected, match="connect first"):
        await job.enqueue()


async def test_two_may_connect_it_at_once(redis_server: RedisServer, raw: redis.Redis) -> None:
    """The application and a start-up hook of its worker connect in the same loop."""
    before = len(raw.client_list())
    app = App(redis_server.address)
    await asyncio.gather(app.connect(), app.connect())
    await eventually(lambda: len(raw.client_list()) == before + 1, "one connection is left")
    await app.close()
    await eventually(lambda: len(raw.client_list()) == before, "and then none")


async def test_connect_and_close_may_be_repeated(redis_server: RedisServer) -> None:
    app = App(redis_server.address)
    await app.connect()
    client = app.client
    await app.connect()
    assert app.client is client
    await app.close()
    await app.close()
    async with app:
        assert app.client is not client


async def test_hooks_and_cron_of_the_app(redis_server: RedisServer, queue: str) -> None:
    seen = asyncio.Queue()

    async def load(state):
        state["model"] = "large"

    def unload(state):
        seen.put_nowait(("unloaded", state["model"]))

    app = App(redis_server.address, default_queue=queue, on_startup=load, on_shutdown=unload)

    @app.task
    async def tick(ctx: Context, word: str, *, times: int) -> None:
        seen.put_nowait((ctx.state["model"], word * times))

    app.cron("* * * * * *", tick, "ti", times=2)
    with pytest.raises(InvalidInput, match="cron tick: "):
        app.cron("every day", tick, "ti", times=2)
    with pytest.raises(InvalidInput, match=r"tick: missing a required .*argument: 'times'"):
        app.cron("* * * * *", tick, "ti")
    async with serving(app.worker()):
        async with asyncio.timeout(30):
            assert await seen.get() == ("large", "titi")
    rest = [seen.get_nowait() for _ in range(seen.qsize())]
    assert rest[-1] == ("unloaded", "large")


async def test_jobs_enqueue_with_their_app_in_its_worker(
    redis_server: RedisServer, queue: str
) -> None:
    """If nobody has connected the app, its worker does, and closes the connection."""
    producer = App(redis_server.address, default_queue=queue)
    app = App(redis_server.address, default_queue=queue)

    @app.task
    async def second(_ctx: Context, number: int) -> int:
        return number + 1

    @app.task
    async def first(_ctx: Context, number: int) -> str:
        return (await second.enqueue(number)).task_id

    starter = producer.task(first)
    for _ in range(2):  # one worker after the other
        with pytest.raises(NotConnected):
            _ = app.client
        async with producer, serving(app.worker()), serving(app.worker()):
            follow_up = await (await starter.enqueue(1)).result(30)
            assert await producer.client.wait_for_result(follow_up, 30) == 2
    with pytest.raises(NotConnected):
        _ = app.client
    with redis_server.client() as raw:
        await eventually(
            lambda: not [c for c in raw.client_list() if c["name"].startswith("identtqueue")],
            "all connections are closed",
        )


async def test_a_client_that_was_connected_outlives_the_worker(
    redis_server: RedisServer, queue: str
) -> None:
    async with App(redis_server.address, default_queue=queue) as app:
        again = app.task(name="again")(_identity)
        async with serving(app.worker()):
            assert await (await again.enqueue(1)).result(30) == 1
        assert await (await again.enqueue(2)).status() is State.PENDING


async def _identity(_ctx: Context, number: int) -> int:
    return number


async def test_a_handle_from_an_id(app: App) -> None:
    """Only the id has reached the next request, or another service."""

    @app.task
    async def page(ctx: Context, number: int) -> Page:
        await ctx.report_progress("reading")
        return Page("p", number)

    @app.task
    async def count(_ctx: Context) -> int:
        return 5

    later = await page.options(delay_seconds=3600).enqueue(1)
    assert await page.handle(later.task_id).status() is State.SCHEDULED
    assert await page.handle(later.task_id).cancel() is True
    async with serving(app.worker()):
        task_id = (await page.enqueue(7)).task_id
        handle = page.handle(task_id)
        assert [value async for value in handle.progress(30)] == ["reading"]
        assert await handle.result(30) == Page("p", 7)
        assert (handle.task_id, handle.created) == (task_id, False)
        assert await asyncio.to_thread(page.handle_sync(task_id).result, 30) == Page("p", 7)
        other = (await count.enqueue()).task_id
        with pytest.raises(BadResult, match="is not a Page"):
            await page.handle(other).result(30)
        with pytest.raises(TaskNotFound):
            await page.handle(f"{page.queue}:none").result(30)
    app.sync_client.close()
