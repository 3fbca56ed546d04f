"""What a worker has not loaded when its first task runs. Imports are most of its start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from identtqueue import SyncClient
from testing.processes import environment
from testing.redis_server import RedisServer

NOT_FOR_A_START = {
    *("pydantic", "prometheus_client", "rich"),
    *("http.server", "zoneinfo", "cronsim"),
    *("identtqueue.admin", "identtqueue.cli.session", "identtqueue.testing"),
    *("identtqueue.client.client", "identtqueue.client.results", "identtqueue.client.sync"),
    *("identtqueue.cli.commands.queues", "identtqueue.cli.contributed"),
    *(
        "identtqueue.protocol.roles",
        "identtqueue.protocol.states",
        "identtqueue.protocol.calls.acting",
    ),
    *("identtqueue.transport.cluster", "identtqueue.transport.blocking_cluster"),
    *("identtqueue.transport.blocking", "identtqueue.transport.blocking_single"),
    *("identtqueue.worker.processes.pool", "identtqueue.worker.processes.child"),
    "encodings.idna",
    *("identtqueue.worker.health", "identtqueue.worker.metrics"),
}
"""Others need these: commands, other kinds of Redis, jobs that enqueue, workers that serve HTTP or
have a schedule or jobs in processes, the heartbeat (its first renewal is due later), names of hosts
beyond ASCII."""

APP = """
import gc
import sys

from identtqueue import App

app = App()

@app.task
async def first(ctx):
    print(*gc.get_threshold(), gc.get_freeze_count(), *sys.modules, flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def start(redis_server: RedisServer, queue: str, folder: Path, *more: str) -> list[str]:
    """Start a worker for a task that waits; return the words that the task prints."""
    with SyncClient(redis_server.address) as client:
        client.enqueue_job(queue, "first")
    words = [sys.executable, "-m", "identtqueue", "worker", "app:app", "--queue", queue, *more]
    environ = environment(redis_server.address)
    path = os.pathsep.join([str(folder), environ["PYTHONPATH"]])
    with subprocess.Popen(
        words,
        env=environ | {"PYTHONPATH": path},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as worker:
        assert worker.stdout is not None
        try:
            return worker.stdout.readline().split()
        finally:
            worker.terminate()


def test_the_first_task_runs_without_what_it_does_not_need(
    redis_server: RedisServer, queue: str, folder: Path
) -> None:
    start(redis_server, queue, folder)  # Redis has the scripts from now on
    loaded = set(start(redis_server, queue, folder))
    assert "identtqueue.worker.execute" in loaded
    assert not loaded & NOT_FOR_A_START


def test_a_worker_of_a_pod_loads_the_metrics_when_they_are_asked_for(
    redis_server: RedisServer, queue: str, folder: Path
) -> None:
    loaded = start(redis_server, queue, folder, "--http-port", "0")
    assert "identtqueue.worker.health" in loaded
    assert "prometheus_client" not in loaded


def test_python_looks_for_garbage_as_usual_when_tasks_run(
    redis_server: RedisServer, queue: str, folder: Path
) -> None:
    """The collector leaves out the objects that the imports have made."""
    found = start(redis_server, queue, folder)
    assert found[:3] == python_says("*gc.get_threshold()")
    assert int(found[3]) > 10_000


def test_an_application_decides_for_itself_how_often_python_looks_for_garbage(
    redis_server: RedisServer, queue: str, folder: Path
) -> None:
    with (folder / "app.py").open("a") as file:
        file.write("\ngc.set_threshold(7_000, 20, 30)\n")
    found = start(redis_server, queue, folder)
    # Python 3.12 has some frozen objects of its own.
    assert found[:4] == ["7000", "20", "30", *python_says("gc.get_freeze_count()")]


def python_says(values: str) -> list[str]:
    """Return what Python's collector tells at the start of a program."""
    words = [sys.executable, "-c", f"import gc; print({values})"]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return done.stdout.split()


def test_redis_py_is_loaded_before_the_application(
    redis_server: RedisServer, queue: str, folder: Path
) -> None:
    """From the depth of what `App` imports it would take more (ADR 55)."""
    loaded = start(redis_server, queue, folder)  # in the order in which they were complete
    later = loaded[loaded.index("redis") :]
    assert {name for name in loaded if name.startswith("identtqueue.app.")} <= set(later)
