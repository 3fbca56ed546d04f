"""BlockingAdmin: all that Admin does, from threads and after forks."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from identtqueue import Client, InvalidInput, RedisUnavailable, TaskNotFound, TaskOptions
from identtqueue.admin import Admin, BlockingAdmin
from testing import forking
from testing.redis_server import RedisServer
from testing.serving import Serve

ONLY_ASYNCIO = {"doorbell"}
OF_THEIR_OWN = {"close"}
"""Methods of both whose documentation is not the same."""


def public(face: type) -> dict[str, Any]:
    """Return the public methods and properties of a class, with those of its bases."""
    return {name: value for name, value in inspect.getmembers(face) if not name.startswith("_")}


def test_both_faces_have_the_same_methods() -> None:
    assert set(public(BlockingAdmin)) == set(public(Admin)) - ONLY_ASYNCIO
    for name, method in public(BlockingAdmin).items():
        other = public(Admin)[name]
        if name not in OF_THEIR_OWN:
            assert method.__doc__ == f"See `Admin.{name}`."
        assert other.__doc__, f"Admin.{name} says what it does"
        if inspect.isfunction(method):
            assert list(inspect.signature(method).parameters.values()) == list(
                inspect.signature(other).parameters.values()
            ), name
    mine, theirs = (inspect.signature(face).parameters for face in (BlockingAdmin, Admin))
    assert mine == theirs


async def test_it_does_what_the_other_face_does(
    redis_server: RedisServer, client: Client, serve: Serve, queue: str
) -> None:
    async def fails(_ctx: object) -> None:
        raise ValueError("too dark")

    worker = await serve({"fails": fails}, max_retries=0)
    task_id = await client.enqueue_job(queue, "fails")
    await client.wait(task_id, 30)
    later = TaskOptions(delay_seconds=3600)
    await client.enqueue_job(queue, "fails", task_options=later)
    assert worker is not None

    def program() -> None:
        with BlockingAdmin(redis_server.address, actor="ada") as admin:
            assert admin.server().uptime_seconds >= 0
            assert admin.depths([queue])[queue].dead == 1
            (row,) = admin.workers(queue)
            assert admin.task(task_id).failure.message == "too dark"
            assert admin.arguments(task_id).function_name == "fails"
            assert [info.task_id for info in admin.dead_letters(queue)] == [task_id]
            assert len(admin.scheduled(queue)) == 1
            assert admin.pause(queue)
            assert not admin.acting_as("eve").pause(queue)
            assert admin.acting_as("eve").resume(queue)
            assert admin.drain(queue, [row.worker_id]) == [row.worker_id]
            assert admin.undrain(queue, [row.worker_id]) == [row.worker_id]
            assert admin.pause_job(queue, "fails")
            assert [job.job for job in admin.limits(queue)] == ["fails"]
            assert admin.resume_job(queue, "fails")
            assert admin.cron(queue) == []
            with pytest.raises(InvalidInput, match="has no schedule 'nightly'"):
                admin.pause_cron(queue, "nightly")
            assert admin.discard([task_id]) == [task_id]
            with pytest.raises(TaskNotFound):
                admin.task(task_id)
            said = [(entry.who, entry.act) for entry in admin.audit(queue)]
            for act in ("pause", "drain", "undrain", "pause_job", "resume_job"):
                assert ("ada", act) in said
            assert ("eve", "resume") in said

    await asyncio.to_thread(program)


def test_threads_share_it(redis_server: RedisServer, queue: str) -> None:
    admin = BlockingAdmin(redis_server.address)
    start = threading.Barrier(8)

    def work(thread: int) -> list[bool]:
        start.wait(60)
        jobs = [f"job-{thread}-{n}" for n in range(10)]
        return [admin.pause_job(queue, job) for job in jobs]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [[True] * 10] * 8
    assert len(admin.limits(queue)) == 80
    assert working_threads() == 1
    admin.close()
    assert working_threads() == 0
    assert len(admin.limits(queue)) == 80, "the next call opens it again"
    admin.close()


def working_threads() -> int:
    return sum(thread.name == "identtqueue waits" for thread in threading.enumerate())


def test_one_that_is_dropped_is_closed(redis_server: RedisServer) -> None:
    admin = BlockingAdmin(redis_server.address)
    other = admin.acting_as("eve")
    admin.connect()
    del admin
    gc.collect()
    assert working_threads() == 1, "the other one shares it"
    assert other.actor == "eve"
    del other
    gc.collect()
    assert working_threads() == 0


@pytest.mark.slow
async def test_it_is_used_after_a_fork(redis_server: RedisServer, queue: str) -> None:
    """A process of its own forks for real, while calls are under way."""
    said = await forking.run(Path(__file__).with_name("forking.py"), redis_server.address, queue)
    assert said == "children [0, 0, 0, 0] parent 22"


def test_nobody_there(new_redis_server: Callable[..., RedisServer]) -> None:
    admin = BlockingAdmin("redis://127.0.0.1:1")
    with pytest.raises(RedisUnavailable), admin:
        pass
    with pytest.raises(InvalidInput, match="actor"):
        BlockingAdmin(actor="two\nlines")
