"""Who may look, who may act, and what browsers must not do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from starlette.routing import Route

from identtqueue.admin import Admin
from identtqueue.client import Client
from identtqueue.dashboard import BasicAuth, ProxyAuth, create_dashboard
from identtqueue.dashboard.access.attempts import MOST_FAILURES, WINDOW_SECONDS, FailedLogins
from identtqueue.dashboard.access.basic import parse_users
from identtqueue.dashboard.access.passwords import PasswordHash
from identtqueue.dashboard.application import Dashboard
from identtqueue.dashboard.guard import HEADERS
from identtqueue.errors import InvalidInput
from testing.dashboard_users import OPERATOR, VIEWER, user_line, users_file
from testing.http import connected
from testing.redis_server import RedisServer
from web.serving import served, token


async def test_nobody_looks_without_a_login(base: str) -> None:
    async with connected(base) as stranger:
        for path in ("/", "/workers", "/queues/any", "/live/", "/series.json", "/nothing"):
            answer = await stranger.get(path)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"].startswith("Basic realm=")
        assert (await stranger.get("/healthz")).text == "ok\n"
        wrong = await stranger.get("/", auth=(OPERATOR[0], VIEWER[1]))
        assert wrong.status_code == 401
        unknown = await stranger.get("/", auth=("nobody", OPERATOR[1]))
        assert unknown.status_code == 401
        assert unknown.text == wrong.text  # an answer does not tell which names exist
        assert (await stranger.get("/", auth=OPERATOR)).status_code == 200


async def test_guessing_is_stopped_but_whoever_is_in_goes_on(base: str) -> None:
    async with connected(base) as client:
        assert (await client.get("/", auth=OPERATOR)).status_code == 200
        for _ in range(MOST_FAILURES):
            assert (await client.get("/", auth=(OPERATOR[0], "guess"))).status_code == 401
        refused = await client.get("/", auth=(OPERATOR[0], "guess"))
        assert refused.status_code == 429
        assert 0 < int(refused.headers["retry-after"]) <= WINDOW_SECONDS
        assert (await client.get("/", auth=VIEWER)).status_code == 429  # from the same address
        assert (await client.get("/", auth=OPERATOR)).status_code == 200


def test_failures_are_forgotten_after_a_minute() -> None:
    now = [100.0]
    failed = FailedLogins(lambda: now[0])
    for _ in range(MOST_FAILURES):
        assert failed.wait_seconds("a", "b") == 0
        failed.note("a")
    assert failed.wait_seconds("a", "b") == WINDOW_SECONDS
    assert failed.wait_seconds("b") == 0
    now[0] += WINDOW_SECONDS - 1
    assert failed.wait_seconds("a") == 1
    now[0] += 1
    assert failed.wait_seconds("a") == 0


async def test_a_changed_file_of_users_counts_at_once(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    path = users_file(tmp_path)
    dashboard = create_dashboard(redis_server.address, auth=BasicAuth(path))
    async with served(dashboard) as base, connected(base) as client:
        assert (await client.get("/", auth=OPERATOR)).status_code == 200
        path.write_text(user_line(("nora", "is new here"), "viewer"))
        assert (await client.get("/", auth=OPERATOR)).status_code == 401
        assert (await client.get("/", auth=("nora", "is new here"))).status_code == 200
        path.write_text("nonsense")  # the users stay as they were
        assert (await client.get("/", auth=("nora", "is new here"))).status_code == 200


def test_a_file_of_users_is_checked_and_never_quoted() -> None:
    good = user_line(VIEWER, "viewer")
    assert set(parse_users(f"# comment\n\n{good}")) == {"vera"}
    for text, words in (
        ("", "there is none"),
        ("vera:admin:scrypt$1$8$1$a$b", "line 1"),
        (good + good, "line 2"),
        ("vera:viewer:hunter2", "scrypt"),
        ("vera:viewer:scrypt$20$32$1$c2FsdA$" + "A" * 43, "128 MiB"),
    ):
        with pytest.raises(InvalidInput, match=words) as found:
            parse_users(text)
        assert "hunter2" not in str(found.value)


def test_a_password_is_hashed_with_a_salt_of_its_own() -> None:
    one, other = PasswordHash.of("correct horse"), PasswordHash.of("correct horse")
    assert str(one) != str(other)
    assert PasswordHash.parse(str(one)).matches("correct horse")
    assert not PasswordHash.parse(str(one)).matches("correct horse ")


async def test_every_act_needs_an_operator_and_a_form_of_ours(
    dashboard: Dashboard, base: str, queue: str, admin: Admin
) -> None:
    """Each route that changes something refuses all that is not an operator's own form."""
    acts = [r for r in dashboard.routes if isinstance(r, Route) and "POST" in (r.methods or ())]
    assert len(acts) > 3
    own = {"Origin": base, "Content-Type": "application/x-www-form-urlencoded"}
    async with connected(base) as client:
        page = await client.get(f"/queues/{queue}", auth=OPERATOR)
        good = token(page.text)
        stolen = await client.get("/", auth=VIEWER)
        assert 'name="csrf"' not in stolen.text  # who may not act gets no token
        for route in acts:
            path = _filled(route.path, queue)
            for who, headers, form in (
                (VIEWER, own, {"csrf": good}),
                (OPERATOR, own, {}),
                (OPERATOR, own, {"csrf": "0" * 64}),
                (OPERATOR, {**own, "Origin": "https://evil.example"}, {"csrf": good}),
                (OPERATOR, {**own, "Origin": "null"}, {"csrf": good}),
                (OPERATOR, {**own, "Sec-Fetch-Site": "same-site"}, {"csrf": good}),
                (OPERATOR, {"Content-Type": own["Content-Type"]}, {"csrf": good}),
                (None, own, {"csrf": good}),
            ):
                answer = await client.post(path, auth=who, headers=headers, data=form)
                assert answer.status_code in (401, 403), (path, headers, form)
            text = await client.post(
                path, auth=OPERATOR, headers={**own, "Content-Type": "text/plain"}, content="x"
            )
            assert text.status_code == 415
            huge = await client.post(path, auth=OPERATOR, headers=own, data={"a": "b" * 300_000})
            assert huge.status_code == 413
        client.cookies.clear()
        answer = await client.post(
            f"/queues/{queue}/pause", auth=OPERATOR, headers=own, data={"csrf": good}
        )
        assert answer.status_code == 403  # the token without its cookie
        assert not (await admin.depths([queue]))[queue].paused
        assert await admin.audit(queue) == []


