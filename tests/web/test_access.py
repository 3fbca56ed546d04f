"""Who may look, who may act, and what browsers must not do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from identtqueue.dashboard import BasicAuth, create_dashboard
from identtqueue.dashboard.access.attempts import MOST_FAILURES, WINDOW_SECONDS, FailedLogins
from identtqueue.dashboard.access.basic import parse_users
from identtqueue.dashboard.access.passwords import PasswordHash
from identtqueue.dashboard.guard import HEADERS
from identtqueue.errors import InvalidInput
from testing.redis_server import RedisServer
from web.serving import OPERATOR, VIEWER, line, served, users_file


async def test_nobody_looks_without_a_login(base: str) -> None:
    async with httpx.AsyncClient(base_url=base) as stranger:
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
    async with httpx.AsyncClient(base_url=base) as client:
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
    async with served(dashboard) as base, httpx.AsyncClient(base_url=base) as client:
        assert (await client.get("/", auth=OPERATOR)).status_code == 200
        path.write_text(line(("nora", "is new here"), "viewer"))
        assert (await client.get("/", auth=OPERATOR)).status_code == 401
        assert (await client.get("/", auth=("nora", "is new here"))).status_code == 200
        path.write_text("nonsense")  # the users stay as they were
        assert (await client.get("/", auth=("nora", "is new here"))).status_code == 200


def test_a_file_of_users_is_checked_and_never_quoted() -> None:
    good = line(VIEWER, "viewer")
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


async def test_every_answer_tells_the_browser_what_it_must_not_do(
    base: str, otto: httpx.AsyncClient
) -> None:
    page = await otto.get("/")
    file = page.text.split('rel="stylesheet" href="')[1].split('"')[0]
    async with httpx.AsyncClient(base_url=base) as stranger:
        answers = [
            page,
            await otto.get("/nothing"),
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
    async with served(dashboard) as base, httpx.AsyncClient(base_url=base) as client:
        assert (await client.get("/")).status_code == 200
        assert (await client.get("/", headers={"Host": "LocalHost:1"})).status_code == 200
        assert (await client.get("/", headers={"Host": "evil.example"})).status_code == 421


async def test_slow_checks_do_not_hold_others_up(redis_server: RedisServer, tmp_path: Path) -> None:
    """A password takes a quarter of a second to check, in a thread: pages of others go on."""
    path = tmp_path / "users"
    path.write_text(f"slow:viewer:{PasswordHash.of('correct horse')}\n" + line(VIEWER, "viewer"))
    dashboard = create_dashboard(redis_server.address, auth=BasicAuth(path))
    async with served(dashboard) as base, httpx.AsyncClient(base_url=base) as client:
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
