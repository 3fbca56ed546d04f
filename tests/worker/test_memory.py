"""Memory of an attempt is freed when it ends, however it ends, without the garbage collector."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest

from identtqueue import Client, Context, Job, RetryPolicy, TaskOptions
from identtqueue.worker.running import Running
from testing.odd_errors import PLACES
from testing.pages import ENDS, count_pages, hold_a_page, hold_a_page_async, stop_the_collector
from testing.serving import Serve
from testing.waiting import eventually


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def job(place: str, run_in: str | None = None) -> Job:
    kind = PLACES[place]
    function = hold_a_page_async if kind["is_async"] else hold_a_page
    return Job(name="hold", function=function, run_in=run_in or kind["run_in"])  # type: ignore[arg-type]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("place", ["loop", "thread"])
async def test_in_the_worker(
    client: Client, serve: Serve, queue: str, place: str, end: str
) -> None:
    worker = await serve([job(place)], concurrency=5, retry=RetryPolicy(max_retries=1))
    options = TaskOptions(timeout_seconds=0.2) if end == "is late" else TaskOptions(max_retries=1)
    for _ in range(5):
        await client.enqueue_job(queue, "hold", end, task_options=options)

    def all_have_ended() -> bool:
        return worker.counters.ended >= 5 and worker.gauges.running == 0

    await eventually(all_have_ended, "all have ended")
    await eventually(lambda: count_pages() == 0, lambda: f"{count_pages()} pages are left")


@pytest.mark.slow
@pytest.mark.parametrize("place", ["process", "async process"])
async def test_in_a_process(client: Client, serve: Serve, queue: str, place: str) -> None:
    jobs = [job(place), Job(name="count", function=count_pages, run_in="process")]
    await serve(jobs, concurrency=1, on_process_startup=stop_the_collector)
    for end in ENDS:
        if end == "is late":  # its process is killed
            continue
        task_id = await client.enqueue_job(queue, "hold", end)
        await client.wait(task_id, 30)
        counting = await client.enqueue_job(queue, "count")
        assert await client.wait_for_result(counting, 30) == 0, f"{end}: none is left"


async def test_one_that_was_cancelled(client: Client, serve: Serve, queue: str) -> None:
    await serve([job("loop")])
    task_id = await client.enqueue_job(queue, "hold", "is late")
    await eventually(count_pages, "it runs")
    await client.cancel(task_id)
    await eventually(lambda: count_pages() == 0, "its page is let go")
    await asyncio.sleep(0)


async def test_the_attempt_itself(client: Client, serve: Serve, queue: str) -> None:
    """A reference cycle among the worker's own objects would cost it a third of its speed."""

    async def nothing(ctx: Context) -> None:
        pass

    def left() -> int:
        # By type: `isinstance` wakes lazy objects of other packages.
        return sum(type(found) is Running for found in gc.get_objects())

    before = left()
    worker = await serve({"nothing": nothing})
    for _ in range(20):
        await client.enqueue_job(queue, "nothing")
    await eventually(lambda: worker.counters.ended == 20, "all have ended")
    await eventually(lambda: left() <= before, lambda: f"{left() - before} attempts are left")
