"""The time of day of hosts jumps while their processes run. Only Redis' own clock counts."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from identtqueue import TaskOptions
from testing.clock import LIBRARY, HostClock
from testing.faults.stage import Stage, scenario
from testing.processes import LEASE_SECONDS
from testing.waiting import eventually

HOUR = 3600


@scenario()
async def test_clocks_that_jump_by_an_hour(stage: Stage) -> None:
    """Jumps forward and back on two hosts change no lease, timeout, delay or recovery."""
    if LIBRARY is None:
        pytest.skip("no libfaketime: `make setup` installs it on Debian")
    clocks = [HostClock(stage.folder / f"clock-{n}") for n in range(2)]
    early, late = [
        await stage.worker(concurrency=2, environ=clock.environ).started() for clock in clocks
    ]
    options = TaskOptions(timeout_seconds=300)
    held = await stage.enqueue("journal", stage.gate, task_options=options)
    await stage.begun()
    for jump in (HOUR, -HOUR, HOUR):
        clocks[0].jump(jump)
        clocks[1].jump(-jump)
        await _seen_by_both(stage, jump)
        begun = time.monotonic()
        delayed = await stage.enqueue("journal", task_options=TaskOptions(delay_seconds=1))
        await stage.client.wait_for_result(delayed, 60)
        assert time.monotonic() - begun >= 1
    runner = next(line.pid for line in stage.ledger.starts() if line.task_id == held)
    victim, peer = (early, late) if early.pid == runner else (late, early)
    starts = len(stage.ledger.starts())
    await victim.kill()
    died = time.monotonic()
    await stage.begun(starts + 1)
    again = stage.ledger.starts()[-1]
    assert (again.task_id, again.pid) == (held, peer.pid)
    assert again.at - died < LEASE_SECONDS + 20, "the lease is counted by Redis' clock"
    stage.open_gate()
    await stage.settled(repeats=1)
    assert "the lease is lost" not in early.log + late.log


@scenario(own_redis=True)
async def test_cron_under_clocks_that_jump(stage: Stage) -> None:
    """Each second of Redis' own clock fires once, even if one of the two workers dies."""
    if LIBRARY is None:
        pytest.skip("no libfaketime: `make setup` installs it on Debian")
    stage.queue = "clockwork"  # an app's cron entries name their queue
    clocks = [HostClock(stage.folder / f"clock-{n}") for n in range(2)]
    victim, peer = [
        await stage.worker(app="testing.faults.clockwork:app", environ=clock.environ).started()
        for clock in clocks
    ]
    await stage.begun(2)
    for n, jump in enumerate((HOUR, -HOUR), 1):
        clocks[0].jump(jump)
        clocks[1].jump(-jump)
        await stage.begun(2 + 2 * n)
    await victim.kill()
    await stage.begun(9)
    await peer.terminate()
    starts = stage.ledger.starts()
    fired = sorted({_second_of(line.task_id) for line in starts})
    assert fired == list(range(fired[0], fired[0] + len(fired))), "none is left out"
    assert abs(fired[0] - time.time()) < 120
    repeated = [line for line in starts if line.attempt > 1]
    assert len(starts) - len(repeated) == len(fired)
    assert len(repeated) <= 1, "what the victim had just begun"


def _second_of(task_id: str) -> int:
    """Return the Unix time of a firing, in seconds."""
    text = task_id.rpartition(".")[2]
    return round(datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp())


async def _seen_by_both(stage: Stage, jump: int) -> None:
    """Check that the clocks of both workers have jumped, in opposite directions."""
    seen: set[int] = set()

    async def both() -> bool:
        task_id = await stage.enqueue("time_of_day")
        shown = await stage.client.wait_for_result(task_id, 60)
        seen.add(round((shown - time.time()) / HOUR) * HOUR)
        return seen == {jump, -jump}

    await eventually(both, "both clocks were seen to have jumped")
