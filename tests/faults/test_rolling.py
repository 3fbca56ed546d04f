"""Rolling deploys: workers of the old and the new release, and producers of the new one."""

from __future__ import annotations

import random
import re

from identtqueue.protocol.submission import Submission
from identtqueue.task import State
from testing.faults.stage import Stage, scenario
from testing.processes import WorkerProcess
from testing.waiting import eventually

OLD = "testing.old_jobs:app"
LONGEST_WAIT_SECONDS = 4.5
"""Longest wait for a worker that has the job: one round of its upkeep, on a slow machine."""


async def _accept(stage: Stage, submissions: list[Submission]) -> None:
    receipts = await stage.client.submit_many(submissions)
    stage.accepted += [receipt.task_id for receipt in receipts]


async def _succeed(stage: Stage, seconds: float) -> None:
    results = await stage.client.wait_many(stage.accepted, seconds)
    assert {result.state for result in results} == {State.SUCCEEDED}


@scenario()
async def test_a_new_job_while_an_old_worker_is_there(stage: Stage) -> None:
    """There are 200 tasks of a job that the old worker lacks, and more for both workers."""
    old = await stage.worker(app=OLD).started()
    await stage.worker().started()
    await _accept(stage, [Submission(stage.queue, "journal") for _ in range(200)])
    await _succeed(stage, LONGEST_WAIT_SECONDS)
    await stage.settled(repeats=0)
    said = re.findall(r"WARNING .*left to workers that can run them", old.log)
    assert len(said) == 1, "once, not for each"


@scenario()
async def test_other_arguments_in_mixed_order(stage: Stage) -> None:
    """Each release runs the tasks that it can, and tasks do not bounce between them."""
    await stage.worker(app=OLD).started()
    await stage.worker().started()
    tasks = [Submission(stage.queue, "resize", args) for args in [(2,), (2, 3)] * 25]
    random.Random(5).shuffle(tasks)
    await _accept(stage, tasks)
    await _succeed(stage, LONGEST_WAIT_SECONDS)
    attempts = [(await stage.admin.task(task_id)).attempt for task_id in stage.accepted]
    assert max(attempts) <= 2, "declined once at most"
    await stage.settled(repeats=0)


@scenario()
async def test_the_new_worker_comes_later(stage: Stage) -> None:
    """It gets the declined tasks with its first claim, although they push no wake token."""
    old = await stage.worker(app=OLD).started()
    await _accept(stage, [Submission(stage.queue, "journal") for _ in range(50)])
    await _declined(stage, 50)
    claims = await _claims(stage)
    await stage.worker().started()
    await _succeed(stage, LONGEST_WAIT_SECONDS)
    assert await _claims(stage) - claims == 50
    await stage.settled(repeats=0)
    assert old.process.returncode == 0


@scenario(long=True)
async def test_a_task_that_no_worker_can_run(stage: Stage) -> None:
    """The task waits without being claimed again, then is a dead letter that says who declined."""
    worker = await stage.worker(app=OLD, unrunnable_seconds=2).started()
    task_id = await stage.enqueue("journal")
    results = await stage.settled(repeats=0)
    failure = results[task_id].failure
    assert failure is not None
    assert failure.type == "identtqueue.errors.UnknownJob"
    assert "no worker has been able to run it for 2 s" in failure.message
    assert _id(worker) in failure.message
    assert "no job named 'journal'" in failure.message
    assert (await stage.admin.task(task_id)).attempt == 1


def _id(worker: WorkerProcess) -> str:
    return re.findall(r"worker (\S+): queues", worker.log)[0]


async def _counter(stage: Stage, name: str) -> int:
    return (await stage.admin.depths([stage.queue]))[stage.queue].counters.get(name, 0)


async def _claims(stage: Stage) -> int:
    return await _counter(stage, "claimed")


async def _declined(stage: Stage, number: int) -> None:
    async def reached() -> bool:
        return await _counter(stage, "declined") == number

    await eventually(reached, f"{number} tasks are declined")
