"""Scale-downs of StatefulSets: the highest ordinal goes, nothing hangs, no busy worker is ended."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testing.play import Story, tell
from testing.stateful_set import SetShape

SHAPES = {
    "OrderedReady": SetShape(),
    "Parallel": SetShape(parallel=True),
    "minReadySeconds": SetShape(min_ready_seconds=10),
    "slow readiness": SetShape(readiness_seconds=8, parallel=True),
    "ordinals from 5": SetShape(first_ordinal=5),
    "partition": SetShape(partition=1),
    "OnDelete": SetShape(on_delete=True),
}


@pytest.mark.slow
@pytest.mark.parametrize("roll_out_at", [(), (4,)], ids=["still", "rollout"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("before", "after"), [(2, 1), (4, 1), (3, 0)])
def test_a_stateful_set_shrinks_and_a_rollout_ends(redis_server, shape, before, after, roll_out_at):
    """The tasks end one after the other, on low and on high ordinals."""
    seconds = tuple(range(4, 20, 2))
    story = Story(SHAPES[shape], before, after, task_seconds=seconds, roll_out_at=roll_out_at)
    asyncio.run(tell(story, redis_server.address))


STORIES = st.builds(
    Story,
    shape=st.builds(
        SetShape,
        parallel=st.booleans(),
        partition=st.sampled_from([0, 0, 1, 3]),
        on_delete=st.sampled_from([False, False, True]),
        first_ordinal=st.sampled_from([0, 0, 7]),
        min_ready_seconds=st.sampled_from([0, 5, 20]),
        startup_seconds=st.integers(0, 6),
        readiness_seconds=st.sampled_from([0, 3, 15]),
    ),
    before=st.integers(1, 6),
    after=st.integers(0, 3),
    task_seconds=st.lists(st.integers(1, 40), min_size=1, max_size=8).map(tuple),
    roll_out_at=st.lists(st.integers(1, 60), max_size=2, unique=True).map(tuple),
    more_tasks_at=st.lists(st.integers(1, 80), max_size=6, unique=True).map(tuple),
    operator_restarts_at=st.none() | st.integers(1, 60),
    seed=st.integers(0, 2**16),
)


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(story=STORIES)
def test_whatever_happens_a_stateful_set_comes_to_rest(redis_server, story):
    asyncio.run(tell(story, redis_server.address))
