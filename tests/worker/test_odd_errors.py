"""Odd errors: whatever a job raises, wherever it runs, its attempt ends and the worker lives on."""

from __future__ import annotations

import pytest

from identtqueue import Client, Context, Job, RetryPolicy, State, TaskFailed, Worker
from identtqueue.errors import PayloadUndecodable
from testing.odd_errors import (
    ERRORS,
    PLACES,
    RESULTS,
    TROUBLES,
    fail_once,
    job_in,
    raise_one,
    return_one,
)
from testing.redis_server import RedisServer
from testing.serving import Serve, serving
from testing.waiting import eventually

NO_NAME = {"Nameless": "an exception", "the cause of itself": "ValueError"}


async def fine(_ctx: Context) -> str:
    return "fine"


def told_as(name: str, place: str) -> str:
    """Return the name of the class that the caller sees, without its module."""
    # What `await` itself is made of can't pass through it.
    if name in ("StopIteration", "ReprRaises") and place != "process":
        return "RuntimeError"
    if name == "GeneratorExit" and place == "thread":
        return "RuntimeError"
    return NO_NAME.get(name, name)


async def everything_ends(worker: Worker) -> None:
    await eventually(lambda: worker.gauges.running == 0, "no attempt runs any more")


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
async def test_an_attempt_ends_whatever_is_raised(
    client: Client, serve: Serve, queue: str, place: str
) -> None:
    worker = await serve([job_in(place, raise_one), Job(name="fine", function=fine)], concurrency=1)
    for name in ERRORS:
        task_id = await client.enqueue_job(queue, "raise_one", name)
        with pytest.raises(TaskFailed) as caught:
            await client.wait_for_result(task_id, 30)
        assert caught.value.remote_type.rpartition(".")[2] == told_as(name, place)
        assert await client.get_status(task_id) is State.FAILED
    assert await client.wait_for_result(await client.enqueue_job(queue, "fine"), 30) == "fine"
    assert worker.counters.died_processes == 0
    await everything_ends(worker)


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
async def test_an_attempt_ends_if_judging_its_error_raises(
    client: Client, serve: Serve, queue: str, place: str
) -> None:
    """The retry policy inspects the classes of an error, and that may raise too."""
    policy = RetryPolicy(max_retries=1, first_delay_seconds=0.01, retry_on=(BaseException,))
    worker = await serve([job_in(place, raise_one, retry=policy)], concurrency=1)
    for name in ERRORS:
        task_id = await client.enqueue_job(queue, "raise_one", name)
        with pytest.raises(TaskFailed):
            await client.wait_for_result(task_id, 30)
    await everything_ends(worker)


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
async def test_which_errors_are_retried_wherever_the_job_runs(
    client: Client, redis_server: RedisServer, queue: str, place: str
) -> None:
    """The policy applies to a timeout (a TimeoutError), to a cancelled part and to a group."""
    policy = RetryPolicy(max_retries=1, first_delay_seconds=0.01)
    builtin = RetryPolicy(max_retries=1, first_delay_seconds=0.01, retry_on=(TimeoutError,))
    for how in TROUBLES:
        late = how == "TimedOut"
        job = job_in(
            place,
            fail_once,
            timeout_seconds=0.5 if late else 60,
            retry=builtin if late else policy,
        )
        async with serving(Worker([job], redis_server.address, f"{queue}-{TROUBLES.index(how)}")):
            task_id = await client.enqueue_job(f"{queue}-{TROUBLES.index(how)}", "fail_once", how)
            assert await client.wait_for_result(task_id, 30) == 2, how


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
async def test_a_result_that_can_not_be_stored_is_final(
    client: Client, serve: Serve, queue: str, place: str
) -> None:
    """The job has done its work, and doing it again would end the same way."""
    policy = RetryPolicy(max_retries=5, first_delay_seconds=0.01)
    await serve([job_in(place, return_one, retry=policy)], max_payload_bytes=10_000)
    for what in RESULTS:
        task_id = await client.enqueue_job(queue, "return_one", what)
        with pytest.raises(TaskFailed, match="the result ") as caught:
            await client.wait_for_result(task_id, 30)
        kind = "PayloadTooLarge" if what == "too large" else "NotSerializable"
        assert caught.value.remote_type == f"identtqueue.errors.{kind}"
        info = await client.get_task(task_id)
        assert (info.attempt, info.state) == (1, State.FAILED)


async def test_no_class_that_a_job_raises_is_final(
    client: Client, serve: Serve, queue: str
) -> None:
    """If it reads another task's broken result, say, that may be repaired by the next attempt."""

    async def job(ctx: Context) -> int:
        if ctx.failures == 0:
            raise PayloadUndecodable("of another task")
        return ctx.attempt

    policy = RetryPolicy(max_retries=1, first_delay_seconds=0.01)
    await serve([Job(name="job", function=job, retry=policy)])
    assert await client.wait_for_result(await client.enqueue_job(queue, "job"), 30) == 2
