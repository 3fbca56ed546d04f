"""A task kills its worker while others run: only the culprit becomes a dead letter.

The workers are killed by SIGKILL, as by an out-of-memory kill, and started again as a kubelet does.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from identtqueue.task import State
from testing.faults.stage import Stage, scenario
from testing.processes import WorkerProcess


class Fleet:
    """Workers that are started again when they die. `deaths` counts their deaths."""

    def __init__(self, stage: Stage, number: int, queues: Sequence[str], **options: float) -> None:
        self.deaths = 0
        self._workers = [stage.worker(queues=queues, **options) for _ in range(number)]

    async def __aenter__(self) -> Fleet:
        for worker in self._workers:
            worker.start()
        self._keeping = [asyncio.create_task(self._keep(worker)) for worker in self._workers]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)

    async def _keep(self, worker: WorkerProcess) -> None:
        while True:
            await worker.ended(seconds=3600)
            self.deaths += 1
            worker.start()


async def _bystanders(
    stage: Stage,
    *,
    max_deliveries: int,
    concurrency: int = 10,
    workers: int = 1,
    poisons: int = 1,
    innocents: int = 9,
    queues: int = 1,
    load: int = 0,
) -> int:
    """Run poison among bystanders; return how often a worker died."""
    names = [stage.queue, *(f"{stage.queue}-{n}" for n in range(1, queues))]
    enqueue = stage.client.enqueue_job
    # Enqueued before any worker is there, so that they start together.
    culprits = [
        await enqueue(names[n % queues], "poison", "kill", "/no cure") for n in range(poisons)
    ]
    others = [await enqueue(names[n % queues], "nap", 1.0) for n in range(innocents)]
    fleet = Fleet(stage, workers, names, max_deliveries=max_deliveries, concurrency=concurrency)
    async with fleet:
        others += [await enqueue(names[n % queues], "nap", 0.05) for n in range(load)]
        results = await stage.client.wait_many([*culprits, *others], 150)
        states = {result.task_id: result.state for result in results}
        assert Counter(states[task_id] for task_id in others) == {State.SUCCEEDED: len(others)}
        assert Counter(states[task_id] for task_id in culprits) == {State.FAILED: poisons}
        for task_id in culprits:
            info = await stage.admin.task(task_id)
            assert info.failure is not None
            assert info.failure.type == "WorkerLost"
            assert info.losses <= max_deliveries + 1
    return fleet.deaths


@scenario(long=True)
async def test_nine_bystanders(stage: Stage) -> None:
    """They fill a worker with ten slots."""
    assert await _bystanders(stage, max_deliveries=5) <= 6


@scenario()
async def test_nine_bystanders_and_two_deliveries(stage: Stage) -> None:
    assert await _bystanders(stage, max_deliveries=2) <= 3


@scenario()
async def test_nine_bystanders_and_one_delivery(stage: Stage) -> None:
    assert await _bystanders(stage, max_deliveries=1) <= 2


@scenario()
async def test_one_at_a_time(stage: Stage) -> None:
    assert await _bystanders(stage, max_deliveries=2, concurrency=1, innocents=3) <= 3


@scenario(long=True)
async def test_half_of_all_tasks_are_poison(stage: Stage) -> None:
    deaths = await _bystanders(stage, max_deliveries=2, poisons=5, innocents=5)
    assert deaths <= 5 * 2 + 1, "a first loss together; from then on each for itself"


@scenario(long=True)
async def test_bystanders_in_other_queues(stage: Stage) -> None:
    """A worker runs no task of any queue beside a suspect."""
    deaths = await _bystanders(stage, max_deliveries=2, poisons=2, innocents=10, queues=3)
    assert deaths <= 2 * 2 + 1


@scenario(long=True)
async def test_bystanders_of_several_workers_among_other_load(stage: Stage) -> None:
    """Suspects get an idle worker although there are always other tasks."""
    deaths = await _bystanders(
        stage, max_deliveries=2, poisons=2, innocents=18, workers=2, load=600, concurrency=5
    )
    assert deaths <= 2 * 2 + 2
