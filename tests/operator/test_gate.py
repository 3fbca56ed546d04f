"""Who is connected to next: nobody waits behind a server that is silent, and each has a budget."""

import asyncio
import contextlib

import pytest

from identtqueue.errors import RedisUnavailable
from identtqueue_operator.queues import gate as gate_module
from identtqueue_operator.queues.gate import Lanes, LateGate
from identtqueue_operator.timings import Timings
from testing.waiting import eventually


async def fail(gate) -> None:
    with contextlib.suppress(OSError):
        async with gate.passage():
            raise OSError("refused")


async def hold(gate, begun: list, name: object, end: asyncio.Event) -> None:
    async with gate.passage():
        begun.append(name)
        await end.wait()


@contextlib.asynccontextmanager
async def tasks():
    async with asyncio.TaskGroup() as group:
        end = asyncio.Event()
        yield group, end
        end.set()


async def test_a_new_endpoint_passes_a_crowd_of_silent_ones():
    lanes, begun = Lanes(), []
    async with tasks() as (group, end):
        for n in range(1000):
            group.create_task(hold(lanes.gate(), begun, n, end))
        group.create_task(hold(lanes.gate(), begun, "late", end))
        # None of the thousand ends: places are given up, not given back.
        await eventually(lambda: "late" in begun)


@pytest.mark.slow
async def test_of_those_that_failed_the_one_that_failed_least_is_next():
    lanes, begun = Lanes(), []
    old = [lanes.gate() for _ in range(3 * gate_module.SLOW_PLACES)]
    for gate in old:
        gate.failures = 50
    async with tasks() as (group, end):
        holds = [group.create_task(hold(gate, begun, "old", end)) for gate in old]
        await eventually(lambda: len(begun) == gate_module.SLOW_PLACES)
        fresh = lanes.gate()
        await fail(fresh)
        group.create_task(hold(fresh, begun, "fresh", end))
        await asyncio.sleep(0)  # it stands in the line now
        holds[0].cancel()  # one place is free
        await eventually(lambda: len(begun) > gate_module.SLOW_PLACES)
        assert begun[gate_module.SLOW_PLACES] == "fresh"


@pytest.mark.slow
async def test_places_are_bounded_and_come_back_however_an_attempt_ends():
    lanes, begun = Lanes(), []
    gates = [lanes.gate() for _ in range(2 * gate_module.SLOW_PLACES)]
    for gate in gates:
        gate.failures = 1
    async with tasks() as (group, end):
        holds = [group.create_task(hold(gate, begun, gate, end)) for gate in gates]
        await eventually(lambda: len(begun) == gate_module.SLOW_PLACES)
        for task in holds:
            task.cancel()  # half of them hold a place, half of them wait
        await asyncio.wait(holds)
    for gate in gates:
        await fail(gate)
    assert [gate.failures for gate in gates] == [2] * len(gates)
    async with tasks() as (group, end):  # all places are free again
        begun.clear()
        for gate in gates[: gate_module.SLOW_PLACES]:
            group.create_task(hold(gate, begun, gate, end))
        await eventually(lambda: len(begun) == gate_module.SLOW_PLACES)


async def test_one_endpoint_opens_four_at_a_time():
    gate, begun = Lanes().gate(), []
    async with tasks() as (group, end):
        ended = asyncio.Event()
        for n in range(gate_module.AT_ONCE):
            group.create_task(hold(gate, begun, n, ended))
        fifth = group.create_task(hold(gate, begun, "fifth", end))
        await eventually(lambda: len(begun) == gate_module.AT_ONCE)
        await asyncio.sleep(0)
        assert not fifth.done()
        ended.set()
        await eventually(lambda: "fifth" in begun)


async def use_up(gate) -> None:
    """Connect until it is refused. Meanwhile a connection or two may be earned again."""
    for _ in range(2 * gate_module.BURST):
        async with gate.passage():
            pass


async def is_open(gate) -> bool:
    try:
        async with gate.passage():
            return True
    except RedisUnavailable:
        return False


async def test_connections_that_succeed_are_counted_and_earned_again():
    gate = Lanes(Timings(connection_refill_seconds=0.5)).gate()
    with pytest.raises(RedisUnavailable, match="again and again"):
        await use_up(gate)
    await eventually(lambda: is_open(gate))


async def test_attempts_that_fail_cost_no_connection():
    gate = Lanes().gate()
    for _ in range(2 * gate_module.BURST):
        await fail(gate)
        gate.failures = 0  # so that the slow lane's pace is left out of this
    async with gate.passage():
        pass


async def test_a_late_gate_waits_for_what_it_waits_for():
    is_open, begun = asyncio.Event(), []
    async with tasks() as (group, end):
        group.create_task(hold(LateGate(is_open, Lanes().gate()), begun, 1, end))
        await asyncio.sleep(0)
        assert not begun
        is_open.set()
        await eventually(lambda: begun)
