"""Nothing that an attempt has started outlives it in its process, but what a hook opened stays."""

from __future__ import annotations

from typing import Any

import pytest

from identtqueue import Client, Job, TaskFailed
from testing.leftovers import leave, leave_plainly, look, open_pool
from testing.serving import Serve

JOBS = [Job(name=f.__name__, function=f, run_in="process") for f in (leave, leave_plainly, look)]

TIDY = [
    *("task", "task that exits", "task that exits when cancelled", "task that begets another"),
    *("generator", "dropped generator", "calls in threads", "alarm", "timer that exits"),
    *("timer that begins a task", "stopped loop", "nothing"),
]
UNTIDY = ["task that refuses", "thread that hangs", "task that blocks"]


async def ran(client: Client, queue: str, name: str, *args: object) -> Any:
    return await client.wait_for_result(await client.enqueue_job(queue, name, *args), 60)


async def nothing_is_left(client: Client, queue: str) -> int:
    """Check that the next attempt finds nothing of the last one in its process."""
    seen = await ran(client, queue, "look")
    pid = seen.pop("pid")
    assert seen == {"trace": "the hook's", "tasks": [], "kept": [], "pool": True}
    return pid


@pytest.mark.slow
async def test_what_an_attempt_leaves_ends_with_it(
    client: Client, serve: Serve, queue: str
) -> None:
    worker = await serve(JOBS, concurrency=1, on_process_startup=open_pool)
    for what in TIDY:
        pid = await ran(client, queue, "leave", what)
        assert await nothing_is_left(client, queue) == pid, what
    for what in ("alarm", "loop of its own"):
        assert await ran(client, queue, "leave_plainly", what) == pid
        assert await nothing_is_left(client, queue) == pid, what
    assert (worker.gauges.processes, worker.counters.died_processes) == (1, 0)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["part that exits", "task that exits while the job waits"])
async def test_a_part_that_exits_fails_its_own_attempt_alone(
    client: Client, serve: Serve, queue: str, what: str
) -> None:
    worker = await serve(JOBS, concurrency=1, on_process_startup=open_pool)
    pid = await ran(client, queue, "leave", "nothing")
    for _ in range(3):
        with pytest.raises(TaskFailed, match="SystemExit: 3"):
            await ran(client, queue, "leave", what)
        assert await nothing_is_left(client, queue) == pid
    assert (worker.gauges.processes, worker.counters.died_processes) == (1, 0)


@pytest.mark.slow
@pytest.mark.parametrize("what", UNTIDY)
async def test_a_process_that_can_not_be_tidied_is_replaced(
    client: Client, serve: Serve, queue: str, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    worker = await serve(JOBS, concurrency=1, on_process_startup=open_pool)
    pid = await ran(client, queue, "leave", what)
    assert await nothing_is_left(client, queue) != pid
    assert worker.counters.died_processes == 0
    if what == "task that blocks":
        assert f"process {pid} does not tidy up after the process of job leave" in caplog.text
    else:
        left = (
            "task left (_refuse)"
            if what == "task that refuses"
            else "a call in the default executor"
        )
        assert f"has left something running that does not end: {left}" in caplog.text
