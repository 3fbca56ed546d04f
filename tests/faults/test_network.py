"""Connections that are cut, half open or slow, so that data arrives late or never."""

from __future__ import annotations

import asyncio
import signal

from identtqueue import Client, RedisSettings, State, TaskOptions
from identtqueue.protocol.scripts import script
from testing.faults.stage import Stage, scenario
from testing.proxy import Proxy, Way
from testing.waiting import eventually


@scenario()
async def test_connections_are_cut(stage: Stage) -> None:
    """The worker's and the client's connections are cut again and again, at any moment."""
    async with Proxy(stage.server.port) as proxy, Client(proxy.address) as client:
        worker = await stage.worker(address=proxy.address, concurrency=4).started()
        for n in range(8):
            enqueue = asyncio.gather(
                *(client.enqueue_job(stage.queue, "journal") for _ in range(5))
            )
            proxy.cut()
            stage.accepted += await enqueue
            await eventually(lambda n=n: stage.reached(5 * n), "it goes on")
        waits = asyncio.gather(*(client.wait_for_result(t, 60) for t in stage.accepted))
        proxy.cut()
        await waits
        await stage.settled()
        assert worker.process.returncode == 0
        assert "Traceback" not in worker.log


@scenario()
async def test_a_half_open_connection(stage: Stage) -> None:
    """A claim is granted, but its reply never arrives, and the connection stays open."""
    async with Proxy(stage.server.port) as proxy:
        worker = await stage.worker(address=proxy.address).started()
        await stage.enqueue("journal")
        await eventually(stage.recorded, "it works")
        proxy.hold_replies_to(script("claim").sha.encode())
        task_id = await stage.enqueue("journal")
        await eventually(lambda: proxy.holding, "it has claimed")
        await eventually(lambda: "lease not renewed" in worker.log, "it has noticed")
        proxy.cut()
        proxy.release_replies()
        results = await stage.settled()
        assert results[task_id].state is State.SUCCEEDED


@scenario()
async def test_results_reported_twice(stage: Stage) -> None:
    """The report arrives, but its reply does not. It is sent again and counts once."""
    async with Proxy(stage.server.port) as proxy:
        await stage.worker(address=proxy.address).started()
        for n in range(3):
            proxy.hold_replies_to(script("finish").sha.encode())
            await stage.enqueue("journal")
            await eventually(lambda n=n: stage.reached(2 * n + 1), "the result is recorded")
            proxy.cut()
            proxy.release_replies()
            await stage.enqueue("journal")
            await eventually(lambda n=n: stage.reached(2 * n + 2), "it goes on")
        await stage.settled(repeats=0)
        assert await stage.recorded() == 6


@scenario(long=True)
async def test_requests_vanish(stage: Stage) -> None:
    """One worker's requests are lost while its peer works. No connection is closed."""
    await _swallowed(stage, frozenset({Way.REQUESTS}))


@scenario(long=True)
async def test_replies_vanish(stage: Stage) -> None:
    """The worker's claims and results arrive, but it gets no reply."""
    await _swallowed(stage, frozenset({Way.REPLIES}))


async def _swallowed(stage: Stage, ways: frozenset[Way]) -> None:
    async with Proxy(stage.server.port) as proxy:
        cut_off = await stage.worker(address=proxy.address, concurrency=2).started()
        await stage.enqueue_many(2, "journal", stage.gate)
        await stage.begun(2)
        peer = await stage.worker(concurrency=2).started()
        proxy.swallow(ways)
        await stage.enqueue_many(4, "journal", stage.gate)
        await eventually(lambda: "lease not renewed" in cut_off.log, "it has noticed")
        stage.open_gate()
        await eventually(lambda: _all_have_run(stage), "the peer runs all of them")
        proxy.stop_swallowing()
        proxy.cut()
        await stage.settled()
        assert peer.process.returncode == cut_off.process.returncode == 0
        assert len(stage.ledger.repeats()) <= 4, "at most what it held, and a claim it never saw"


