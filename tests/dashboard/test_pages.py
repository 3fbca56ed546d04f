"""Each page in a real browser: what it shows, in both colour schemes and as wide as a phone."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from dashboard.conftest import Visit
from testing.browser import PHONE, SCHEMES, WIDE
from testing.business import ADDRESSES, DAMAGED, PASSWORD, REFUSED, Business

TIMES = "\N{MULTIPLICATION SIGN}"

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


async def overview(page: Page, _business: Business) -> None:
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="documents"))
    await expect(row.locator("[data-label=Dead]")).to_have_text(str(DAMAGED))
    await expect(page.locator(".plot")).to_have_count(2)


async def queue(page: Page, _business: Business) -> None:
    await expect(page.locator("#live-jobs")).to_contain_text("read_page")
    await expect(page.locator("#live-workers tbody tr")).to_have_count(1)


async def tasks(page: Page, _business: Business) -> None:
    rows = page.locator("table.tasks tbody tr")
    await expect(rows).to_have_count(DAMAGED)
    await expect(rows.first).to_contain_text("ValueError")


async def ended(page: Page, _business: Business) -> None:
    await expect(page.locator("table.tasks tbody")).to_contain_text("succeeded")


async def task(page: Page, business: Business) -> None:
    await expect(page.get_by_role("heading", level=1)).to_have_text("read_page")
    await expect(page.locator("main")).to_contain_text("damaged-0.pdf")
    await expect(page.locator("main")).to_contain_text("Traceback (most recent call last)")
    await expect(page.locator("table.attempts tbody tr")).to_have_count(1)
    await expect(page.locator(".whole-id")).to_have_text(business.tasks["damaged"])


async def dead(page: Page, _business: Business) -> None:
    groups = page.get_by_role("article")
    for job, number in (("read_page", DAMAGED), ("send_mail", REFUSED)):
        group = groups.filter(has_text=job)
        await expect(group).to_contain_text(f"{number}{TIMES} {job}")


async def workers(page: Page, _business: Business) -> None:
    await expect(page.locator("main")).to_contain_text("render_report")


async def task_queues(page: Page, _business: Business) -> None:
    await expect(page.locator("#live-rows tbody tr")).to_have_count(3)
    await expect(page.locator("#live-rows")).to_contain_text("AtMaxReplicas")


async def task_queue(page: Page, _business: Business) -> None:
    await expect(page.locator(".plot[data-state=drawn] canvas")).to_be_visible()
    await expect(page.locator(".decisions li")).to_have_count(4)
    await expect(page.locator("#live-decisions")).to_contain_text("held back by MaxReplicas")
    await expect(page.locator("#live-conditions tbody tr")).to_have_count(4)
    await expect(page.locator("#live-events tbody tr")).to_have_count(4)


async def audit(page: Page, _business: Business) -> None:
    await expect(page.get_by_role("row", name="sam")).to_have_count(2)


async def running(page: Page, _business: Business) -> None:
    await expect(page.get_by_role("progressbar")).to_have_attribute("value", "20")
    await expect(page.locator("main")).to_contain_text("50 %")


async def act(page: Page, _business: Business) -> None:
    await expect(page.get_by_role("heading", level=1)).to_have_text(f"Replay {DAMAGED} tasks?")


SHOWN = {
    "overview": overview,
    "queue": queue,
    "tasks": tasks,
    "ended": ended,
    "task": task,
    "running": running,
    "dead": dead,
    "act": act,
    "workers": workers,
    "taskqueues": task_queues,
    "taskqueue": task_queue,
    "audit": audit,
}
"""The contents of each page."""


async def test_each_page_is_shown() -> None:
    assert SHOWN.keys() == ADDRESSES.keys()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", SHOWN)
async def test_a_page(name: str, scheme: str, visit: Visit, business: Business) -> None:
    async with visit(scheme=scheme, size=WIDE) as visitor:
        await visitor.open(business.address(name))
        await SHOWN[name](visitor.page, business)
        assert await visitor.axe() == []
        assert await visitor.overflow() == []
        assert PASSWORD not in await visitor.page.content()
        await visitor.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
        assert await visitor.overflow() == []


async def test_plots_begin_where_there_is_something_to_see(
    visit: Visit, business: Business
) -> None:
    """The queues of the business are some minutes old: their plots show an hour, not a day."""
    async with visit() as visitor:
        await visitor.open(business.address("overview"))
        for plot in await visitor.page.locator(".plot[data-state=drawn]").all():
            shown = "figure => Date.now() / 1000 - Number(figure.dataset.since)"
            assert 3_000 < await plot.evaluate(shown) < 2 * 3_600
            label = await plot.locator(".canvas").get_attribute("aria-label")
            assert label is not None
            assert ", since " in label
