"""`identtqueue exporter`: a real process, asked over HTTP and HTTPS."""

from __future__ import annotations

import asyncio
import base64
import signal
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from identtqueue import Client, InvalidInput, Job, Worker
from identtqueue.admin import Admin, Counts, Point
from identtqueue.exporter.access import Access
from identtqueue.exporter.totals import MOST_JOBS, JobTotals
from identtqueue.protocol import counting, keys
from testing.metrics_page import documented, served
from testing.redis_server import RedisServer, free_port
from testing.serving import serving
from testing.waiting import eventually


class Answer:
    """An answer of the exporter."""

    def __init__(self, status: int, text: str, asks: list[str]) -> None:
        self.status, self.text, self.asks = status, text, asks

    @property
    def numbers(self) -> dict[str, float]:
        rows = (r.rpartition(" ") for r in self.text.splitlines() if not r.startswith("#"))
        return {name: float(value) for name, _, value in rows}


def ask(
    port: int, path: str = "/metrics", *, login: str = "", tls: ssl.SSLContext | None = None
) -> Answer:
    scheme = "https" if tls else "http"
    request = urllib.request.Request(f"{scheme}://localhost:{port}{path}")
    if login:
        request.add_header("Authorization", login)
    try:
        with urllib.request.urlopen(request, timeout=20, context=tls) as reply:
            return Answer(reply.status, reply.read().decode(), [])
    except urllib.error.HTTPError as error:
        with error:
            asks = error.headers.get_all("WWW-Authenticate") or []
            return Answer(error.code, error.read().decode(), asks)


@asynccontextmanager
async def exporting(
    address: str, *words: str, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Run the command until the end of the block, which must be an orderly one."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "identtqueue", "--redis-address", address),
        *("exporter", "--http-port", str(port), *words),
        stderr=asyncio.subprocess.PIPE,
    )

    async def answers() -> bool:
        try:
            return (await asyncio.to_thread(ask, port, "/healthz", tls=tls)).status == 200
        except OSError:
            return False

    try:
        await eventually(answers, "it answers")
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = await process.communicate()
    assert process.returncode == 0, log.decode()
    assert f"exporter: port {port}" in log.decode()


async def wait_for(port: int, name: str, value: float) -> dict[str, float]:
    async def found() -> dict[str, float] | None:
        numbers = (await asyncio.to_thread(ask, port)).numbers
        return numbers if numbers.get(name) == value else None

    return await eventually(found, f"{name} is {value}")


async def nothing(_ctx) -> None: ...


async def fails(_ctx) -> None:
    raise ValueError


@pytest.fixture(scope="module")
def own_server():
    """A server for these tests: the registry of one that is shared has a thousand queues."""
    with RedisServer().running() as server:
        yield server


async def test_what_it_serves(own_server: RedisServer, queue: str) -> None:
    jobs = [Job(name="nothing", function=nothing, max_running=5), Job(name="fails", function=fails)]
    async with (
        exporting(own_server.address) as port,
        Client(own_server.address) as client,
        Admin(own_server.address) as admin,
        serving(Worker(jobs, own_server.address, queue, concurrency=7)),
    ):
        ids = [await client.enqueue_job(queue, name) for name in ("nothing", "nothing", "fails")]
        await client.wait_many(ids, 30)
        await client.enqueue_job(f"{queue}-2", "unknown")
        await admin.pause(f"{queue}-2")
        label = f'{{queue="{queue}"}}'
        await wait_for(port, f"identtqueue_queue_workers{label}", 1)
        text = ask(port).text
        # What happened in the last complete minute appears when that is over, so it is written.
        numbers = ask(port).numbers
        assert numbers[f"identtqueue_queue_tasks_dead{label}"] == 1
        assert numbers[f"identtqueue_queue_slots{label}"] == 7
        assert numbers[f'identtqueue_queue_events_total{{event="succeeded",queue="{queue}"}}'] == 2
        assert numbers[f'identtqueue_queue_events_total{{event="enqueued",queue="{queue}"}}'] == 3
        limit = f'identtqueue_queue_limit_max_running{{job="nothing",queue="{queue}"}}'
        assert numbers[limit] == 5
        assert numbers[f'identtqueue_queue_tasks_queued{{queue="{queue}-2"}}'] == 1
        assert numbers[f'identtqueue_queue_paused{{queue="{queue}-2"}}'] == 1
        assert numbers["identtqueue_exporter_redis_up"] == 1
        real = documented("Of the exporter")
        assert set(served(text)) == set(real)
        of_minute = {name for name in real if "_minute_" in name}
        for name, labels in served(text).items():
            assert labels == (real[name] if name not in of_minute else labels), name


