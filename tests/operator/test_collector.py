"""The garbage collector: what is set aside, and that what ends needs no collection."""

import gc
import time
import weakref

import pytest

from identtqueue_operator.collector import ALL_AFTER_SECONDS, Collector
from testing.waiting import eventually


@pytest.fixture
def no_collections():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def long_seconds():
    return 0.0


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def collecting(long_seconds, clock):
    started = Collector(long_seconds, clock)
    started.start()
    yield started
    started.stop()


class Clock:
    """The monotonic clock, set ahead when the test says so."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


async def test_a_deleted_task_queue_is_freed_without_a_collection(
    no_collections, api, operator, setup
):
    setup.fleet.create(replicas=0)
    setup.create()
    await eventually(lambda: setup.status.get("conditions"))
    (reconciler,) = operator.controller.reconcilers.values()
    gone = weakref.ref(reconciler)
    del reconciler
    api.remove("taskqueues", setup.name)
    await eventually(lambda: gone() is None)


def test_what_survives_a_long_collection_is_set_aside(collecting):
    before = gc.get_freeze_count()
    kept = [[] for _ in range(1000)]
    gc.collect()
    assert gc.get_freeze_count() - before >= len(kept)


@pytest.mark.parametrize("long_seconds", [60.0])
def test_a_short_collection_sets_nothing_aside(collecting):
    before = gc.get_freeze_count()
    kept = [[] for _ in range(1000)]
    gc.collect()
    assert gc.get_freeze_count() <= before, f"{len(kept)} lists are younger"


@pytest.mark.slow
def test_once_a_day_all_is_looked_at(collecting, clock):
    circle = _Circle()
    circle.itself = circle
    gone = weakref.ref(circle)
    gc.collect()  # sets it aside
    del circle
    gc.collect()
    assert gone() is not None
    clock.ahead = ALL_AFTER_SECONDS
    gc.collect()
    assert gone() is None


class _Circle:
    itself = None
