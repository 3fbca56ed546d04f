"""Bridges as processes, killed by SIGKILL in the middle of what they do."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from identtqueue import Client, Context
from testing.processes import environment
from testing.redis_server import RedisServer
from testing.serving import Serve
from testing.waiting import LONG_SECONDS, eventually
from v02.old import SUCCESS, OldWorker, pack, unpack

KILLS = 3
PUSHED = 350
"""Requests before each kill: several batches, so that a kill can come between two."""


class BridgeProcess:
    """`identtqueue bridge …`, with a log."""

    def __init__(self, address: str, folder: Path, *words: str) -> None:
        self._command = [sys.executable, "-m", "identtqueue", "bridge", *words]
        self._environment = environment(address)
        self._log = folder / f"bridge-{time.monotonic_ns()}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        self.process.terminate()
        return self.process.wait(timeout=LONG_SECONDS)


@pytest.fixture
def launch(redis_server: RedisServer, tmp_path: Path) -> Iterator[Callable[..., BridgeProcess]]:
    """Provide a function that starts a bridge process."""
    made: list[BridgeProcess] = []

    def start(*words: str) -> BridgeProcess:
        made.append(BridgeProcess(redis_server.address, tmp_path, *words))
        return made[-1]

    yield start
    for each in made:
        each.kill()


def watch(bridge: BridgeProcess, look: Callable[[], bool]) -> None:
    """Look without a pause until something is true, so that the kill comes in the middle."""
    deadline = time.monotonic() + LONG_SECONDS
    while not look():
        assert bridge.process.poll() is None, bridge.log
        assert time.monotonic() < deadline, bridge.log


def request(number: int, task_id: str) -> bytes:
    return pack(
        {
            "task_id": task_id,
            "function_name": "echo",
            "args": [number],
            "kwargs": {},
            "enqueue_time": 1.5,
        }
    )


@pytest.mark.slow
async def test_no_request_is_lost_or_doubled_however_often_a_bridge_is_killed(
    launch: Callable[..., BridgeProcess], raw: redis.Redis, serve: Serve, queue: str
) -> None:
    seed = random.Random(PUSHED)
    base = f"idtq:{{{queue}}}:"
    ids: list[str] = []
    in_the_middle = 0
    for _ in range(KILLS):
        bridge = launch(queue)
        await eventually(lambda b=bridge: "become tasks" in b.log, "the bridge has started")
        await eventually(lambda: not raw.exists(queue), "it has moved what was left")
        new = [f"{queue}-{len(ids) + n}" for n in range(PUSHED)]
        ids += new
        left = seed.randrange(PUSHED)
        raw.rpush(queue, *(request(int(i.rpartition("-")[2]), i) for i in new))
        watch(bridge, lambda left=left: raw.llen(queue) <= left)
        bridge.kill()
        waiting = [f"{queue}:{unpack(each)['task_id']}" for each in raw.lrange(queue, 0, -1)]
        pending = [task_id.decode() for task_id in raw.lrange(base + "pending", 0, -1)]
        assert [*pending, *waiting] == [f"{queue}:{task_id}" for task_id in ids]
        assert {each.decode() for each in raw.zrange(base + "v02:owed", 0, -1)} == set(pending)
        in_the_middle += 0 < len(waiting) < PUSHED
    assert in_the_middle > 0, "no kill came in the middle"

    ran: Counter[int] = Counter()

    async def echo(_ctx: Context, n: int) -> int:
        ran[n] += 1
        return n

    await serve({"echo": echo}, concurrency=100)
    owed = raw.zcard(base + "v02:owed") - seed.randrange(1, PUSHED)
    bridge = launch(queue)
    await eventually(lambda: "become tasks" in bridge.log, "the bridge has started")
    await asyncio.to_thread(watch, bridge, lambda: raw.zcard(base + "v02:owed") <= owed)
    bridge.kill()
    last = launch(queue)
    await eventually(lambda: len(ran) == len(ids), lambda: f"all ran: {last.log}")
    await eventually(lambda: not raw.exists(base + "v02:owed"), lambda: f"all is paid: {last.log}")
    assert last.terminate() == 0, last.log
    assert set(ran.values()) == {1}
    for n, task_id in enumerate(ids):
        (result,) = raw.lrange(f"{task_id}-result", 0, -1)
        assert unpack(result) == {"type": SUCCESS, "message": n}


@pytest.mark.slow
async def test_a_forwarded_task_survives_its_bridge_and_is_pushed_once(
    launch: Callable[..., BridgeProcess], client: Client, old_worker: OldWorker, queue: str
) -> None:
    first = launch("--to-old", queue)
    task_id = await client.enqueue_job(queue, "read", 7)
    request = await old_worker.take()
    first.kill()
    await old_worker.begin(request)
    second = launch("--to-old", queue)  # it knows that a process of its host is gone

    async def taken_over() -> bool:
        return (await client.get_task(task_id)).attempt == 2

    await eventually(taken_over, lambda: f"the task was taken over: {second.log}")
    await old_worker.end(request, "read")
    assert await client.wait_for_result(task_id, LONG_SECONDS) == "read"
    assert await old_worker.redis.llen(queue) == 0, "it was pushed once"
    assert second.terminate() == 0, second.log


def test_the_command_says_what_is_wrong(launch: Callable[..., BridgeProcess]) -> None:
    bridge = launch("MRZ")
    assert bridge.process.wait(timeout=LONG_SECONDS) == 2
    assert bridge.log.startswith("Error: queue name 'MRZ' is not valid")
