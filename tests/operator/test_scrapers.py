"""Who may read /metrics, asked over HTTP, with the tests' API server behind."""

import asyncio
import shutil
import ssl

import aiohttp
import pytest

from identtqueue_operator.scrapers import AT_ONCE, MOST_REMEMBERED, REMEMBERED_SECONDS, Scrapers
from identtqueue_operator.server import Server
from identtqueue_operator.timings import Timings
from testing.clock import StoppedClock
from testing.tls import Certificates
from testing.waiting import eventually


@pytest.fixture
def clock():
    return StoppedClock()


@pytest.fixture
async def port(kube, clock):
    running = Server(lambda: b"depth 1\n", Scrapers(kube, clock).check)
    yield await running.start(0)
    await running.close()


@pytest.fixture
async def ask(port):
    """Status and body of a GET."""
    async with aiohttp.ClientSession() as session:

        async def get(token=None, path="/metrics", header=None):
            value = header if header is not None else f"Bearer {token}" if token else None
            headers = {"Authorization": value} if value is not None else {}
            url = f"http://127.0.0.1:{port}{path}"
            async with session.get(url, headers=headers) as response:
                return response.status, await response.text()

        yield get


@pytest.fixture(autouse=True)
def people(api):
    api.tokens |= {"good": {"username": "prometheus"}, "weak": {"username": "stranger"}}
    api.readers.add("prometheus")


def reviews(api):
    return [path.rpartition("/")[2] for _, path, _ in api.requests]


async def test_a_caller_with_the_right_reads_and_others_do_not(ask, api):
    assert await ask("good") == (200, "depth 1\n")
    assert (await ask("weak"))[0] == 403
    assert (await ask("forged"))[0] == 401
    told = [body["spec"] for _, path, body in api.requests if "subjectaccess" in path]
    assert [spec["user"] for spec in told] == ["prometheus", "stranger"]


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic Z29vZDo=", "good"])
async def test_without_a_token_nobody_is_asked(ask, api, header):
    assert (await ask(header=header))[0] == 401
    assert not api.requests


async def test_probes_need_no_token(ask, api):
    assert (await ask(path="/livez"))[0] == 200
    assert (await ask(path="/readyz"))[0] == 200
    assert not api.requests


async def test_answers_are_remembered_and_a_lost_right_ends(ask, api, clock):
    for _ in range(3):
        assert (await ask("good"))[0] == 200
        assert (await ask("forged"))[0] == 401
    assert sorted(reviews(api)) == ["subjectaccessreviews", "tokenreviews", "tokenreviews"]
    api.readers.clear()
    assert (await ask("good"))[0] == 200
    clock.now += REMEMBERED_SECONDS
    assert (await ask("good"))[0] == 403
    api.readers.add("prometheus")
    clock.now += REMEMBERED_SECONDS
    assert (await ask("good"))[0] == 200


async def test_an_api_server_that_can_not_answer_is_no_permission(ask, api, clock):
    assert (await ask("good"))[0] == 200
    clock.now += REMEMBERED_SECONDS
    api.forbidden = "tokenreviews"
    assert (await ask("good"))[0] == 503
    api.forbidden = ""
    assert (await ask("good"))[0] == 200, "a failure is not remembered"


async def test_a_flood_of_tokens_is_turned_away_and_a_known_caller_is_not(ask, api, clock):
    assert (await ask("good"))[0] == 200
    clock.now += REMEMBERED_SECONDS
    api.held["tokenreviews"] = gate = asyncio.Event()
    flood = [asyncio.ensure_future(ask(f"forged-{number}")) for number in range(AT_ONCE)]
    asked = len(reviews(api))
    await eventually(lambda: len(reviews(api)) == asked + AT_ONCE)
    assert (await ask("one-more"))[0] == 503
    scrape = asyncio.ensure_future(ask("good"))
    gate.set()
    assert (await scrape)[0] == 200
    assert [status for status, _ in await asyncio.gather(*flood)] == [401] * AT_ONCE


@pytest.mark.slow
async def test_what_is_remembered_is_bounded(kube, clock):
    known = Scrapers(kube, clock)
    for number in range(2 * MOST_REMEMBERED):
        await known.check(f"Bearer forged-{number}")
    assert known.remembered == MOST_REMEMBERED


async def test_a_renewed_certificate_is_taken_in(tmp_path):
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    first = Certificates(tmp_path / "first", server_hosts=["127.0.0.1"])
    second = Certificates(tmp_path / "second", server_hosts=["127.0.0.1"])
    mounted = tmp_path / "tls.crt", tmp_path / "tls.key"

    def mount(certificates):
        for target, source in zip(mounted, certificates.server, strict=True):
            shutil.copy(source, target)

    mount(first)
    quick = Timings(rotation_seconds=0.01)
    running = Server(lambda: b"depth 1\n", certificate=mounted, timings=quick)
    port = await running.start(0)

    async def served_by(certificates):
        context = ssl.create_default_context(cafile=certificates.ca)
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"https://127.0.0.1:{port}/metrics", ssl=context) as response,
            ):
                return (await response.text()) == "depth 1\n"
        except aiohttp.ClientConnectorCertificateError:
            return False

    assert await served_by(first)
    assert not await served_by(second)
    mount(second)
    await eventually(lambda: served_by(second))
    await running.close()
