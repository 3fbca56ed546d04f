"""`identtqueue doctor`: each check finds its fault on a real Redis, and is content without it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import redis
from click.testing import CliRunner

from identtqueue import Client, TaskOptions, Worker
from identtqueue.admin import Admin
from identtqueue.cli import main
from identtqueue.cli.doctor import server as server_checks
from identtqueue.cli.doctor.examination import examine
from identtqueue.cli.doctor.facts import Facts
from identtqueue.cli.doctor.finding import Finding, Level
from identtqueue.cli.doctor.server import lags, pubsub_limit, topology
from identtqueue.limits import JobLimits
from identtqueue.protocol.calls import acting, leasing, reporting
from identtqueue.protocol.keys import queue_keys
from identtqueue.protocol.roles import Role, rules
from identtqueue.release import RELEASE
from identtqueue.transport.settings import RedisSettings
from protocol.bench import FAILURE, LEASE_MS, Bench
from testing.clock import HostClock
from testing.packing import unpack
from testing.processes import environment
from testing.proxy import Proxy
from testing.redis_server import RedisServer
from testing.serving import serving
from testing.waiting import eventually

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
CHECKS: Final = (
    *("connection", "version", "topology", "persistence", "eviction", "memory", "output buffers"),
    *("connections", "latency", "clocks", "rights", "registry", "readable", "protocol"),
    *("queues", "jobs", "limits", "suspects", "dead letters", "pauses"),
    *("silent workers", "stuck workers", "releases"),
)

Ask = Callable[..., Awaitable[list[Finding]]]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """Start a server as it should be."""
    with RedisServer(aof=True).running() as server:
        yield server


@pytest.fixture
def bench(server: RedisServer, queue: str) -> Iterator[Bench]:
    """Provide this test's queue, and delete it afterwards: no other test finds its faults."""
    own = Bench(server, queue)
    yield own
    own.close()


@pytest.fixture
def config(server: RedisServer) -> Iterator[Callable[[str, str], None]]:
    """Provide `config("save", "60 1")`: a setting of the server for one test."""
    with server.client(decode_responses=True) as client:
        before: dict[str, str] = {}

        def change(name: str, value: str) -> None:
            before.setdefault(name, client.config_get(name)[name])
            client.config_set(name, value)

        yield change
        for name, value in before.items():
            client.config_set(name, value)


@pytest.fixture
def findings(server: RedisServer, queue: str) -> Ask:
    """Provide `await findings("memory")`: what that check finds with this test's queue."""

    async def ask(check: str, address: str | RedisSettings = server.address) -> list[Finding]:
        found = await examine(address, [queue], Role.ADMIN)
        return [finding for finding in found if finding.check == check]

    return ask


def only(found: list[Finding], level: Level, *words: str) -> Finding:
    """Return the only finding, which has this level and contains these words."""
    (finding,) = found
    text = f"{finding.subject} {finding.found} {finding.mend}"
    assert finding.level is level, text
    assert [word for word in words if word not in text] == []
    assert finding.mend or level is Level.OK
    return finding


# --- all is well ---


async def echo(_ctx: Any, text: str) -> str:
    return text


@contextlib.asynccontextmanager
async def working(server: RedisServer, queue: str) -> AsyncIterator[Worker]:
    """Run a worker, which has run a task."""
    worker = Worker({"echo": echo}, redis_address=server.address, queue_name=queue)
    async with serving(worker), Client(server.address) as client:
        await client.wait_for_result(await client.enqueue_job(queue, "echo", "x"), 30)
        yield worker


def contents(client: redis.Redis, queue: str) -> dict[bytes, bytes | None]:
    found = client.scan_iter(f"idtq:{{{queue}}}:*", count=10_000)
    return {key: client.dump(key) for key in found if not key.endswith(b":workers")}


async def test_a_healthy_installation(server: RedisServer, queue: str) -> None:
    async with working(server, queue), Admin(server.address) as admin:
        (worker,) = await admin.workers(queue)
        assert worker.clock_ahead_ms is not None
        assert abs(worker.clock_ahead_ms) < 1_000
        with server.client() as client:
            await eventually(lambda: not client.exists(queue_keys(queue).wake), "the worker waits")
            before = contents(client, queue)
            found = await examine(server.address, [queue], Role.ADMIN)
            assert contents(client, queue) == before  # but for the lease
    assert tuple(finding.check for finding in found) == CHECKS
    unsure = {"latency"} if is_since_7(server) else {"latency", "rights"}
    unwell = [f for f in found if f.level is not Level.OK and f.check not in unsure]
    assert unwell == []
    said = {finding.check: finding.found for finding in found}
    assert said["version"].startswith(("Redis ", "Valkey "))
    assert said["persistence"] == "append-only file, fsync always"
    assert "100 PINGs" in said["latency"]
    assert said["releases"] == f"all workers run {RELEASE}"


