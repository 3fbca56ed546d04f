"""The operator on a shared cluster: pods of others by the thousand, and noisy neighbours."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

from benchmarks.operator.process import Operator
from benchmarks.operator.stage import say
from identtqueue.client import Client
from testing.redis_server import RedisServer
from testing.strangers import Stranger

FOREIGN_PODS = 10_000
SILENT, RUDE = 400, 200
HUGE, HUGE_BYTES = 39, 870_000
"""So many TaskQueues of 0.83 MiB each. etcd takes no object of more than 1.5 MiB."""
LOOK_SECONDS = 0.005
NEIGHBOUR_SECONDS = 90
"""How long connections to the neighbours are counted: three times the longest pause between two."""
ALONE = {"IDENTTQUEUE_NAMESPACES": "ns", "IDENTTQUEUE_LEADER_ELECTION": "false"}
"""Without election: the pretended API server is slow enough at times to lose the Lease."""
WIDE = ALONE | {"IDENTTQUEUE_NAMESPACES": "*"}


class Prober:
    """Asks /livez all the time: it is answered by the operator's event loop, if that is free."""

    def __init__(self, port: int) -> None:
        self.slowest_seconds = 0.0
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Prober:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not self._stop.wait(LOOK_SECONDS):
            begin = time.perf_counter()
            connection.request("GET", "/livez")
            connection.getresponse().read()
            self.slowest_seconds = max(self.slowest_seconds, time.perf_counter() - begin)


@contextlib.asynccontextmanager
async def pretending(folder: Path, *arguments: str) -> AsyncIterator[tuple[str, Path]]:
    """An API server with these objects; its address, and a kubeconfig for it."""
    words = [sys.executable, "-m", "benchmarks.operator.pretend", *arguments]
    server = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    try:
        assert server.stdout is not None
        url = (await server.stdout.readline()).decode().strip()
        file = folder / "kubeconfig"
        cluster = {"name": "c", "cluster": {"server": url}}
        context = {"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "ns"}}
        users = [{"name": "u", "user": {"token": "none"}}]
        parts = {"clusters": [cluster], "users": users, "contexts": [context]}
        head = {"apiVersion": "v1", "kind": "Config", "current-context": "c"}
        file.write_text(json.dumps(head | parts))
        yield url, file
    finally:
        server.terminate()
        await server.wait()


async def foreign_pods(task_queues: int, seconds: float) -> dict[str, list[float]]:
    """Memory and the longest hold of the event loop, from the start on, with `clusterWide`."""
    redis = RedisServer().start()
    with TemporaryDirectory() as name:
        folder = Path(name)
        ours = ("--task-queues", "many", str(task_queues), redis.address)
        say(f"  {FOREIGN_PODS} pods, {task_queues} TaskQueues …")
        async with pretending(folder, "--pods", str(FOREIGN_PODS), *ours) as (_, config):
            operator = Operator("ns", folder / "log", config, **WIDE)
            try:
                await operator.start()
                with Prober(operator.port) as prober:
                    observed = await operator.until_looked_after(task_queues, 300)
                    await asyncio.sleep(seconds)  # the full lists of a resync are part of it
                return {
                    "observed_s": [observed],
                    "peak_mb": [operator.peak_mb()],
                    "rss_mb": [operator.rss_mb()],
                    "held_ms": [prober.slowest_seconds * 1000],
                }
            finally:
                await operator.stop()
                redis.destroy()


async def noisy_neighbours(pushes: int) -> dict[str, list[float]]:
    """Push → PATCH of TaskQueues beside many at a silent Redis and at one that hangs up."""
    redis = RedisServer().start()
    silent, rude = await Stranger().start(), await Stranger().start(hangs_up=True)
    objects = (
        *("--task-queues", "silent", str(SILENT), f"127.0.0.1:{silent.port}/{{}}"),
        *("--task-queues", "rude", str(RUDE), f"127.0.0.1:{rude.port}/{{}}"),
        *("--task-queues", "good", str(pushes), redis.address),
    )
    with TemporaryDirectory() as name:
        folder = Path(name)
        async with pretending(folder, *objects) as (url, config):
            operator = Operator("ns", folder / "log", config, IDENTTQUEUE_NAMESPACES="ns")
            try:
                await operator.start()
                until = time.monotonic() + NEIGHBOUR_SECONDS
                observed = await operator.until_looked_after(pushes, 300)
                times = await _pushes(redis.address, url, pushes)
                await asyncio.sleep(max(0.0, until - time.monotonic()))
                return {
                    "observed_s": [observed],
                    "patch_ms": times,
                    "peak_mb": [operator.peak_mb()],
                    "connections_per_second": [_rate([*silent.opened_at, *rude.opened_at])],
                }
            finally:
                await operator.stop()
                await silent.close()
                await rude.close()
                redis.destroy()


async def huge_neighbours(pushes: int) -> dict[str, list[float]]:
    """Memory, and push → PATCH of others, beside TaskQueues whose specification is too large."""
    redis = RedisServer().start()
    objects = (
        *("--huge", str(HUGE), str(HUGE_BYTES)),
        *("--task-queues", "good", str(pushes), redis.address),
    )
    with TemporaryDirectory() as name:
        folder = Path(name)
        async with pretending(folder, *objects) as (url, config):
            operator = Operator("ns", folder / "log", config, **ALONE)
            try:
                await operator.start()
                with Prober(operator.port) as prober:
                    observed = await operator.until_looked_after(pushes, 300)
                    await operator.until_refused(HUGE, 300)
                times = await _pushes(redis.address, url, pushes)
                return {
                    "observed_s": [observed],
                    "patch_ms": times,
                    "peak_mb": [operator.peak_mb()],
                    "rss_mb": [operator.rss_mb()],
                    "held_ms": [prober.slowest_seconds * 1000],
                }
            finally:
                await operator.stop()
                redis.destroy()


async def _pushes(address: str, url: str, number: int) -> list[float]:
    """Enqueue the first task of each well-behaved queue; milliseconds until each PATCH."""
    async with Client(address) as client, aiohttp.ClientSession() as session:
        return [1000 * await _push(client, session, url, f"good-{n}") for n in range(number)]


async def _push(client: Client, session: aiohttp.ClientSession, url: str, name: str) -> float:
    """Enqueue the first task of a queue, and wait for the PATCH of its Deployment; seconds."""
    path = f"{url}/apis/apps/v1/namespaces/ns/deployments/{name}"
    begin = time.perf_counter()
    await client.enqueue_job(queue_name=name, function_name="job")
    async with asyncio.timeout(60):
        while True:
            async with session.get(path) as response:
                if (await response.json())["spec"]["replicas"]:
                    return time.perf_counter() - begin
            await asyncio.sleep(LOOK_SECONDS)


def _rate(times: list[float]) -> float:
    """Connections per second in the last half of the time."""
    if not times:
        return 0.0
    first, last = min(times), max(times)
    late = [at for at in times if at > (first + last) / 2]
    return len(late) / max((last - first) / 2, 1.0)
