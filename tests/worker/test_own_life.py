"""The worker depends on nothing that jobs can occupy, and none of its steps waits for ever."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import redis

from identtqueue import Client, RedisSettings, State, Worker
from identtqueue.errors import RedisError
from identtqueue.protocol.scripts import script
from identtqueue.transport.login import open_connection
from identtqueue.transport.outage import Outage
from identtqueue.worker.heartbeat import Heartbeat
from testing.accounts import left_over
from testing.proxy import Proxy
from testing.redis_server import RedisServer, free_port
from testing.serving import Serve, serving
from testing.waiting import eventually
from worker.test_health import ask


async def fine(_ctx):
    return "fine"


class FullExecutor(ThreadPoolExecutor):
    """Default executor whose threads are all occupied for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[object] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.asked.append(fn)
        return Future()


@pytest.fixture
async def full_executor() -> Iterator[FullExecutor]:
    """Make the loop's default executor useless; check afterwards that the worker did not use it."""
    executor = FullExecutor()
    asyncio.get_running_loop().set_default_executor(executor)
    yield executor
    assert executor.asked == []
    executor.shutdown()


@pytest.mark.usefixtures("full_executor")
async def test_connecting_and_stopping_with_a_full_executor(
    redis_server: RedisServer, raw: redis.Redis, queue: str
) -> None:
    """With a host name, for which connecting needs a thread at each start and reconnect."""
    async with Proxy(redis_server.port) as proxy:
        address = proxy.address.replace("127.0.0.1", "localhost")
        worker = Worker({"fine": fine}, address, queue, lease_seconds=5, http_port=free_port())
        async with Client(address) as client, serving(worker):
            for trouble in ("none", "connections cut", "lease lost"):
                if trouble == "connections cut":
                    proxy.cut()
                if trouble == "lease lost":
                    raw.delete(f"idtq:{{{queue}}}:workers")
                task_id = await client.enqueue_job(queue, "fine")
                assert await client.wait_for_result(task_id, 30) == "fine", trouble
    assert left_over(raw, queue) == []


@pytest.mark.slow
@pytest.mark.usefixtures("full_executor")
async def test_diagnosing_a_tls_failure_with_a_full_executor(redis_server: RedisServer) -> None:
    """TLS on a plain port fails, and the diagnosis of the failure needs a thread."""
    settings = RedisSettings(address=f"rediss://localhost:{redis_server.port}")
    with pytest.raises(RedisError, match="TLS"):
        await open_connection(settings, "tests")


async def test_a_name_that_can_not_be_looked_up_is_an_outage() -> None:
    with pytest.raises(RedisError, match="Redis can't be reached"):
        await open_connection(RedisSettings(address="redis://no.such.host.invalid"), "tests")


# --- the lease ---


@pytest.mark.slow
@pytest.mark.parametrize("lease_seconds", [5, 7])
async def test_two_renewals_may_go_unanswered(
    redis_server: RedisServer, raw: redis.Redis, queue: str, lease_seconds: float
) -> None:
    """The open connection and the next one are both half open. The lease survives that."""
    workers = f"idtq:{{{queue}}}:workers"
    async with Proxy(redis_server.port) as proxy:
        worker = Worker({"fine": fine}, proxy.address, queue, lease_seconds=lease_seconds)
        async with serving(worker):
            await eventually(lambda: raw.zcard(workers), "it is registered")
            ((worker_id, until_ms),) = raw.zrange(workers, 0, -1, withscores=True)
            await eventually(lambda: raw.zscore(workers, worker_id) > until_ms, "it renews")
            proxy.swallow_requests_with(script("extend").sha.encode(), links=2)
            await eventually(lambda: proxy.swallowed == 2, "two renewals are lost")
            until_ms = raw.zscore(workers, worker_id)
            await eventually(lambda: raw.zscore(workers, worker_id) > until_ms, "it renews again")
            seconds, micros = raw.time()
            left_ms = until_ms - (seconds * 1000 + micros / 1000)
            assert left_ms > 0, "before the lease had run out"
    assert left_over(raw, queue) == []


