"""What a worker has not loaded when its first task runs. Imports are most of its start."""

from __future__ import annotations

import subprocess
import sys

from testing.redis_server import RedisServer

NOT_FOR_A_START = {
    *("pydantic", "prometheus_client", "click"),
    *("http.server", "zoneinfo", "cronsim"),
    *("identtqueue.admin", "identtqueue.cli", "identtqueue.testing"),
    *(
        "identtqueue.protocol.roles",
        "identtqueue.protocol.states",
        "identtqueue.protocol.calls.acting",
    ),
    *("identtqueue.transport.cluster", "identtqueue.transport.blocking_cluster"),
    *("identtqueue.worker.health", "identtqueue.worker.metrics"),
}
"""Others need these: commands, other kinds of Redis, workers that serve HTTP or have a schedule."""

PROGRAM = """
import sys
from identtqueue import App

app = App(sys.argv[1], default_queue=sys.argv[2])

@app.task
async def first(ctx):
    print(*sys.modules)
    worker.stop()

async def enqueue(state):
    await first.enqueue()

worker = app.worker(on_startup=enqueue)
worker.run()
"""


def start(redis_server: RedisServer, queue: str) -> set[str]:
    """Run a worker until its first task; return the modules that were loaded then."""
    command = [sys.executable, "-c", PROGRAM, redis_server.address, queue]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return set(done.stdout.split())


def test_the_first_task_runs_without_what_it_does_not_need(
    redis_server: RedisServer, queue: str
) -> None:
    start(redis_server, queue)  # Redis has the scripts from now on
    loaded = start(redis_server, queue)
    assert "identtqueue.worker.execute" in loaded
    assert not loaded & NOT_FOR_A_START