async def _all_have_run(stage: Stage) -> bool:
    return {line.task_id for line in stage.ledger.ends()} == set(stage.accepted)


@scenario()
async def test_replies_are_slow(stage: Stage) -> None:
    """If each takes 0.3 s longer, everything is slower, but nothing fails."""
    async with Proxy(stage.server.port) as proxy, Client(proxy.address) as client:
        proxy.delay_replies(0.3)
        worker = await stage.worker(address=proxy.address, concurrency=8).started()
        stage.accepted += await asyncio.gather(
            *(client.enqueue_job(stage.queue, "journal") for _ in range(40))
        )
        await stage.settled(repeats=0, client=client)
        assert "the lease is lost" not in worker.log, "by design two renewals in a row may fail"


@scenario()
async def test_a_claim_that_arrives_after_its_sender_has_died(stage: Stage) -> None:
    """It is granted, because the dead worker still has its lease. Later the task is recovered."""
    async with Proxy(stage.server.port) as proxy:
        ghost = await stage.worker(address=proxy.address).started()
        await stage.enqueue("journal")
        await eventually(stage.recorded, "it works")
        proxy.hold_request(script("claim").sha.encode())
        task_id = await stage.enqueue("journal")
        await eventually(lambda: proxy.holding, "its claim is on the way")
        await ghost.kill()
        proxy.release_requests()
        info = await eventually(lambda: _running(stage, task_id), "the claim has arrived")
        assert info == await _first_owner(stage)
        await stage.worker().started()
        await stage.settled(repeats=0)
        assert await stage.losses(task_id) == 1


async def _running(stage: Stage, task_id: str) -> str | None:
    info = await stage.admin.task(task_id)
    return info.owner if info.state is State.RUNNING else None


async def _first_owner(stage: Stage) -> str | None:
    return (await stage.admin.task(stage.accepted[0])).owner


@scenario()
async def test_a_result_that_arrives_after_the_task_was_recovered(stage: Stage) -> None:
    """The worker has lost its lease, so its report is refused. The peer's result counts."""
    async with Proxy(stage.server.port) as proxy:
        slow = await stage.worker(address=proxy.address).started()
        await stage.enqueue("journal")
        await eventually(stage.recorded, "it works")
        task_id = await stage.enqueue("journal", stage.gate)
        await stage.begun(2)
        proxy.hold_request(script("finish").sha.encode())
        stage.open_gate()
        await eventually(lambda: proxy.holding, "its result is on the way")
        slow.send(signal.SIGSTOP)
        peer_id = await (await stage.worker().started()).registered()
        await eventually(lambda: stage.reached(2), "the peer has run it")
        proxy.release_requests()
        slow.send(signal.SIGCONT)
        await slow.registered(times=2)
        results = await stage.settled(repeats=1)
        assert results[task_id].value == 2
        assert (await stage.admin.task(task_id)).owner == peer_id
        assert await stage.recorded() == 2


@scenario()
async def test_an_enqueue_that_arrives_twice(stage: Stage) -> None:
    """The first request is held up, the client sends it again, and the first arrives last."""
    await stage.worker().started()
    await stage.enqueue("journal")
    async with Proxy(stage.server.port) as proxy:
        settings = RedisSettings(address=proxy.address, response_timeout_seconds=1)
        async with Client(settings) as client:
            proxy.hold_request(script("enqueue").sha.encode())
            options = TaskOptions(task_id="once")
            enqueued = asyncio.create_task(
                client.enqueue_job(stage.queue, "journal", task_options=options)
            )
            await eventually(lambda: proxy.holding, "it is on its way")
            # Requests from now on take another route.
            async with Client(stage.server.address) as other:
                stage.accepted.append(
                    await other.enqueue_job(stage.queue, "journal", task_options=options)
                )
                assert await other.wait_for_result(stage.accepted[-1], 60) == 1
            proxy.release_requests()
            assert await enqueued == stage.accepted[-1]
            await stage.settled(repeats=0)