async def test_queues_are_found_in_the_registry(server: RedisServer, queue: str) -> None:
    async with working(server, queue):
        found = await examine(server.address, (), Role.ADMIN)
    (registry,) = (finding for finding in found if finding.check == "registry")
    assert registry.level is Level.OK
    assert "looked at" in registry.found


# --- the server ---


async def test_a_product_that_is_not_tested(findings: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_checks, "NEWEST_TESTED", {"Redis": (6, 0), "Valkey": (7, 0)})
    only(await findings("version"), Level.WARNING, "newer than the newest that is tested")
    monkeypatch.setattr(server_checks, "NEWEST_TESTED", {})
    only(await findings("version"), Level.WARNING, "this product is not tested")


async def test_nothing_is_kept_on_a_disk(findings: Ask, config: Callable[[str, str], None]) -> None:
    config("appendfsync", "no")
    only(await findings("persistence"), Level.WARNING, "CONFIG SET appendfsync everysec")
    config("appendonly", "no")
    only(await findings("persistence"), Level.ERROR, "nothing is kept", "CONFIG SET appendonly yes")
    config("save", "3600 1")
    only(await findings("persistence"), Level.WARNING, "snapshots only", "(3600 1)")


async def test_a_snapshot_that_failed(
    new_redis_server: Callable[..., RedisServer], findings: Ask, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    broken = new_redis_server(options=("--dir", str(folder)))
    shutil.rmtree(folder)
    with broken.client(decode_responses=True) as client:
        client.config_set("save", "3600 1")
        client.bgsave()
        await eventually(
            lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "it failed"
        )
    found = await findings("persistence", broken.address)
    only(found, Level.ERROR, "the last snapshot failed", "make room")


@pytest.mark.parametrize(
    ("policy", "what"), [("allkeys-lru", "deletes tasks"), ("volatile-lru", "deletes results")]
)
async def test_a_server_that_deletes_when_it_is_full(
    policy: str, what: str, findings: Ask, config: Callable[[str, str], None]
) -> None:
    config("maxmemory-policy", policy)
    only(await findings("eviction"), Level.ERROR, what, "CONFIG SET maxmemory-policy noeviction")


async def test_a_server_that_is_full(
    findings: Ask, server: RedisServer, config: Callable[[str, str], None]
) -> None:
    with server.client() as client:
        used = client.info("memory")["used_memory"]
    config("maxmemory", str(int(used * 1.15)))
    only(await findings("memory"), Level.WARNING, "MiB used", "raise maxmemory")
    config("maxmemory", str(used // 2))
    only(await findings("memory"), Level.ERROR, "it is full, and refuses new tasks")
    config("maxmemory", str(used * 10))
    only(await findings("memory"), Level.OK, "used of")


async def test_small_buffers_for_subscribers(
    findings: Ask, config: Callable[[str, str], None]
) -> None:
    config("client-output-buffer-limit", "pubsub 1mb 512kb 60")
    only(await findings("output buffers"), Level.WARNING, "1,048,576 bytes", "CONFIG SET client-")


async def test_a_subscriber_whose_buffer_was_full(
    new_redis_server: Callable[..., RedisServer], findings: Ask
) -> None:
    server = new_redis_server()
    with server.client() as publisher, server.client() as listener:
        publisher.config_set("client-output-buffer-limit", "pubsub 8mb 0 0")
        listening = listener.pubsub()
        listening.subscribe("news")
        publisher.publish("news", "x" * (20 << 20))  # in one piece, which nobody reads
        counter = "client_output_buffer_limit_disconnections"
        await eventually(lambda: publisher.info("stats").get(counter, 1), "it was cut off")
        if counter in publisher.info("stats"):  # since 7.0
            found = await findings("output buffers", server.address)
            only(found, Level.WARNING, "1 connection closed")
        with contextlib.suppress(redis.ConnectionError):
            listening.close()


def test_the_limit_of_subscribers_is_read() -> None:
    setting = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"
    assert pubsub_limit(setting) == 32 << 20
    assert pubsub_limit("") == pubsub_limit("normal 0 0 0") == 0


async def test_connections_that_are_closed_or_never_given_up(
    findings: Ask, config: Callable[[str, str], None]
) -> None:
    config("timeout", "60")
    only(await findings("connections"), Level.WARNING, "idle for 60 s", "CONFIG SET timeout 0")
    config("timeout", "0")
    config("tcp-keepalive", "0")
    only(await findings("connections"), Level.WARNING, "CONFIG SET tcp-keepalive 60")


async def test_a_replica_takes_no_tasks(
    new_redis_server: Callable[..., RedisServer], server: RedisServer, findings: Ask
) -> None:
    replica = new_redis_server(replica_of=server.port, options=("--replica-read-only", "no"))
    await eventually(replica.is_in_step, "the replica follows")
    found = await findings("topology", replica.address)
    only(found, Level.ERROR, "this is a replica of 127.0.0.1", "the address of the primary")
    only(await findings("topology"), Level.OK, "with 1 replica")


@pytest.mark.parametrize("address", ["redis+cluster://a:1", "redis+sentinel://a:1/master"])
def test_an_address_that_names_a_single_node(address: str) -> None:
    facts = Facts(RedisSettings(address=address), Role.ADMIN, 0, 0, [1.0], [])
    only(topology(facts), Level.WARNING, "while it is away, nobody can connect")


def test_the_lag_of_replicas_is_read() -> None:
    info = {"slave0": "ip=10.0.0.1,port=6379,state=online,offset=1,lag=12", "slave_priority": "1"}
    assert list(lags(info)) == [("10.0.0.1:6379", 12)]


# --- the way to it ---


@pytest.mark.slow
async def test_a_slow_way(server: RedisServer, findings: Ask) -> None:
    async with Proxy(server.port) as proxy:
        proxy.delay_replies(0.025)
        found = await findings("latency", proxy.address)
    only(found, Level.WARNING, "median", "run workers close to Redis")


@pytest.mark.slow
async def test_clocks_that_disagree(server: RedisServer, bench: Bench, tmp_path: Path) -> None:
    """The doctor and a worker run on a host whose clock is ahead."""
    clock = HostClock(tmp_path / "clock")
    clock.jump(95)
    environ = environment(server.address, **clock.environ)
    info = {"host": "h", "clock_ahead_ms": -5_000}
    bench.run(leasing.register(bench.queue, "w", LEASE_MS, info))
    command = (sys.executable, "-m", "identtqueue", "doctor", "--json", "--queue", bench.queue)
    doctor = await asyncio.create_subprocess_exec(
        *command, env=environ, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await doctor.communicate()
    rows = [row for row in map(json.loads, out.splitlines()) if row["check"] == "clocks"]
    assert [(row["subject"], row["level"]) for row in rows] == [
        ("this host", "warning"),
        ("h", "warning"),
    ]
    assert "the clock of this host is 1 min 3" in rows[0]["found"]
    assert "its clock was 5 s behind Redis' when a worker started" in rows[1]["found"]


# --- rights ---


def is_since_7(server: RedisServer) -> bool:
    """Return whether the server can be asked what an ACL allows."""
    with server.client() as client:
        return not client.info("server")["redis_version"].startswith("6.")


@pytest.fixture
def account(server: RedisServer) -> Iterator[Callable[..., RedisSettings]]:
    """Provide `account("-get")`: a user with the rules of an administrator, and these ones."""
    with server.client() as client:
        names: list[str] = []

        def make(*more: str) -> RedisSettings:
            names.append(f"user-{secrets.token_hex(4)}")
            words = ("on", ">sesame", *rules(Role.ADMIN), *more)
            client.execute_command("ACL", "SETUSER", names[-1], *words)
            return RedisSettings(address=server.address, username=names[-1], password="sesame")

        yield make
        for name in names:
            client.execute_command("ACL", "DELUSER", name)


async def test_an_administrator_has_enough_rights(
    account: Callable[..., RedisSettings], server: RedisServer, findings: Ask
) -> None:
    user = account()
    can_say = is_since_7(server)
    level = Level.OK if can_say else Level.UNKNOWN
    only(await findings("rights", user), level, "the role admin needs" if can_say else "7.0")
    only(await findings("connections", user), Level.UNKNOWN, "CONFIG GET")
    found = await examine(user, (), Role.ADMIN)
    assert [f for f in found if f.check == "registry" and f.is_bad] == []


async def test_a_user_that_lacks_rights(
    account: Callable[..., RedisSettings], server: RedisServer, findings: Ask
) -> None:
    found = await findings("rights", account("-zrevrange", "-persist"))
    if is_since_7(server):
        only(found, Level.ERROR, "lacks PERSIST, ZREVRANGE", "`identtqueue acl admin`")
    else:
        only(found, Level.UNKNOWN, "`identtqueue acl admin`")


async def test_a_user_who_may_not_see_the_registry(
    account: Callable[..., RedisSettings], queue: str
) -> None:
    found = await examine(account("resetkeys", f"~idtq:{{{queue}}}:*"), (), Role.ADMIN)
    (registry,) = (finding for finding in found if finding.check == "registry")
    assert registry.level is Level.WARNING
    assert "name queues by --queue" in registry.found


async def test_a_server_that_is_not_there(server: RedisServer) -> None:
    (finding,) = await examine("redis://127.0.0.1:1", (), Role.ADMIN)
    assert (finding.check, finding.level) == ("connection", Level.ERROR)
    assert "whether the server runs" in finding.mend
    wrong = RedisSettings(address=server.address, username="nobody", password="x")
    (finding,) = await examine(wrong, (), Role.ADMIN)
    assert "IDENTTQUEUE_REDIS_USERNAME" in finding.mend


# --- queues ---


async def test_a_queue_with_a_foreign_key(server: RedisServer, findings: Ask, queue: str) -> None:
    pending = queue_keys(queue).pending
    with server.client() as raw:
        raw.set(pending, "no list")
        only(await findings("readable"), Level.ERROR, f"queue {queue} can't be read", "WRONGTYPE")
        raw.delete(pending)
    only(await findings("readable"), Level.OK)


async def test_a_queue_of_another_protocol(bench: Bench, findings: Ask) -> None:
    bench.raw.hset(bench.keys.meta, "protocol", "1")
    only(await findings("protocol"), Level.ERROR, "protocol version 1", "speaks 2")


async def test_tasks_without_workers(bench: Bench, findings: Ask) -> None:
    bench.enqueue("later", delay=HOUR_MS)
    only(await findings("queues"), Level.WARNING, "scheduled: 1")
    bench.enqueue("now")
    found = only(await findings("queues"), Level.ERROR, "no worker; pending or running: 1")
    assert found.mend == f"identtqueue worker MODULE:APP --queue {bench.queue}"


async def test_a_job_that_no_worker_has(server: RedisServer, queue: str, findings: Ask) -> None:
    async with working(server, queue), Client(server.address) as client:
        task_id = await client.enqueue_job(queue, "no_such_job")
        with server.client() as raw:
            await eventually(lambda: raw.exists(queue_keys(queue).shelves), "it was declined")
        found = await findings("jobs")
        only(found, Level.ERROR, "declined 1 task of job no_such_job", "deploy workers")
        await client.cancel(task_id)


async def test_a_job_that_is_held_for_long(bench: Bench, findings: Ask) -> None:
    bench.register("w", job=JobLimits(max_running=1))
    bench.enqueue("a", "b")
    bench.claim("w")
    only(await findings("limits"), Level.OK)
    bench.raw.hset(unpack(bench.raw, bench.id("a")), "started_at", bench.now_ms() - 2 * HOUR_MS)
    only(await findings("limits"), Level.WARNING, "limit of 1", "for 2 h, and holds 1 task back")


async def test_tasks_that_may_have_killed_their_workers(bench: Bench, findings: Ask) -> None:
    bench.register("w")
    bench.enqueue("killer")
    for worker in ("w", "x"):
        bench.register(worker)
        bench.claim(worker)
        bench.recover(worker)
    only(await findings("suspects"), Level.WARNING, "1 task lost several workers")


async def test_dead_letters_that_are_new(bench: Bench, findings: Ask) -> None:
    for attempt in bench.running("w", "a", "b"):
        bench.run(reporting.bury(bench.queue, "w", attempt.task_id, attempt.number, FAILURE))
    bench.raw.zadd(bench.keys.dead, {bench.id("a"): bench.now_ms() - 2 * HOUR_MS})
    only(
        await findings("dead letters"),
        Level.WARNING,
        "2 dead letters, 1 of them",
        "identtqueue dead groups",
    )
    bench.raw.zadd(bench.keys.dead, {bench.id("b"): bench.now_ms() - 2 * HOUR_MS})
    only(await findings("dead letters"), Level.OK, "2, none of them from the last hour")


async def test_a_pause_that_was_forgotten(bench: Bench, findings: Ask) -> None:
    bench.enqueue("a")
    bench.run(acting.pause(bench.queue, stop=True))
    only(await findings("pauses"), Level.OK, "1 paused within a day")
    bench.raw.set(bench.keys.paused, bench.now_ms() - 3 * DAY_MS)
    found = only(await findings("pauses"), Level.WARNING, "paused, for 3 d; waiting: 1")
    assert found.mend == f"identtqueue resume {bench.queue}"
    bench.raw.set(bench.keys.paused, "1")  # as older releases did
    only(await findings("pauses"), Level.WARNING, "it is not known since when")
    bench.raw.delete(bench.keys.paused)


async def test_the_pause_of_a_job_that_was_forgotten(
    server: RedisServer, bench: Bench, findings: Ask
) -> None:
    async with Admin(server.address) as admin:
        assert await admin.pause_job(bench.queue, "read")
        only(await findings("pauses"), Level.OK, "1 paused within a day")
        bench.raw.hset(bench.keys.paused_jobs, "read", bench.now_ms() - 2 * DAY_MS)
        found = only(await findings("pauses"), Level.WARNING, "job read is paused, for 2 d")
        assert found.mend.startswith(f"identtqueue resume {bench.queue} --job read")
        assert await admin.resume_job(bench.queue, "read")


# --- workers ---


async def test_workers_that_are_silent(bench: Bench, findings: Ask) -> None:
    bench.running("w", "a")
    only(await findings("silent workers"), Level.WARNING, "no process listens for it", "worker w")
    bench.lapse("w")
    only(await findings("silent workers"), Level.ERROR, "nobody has recovered it", "it has 1 task")


@pytest.mark.parametrize("where", ["task", "job", "worker"])
async def test_a_worker_that_is_stuck(
    where: str, server: RedisServer, bench: Bench, findings: Ask
) -> None:
    info = {"host": "h", "pod_name": "documents-1"}
    if where != "task":
        info["timeout_ms"] = 30_000 if where == "worker" else 1
    jobs = {"read": {"timeout_ms": 30_000}} if where == "job" else {}
    limits = dict.fromkeys(jobs, JobLimits())
    bench.run(leasing.register(bench.queue, "w", LEASE_MS, info, limits, jobs))
    options = TaskOptions(timeout_seconds=30 if where == "task" else None)
    async with Client(server.address) as client:
        task_id = await client.enqueue_job(bench.queue, "read", task_options=options)
    bench.claim("w")
    key = unpack(bench.raw, task_id)
    bench.raw.hset(key, "started_at", bench.now_ms() - 80_000)
    only(await findings("stuck workers"), Level.OK)
    bench.raw.hset(key, "started_at", bench.now_ms() - 5 * 60_000)
    found = only(await findings("stuck workers"), Level.ERROR, "its timeout is 30 s", task_id)
    assert found.mend == "kubectl delete pod documents-1"


async def test_an_attempt_without_end(bench: Bench, findings: Ask) -> None:
    bench.running("w", "a")
    bench.raw.hset(unpack(bench.raw, bench.id("a")), "started_at", bench.now_ms() - 2 * DAY_MS)
    only(await findings("stuck workers"), Level.WARNING, "runs for 2 d", "has no timeout")


async def test_workers_of_different_releases(bench: Bench, findings: Ask) -> None:
    for worker, version in (("v", "1.0.0"), ("w", "1.1.0"), ("x", "1.1.0")):
        info = {"host": "h", "version": version}
        bench.run(leasing.register(bench.queue, worker, LEASE_MS, info))
    only(await findings("releases"), Level.WARNING, "1 with 1.0.0, 2 with 1.1.0")


# --- the command ---


async def test_the_command(server: RedisServer, bench: Bench, queue: str) -> None:
    environ = {"IDENTTQUEUE_REDIS_ADDRESS": server.address, "NO_COLOR": "1", "COLUMNS": "100"}

    async def said(*words: str, **more: str) -> tuple[int, str]:
        done = await asyncio.to_thread(
            CliRunner().invoke, main, ["doctor", "--queue", queue, *words], env=environ | more
        )
        assert done.stderr == ""
        return done.exit_code, done.stdout

    bench.enqueue("later", delay=HOUR_MS)
    code, out = await said()
    assert code == 0
    assert "warning  queues" in out
    assert f"-> identtqueue worker MODULE:APP --queue {queue}" in out
    assert out.rstrip().splitlines()[-1].startswith("0 errors, 1 warning, ")
    assert (await said("--strict"))[0] == 1
    code, drawn = await said(FORCE_COLOR="1")
    assert f"→ identtqueue worker MODULE:APP --queue {queue}" in drawn

    bench.enqueue("now")
    code, out = await said("--json")
    assert code == 1
    rows = [json.loads(line) for line in out.splitlines()]
    assert tuple(row["check"] for row in rows) == CHECKS
    (row,) = (row for row in rows if row["check"] == "queues")
    assert (row["level"], row["subject"]) == ("error", f"queue {queue}")
    assert row.keys() == {"check", "level", "found", "mend", "subject"}
