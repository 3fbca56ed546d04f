"""docs/operations/a-task-failed.md, in the browser: find it, see why, mend it, replay all like it.

It prints each step with its time. `WRITE_WALK=1 pytest tests/dashboard/test_walk.py` writes them
into the page.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Browser, Page, expect

from identtqueue import Client
from testing import browser as browsers
from testing.bad_release import FAILED, FIRST, MENDED, QUEUE, enqueue, working
from testing.dashboard_server import DashboardServer
from testing.dashboard_users import OPERATOR
from testing.redis_server import RedisServer

PAGE: Final = Path(__file__).parents[2] / "docs" / "operations" / "a-task-failed.md"
TABLE: Final = re.compile(
    r"(<!-- the walk in the browser -->\n).*?(<!-- end of the walk -->)", re.DOTALL
)
ONE: Final = f"{QUEUE}:page-{FAILED}"

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


class Steps:
    """The steps: what was done, what was seen, and how long that took."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, float]] = []

    @contextmanager
    def step(self, done: str, seen: str) -> Iterator[None]:
        """Time one step."""
        begun = time.monotonic()
        yield
        self.rows.append((done, seen, time.monotonic() - begun))

    def table(self) -> str:
        """Return the steps as a table."""
        lines = ["| do | see | took |", "|---|---|--:|"]
        lines += [f"| {done} | {seen} | {seconds:.1f} s |" for done, seen, seconds in self.rows]
        total = sum(seconds for _, _, seconds in self.rows)
        return "\n".join([*lines, f"| | all steps | {total:.1f} s |", ""])


async def find_and_understand(visitor: browsers.Visitor, steps: Steps) -> None:
    """Find what fails, and see why."""
    page = visitor.page
    with steps.step("open the dashboard", f"`{QUEUE}` has {FAILED} dead letters, in red"):
        await visitor.open("/")
        row = page.get_by_role("row").filter(has=page.get_by_role("link", name=QUEUE))
        await expect(row.locator("[data-label=Dead]")).to_have_text(str(FAILED))
    with steps.step("**Dead letters**", f"one group: {FAILED} of `read_mrz` with a ValueError"):
        await page.get_by_role("link", name="Dead letters").click()
        await expect(page.get_by_role("article")).to_have_count(1)
        await expect(page.get_by_role("article")).to_contain_text("expected 2 lines, found 1")
    with steps.step("**The newest**", "its arguments, with one line, the traceback, its attempt"):
        await page.get_by_role("link", name="The newest").click()
        await expect(page.locator("main")).to_contain_text("s3://cards/")
        await expect(page.locator("main")).to_contain_text("raise ValueError")
        await expect(page.locator("table.attempts tbody tr")).to_have_count(1)


async def try_one(page: Page, steps: Steps) -> None:
    """Run one of them again, in the mended release."""
    with steps.step("**Replay…**, **Replay 1 task**", "Replayed: 1 task"):
        await page.get_by_role("button", name="Replay…").click()
        await page.get_by_role("button", name="Replay 1 task").click()
        await expect(page.locator("main")).to_contain_text("Replayed: 1 task.")


async def see_the_result(page: Page, steps: Steps, task_id: str) -> None:
    """Look at the one that was replayed."""
    with steps.step("its id into **Find a task**", "it has succeeded; its result"):
        await page.get_by_role("searchbox").fill(task_id)
        await page.get_by_role("searchbox").press("Enter")
        await expect(page.locator("#live-summary")).to_contain_text("succeeded")
        await expect(page.locator("#live-outcome")).to_contain_text("D23145890")
        await expect(page.locator("table.attempts tbody tr")).to_have_count(2)


async def replay_the_others(page: Page, steps: Steps) -> None:
    """Run all like it again, and see that it was recorded."""
    number = FAILED - 1
    with steps.step("**Dead letters**, **Replay all…**", f"Replay {number} tasks?"):
        await page.get_by_role("link", name="Dead letters").click()
        await page.get_by_role("button", name="Replay all…").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text(f"Replay {number} tasks?")
    with steps.step(f"**Replay {number} tasks**", f"a bar, then: Replayed: {number} tasks"):
        await page.get_by_role("button", name=f"Replay {number} tasks").click()
        await expect(page.locator("main")).to_contain_text(f"Replayed: {number} tasks.")
    with steps.step("**Queues**", "no dead letter; the numbers follow by themselves"):
        await page.get_by_role("navigation").get_by_role("link", name="Queues").first.click()
        row = page.get_by_role("row").filter(has=page.get_by_role("link", name=QUEUE))
        await expect(row.locator("[data-label=Dead]")).to_have_text("0")
    with steps.step("**Audit**", "who has replayed what, and how many"):
        await page.get_by_role("link", name="Audit").click()
        await expect(page.get_by_role("row", name=OPERATOR[0])).to_have_count(2)


async def test_the_walk_in_the_browser(
    chromium: Browser, new_redis_server: Callable[..., RedisServer], tmp_path: Path
) -> None:
    redis, steps = new_redis_server(), Steps()
    (tmp_path / "app").mkdir()
    server = DashboardServer(redis.address, tmp_path, title="production").start()
    try:
        async with (
            Client(redis.address) as client,
            browsers.visiting(chromium, server.base, login=OPERATOR) as visitor,
        ):
            page = visitor.page
            async with working(redis, tmp_path / "app", FIRST, "documents-7c9d"):
                await enqueue(client)
                ids = [f"{QUEUE}:page-{number}" for number in range(1, FAILED + 1)]
                await client.wait_many(ids, 60)
                await find_and_understand(visitor, steps)
                tried = await page.locator(".whole-id").inner_text()
            async with working(redis, tmp_path / "app", MENDED, "documents-9b1f"):
                await try_one(page, steps)
                await client.wait_for_result(tried, 60)
                await see_the_result(page, steps, tried)
                await replay_the_others(page, steps)
            await visitor.check()
    finally:
        server.stop()
    print(f"\n{steps.table()}")
    text = PAGE.read_text("utf-8")
    if os.environ.get("WRITE_WALK"):
        table = steps.table()
        PAGE.write_text(TABLE.sub(lambda found: f"{found[1]}{table}{found[2]}", text), "utf-8")
        return
    shown = re.findall(r"^\| (.+?) \| (.+?) \| [\d.]+ s \|$", text, re.MULTILINE)
    assert [(done, seen) for done, seen, _ in steps.rows] == shown
