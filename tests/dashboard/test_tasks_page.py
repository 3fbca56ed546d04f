"""The pages about tasks: filters in the address, pages by cursor, live progress, hidden values."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import expect

from dashboard.conftest import Stage, Visit
from identtqueue import Context, Job, Worker
from identtqueue.protocol.submission import Submission
from testing.business import DAMAGED, PASSWORD, REFUSED, Business
from testing.dashboard_users import OPERATOR
from testing.http import connected
from testing.serving import serving

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"Job": "read_page"}, DAMAGED),
        ({"Arguments have": "damaged-7"}, 1),
        ({"Error": "ValueError"}, DAMAGED),
        ({"Error": "KeyError"}, 0),
        ({"Tag": "tenant:1"}, DAMAGED // 3),
        ({"Tag": "tenant:1", "Arguments have": "damaged-7"}, 1),
        ({"Newer than": "1h"}, DAMAGED),
        ({"Older than": "1h"}, 0),
    ],
    ids=str,
)
async def test_a_filter_has_an_address(
    fields: dict[str, str], found: int, visit: Visit, business: Business
) -> None:
    async with visit() as visitor:
        page = visitor.page
        await visitor.open("/queues/documents/tasks?place=dead")
        for label, value in fields.items():
            await page.get_by_label(label, exact=True).fill(value)
        await page.get_by_role("button", name="Search").click()
        await page.wait_for_url("**?*")
        rows = page.locator("table.tasks tbody tr")
        await expect(rows).to_have_count(found)
        query = parse_qs(urlsplit(page.url).query)
        assert {value for values in query.values() for value in values} >= set(fields.values())
        await page.reload()
        await expect(rows).to_have_count(found)


async def test_by_id(visit: Visit, business: Business) -> None:
    async with visit() as visitor:
        task_id = business.tasks["damaged"]
        await visitor.open(f"/queues/documents/tasks?place=dead&id={task_id}")
        await expect(visitor.page.locator("table.tasks tbody tr")).to_have_count(1)
        await visitor.page.locator("table.tasks .id").click()
        await expect(visitor.page.locator(".whole-id")).to_have_text(task_id)


async def test_a_filter_that_cannot_be_read_says_so(visit: Visit, business: Business) -> None:
    async with visit() as visitor:
        await visitor.open("/queues/documents/tasks?place=dead&since=yesterday")
        await expect(visitor.page.get_by_role("alert").filter(has_text="15m")).to_be_visible()


async def test_progress_is_pushed(visit: Visit, stage: Stage, queue: str) -> None:
    gate = asyncio.Event()

    async def render(ctx: Context) -> str:
        await ctx.report_progress({"done": 20, "total": 40})
        await gate.wait()
        return "sales.pdf"

    task_id = await stage.client.enqueue_job(queue, "render")
    worker = Worker([Job(name="render", function=render)], stage.redis.address, queue)
    async with serving(worker), visit() as visitor:
        page = visitor.page
        await visitor.open(f"/task?task_id={task_id}")
        await expect(page.get_by_role("progressbar")).to_have_attribute("value", "20")
        await page.evaluate("() => { window.stays = true }")  # gone if the page is loaded again
        gate.set()
        await expect(page.locator(".state-succeeded")).to_be_visible()
        await expect(page.locator("main")).to_contain_text("sales.pdf")
        assert await page.evaluate("() => window.stays")


async def test_parent_and_children(visit: Visit, business: Business) -> None:
    async with visit() as visitor:
        page = visitor.page
        await visitor.open(f"/task?task_id={business.tasks['document']}")
        await expect(page.locator("#live-family")).to_contain_text("Has enqueued 3 tasks")
        await page.locator("#live-family a").first.click()
        await page.get_by_role("link", name=business.tasks["document"]).click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("read_document")


async def test_what_an_application_hides_is_hidden_everywhere(
    stage: Stage, business: Business
) -> None:
    task_id = business.tasks["mail"]
    async with connected(stage.base, auth=OPERATOR) as web:
        page = (await web.get("/task", params={"task_id": task_id})).text
        assert "•••" in page
        assert "some values are hidden" in page
        raw = (await web.get("/task/value", params={"task_id": task_id, "part": "arguments"})).text
        value = json.loads(raw)
        assert value["kwargs"] == {"password": "•••"}
        for text in ("horse", "team@shop"):  # the arguments of such a job are not searched
            words = {"place": "dead", "text": text}
            found = await web.get("/queues/mails/tasks", params=words)
            assert "No dead task matches" in found.text
        stream = (await web.get("/dead", params={"queue": "mails"})).text
        assert f"{REFUSED}\N{MULTIPLICATION SIGN}" in stream
        assert PASSWORD not in page + raw + stream


async def test_ten_thousand_tasks(visit: Visit, stage: Stage, queue: str) -> None:
    """A page costs Redis and the browser no more than what it shows."""
    number = 10_000
    counts = [Submission(queue, "count", (n,), {}, None) for n in range(number)]
    await stage.client.submit_many(counts)
    async with visit() as visitor:
        page = visitor.page
        seen: list[str] = []
        await visitor.open("/")  # the files that every page shares
        before, visitor.received = redis_microseconds(stage), 0
        await visitor.open(f"/queues/{queue}/tasks")
        for _ in range(4):
            seen += await page.locator("table.tasks .id").all_text_contents()
            await page.get_by_role("link", name="Next page").click()
            await page.wait_for_url("**cursor=**")
            await expect(page.locator("table.tasks tbody tr")).to_have_count(50)
            await expect(page.locator("table.tasks .id").first).not_to_have_text(seen[-50])
        seen += await page.locator("table.tasks .id").all_text_contents()
        cost_ms = (redis_microseconds(stage) - before) / 1000 / 5
        kilobytes = visitor.received / 1000 / 5
        took_ms = await page.evaluate(
            "() => performance.getEntriesByType('navigation')[0].domComplete"
        )
    assert len(set(seen)) == 250
    assert cost_ms < 20, cost_ms
    assert kilobytes < 100, kilobytes
    assert took_ms < 3_000, took_ms
    print(f"a page: {cost_ms:.2f} ms in Redis, {kilobytes:.0f} kB, {took_ms:.0f} ms")


def redis_microseconds(stage: Stage) -> int:
    """Return the time that Redis has spent in scripts so far."""
    with stage.redis.client() as client:
        stats = client.info("commandstats")
    scripts = ("cmdstat_evalsha", "cmdstat_eval")
    return sum(one["usec"] for name, one in stats.items() if name in scripts)