async def test_the_last_minute_by_job(own_server: RedisServer, queue: str) -> None:
    numbers = [0] * (counting.FIRST_BUCKET + 2 * counting.BUCKETS)
    numbers[counting.Number.STARTED] = numbers[counting.Number.SUCCEEDED] = 4
    for histogram in (0, 1):
        numbers[counting.FIRST_BUCKET + histogram * counting.BUCKETS + 8] = 4  # 0.25 to 0.5 s
    k = keys.queue_keys(queue)
    with own_server.client() as raw:
        minute = int(raw.time()[0]) // 60
        for ago in (2, 1, 0):  # a minute may end meanwhile
            key = f"{k.minute_prefix}{minute - ago}"
            raw.hset(key, mapping={"e:read": 9, "w:read": counting.pack(numbers, {}), "jobs": 2})
            raw.expire(key, 300)
    async with exporting(own_server.address, queue) as port:
        answer = ask(port)
    found, of = answer.numbers, f'job="read",quantile="0.5",queue="{queue}"'
    assert found[f"identtqueue_queue_minute_run_seconds{{{of}}}"] == 0.375
    real, names = documented("Of the exporter"), served(answer.text)
    for name in real:
        if "_minute_" in name:
            assert names[name] == real[name]


async def test_counters_by_job_begin_at_0_and_count_each_event_once(
    own_server: RedisServer, queue: str
) -> None:
    def events(numbers: Mapping[str, float], event: str, job: str = "nothing") -> float | None:
        labels = f'event="{event}",job="{job}",queue="{queue}"'
        return numbers.get(f"identtqueue_queue_job_events_total{{{labels}}}")

    async with (
        Client(own_server.address) as client,
        serving(Worker([Job(name="nothing", function=nothing)], own_server.address, queue)),
    ):
        await client.wait(await client.enqueue_job(queue, "nothing"), 30)
        async with Admin(own_server.address) as admin:
            await eventually(lambda: _counted(admin, queue, 1), "the worker has reported")
        async with exporting(own_server.address, queue) as port:
            assert events(ask(port).numbers, "succeeded") in (None, 0), "from before its start"
            ids = [await client.enqueue_job(queue, "nothing") for _ in range(3)]
            await client.wait_many(ids, 30)
            name = f'event="succeeded",job="nothing",queue="{queue}"'
            numbers = await wait_for(port, f"identtqueue_queue_job_events_total{{{name}}}", 3)
            assert events(numbers, "enqueued") == events(numbers, "started") == 3
            assert events(numbers, "failed") == 0
            assert events(ask(port).numbers, "succeeded") == 3


async def _counted(admin: Admin, queue: str, number: int) -> bool:
    series = await admin.series(queue, step="minute")
    return series.total.succeeded == number


def test_counters_follow_minutes_that_ended_and_never_fall() -> None:
    def point(minute: int, **numbers: int) -> Point:
        return Point(minute * counting.MINUTE_MS, {"job": Counts(**numbers)} if numbers else {})

    totals = JobTotals()
    assert totals.add([point(1, enqueued=9), point(2, enqueued=5)])["job"]["enqueued"] == 0
    assert totals.add([point(1, enqueued=9), point(2, enqueued=7)])["job"]["enqueued"] == 2
    three = [point(2, enqueued=8, failed=1), point(3), point(4, enqueued=4)]
    found = totals.add([point(1, enqueued=9), *three])
    assert (found["job"]["enqueued"], found["job"]["failed"]) == (7, 1)
    older = totals.add([point(1, enqueued=9), point(2, enqueued=8)])
    assert older == found, "an older answer that arrives late"
    assert totals.add([]) == found, "Redis' clock was set back"
    assert totals.add([*three, point(5, enqueued=1)])["job"]["enqueued"] == 8


