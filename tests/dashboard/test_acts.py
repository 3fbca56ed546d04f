"""Acts in a real browser: on what is selected, on all that match, by keyboard, and interrupted."""

from __future__ import annotations

import json
import re

import pytest
from playwright.async_api import Page, expect

from dashboard.conftest import Stage, Visit
from identtqueue import Job, TaskOptions, Worker
from identtqueue.admin import Filter, Place
from identtqueue.protocol.submission import Submission
from identtqueue.task import State
from testing.dashboard_users import OPERATOR
from testing.http import connected
from testing.serving import serving
from testing.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


async def fail(_ctx: object, kind: str) -> None:
    """Fail with an error of this kind."""
    raise {"value": ValueError, "key": KeyError}[kind]("this one can't be read")


async def bury(stage: Stage, queue: str, **numbers: int) -> None:
    """Let a real worker fail: `value=3` makes three dead letters with a ValueError."""
    job = Job(name="fail", function=fail)
    worker = Worker([job], stage.redis.address, queue, max_retries=0, concurrency=100)
    for kind, number in numbers.items():
        await stage.client.submit_many([Submission(queue, "fail", (kind,), {}, None)] * number)
    async with serving(worker):
        await eventually(lambda: has_dead(stage, queue, sum(numbers.values())), "all have failed")


async def has_dead(stage: Stage, queue: str, number: int) -> bool:
    return (await stage.admin.depths([queue]))[queue].dead == number


async def numbers_of(stage: Stage, queue: str) -> tuple[int, int]:
    """Return how many tasks are dead, and how many are pending."""
    depth = (await stage.admin.depths([queue]))[queue]
    return depth.dead, depth.queued


async def is_listed(stage: Stage, queue: str) -> bool:
    """Return whether the choice of queues has it: the dashboard asks for them now and then."""
    async with connected(stage.base, auth=OPERATOR) as web:
        return f"<option>{queue}</option>" in (await web.get("/dead")).text


async def press_until(page: Page, key: str, wanted: str, most: int = 80) -> None:
    """Press a key until the element with this text has the focus."""
    for _ in range(most):
        await page.keyboard.press(key)
        text = await page.evaluate("() => (document.activeElement.textContent || '').trim()")
        if text.startswith(wanted):
            return
    raise AssertionError(f"{wanted!r} gets no focus")


async def test_all_that_match_are_replayed(visit: Visit, stage: Stage, queue: str) -> None:
    await bury(stage, queue, value=130, key=20)
    async with visit() as visitor:
        page = visitor.page
        await visitor.open(f"/dead?queue={queue}")
        group = page.get_by_role("article").filter(has_text="130\N{MULTIPLICATION SIGN}")
        await group.get_by_text("Traceback of the newest").click()
        await expect(group).to_contain_text("this one can't be read")
        await group.get_by_role("button", name="Replay all…").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Replay 130 tasks?")
        await page.get_by_role("button", name="Replay 130 tasks").click()
        await expect(page.locator("main")).to_contain_text("Replayed: 130 tasks.")
        await page.get_by_role("link", name="Back to the tasks").click()
        await expect(page.locator("main")).to_contain_text("No dead task matches")
    assert await numbers_of(stage, queue) == (20, 130)
    (entry,) = await stage.admin.audit(queue)
    assert (entry.who, entry.act, entry.changed) == (OPERATOR[0], "replay", 130)


async def test_those_that_are_selected_are_discarded(
    visit: Visit, stage: Stage, queue: str
) -> None:
    await bury(stage, queue, value=5)
    async with visit() as visitor:
        page = visitor.page
        await visitor.open(f"/queues/{queue}/tasks?place=dead")
        selected = page.locator("#selected")
        await expect(selected.get_by_role("button", name="Discard…")).to_be_disabled()
        boxes = page.locator("tbody input[type=checkbox]")
        await boxes.nth(1).check()
        await boxes.nth(3).check()
        await expect(page.locator("#selected-number")).to_have_text("2 selected")
        await selected.get_by_role("button", name="Discard…").click()
        await page.get_by_role("button", name="Discard 2 tasks").click()
        await expect(page.locator("main")).to_contain_text("Discarded: 2 tasks.")
    assert await numbers_of(stage, queue) == (3, 0)


async def test_with_the_keyboard_alone(visit: Visit, stage: Stage, queue: str) -> None:
    """From the overview to a dead letter, and replay it, without a mouse."""
    await bury(stage, queue, key=1)
    await eventually(lambda: is_listed(stage, queue), "the dashboard has seen the queue")
    async with visit() as visitor:
        page = visitor.page
        await visitor.open("/")
        await press_until(page, "Tab", "Dead letters")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/dead")
        await page.keyboard.press("Tab")
        await press_until(page, "Tab", "all queues")  # the choice of a queue
        await page.keyboard.type(queue)
        await press_until(page, "Tab", "Show")
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/dead?queue={queue}")
        await press_until(page, "Tab", "The newest")
        await page.keyboard.press("Enter")
        await expect(page.locator("main")).to_contain_text("this one can't be read")
        await press_until(page, "Tab", "Replay…")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("button", name="Replay 1 task")).to_be_focused()
        await page.wait_for_load_state("load")  # a form that is sent before needs no script, too
        await page.keyboard.press("Enter")
        await expect(page.locator("[data-text]")).to_be_focused()
        await expect(page.locator("main")).to_contain_text("Replayed: 1 task.")
    assert await numbers_of(stage, queue) == (0, 1)


