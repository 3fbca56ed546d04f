"""Tasks whose texts are meant to harm those who look at them: nothing runs, nothing breaks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import expect

from dashboard.conftest import Stage, Visit
from identtqueue import Client, Job, TaskOptions, Worker
from testing.browser import PHONE, WIDE
from testing.dashboard_users import OPERATOR
from testing.http import connected
from testing.serving import serving
from testing.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

SCRIPT = "<img src=x onerror=alert(1)><script>alert(2)</script></script><svg onload=alert(3)>"
QUOTES = "\" autofocus onfocus=alert(4) x='\" onmouseover='alert(5)"
TEMPLATE = "{{ 7*7 }}{% for x in y %}${alert(6)}<% alert(7) %>"
BACKWARDS = "safe\u202egnp.exe\u2066\u200b\ufeff"
CONTROL = "bell\x07 escape\x1b[31m zero\x00 line\u2028end"
ADDRESS = "javascript:alert(8)"
MARKED = "<b>bold</b> <style>body{display:none}</style><base href=//evil.example>"
HEADERS = "x\r\nSet-Cookie: a=b\r\n\r\n<script>alert(9)</script>"
LONG = "long" * 262_144
"""A text of 1 MiB without a space."""
MOST_BYTES = 8 << 20
SHOWN_WHOLE = 1_000_000
"""Characters of a result that a page of its own shows; Redis is not asked for more than 1 MiB."""
TEXTS = (SCRIPT, QUOTES, TEMPLATE, BACKWARDS, CONTROL, ADDRESS, MARKED, HEADERS)


class Hostile(Exception):
    """An error whose name is HTML."""


Hostile.__name__ = Hostile.__qualname__ = "<script>alert('type')</script>"


async def explode(_ctx: object, *_args: Any, **_words: Any) -> None:
    """Fail with all of it."""
    raise Hostile(" ".join(TEXTS) + LONG[:100_000])


async def answer(_ctx: object, *args: Any) -> Any:
    """Return all of it."""
    return list(args)


@pytest_asyncio.fixture(loop_scope="module")
async def hostile(
    stage: Stage, queue: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[dict[str, str]]:
    """Let a worker with a hostile name run hostile tasks; return their ids by what they do."""
    monkeypatch.setenv("POD_NAME", f"pod-{SCRIPT}")
    monkeypatch.setenv("HOSTNAME", f"host-{SCRIPT}")
    job = f"explode {SCRIPT}"[:200]
    jobs = [Job(name=job, function=explode), Job(name="answer", function=answer)]
    tags = tuple(text[:60] for text in (SCRIPT, QUOTES, BACKWARDS.replace("\ufeff", "")))
    texts = {text: text for text in TEXTS}
    unique = "<script>alert('id')</script>/../%2e%2e/\"onclick=alert(1)"
    options = TaskOptions(task_id=unique, tags=_allowed(tags))
    async with Client(stage.redis.address, max_payload_bytes=MOST_BYTES) as client:
        enqueue = client.enqueue_job
        ids = {
            "dead": await enqueue(queue, job, *TEXTS, task_options=options, **texts),
            "long": await enqueue(queue, job, LONG, [LONG], {LONG[:1000]: LONG}),
            "done": await enqueue(queue, "answer", *TEXTS, LONG[:SHOWN_WHOLE]),
        }
    worker = Worker(jobs, stage.redis.address, queue, max_retries=0, max_payload_bytes=MOST_BYTES)
    async with serving(worker):
        await eventually(lambda: _all_ended(stage, ids), "all have ended")
        yield ids


def _allowed(tags: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out the tags that the library refuses."""
    found = []
    for tag in tags:
        try:
            TaskOptions(tags=(tag,))
        except ValueError:
            continue
        found.append(tag)
    return tuple(found)


async def _all_ended(stage: Stage, ids: dict[str, str]) -> bool:
    return all([(await stage.admin.task(task_id)).state.ended for task_id in ids.values()])


async def test_nothing_runs_and_nothing_breaks(
    visit: Visit, stage: Stage, queue: str, hostile: dict[str, str]
) -> None:
    job = (await stage.admin.task(hostile["dead"])).function_name
    addresses = [
        "/",
        f"/queues/{queue}",
        f"/queues/{queue}/tasks?place=dead",
        f"/queues/{queue}/tasks?place=ended",
        f"/queues/{queue}/tasks?place=dead&job={quote(job)}&text={quote(SCRIPT)}&tag={quote(QUOTES)}",
        f"/queues/{queue}/tasks?place=dead&since={quote(SCRIPT)}",
        f"/queues/{queue}/act?place=dead&act=replay&job={quote(job)}",
        f"/dead?queue={queue}",
        "/workers",
        "/audit",
        *(f"/task?task_id={quote(task_id)}" for task_id in hostile.values()),
        f"/task?task_id={quote(queue + ':' + SCRIPT)}",
    ]
    async with visit() as visitor:
        for address in addresses:
            await visitor.open(address)
            # Whatever is folded, unfolds; whatever listens to a focus, gets it.
            await visitor.page.evaluate(
                "() => document.querySelectorAll('details').forEach(one => { one.open = true })"
            )
            await visitor.page.keyboard.press("Tab")
            for width, height in (PHONE, WIDE):
                await visitor.page.set_viewport_size({"width": width, "height": height})
                assert await visitor.overflow() == [], (address, width)
            assert (
                await visitor.page.evaluate(
                    "() => document.querySelectorAll('main b, main style, base').length"
                )
                == 0
            )
            # One page answers 404 and one 400, as they should: the browser notes both.
            visitor.trouble = [one for one in visitor.trouble if "the server responded" not in one]
            await visitor.check()


async def test_what_cannot_be_seen_is_written_out(visit: Visit, hostile: dict[str, str]) -> None:
    async with visit() as visitor:
        await visitor.open(f"/task?task_id={quote(hostile['dead'])}")
        main = visitor.page.locator("main")
        for text in (r"safe\u202egnp.exe", r"\u2066", r"zero\u0000", SCRIPT, "{{ 7*7 }}"):
            await expect(main).to_contain_text(text)


async def test_a_long_value_is_folded_and_whole_elsewhere(
    visit: Visit, stage: Stage, hostile: dict[str, str]
) -> None:
    async with visit() as visitor:
        await visitor.open(f"/task?task_id={quote(hostile['done'])}")
        assert visitor.received < 300_000
        await expect(visitor.page.get_by_role("link", name="Show the result whole")).to_be_visible()
    async with connected(stage.base, auth=OPERATOR) as web:
        words = {"task_id": hostile["done"], "part": "result"}
        whole = await web.get("/task/value", params=words)
        assert LONG[:SHOWN_WHOLE] in whole.text
        assert whole.headers["content-type"] == "text/plain; charset=utf-8"
        assert whole.headers["x-content-type-options"] == "nosniff"
        assert "\u202e" not in whole.text
