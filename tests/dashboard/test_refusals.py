"""Who may not act: nobody without a login, no viewer, no form that another site has made."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from starlette.routing import Route

from dashboard.conftest import Stage
from identtqueue.dashboard import create_dashboard
from identtqueue.task import State
from testing.dashboard_users import OPERATOR, VIEWER
from testing.http import connected

pytestmark = pytest.mark.asyncio(loop_scope="module")

Headers = dict[str, str]
OWN = {"Sec-Fetch-Site": "same-origin"}
"""Headers of a browser for a form of the page itself."""


@pytest_asyncio.fixture(loop_scope="module")
async def web(stage: Stage) -> AsyncIterator[httpx.AsyncClient]:
    async with connected(stage.base) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def waiting(stage: Stage, queue: str) -> str:
    """Enqueue a task that waits, since its queue has no worker."""
    return await stage.client.enqueue_job(queue, "job")


def act_on(task_id: str) -> dict[str, str]:
    return {"act": "cancel", "place": "pending", "by": "task", "task": task_id}


async def token_of(web: httpx.AsyncClient, queue: str, login: tuple[str, str]) -> str:
    """Return the token of a form. The client keeps the cookie that belongs to it."""
    page = await web.get(f"/queues/{queue}/tasks", auth=login)
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', page.text)
    return found[1] if found else ""


async def is_untouched(stage: Stage, task_id: str, queue: str) -> bool:
    state = (await stage.admin.task(task_id)).state
    return state is State.PENDING and await stage.admin.audit(queue) == []


async def test_without_a_login(
    web: httpx.AsyncClient, stage: Stage, queue: str, waiting: str
) -> None:
    for answer in (
        await web.get(f"/queues/{queue}/tasks"),
        await web.post(f"/queues/{queue}/act", data=act_on(waiting), headers=OWN),
    ):
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic")
        assert waiting not in answer.text
    assert await is_untouched(stage, waiting, queue)


async def test_a_viewer_sees_no_button_and_cannot_act(
    web: httpx.AsyncClient, stage: Stage, queue: str, waiting: str
) -> None:
    page = await web.get(f"/queues/{queue}/tasks", auth=VIEWER)
    assert page.status_code == 200
    assert waiting in page.text
    assert "<button name=" not in page.text
    assert (
        await web.get(f"/queues/{queue}/act", params=act_on(waiting), auth=VIEWER)
    ).status_code == 403
    # Not even with a token that an operator's page has.
    token = await token_of(web, queue, OPERATOR)
    answer = await web.post(
        f"/queues/{queue}/act", data={**act_on(waiting), "csrf": token}, auth=VIEWER, headers=OWN
    )
    assert answer.status_code == 403
    assert "role operator" in answer.text
    assert await is_untouched(stage, waiting, queue)


@pytest.mark.parametrize(
    ("csrf", "headers"),
    [
        ("", OWN),
        ("0" * 64, OWN),
        ("right", {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}),
        ("right", {"Sec-Fetch-Site": "same-site"}),
        ("right", {"Origin": "https://evil.example"}),
        ("right", {"Origin": "null"}),
        ("right", {}),
    ],
    ids=["no token", "wrong token", "cross-site", "same-site", "origin", "null", "no origin"],
)
async def test_a_forged_form(
    csrf: str, headers: Headers, web: httpx.AsyncClient, stage: Stage, queue: str, waiting: str
) -> None:
    token = await token_of(web, queue, OPERATOR)
    assert token
    form = {**act_on(waiting), "csrf": token if csrf == "right" else csrf}
    answer = await web.post(f"/queues/{queue}/act", data=form, auth=OPERATOR, headers=headers)
    assert answer.status_code == 403
    assert await is_untouched(stage, waiting, queue)


async def test_an_operator_acts_and_is_in_the_audit_list(
    web: httpx.AsyncClient, stage: Stage, queue: str, waiting: str
) -> None:
    form = {**act_on(waiting), "csrf": await token_of(web, queue, OPERATOR)}
    answer = await web.post(f"/queues/{queue}/act", data=form, auth=OPERATOR, headers=OWN)
    assert answer.status_code == 303
    assert (await stage.admin.task(waiting)).state is State.CANCELLED
    (entry,) = await stage.admin.audit(queue)
    assert (entry.who, entry.act, entry.changed) == (OPERATOR[0], "cancel", 1)


async def test_nothing_selected_is_not_everything(
    web: httpx.AsyncClient, stage: Stage, queue: str, waiting: str
) -> None:
    form = {"act": "cancel", "place": "pending", "by": "task"}
    form["csrf"] = await token_of(web, queue, OPERATOR)
    for answer in (
        await web.get(f"/queues/{queue}/act", params=form, auth=OPERATOR),
        await web.post(f"/queues/{queue}/act", data=form, auth=OPERATOR, headers=OWN),
    ):
        assert answer.status_code == 400
        assert "select" in answer.text
    assert await is_untouched(stage, waiting, queue)


async def test_tasks_of_another_queue_are_refused(
    web: httpx.AsyncClient, stage: Stage, queue: str, waiting: str
) -> None:
    form = {**act_on(waiting), "csrf": await token_of(web, queue, OPERATOR)}
    answer = await web.post("/queues/other/act", data=form, auth=OPERATOR, headers=OWN)
    assert answer.status_code == 400
    assert await is_untouched(stage, waiting, queue)


async def test_every_route_that_acts_is_guarded(web: httpx.AsyncClient, stage: Stage) -> None:
    """Also those that are added later: a route that takes a POST without a token is a hole."""
    dashboard = create_dashboard(stage.redis.address)
    routes = [r for r in dashboard.routes if isinstance(r, Route) and r.methods]
    acting = [r for r in routes if r.methods and r.methods - {"GET", "HEAD"}]
    assert acting
    await token_of(web, "any", OPERATOR)
    for route in acting:
        path = re.sub(r"{[^}]*}", "any", route.path)
        for login, status in ((None, 401), (VIEWER, 403), (OPERATOR, 403)):
            answer = await web.post(path, data={"a": "form"}, auth=login, headers=OWN)
            assert answer.status_code == status, (route.path, login)


async def test_a_place_has_only_its_acts(web: httpx.AsyncClient, queue: str) -> None:
    for place, act in (("pending", "replay"), ("ended", "discard"), ("nowhere", "cancel")):
        answer = await web.get(
            f"/queues/{queue}/act", params={"place": place, "act": act}, auth=OPERATOR
        )
        assert answer.status_code == 400, (place, act)
