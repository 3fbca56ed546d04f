"""Streams: what has changed, to all who look; and nothing at all while nobody does."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import httpx
import pytest

from identtqueue.admin import Admin
from identtqueue.client import Client
from identtqueue.dashboard.application import Dashboard
from identtqueue.dashboard.live import hub as hubs
from identtqueue.dashboard.live.hub import Browser, Hub
from identtqueue.dashboard.live.parts import Block, changes
from identtqueue.dashboard.live.view import Visit
from testing.http import connected
from testing.waiting import eventually
from web.serving import following, live_address, text_of

VISIT = Visit("overview", "", can_act=False)


async def test_a_change_reaches_the_browser_and_only_it_does(
    otto: httpx.AsyncClient, client: Client, admin: Admin, queue: str
) -> None:
    for each in (queue, f"{queue}-other"):
        await client.enqueue_job(each, "resize")

    async def page() -> str:
        return (await otto.get("/", params={"q": queue})).text

    async def both() -> bool:
        return f'id="queue-{queue}-other"' in await page()

    await eventually(both)
    for each in (queue, f"{queue}-other"):
        await admin.pause(each)  # else their oldest waits would change all the time
    async with following(otto, live_address(await page())) as tab:
        await eventually(lambda: "live-queues" in tab.parts)
        await client.enqueue_job(f"{queue}-other", "resize")
        row = f"queue-{queue}-other"
        await eventually(lambda: " no workers 2 " in text_of(tab.parts.get(row, "")))
        assert any("live-queues" not in each and row in each for each in tab.received)


async def test_many_browsers_cost_redis_one_look(
    dashboard: Dashboard, base: str, otto: httpx.AsyncClient, queue: str
) -> None:
    hub = dashboard.board.hub
    path = live_address((await otto.get(f"/queues/{queue}")).text)
    other = live_address((await otto.get("/workers")).text)
    async with AsyncExitStack() as stack:
        limits = httpx.Limits(max_connections=50)
        many = await stack.enter_async_context(connected(base, auth=otto.auth, limits=limits))
        tabs = [await stack.enter_async_context(following(many, path)) for _ in range(20)]
        await stack.enter_async_context(following(many, other))
        await eventually(lambda: all(tab.parts for tab in tabs))
        await eventually(lambda: (hub.browsers, hub.feeds) == (21, 2))
    await eventually(lambda: (hub.browsers, hub.feeds) == (0, 0), "nobody looks, nothing is asked")


async def test_where_nobody_looks_nothing_is_asked() -> None:
    looks = 0
    looked = asyncio.Event()

    async def look(_: Visit) -> dict[str, str]:
        nonlocal looks
        looks += 1
        looked.set()
        return {"a": f"<p>{looks}</p>"}

    hub = Hub(look, 0.001)
    stream = hub.follow(VISIT)
    seen = [await anext(stream) for _ in range(3)]
    assert len({str(each) for each in seen}) == 3
    await stream.aclose()
    before = looks
    for _ in range(50):
        await asyncio.sleep(0)
    assert (looks, hub.feeds) == (before, 0)


async def test_a_slow_browser_gets_the_newest_once_and_in_order() -> None:
    browser = Browser()
    for number in range(1000):
        browser.put({"row": f"<tr>{number}</tr>"})
    browser.put({"live-rows": "<table>with the row</table>"})
    browser.put({"row": "<tr>last</tr>"})
    changed, _ = await browser.take()
    assert list(changed.items()) == [
        ("live-rows", "<table>with the row</table>"),
        ("row", "<tr>last</tr>"),
    ]


async def test_an_error_is_told_and_the_next_look_follows() -> None:
    answers = iter(["first", RuntimeError("Redis is away"), "second"])
    last = "second"

    async def look(_: Visit) -> dict[str, str]:
        answer = next(answers, last)
        if isinstance(answer, Exception):
            raise answer
        return {"a": answer}

    seen = []
    async for changed, trouble in Hub(look, 0.01).follow(VISIT):
        seen.append((changed.get("live-a"), trouble))
        if changed.get("live-a") == "second":
            break
    assert seen[0] == ("first", None)
    assert (None, "Redis is away") in seen
    assert [trouble for _, trouble in seen if trouble is not None][-1] == ""


async def test_a_server_that_ends_ends_its_streams(
    dashboard: Dashboard, otto: httpx.AsyncClient
) -> None:
    path = live_address((await otto.get("/")).text)
    async with following(otto, path):
        await eventually(lambda: dashboard.board.hub.browsers == 1)
        dashboard.board.hub.close()
        await eventually(lambda: dashboard.board.hub.browsers == 0)
        assert (await otto.get(path)).status_code == 503


async def test_there_is_a_limit_to_the_browsers(
    dashboard: Dashboard, otto: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "MOST_BROWSERS", 1)
    path = live_address((await otto.get("/")).text)
    async with following(otto, path):
        await eventually(lambda: dashboard.board.hub.browsers == 1)
        answer = await otto.get(path)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")


def rows(*texts: str) -> Block:
    return Block.of(
        "<table>"
        + "".join(f'<tr id="r{i}"><td>{t}</td></tr>' for i, t in enumerate(texts))
        + "</table>"
    )


def test_only_changed_rows_are_sent_while_the_rows_are_the_same() -> None:
    before = {"t": rows("a", "b", "c")}
    assert changes(before, before) == {}
    assert changes(before, {"t": rows("a", "x", "c")}) == {"r1": '<tr id="r1"><td>x</td></tr>'}
    assert set(changes(before, {"t": rows("a", "b")})) == {"live-t"}
    assert set(changes({}, before)) == {"live-t"}
    other = {"t": Block.of("<p>none</p>" + before["t"].html)}
    assert set(changes(before, other)) == {"live-t"}


def test_an_id_with_special_characters_is_the_element_s_own() -> None:
    before, after = (
        {"t": Block.of(f'<tr id="job-&lt;b&gt;&#34;">{text}</tr>')} for text in ("a", "b")
    )
    assert list(changes(before, after)) == ['job-<b>"']
