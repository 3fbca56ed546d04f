"""/livez, /readyz and /metrics, and draining."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import urllib.request

import pytest
import redis

from identtqueue import Client, InvalidInput, State, TaskFailed, TaskOptions, Worker
from identtqueue.admin import Admin
from testing.metrics_page import documented, served
from testing.probes import ask
from testing.redis_server import RedisServer, free_port
from testing.serving import Serve, serving
from testing.waiting import eventually


def metrics(text: str) -> dict[str, float]:
    rows = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in rows}


async def test_probes_and_metrics(client: Client, serve: Serve, queue: str) -> None:
    async def fine(_ctx):
        return 1

    async def bad(_ctx):
        raise ValueError

    port = free_port()
    await serve({"fine": fine, "bad": bad}, http_port=port, concurrency=7)

    await eventually(lambda: _answers(port), "the probes answer")
    await eventually(lambda: _ready(port), "it is ready")
    assert await ask(port, "/livez") == (200, "ok\n")
    assert await ask(port, "/livez?verbose") == (200, "ok\n")
    assert (await ask(port, "/"))[0] == 404
    firing = TaskOptions(task_id="cron.nightly.20200101T030000Z")
    for name, options in (("fine", None), ("fine", firing), ("bad", None)):
        task_id = await client.enqueue_job(queue, name, task_options=options)
        with pytest.raises(TaskFailed) if name == "bad" else contextlib.nullcontext():
            await client.wait_for_result(task_id, 30)
    status, text = await ask(port, "/metrics")
    assert status == 200
    assert served(text) == documented("Of a worker")
    found = metrics(text)
    outcome = 'identtqueue_attempts_total{job="%s",outcome="%s",queue="%s"}'
    assert found[outcome % ("fine", "succeeded", queue)] == 2
    assert found[outcome % ("bad", "failed", queue)] == 1
    assert found[f'identtqueue_failures_total{{error="ValueError",job="bad",queue="{queue}"}}'] == 1
    assert found[f'identtqueue_run_seconds_count{{job="fine",queue="{queue}"}}'] == 2
    assert found[f'identtqueue_wait_seconds_bucket{{job="bad",le="+Inf",queue="{queue}"}}'] == 1
    assert found[f'identtqueue_claim_seconds_count{{queue="{queue}"}}'] > 0
    late = f'identtqueue_cron_lateness_seconds_sum{{job="fine",queue="{queue}"}}'
    assert found[late] > 86_400, "that firing was due years ago"
    assert found["identtqueue_concurrency"] == 7
    assert found["identtqueue_running"] == 0
    assert found["identtqueue_draining"] == 0
    assert found["process_resident_memory_bytes"] > 0


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_on_ipv6_and_ipv4(serve: Serve) -> None:
    """Probes use the pod's address, which may be of either family."""

    async def fine(_ctx): ...

    port = free_port()
    await serve({"fine": fine}, http_port=port)
    await eventually(lambda: _answers(port), "the probes answer")
    for host in ("127.0.0.1", "[::1]"):
        assert await ask(port, "/livez", host) == (200, "ok\n")


async def test_a_busy_loop_still_answers(client: Client, serve: Serve, queue: str) -> None:
    """An async job that keeps the CPU busy is no reason to kill the pod."""
    port, seen = free_port(), []
    blocked, release = threading.Event(), threading.Event()

    async def blocks(_ctx):
        blocked.set()
        release.wait(60)  # that is the point

    def probe() -> None:
        blocked.wait(60)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=30) as answer:
            seen.append(answer.status)
        release.set()

    await serve({"blocks": blocks}, http_port=port)
    prober = threading.Thread(target=probe, daemon=True)
    prober.start()
    task_id = await client.enqueue_job(queue, "blocks")
    await client.wait_for_result(task_id, 60)
    await asyncio.to_thread(prober.join, 60)
    assert seen == [200]


async def test_not_ready_before_it_is_registered_and_while_it_stops(
    client: Client, redis_server: RedisServer, queue: str
) -> None:
    port, loaded = free_port(), asyncio.Event()
    started, release = asyncio.Event(), asyncio.Event()

    async def loads(_state):
        await loaded.wait()

    async def slow(_ctx):
        started.set()
        await release.wait()

    worker = Worker({"slow": slow}, redis_server.address, queue, http_port=port, on_startup=loads)
    async with serving(worker):
        await eventually(lambda: _answers(port), "the probes answer")
        assert await ask(port, "/readyz") == (503, "not registered yet\n")
        assert await ask(port, "/livez") == (200, "ok\n")
        loaded.set()
        await client.enqueue_job(queue, "slow")
        await started.wait()
        assert await ask(port, "/readyz") == (200, "ok\n")
        worker.stop()
        assert await ask(port, "/readyz") == (503, "stopping\n")
        assert await ask(port, "/livez") == (200, "ok\n")
        release.set()


@pytest.mark.slow
async def test_not_ready_while_redis_refuses_the_login(new_redis_server, queue: str) -> None:
    """When the password changes while the worker runs, it can do nothing, and /readyz says so."""
    server, port = new_redis_server(), free_port()

    async def fine(_ctx): ...

    worker = Worker({"fine": fine}, server.address, queue, http_port=port)
    async with serving(worker):
        await eventually(lambda: _answers(port), "the probes answer")
        await eventually(lambda: _ready(port), "it is ready")
        with server.client() as raw:
            raw.config_set("requirepass", "sesame")
            raw.client_kill_filter(_type="normal", skipme=True)

            async def refused() -> bool:
                status, text = await ask(port, "/readyz")
                return status == 503 and text.startswith("Redis refuses this worker: ")

            await eventually(refused, "it says that its login is refused")
            assert await ask(port, "/livez") == (200, "ok\n")
            raw.config_set("requirepass", "")
        await eventually(lambda: _ready(port), "it is ready again")