async def test_failed_renewals_are_spread_and_become_rarer(queue: str) -> None:
    """While Redis loads its file, each of a thousand workers tries about once per interval."""

    def pauses() -> list[float]:
        heart = Heartbeat(
            RedisSettings(address=f"redis://127.0.0.1:{free_port()}"),
            "w",
            [queue],
            15,
            may_renew=lambda: True,
            on_beat=lambda _: None,
            outage=Outage(),
        )
        return [heart.beat() for _ in range(8)]

    fleet = [pauses() for _ in range(50)]
    first, last = [row[0] for row in fleet], [row[-1] for row in fleet]
    assert all(0 < pause <= 0.375 for pause in first)
    assert all(2.5 <= pause <= 5 for pause in last)
    assert max(last) - min(last) > 1, "they do not come in step"


@pytest.mark.slow
async def test_a_worker_without_lease_is_not_ready(
    client: Client,
    raw: redis.Redis,
    serve: Serve,
    queue: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is not ready as soon as its lease is lost. If that lasts too long, /livez fails too."""
    started, release, port = asyncio.Event(), asyncio.Event(), free_port()

    async def refuses(_ctx):
        started.set()
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    await serve({"refuses": refuses, "fine": fine}, http_port=port, lease_seconds=5)
    await client.enqueue_job(queue, "refuses")
    await started.wait()
    raw.delete(f"idtq:{{{queue}}}:workers")

    async def said(path: str) -> tuple[int, str]:
        return await ask(port, path)

    async def is_not_ready() -> bool:
        return await said("/readyz") == (503, "no lease\n")

    await eventually(is_not_ready, "the lease is lost")
    assert await said("/livez") == (200, "ok\n"), "there is time yet"
    monkeypatch.setattr("identtqueue.worker.registration.START_OVER_SECONDS", 0.0)
    status, text = await said("/livez")
    assert status == 503
    assert text.endswith("and there is no new one\n")
    release.set()
    task_id = await client.enqueue_job(queue, "fine")
    assert await client.wait_for_result(task_id, 30) == "fine"
    assert await said("/livez") == (200, "ok\n")
    (line,) = [r.getMessage() for r in caplog.records if "the lease is lost" in r.getMessage()]
    assert "a peer or the operator took this worker for dead" in line


# --- the stop ---


async def test_a_start_up_hook_that_does_not_end_does_not_hold_the_stop(
    redis_server: RedisServer, raw: redis.Redis, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("identtqueue.worker.stopping.CUT_OFF_SECONDS", 0.2)
    started, release = asyncio.Event(), asyncio.Event()

    async def refuses(_state):
        started.set()
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    async with serving(Worker({"fine": fine}, redis_server.address, queue, on_startup=refuses)):
        await started.wait()
    assert left_over(raw, queue) == []
    release.set()


async def test_an_overdue_stop_fails_the_liveness_probe(
    client: Client,
    redis_server: RedisServer,
    queue: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("identtqueue.worker.worker.STOP_SECONDS", -60.0)
    started, release, port = asyncio.Event(), asyncio.Event(), free_port()

    async def closes(_state):
        started.set()
        await release.wait()

    worker = Worker(
        {"fine": fine},
        redis_server.address,
        queue,
        on_shutdown=closes,
        http_port=port,
        grace_seconds=0,
    )
    async with serving(worker):
        task_id = await client.enqueue_job(queue, "fine")
        assert await client.wait_for_result(task_id, 30) == "fine"
        worker.stop()
        await started.wait()
        assert await ask(port, "/livez") == (503, "the stop is overdue\n")
        release.set()
        worker.stop = lambda: None
    assert await client.get_status(task_id) is State.SUCCEEDED
