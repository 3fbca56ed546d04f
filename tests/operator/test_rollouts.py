"""Scale-downs amid rollouts: every rollout ends, no busy worker is ended, the queue drains."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testing.controllers import Shape
from testing.play import Story, tell

SHAPES = {
    "25 %": Shape(),
    "minReadySeconds": Shape(min_ready_seconds=20),
    "slow readiness": Shape(readiness_seconds=15),
    "maxSurge 1": Shape(max_surge=1, max_unavailable=0),
    "maxUnavailable 1": Shape(max_surge=0, max_unavailable=1),
    "Recreate": Shape(strategy="Recreate"),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("before", "after"), [(2, 1), (3, 2), (8, 4), (2, 0)])
def test_a_rollout_amid_a_scale_down_ends(redis_server, shape, before, after):
    """The tasks end one after the other, while old and new pods are there."""
    story = Story(SHAPES[shape], before, after, task_seconds=tuple(range(4, 20, 2)))
    asyncio.run(tell(story, redis_server.address))


def test_a_paused_deployment_shrinks_and_rolls_out_when_it_goes_on(redis_server):
    story = Story(Shape(), 4, 1, roll_out_at=(3,), paused=(2, 60))
    play = asyncio.run(tell(story, redis_server.address))
    shrunk = next(line for line in play.log if " 1 replicas" in line)
    assert int(shrunk.split()[0]) < 60


STORIES = st.builds(
    Story,
    shape=st.builds(
        replace,
        st.sampled_from(list(SHAPES.values())),
        min_ready_seconds=st.sampled_from([0, 5, 20]),
        startup_seconds=st.integers(0, 6),
        readiness_seconds=st.sampled_from([0, 3, 15]),
    ),
    before=st.integers(1, 8),
    after=st.integers(0, 4),
    task_seconds=st.lists(st.integers(1, 40), min_size=1, max_size=8).map(tuple),
    roll_out_at=st.lists(st.integers(1, 60), max_size=3, unique=True).map(tuple),
    more_tasks_at=st.lists(st.integers(1, 80), max_size=6, unique=True).map(tuple),
    paused=st.none() | st.tuples(st.integers(1, 30), st.integers(31, 70)),
    operator_restarts_at=st.none() | st.integers(1, 60),
    seed=st.integers(0, 2**16),
)


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(story=STORIES)
def test_whatever_happens_rollouts_end_and_nobody_busy_is_ended(redis_server, story):
    asyncio.run(tell(story, redis_server.address))