def _filled(path: str, queue: str) -> str:
    return path.replace("{queue}", queue).replace("{what}", "run").replace("{task_id:path}", "q:1")


async def test_an_operator_acts_under_their_name(
    otto: httpx.AsyncClient, base: str, queue: str, admin: Admin, client: Client
) -> None:
    await client.enqueue_job(queue, "resize")
    page = await otto.get(f"/queues/{queue}")
    form = {"csrf": token(page.text)}
    own = {"Origin": base}
    answer = await otto.post(f"/queues/{queue}/pause", data=form, headers=own)
    assert answer.status_code == 303
    assert (await admin.depths([queue]))[queue].paused
    then = await otto.get(answer.headers["location"])
    assert f"The queue {queue} is paused; running tasks go on." in then.text
    again = await otto.get(answer.headers["location"])
    assert "running tasks go on." not in again.text.split("<main")[0]  # it is said once
    both = await otto.post(
        f"/queues/{queue}/resume", data=form, headers={"Sec-Fetch-Site": "same-origin"}
    )
    assert both.status_code == 303
    job = await otto.post(f"/queues/{queue}/pause", data={**form, "job": "resize"}, headers=own)
    assert job.status_code == 303
    assert (await admin.depths([queue]))[queue].held == 1
    entries = await admin.audit(queue)
    assert [(each.who, each.act) for each in entries] == [
        ("otto", "pause_job"),
        ("otto", "resume"),
        ("otto", "pause"),
    ]


async def test_a_dashboard_without_logins_is_read_only(
    redis_server: RedisServer, queue: str
) -> None:
    async with (
        served(create_dashboard(redis_server.address)) as base,
        connected(base) as client,
    ):
        page = await client.get(f"/queues/{queue}")
        assert page.status_code == 200
        assert "formaction" not in page.text
        answer = await client.post(f"/queues/{queue}/pause", headers={"Origin": base}, data={})
        assert answer.status_code == 403
        assert "read-only" in answer.text


