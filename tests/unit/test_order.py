"""Shares and priorities of several queues, which are plain numbers here."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from identtqueue.worker.order import (
    CLAIMS_AT_ONCE,
    LOOK_ABOVE_SECONDS,
    LOOK_AROUND_SECONDS,
    QUICK_SECONDS,
    FairOrder,
    QueueOrder,
    StrictOrder,
)

ENDLESS = 10**9


class Queues:
    """Simulated queues: their lengths, and how many tasks of each were started."""

    def __init__(self, order: QueueOrder, **pending: int) -> None:
        self.order = order
        self.pending = pending
        self.started: Counter[str] = Counter()
        self.now = 0.0

    def claim(self, free: int) -> dict[str, int]:
        """Claim as planned, in one round trip; return the plan."""
        plan = dict(self.order.plan(free, self.now))
        assert sum(plan.values()) <= free
        for queue, limit in plan.items():
            taken = min(limit, self.pending[queue])
            self.pending[queue] -= taken
            self.started[queue] += taken
            self.order.note(queue, taken, self.pending[queue])
        return plan

    def start(self, number: int, free: int, seconds: float = 0.0) -> Counter[str]:
        """Start that many tasks, `free` at most at a time, so many seconds between the claims;
        gives how many of each queue."""
        before = Counter(self.started)
        while (left := number - (self.started - before).total()) > 0:
            self.now += seconds
            assert self.claim(min(free, left)), "there is work left"
        return self.started - before


# --- fair ---

WEIGHTS = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 50), min_size=2, max_size=8)


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(weights=WEIGHTS, free=st.integers(1, 40), seconds=st.sampled_from([0.0, 1.0]))
def test_shares_are_those_of_the_weights(
    weights: dict[str, int], free: int, seconds: float
) -> None:
    """They are off by at most one claim for each queue, whose last claim may have come early."""
    queues = Queues(FairOrder(list(weights), weights), **dict.fromkeys(weights, ENDLESS))
    total, number = sum(weights.values()), 2_000
    started = queues.start(number, free, seconds)
    for queue, weight in weights.items():
        assert abs(started[queue] - number * weight / total) <= free * len(weights)


def test_a_plan_is_one_round_trip_for_all() -> None:
    queues = Queues(FairOrder("ab", {"a": 3}), a=ENDLESS, b=ENDLESS)
    queues.now = 1.0
    assert queues.claim(8) == {"a": 6, "b": 2}


def test_slots_that_come_back_quickly_go_to_one_queue_at_a_time() -> None:
    queues = Queues(FairOrder("ab", {}), a=ENDLESS, b=ENDLESS)
    queues.now = 1.0
    assert queues.claim(8) == {"a": 4, "b": 4}
    assert queues.claim(8) == {"a": 8}
    assert queues.claim(8) == {"b": 8}
    queues.now += QUICK_SECONDS
    assert queues.claim(8) == {"a": 4, "b": 4}


def test_many_queues_don_t_make_a_claim_for_each_task() -> None:
    names = "abcdefghijklmnop"
    queues = Queues(FairOrder(names, {}), **dict.fromkeys(names, ENDLESS))
    queues.claim(1)
    for _ in range(50):
        queues.now += 1.0
        assert len(queues.claim(32)) == CLAIMS_AT_ONCE
    assert max(queues.started.values()) - min(queues.started.values()) <= 32 // CLAIMS_AT_ONCE + 1


def test_one_ready_queue_gets_all_slots_in_one_claim() -> None:
    queues = Queues(FairOrder("abc", {"a": 9}), a=0, b=ENDLESS, c=0)
    queues.claim(4)
    assert queues.claim(4) == {"b": 4}, "the others were seen to be empty"
    queues.order.rung("c", 0.0)
    assert queues.claim(4) == {"c": 4}, "nor does a worker that is woken look elsewhere"


def test_the_others_are_looked_at_now_and_then() -> None:
    queues = Queues(FairOrder("ab", {"b": 1}), a=ENDLESS, b=0)
    queues.claim(2)
    queues.now = LOOK_AROUND_SECONDS
    assert queues.claim(2) == {"a": 2, "b": 0}, "in the same round trip; it takes no slot"
    queues.pending["b"] = ENDLESS
    queues.now = 2 * LOOK_AROUND_SECONDS
    assert queues.claim(2) == {"a": 2, "b": 0}
    queues.now += 1.0
    assert queues.claim(2)["b"] > 0


def test_an_empty_queue_does_not_save_its_share_up() -> None:
    queues = Queues(FairOrder("ab", {}), a=ENDLESS, b=1)
    queues.start(1_000, 4)
    queues.pending["b"] = ENDLESS
    queues.now = LOOK_AROUND_SECONDS
    queues.claim(4)
    assert queues.start(100, 4)["b"] <= 54, "half, and what a had got in the claim before"


def test_only_started_tasks_are_charged() -> None:
    queues = Queues(FairOrder("ab", {}), a=ENDLESS, b=ENDLESS)
    queues.claim(2)
    queues.now, queues.pending["b"] = 1.0, 1
    assert queues.claim(10) == {"a": 4, "b": 6}
    queues.pending["b"] = ENDLESS
    queues.order.note("b", 0, ENDLESS)
    assert queues.claim(3) == {"b": 3}, "it was promised six, and had one"


def test_queues_that_ring_are_blocked_on_in_turn() -> None:
    order = FairOrder("abc", {})
    assert list(order.to_block_on()) == ["a", "b", "c"]
    order.rung("a", 0.0)
    assert list(order.to_block_on()) == ["b", "c", "a"]
    order.rung("c", 0.0)
    assert list(order.to_block_on()) == ["a", "b", "c"]


# --- strict ---


def test_the_higher_first() -> None:
    queues = Queues(StrictOrder("abc"), a=5, b=3, c=ENDLESS)
    order = [name for _ in range(12) for name in queues.start(1, 1)]
    assert "".join(order) == "aaaaabbbcccc"


def test_a_higher_queue_is_looked_at_again_before_a_lower_one_gets_more() -> None:
    queues = Queues(StrictOrder("abc"), a=0, b=0, c=ENDLESS)
    queues.claim(4)
    assert queues.claim(4) == {"c": 4}, "they were seen empty just now"
    queues.pending["b"] = 3
    queues.now = LOOK_ABOVE_SECONDS
    assert queues.claim(4) == {"a": 4, "b": 0}, "the highest unseen one may have all"
    assert queues.claim(4) == {"b": 4}
    assert +queues.started == {"c": 4, "b": 3}
    assert queues.claim(1) == {"c": 1}


def test_after_a_token_of_a_lower_queue_no_higher_one_is_looked_at() -> None:
    """BLPOP checks the queues in order, so the higher ones had no token."""
    order = StrictOrder("abc")
    assert list(order.to_block_on()) == ["a", "b", "c"]
    order.rung("c", 1.0)
    assert order.plan(4, 1.0) == {"c": 4}
    assert list(order.to_block_on()) == ["a", "b", "c"], "never in turn"


# Nothing was known of b for a while, as a had tasks; then a was empty, and c had some.
@example(
    [
        *[("a", 1, 1)] * 12,
        ("a", 1, 2),
        ("c", 1, 1),
        ("c", 2, 1),
        *[("a", 1, 1)] * 4,
        ("a", 1, 2),
        ("a", 1, 1),
    ]
)
@given(
    arrivals=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 5), st.integers(1, 9)), max_size=60
    )
)
def test_a_lower_task_starts_only_if_the_higher_queues_were_seen_empty_just_now(
    arrivals: list[tuple[str, int, int]],
) -> None:
    queues = Queues(StrictOrder("abc"), a=0, b=0, c=0)
    seen_empty = dict.fromkeys("abc", -1.0)
    queues.order.look_everywhere()
    for step, (queue, number, free) in enumerate(arrivals):
        queues.pending[queue] += number
        queues.now = step * LOOK_ABOVE_SECONDS / 3
        before = Counter(queues.started)
        plan = queues.claim(free)
        for lower in queues.started - before:
            for higher in itertools.takewhile(lambda name, end=lower: name != end, "abc"):
                assert queues.now - seen_empty[higher] < LOOK_ABOVE_SECONDS
        seen_empty |= {name: queues.now for name in plan if queues.pending[name] == 0}
        if not plan:  # blocked, and rung
            queues.order.rung(next(n for n in "abc" if queues.pending[n]), queues.now)
            seen_empty |= {n: queues.now for n in "abc" if not queues.pending[n]}


# --- both ---


@pytest.mark.parametrize("order", [FairOrder("abc", {"a": 5}), StrictOrder("abc")])
def test_without_tasks_the_plan_is_empty(order: QueueOrder) -> None:
    queues = Queues(order, a=0, b=2, c=0)
    while queues.claim(2):
        pass
    assert +queues.started == {"b": 2}
    order.look_everywhere()
    assert set(queues.claim(1)) == {"a", "b", "c"}, "one round trip tells of all"