async def _ready(port: int) -> bool:
    return await ask(port, "/readyz") == (200, "ok\n")


async def _answers(port: int) -> bool:
    try:
        await ask(port, "/livez")
    except OSError:
        return False
    return True


async def test_a_taken_port(redis_server: RedisServer, queue: str) -> None:
    port = free_port()

    async def fine(_ctx): ...

    def worker() -> Worker:
        return Worker({"fine": fine}, redis_server.address, queue, http_port=port)

    async with serving(worker()):
        await eventually(lambda: _answers(port), "the probes answer")
        with pytest.raises(InvalidInput, match=f"http_port={port}: Address already in use"):
            await worker().serve()


async def test_draining_and_back(
    client: Client, redis_server: RedisServer, raw: redis.Redis, serve: Serve, queue: str
) -> None:
    """While it drains, it is not ready and only ends running attempts. Called back, it fetches."""
    port, started, release = free_port(), asyncio.Event(), asyncio.Event()

    async def slow(_ctx):
        started.set()
        await release.wait()
        return "ended"

    async def fine(_ctx):
        return "fine"

    await serve({"slow": slow, "fine": fine}, http_port=port, concurrency=4)
    running = await client.enqueue_job(queue, "slow")
    await started.wait()
    async with Admin(redis_server.address) as admin:
        (row,) = await admin.workers(queue)
        assert (row.in_flight, row.draining, row.connected) == (1, False, True)
        assert await admin.drain(queue, [row.worker_id, "nobody"]) == [row.worker_id]
        assert await admin.drain(queue, [row.worker_id]) == []

        async def not_ready() -> bool:
            return await ask(port, "/readyz") == (503, "draining\n")

        await eventually(not_ready, "it is not ready")
        assert metrics((await ask(port, "/metrics"))[1])["identtqueue_draining"] == 1
        waiting = await client.enqueue_job(queue, "fine")
        release.set()
        assert await client.wait_for_result(running, 30) == "ended", "what runs may end"
        (row,) = await admin.workers(queue)
        assert (row.in_flight, row.draining) == (0, True)
        assert await client.get_status(waiting) is State.PENDING
        assert await client.queue_length(queue) == 1

        assert await admin.undrain(queue, [row.worker_id]) == [row.worker_id]
        assert await client.wait_for_result(waiting, 30) == "fine"

        await eventually(lambda: _ready(port), "it is ready again")


async def test_a_draining_worker_does_not_keep_the_token(
    client: Client, redis_server: RedisServer, serve: Serve, queue: str
) -> None:
    """If it takes a wake token while it drains, another worker still gets the task."""
    took = []

    def job_of(name):
        async def job(_ctx):
            took.append(name)

        return job

    await serve({"job": job_of("drained")})
    async with Admin(redis_server.address) as admin:
        rows = await eventually(lambda: admin.workers(queue), "it is registered")
        await admin.drain(queue, [row.worker_id for row in rows])
        await serve({"job": job_of("other")})
        for _ in range(3):
            await client.wait_for_result(await client.enqueue_job(queue, "job"), 30)
    assert took == ["other"] * 3


async def test_the_drain_holds_even_if_its_message_was_missed(
    client: Client, raw: redis.Redis, serve: Serve, queue: str
) -> None:
    """Redis' set of draining workers is enough: the next claim is refused, so the worker drains."""

    async def job(_ctx): ...

    worker = await serve({"job": job})
    await client.wait_for_result(await client.enqueue_job(queue, "job"), 30)
    (worker_id,) = raw.zrange(f"idtq:{{{queue}}}:workers", 0, -1)
    raw.sadd(f"idtq:{{{queue}}}:draining", worker_id)
    task_id = await client.enqueue_job(queue, "job")
    await eventually(lambda: worker.gauges.draining, "it has noticed")
    assert await client.get_status(task_id) is State.PENDING


@pytest.mark.slow
async def test_a_worker_that_starts_over_is_not_draining(
    client: Client, raw: redis.Redis, serve: Serve, queue: str
) -> None:
    """If its lease is lost while it drains, the new incarnation is not draining and fetches."""

    async def job(_ctx):
        return "fine"

    worker = await serve({"job": job}, lease_seconds=5)
    await client.wait_for_result(await client.enqueue_job(queue, "job"), 30)
    (worker_id,) = raw.zrange(f"idtq:{{{queue}}}:workers", 0, -1)
    raw.sadd(f"idtq:{{{queue}}}:draining", worker_id)
    await eventually(lambda: worker.gauges.draining, "it has noticed")
    with raw.pipeline(transaction=True) as pipe:  # as a recovery does
        pipe.zrem(f"idtq:{{{queue}}}:workers", worker_id)
        pipe.srem(f"idtq:{{{queue}}}:draining", worker_id)
        pipe.execute()
    assert await client.wait_for_result(await client.enqueue_job(queue, "job"), 60) == "fine"
    assert not worker.gauges.draining