async def test_a_proxy_is_believed_only_where_it_is(redis_server: RedisServer) -> None:
    def headers(name: str, groups: str = "") -> dict[str, str]:
        return {"X-Forwarded-User": name, "X-Forwarded-Groups": groups}

    trusting = ProxyAuth(["127.0.0.0/8"], operators=["otto"], operator_groups=["on-call"])
    async with (
        served(create_dashboard(redis_server.address, auth=trusting)) as base,
        connected(base) as client,
    ):
        for given, acts in (
            (headers("vera", "staff"), False),
            (headers("otto"), True),
            (headers("olga", "staff, on-call"), True),
        ):
            page = await client.get("/queues/any", headers=given)
            assert page.status_code == 200
            assert ("formaction" in page.text) is acts
        assert (await client.get("/")).status_code == 401
        twice = httpx.Headers([("X-Forwarded-User", "vera"), ("X-Forwarded-User", "otto")])
        assert (await client.get("/", headers=twice)).status_code == 401
    elsewhere = ProxyAuth(["10.0.0.0/8", "fd00::/8"], operators=["otto"])
    async with (
        served(create_dashboard(redis_server.address, auth=elsewhere)) as base,
        connected(base) as client,
    ):
        answer = await client.get("/", headers=headers("otto"))
        assert answer.status_code == 403
    for proxies in ([], ["example.com"]):
        with pytest.raises(InvalidInput, match="proxies"):
            ProxyAuth(proxies)


async def test_every_answer_tells_the_browser_what_it_must_not_do(
    base: str, otto: httpx.AsyncClient
) -> None:
    page = await otto.get("/")
    file = page.text.split('rel="stylesheet" href="')[1].split('"')[0]
    async with connected(base) as stranger:
        answers = [
            page,
            await otto.get("/nothing"),
            await otto.get("/series.json"),
            await stranger.get("/"),
            await stranger.get(file),
        ]
    for answer in answers:
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
    assert "immutable" in answers[-1].headers["cache-control"]
    assert page.headers["cache-control"] == "no-store"
    policy = page.headers["content-security-policy"]
    assert "'unsafe" not in policy
    assert "default-src 'self'" in policy
    assert "<script>" not in page.text
    assert " style=" not in page.text
    (cookie,) = page.headers.get_list("set-cookie")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie


async def test_another_name_for_the_same_address_is_refused(redis_server: RedisServer) -> None:
    """A web page that calls this address by a name of its own would be of the same origin."""
    dashboard = create_dashboard(redis_server.address, hosts=["localhost", "[::1]", "127.0.0.1"])
    async with served(dashboard) as base, connected(base) as client:
        assert (await client.get("/")).status_code == 200
        assert (await client.get("/", headers={"Host": "LocalHost:1"})).status_code == 200
        assert (await client.get("/", headers={"Host": "evil.example"})).status_code == 421


async def test_slow_checks_do_not_hold_others_up(redis_server: RedisServer, tmp_path: Path) -> None:
    """A password takes a quarter of a second to check, in a thread: pages of others go on."""
    path = tmp_path / "users"
    slow = f"slow:viewer:{PasswordHash.of('correct horse')}\n"
    path.write_text(slow + user_line(VIEWER, "viewer"))
    dashboard = create_dashboard(redis_server.address, auth=BasicAuth(path))
    async with served(dashboard) as base, connected(base) as client:
        await client.get("/healthz")
        slow = asyncio.create_task(client.get("/", auth=("slow", "correct horse")))
        await asyncio.sleep(0)
        quick = await client.get("/healthz")
        assert quick.status_code == 200
        assert (await slow).status_code == 200
        began = time.process_time()
        assert (await client.get("/healthz", auth=("slow", "correct horse"))).status_code == 200
        assert (
            await client.get("/live/nothing", auth=("slow", "correct horse"))
        ).status_code == 404
        assert time.process_time() - began < 0.2  # a login that was right is remembered


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: create_dashboard(interval_seconds=0.01), "interval_seconds"),
        (lambda: create_dashboard(secret="short"), "secret"),
        (lambda: create_dashboard("http://x"), "redis"),
        (lambda: BasicAuth("/nowhere/users"), "users"),
    ],
)
def test_wrong_settings_are_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        make()