async def test_without_scripts(visit: Visit, stage: Stage, queue: str) -> None:
    await bury(stage, queue, value=3)
    async with visit(script=False) as visitor:
        page = visitor.page
        await visitor.open(f"/queues/{queue}/tasks?place=dead")
        await page.get_by_role("button", name="Replay all…").click()
        await page.get_by_role("button", name="Replay 3 tasks").click()
        await expect(page.locator("main")).to_contain_text("Replayed: 3 tasks.")
    assert await numbers_of(stage, queue) == (0, 3)


async def test_an_act_is_stopped_and_goes_on(visit: Visit, stage: Stage, queue: str) -> None:
    await bury(stage, queue, value=250)
    async with visit() as visitor:
        page = visitor.page
        await visitor.open(f"/queues/{queue}/act?act=discard&place=dead")
        stage.redis.pause()  # so that it hangs until it was stopped
        try:
            await page.get_by_role("button", name="Discard 250 tasks").click()
            await page.get_by_role("button", name="Stop").click()
            await expect(page.get_by_role("button", name="Go on")).to_be_enabled()
            await expect(page.locator("[data-text]")).to_contain_text("Stopped.")
        finally:
            stage.redis.resume()
        await page.get_by_role("button", name="Go on").click()
        await expect(page.locator("[data-text]")).to_contain_text("Discarded:")
        await expect(page.get_by_role("link", name="Back to the tasks")).to_be_visible()
    assert await numbers_of(stage, queue) == (0, 0)


async def test_a_browser_that_goes_away_stops_the_act(stage: Stage, queue: str) -> None:
    """The audit list has the number of tasks that were changed, and the cursor goes on there."""
    await bury(stage, queue, value=1_000)
    form = {"act": "replay", "place": "dead"}
    headers = {"Sec-Fetch-Site": "same-origin", "Accept": "application/x-ndjson"}
    async with connected(stage.base, auth=OPERATOR) as web:
        page = await web.get(f"/queues/{queue}/act", params=form)
        found = re.search(r'name="csrf" value="(\w+)"', page.text)
        assert found
        form["csrf"] = found[1]
        address = f"/queues/{queue}/act"
        async with web.stream("POST", address, data=form, headers=headers) as answer:
            first = json.loads(await anext(answer.aiter_lines()))
        assert 0 < first["changed"] <= 100
        assert not first["done"]

        async def has_ended() -> bool:
            (entry,) = await stage.admin.audit(queue)
            return entry.changed == (await numbers_of(stage, queue))[1] > 0

        await eventually(has_ended, "the audit entry has the number")
        form |= {name: str(first[name]) for name in ("cursor", "changed", "matched", "scanned")}
        answer = await web.post(address, data=form, headers=headers)
        last = json.loads(answer.text.splitlines()[-1])
        assert last["done"]
    assert await numbers_of(stage, queue) == (0, 1_000)
    assert sum(entry.changed for entry in await stage.admin.audit(queue)) == 1_000


async def test_a_scheduled_task_is_started_and_moved(
    visit: Visit, stage: Stage, queue: str
) -> None:
    first = await stage.client.enqueue_job(
        queue, "fail", "value", task_options=TaskOptions(delay_seconds=3_600)
    )
    async with visit() as visitor:
        page = visitor.page
        await visitor.open(f"/task?task_id={first}")
        await page.get_by_role("button", name="Reschedule…").click()
        await page.get_by_label("Start in").fill("2h")
        await page.get_by_role("button", name="Reschedule 1 task").click()
        await expect(page.locator("main")).to_contain_text("Rescheduled: 1 task.")
        await visitor.open(f"/task?task_id={first}")
        await page.get_by_role("button", name="Start now…").click()
        await page.get_by_role("button", name="Start now 1 task").click()
        await expect(page.locator("main")).to_contain_text("Made due: 1 task.")
        await visitor.open(f"/queues/{queue}/tasks?job=fail")
        await page.get_by_role("button", name="Move all…").click()
        await page.get_by_label("Move to the queue").fill(f"{queue}-2")
        await page.get_by_role("button", name="Move 1 task").click()
        await expect(page.locator("main")).to_contain_text("Moved: 1 task.")
    await stage.admin.depths([f"{queue}-2"])  # moves tasks that are due
    moved = await stage.admin.tasks(f"{queue}-2", Place.PENDING, Filter(job="fail"))
    assert [row.state for row in moved.rows] == [State.PENDING]
