"""The pages show what Redis knows, wherever the dashboard is mounted."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import AsyncExitStack

import httpx
import pytest
from fastapi import FastAPI

from identtqueue import App
from identtqueue.admin import Admin
from identtqueue.client import Client
from identtqueue.dashboard import create_dashboard
from identtqueue.dashboard.pages.workers import MOST_QUEUES
from identtqueue.protocol.calls import leasing, registry
from identtqueue.transport.connect import async_redis
from identtqueue.transport.settings import RedisSettings
from testing.http import connected
from testing.redis_server import RedisServer
from testing.serving import serving
from testing.waiting import eventually
from web.serving import following, live_address, served, text_of


def row_of(page: str, key: str) -> str:
    """Return the words of one row of a table."""
    found = re.search(rf'<tr id="{re.escape(key)}">.*?</tr>', page, re.DOTALL)
    assert found, f"no row {key} in {text_of(page)}"
    return text_of(found[0])


async def test_the_overview_finds_queues_by_itself(
    otto: httpx.AsyncClient, client: Client, admin: Admin, queue: str
) -> None:
    for number in range(3):
        await client.enqueue_job(queue, "resize", number)
    await admin.pause(queue)

    async def is_shown() -> bool:
        return f'id="queue-{queue}"' in (await otto.get("/", params={"q": queue})).text

    await eventually(is_shown, "the registry has the queue, and the page shows it")
    page = (await otto.get("/", params={"q": queue})).text
    assert row_of(page, f"queue-{queue}").startswith(f"{queue} paused no workers 3 ")
    assert "tests · idenTTqueue</title>" in page
    for sort in ("waiting", "oldest", "dead", "rate", "nonsense"):
        assert (await otto.get("/", params={"sort": sort})).status_code == 200
    nothing = await otto.get("/", params={"q": "<no such queue>"})
    assert "No queue is called like that" in nothing.text
    assert "&lt;no such queue&gt;" in nothing.text


async def test_a_queue_shows_its_jobs_limits_schedules_and_workers(
    otto: httpx.AsyncClient, redis_server: RedisServer, client: Client, queue: str
) -> None:
    app = App(redis_server.address, default_queue=queue)
    going_on = asyncio.Event()

    @app.task(max_running=1)
    async def resize(_ctx: object, path: str) -> str:
        if path == "long":
            await going_on.wait()
        if path == "bad":
            raise ValueError(path)
        return path

    app.cron("0 3 * * *", resize.call("nightly"), name="each-night")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serving(app.worker(concurrency=2)))
        stack.callback(going_on.set)
        for path in ("good", "bad", "long", "held"):
            await client.enqueue_job(queue, "resize", path)
        shown: dict[str, str] = {}

        async def is_shown() -> bool:
            shown["page"] = (await otto.get(f"/queues/{queue}")).text
            return "ValueError 1" in text_of(shown["page"]) and "running 1/1" in shown["page"]

        await eventually(is_shown, lambda: text_of(shown["page"]))
        page = shown["page"]
        job = row_of(page, "job-resize")
        assert "ValueError 1" in job
        assert "running 1/1 1 held, next when one ends" in job
        assert "each-night" in row_of(page, "cron-each-night")
        assert "0 3 * * *" in row_of(page, "cron-each-night")
        worker = row_of(page, re.search(r'<tr id="(worker-[^"]+)">', page)[1])  # type: ignore[index]
        assert "1 of 2" in worker
        assert "working" in worker

        async def is_listed() -> str | None:
            listed = (await otto.get("/workers", params={"q": queue})).text
            return listed if '<tr id="worker-' in listed else None

        workers = await eventually(is_listed, "the page of workers has the queue")
        found = row_of(workers, re.search(r'<tr id="(worker-[^"]+)">', workers)[1])  # type: ignore[index]
        assert "resize" in found
        assert queue in found
        series = (await otto.get("/series.json", params={"queue": queue})).json()
        assert len(series["at"]) == len(series["depth"]) == 288
        assert series["depth"][-1] == 3  # one runs, one is held, one is planned
        assert sum(series["enqueued"]) > 0
        assert max(each for each in series["ran"] if each is not None) > 0


async def test_mounted_anywhere_all_links_lead_into_it(
    redis_server: RedisServer, client: Client, queue: str
) -> None:
    await client.enqueue_job(queue, "resize")
    outer = FastAPI()
    dashboard = create_dashboard(redis_server.address, queues=[queue], interval_seconds=0.2)
    outer.mount("/admin/queues", dashboard)

    @outer.get("/")
    def own() -> str:
        return "the application's own page"

    async with served(outer) as base, connected(base) as browser:
        assert (await browser.get("/")).json() == "the application's own page"
        page = (await browser.get("/admin/queues/", params={"q": queue})).text
        addresses = re.findall(r'(?:href|src|action|data-live|data-source)="([^"]*)"', page)
        assert len(addresses) > 10
        for address in addresses:
            if address.startswith("#"):
                continue
            assert address.startswith("/admin/queues/"), address
            if "/live/" not in address:
                answer = await browser.get(address.replace("&amp;", "&"))
                assert answer.status_code == 200, address
        async with following(browser, live_address(page)) as tab:
            await eventually(lambda: f'id="queue-{queue}"' in tab.parts.get("live-queues", ""))
    await dashboard.close()


async def test_what_is_not_there_is_said(otto: httpx.AsyncClient) -> None:
    assert "There is no such page" in (await otto.get("/nothing")).text
    wrong = await otto.get("/queues/NOT A QUEUE")
    assert wrong.status_code == 400
    assert "That can&#39;t be asked" in wrong.text
    without = await otto.get("/taskqueues")
    assert "No TaskQueues are shown here" in without.text
    assert "without a source" in without.text
    assert (await otto.get("/taskqueues/a/b")).status_code == 404


async def test_without_redis_the_pages_say_so_and_come_back(
    new_redis_server: Callable[..., RedisServer],
) -> None:
    server = new_redis_server()
    dashboard = create_dashboard(server.address, queues=["mrz"], interval_seconds=0.2)
    async with served(dashboard) as base, connected(base) as browser:
        page = (await browser.get("/queues/mrz")).text
        async with following(browser, live_address(page)) as tab:
            await eventually(lambda: tab.parts)
            server.kill()
            await eventually(lambda: tab.trouble, "the stream tells that Redis is away")
            gone = await browser.get("/queues/other")
            assert gone.status_code == 503
            assert "Redis does not answer as it should" in gone.text
            assert (await browser.get("/healthz")).status_code == 200
            server.start()
            await eventually(lambda: not tab.trouble, "and that it is back")


async def test_workers_tell_their_release_node_and_memory(
    otto: httpx.AsyncClient,
    redis_server: RedisServer,
    admin: Admin,
    queue: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IDENTTQUEUE_NODE_NAME", "node-7")
    monkeypatch.setenv("IDENTTQUEUE_POD_NAME", "shop-5d8c6b7f9c-x2k4z")
    app = App(redis_server.address, default_queue=queue)

    @app.task
    async def resize(_ctx: object) -> None: ...

    async with serving(app.worker()):
        (worker,) = await eventually(lambda: admin.workers(queue))
        assert (worker.node, worker.release) == ("node-7", "5d8c6b7f9c")
        assert worker.rss_bytes is not None
        assert worker.rss_bytes > 10 * 1024 * 1024
    monkeypatch.setenv("IDENTTQUEUE_RELEASE", "v2.1")
    async with serving(app.worker()):
        await eventually(lambda: admin.workers(queue))
        assert list(await admin.releases(queue)) == ["5d8c6b7f9c", "v2.1"]
        marks = (await otto.get("/series.json", params={"queue": queue})).json()["marks"]
        assert [mark["text"] for mark in marks] == ["5d8c6b7f9c", "v2.1"]


async def test_among_hundreds_of_queues_each_can_be_found(
    new_redis_server: Callable[..., RedisServer],
) -> None:
    server = new_redis_server()
    unused = [f"a-{number:03}" for number in range(MOST_QUEUES)]
    *others, last = (f"b-{number:03}" for number in range(MOST_QUEUES + 1))
    async with Admin(server.address) as admin:
        await admin.pause(last)
    calls = async_redis(
        RedisSettings(address=server.address), client_name="tests", retry_for_seconds=10
    )
    await calls.run(registry.enlist([*unused, *others]))
    await calls.run(registry.enlist([last]))
    await calls.run_all(
        [leasing.register(queue, f"{queue}.1", 60_000, {}) for queue in [*others, last]]
    )
    await calls.close()
    dashboard = create_dashboard(server.address)
    async with served(dashboard) as base, connected(base) as browser:
        page = (await browser.get("/workers")).text
        assert page.count('<tr id="worker-') == len(others)
        assert "The workers of 1 other queue are left out." in text_of(page)
        found = (await browser.get("/workers", params={"q": last})).text
        assert last in row_of(found, f"worker-{last}.1")
        acts = text_of((await browser.get("/audit")).text)
        assert last in acts
        assert f"{len(unused) + 1} queues that were not used lately are left out." in acts
    await dashboard.close()