def test_jobs_beyond_a_number_are_added_up() -> None:
    def point(minute: int, jobs: Iterable[str]) -> Point:
        return Point(minute * counting.MINUTE_MS, {job: Counts(enqueued=1) for job in jobs})

    totals, names = JobTotals(), [f"job{i}" for i in range(MOST_JOBS + 2)]
    totals.add([point(1, ())])
    totals.add([point(1, ()), point(2, names[:-1])])
    found = totals.add([point(2, names[:-1]), point(3, names)])
    assert (len(found), found["job0"]["enqueued"], found[counting.OTHER]["enqueued"]) == (
        MOST_JOBS + 1,
        2,
        3,
    )


async def test_only_the_named_queues_and_nothing_is_changed(
    own_server: RedisServer, queue: str
) -> None:
    async with Client(own_server.address) as client:
        await client.enqueue_job(queue, "job")
        await client.enqueue_job(f"{queue}-2", "job")
    with own_server.client() as raw:
        before = raw.info("commandstats")
        async with exporting(own_server.address, queue) as port:
            numbers = ask(port).numbers
        after = raw.info("commandstats")
    assert f'identtqueue_queue_tasks_queued{{queue="{queue}"}}' in numbers
    assert not [name for name in numbers if f"{queue}-2" in name]
    for command in ("hset", "zadd", "rpush", "del", "zrem", "lpop", "set"):
        calls = [s.get(f"cmdstat_{command}", {}).get("calls", 0) for s in (before, after)]
        assert calls[0] == calls[1], command


async def test_redis_goes_and_comes_back(new_redis_server: Callable[..., RedisServer]) -> None:
    server = new_redis_server()
    async with Client(server.address) as client:
        await client.enqueue_job("mrz", "job")
    async with exporting(server.address) as port:
        assert ask(port, "/readyz").status == 200
        server.kill()
        answer = ask(port)
        assert answer.numbers["identtqueue_exporter_redis_up"] == 0
        assert not [name for name in answer.numbers if "mrz" in name], "no old value is repeated"
        assert ask(port, "/readyz").status == 503
        assert ask(port, "/healthz").status == 200
        server.start()
        await wait_for(port, "identtqueue_exporter_redis_up", 1)


async def test_with_a_login_and_tls(own_server: RedisServer, tmp_path: Path) -> None:
    authority = trustme.CA()
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def renew() -> None:
        issued = authority.issue_cert("localhost")
        issued.private_key_pem.write_to_path(str(key))
        cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))

    renew()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    token, users = tmp_path / "token", tmp_path / "users"
    token.write_text("sesame\n")
    users.write_text("ada:one\nbob:two\n")
    words = ("--bearer-token-file", str(token), "--basic-auth-file", str(users))
    words += ("--tls-cert-file", str(cert), "--tls-key-file", str(key))

    def basic(pair: str) -> str:
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    async with exporting(own_server.address, *words, tls=trusting) as port:
        refused = ask(port, tls=trusting)
        assert (refused.status, refused.text) == (401, "log in\n")
        assert refused.asks == ["Bearer", 'Basic realm="idenTTqueue"']
        for login in ("Bearer open", "Bearer ", basic("ada:two"), basic("ada"), "Basic %%%", "x"):
            assert ask(port, login=login, tls=trusting).status == 401, login
        for login in ("Bearer sesame", "bearer sesame", basic("ada:one"), basic("bob:two")):
            assert ask(port, login=login, tls=trusting).status == 200, login
        with pytest.raises((OSError, urllib.error.URLError)):
            ask(port)  # plain HTTP
        token.write_text("rotated")
        renew()
        assert ask(port, login="Bearer sesame", tls=trusting).status == 401
        assert ask(port, login="Bearer rotated", tls=trusting).status == 200
        token.unlink()
        assert ask(port, login="Bearer rotated", tls=trusting).status == 401
        assert ask(port, "/healthz", tls=trusting).status == 200, "probes need no login"


def test_files_that_hold_nothing_are_refused(tmp_path: Path) -> None:
    empty, odd = tmp_path / "empty", tmp_path / "odd"
    empty.write_text("\n")
    odd.write_text("no colon\n")
    with pytest.raises(InvalidInput, match="holds no secret"):
        Access(empty, None)
    with pytest.raises(InvalidInput, match="must be user:password"):
        Access(None, odd)
    with pytest.raises(InvalidInput, match="No such file"):
        Access(tmp_path / "none", None)
