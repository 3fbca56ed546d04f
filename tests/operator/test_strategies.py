"""The scaling strategies: each by example, and what holds for all of them."""

import inspect
import math
import re
from pathlib import Path

import pytest
from pydantic.alias_generators import to_snake

from identtqueue_operator.model import Depth, Memory, Traffic
from identtqueue_operator.policy.decide import choose
from identtqueue_operator.strategies.base import ScalingStrategy
from identtqueue_operator.strategies.choice import STRATEGIES, Strategy
from testing.taskqueues import STRATEGY_EXAMPLES, observed, spec

EXAMPLES = {each["type"]: each for each in STRATEGY_EXAMPLES if len(each) > 1}
"""One of each type, with settings."""
DOCS = (Path(__file__).parents[2] / "docs" / "operator.md").read_text()
each_strategy = pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda each: each.__name__)


def target(the_spec, seen, memory=None):
    return choose(the_spec, seen, memory or Memory(), seen.workload.replicas)[0]


# --- all of them ----------------------------------------------------------------------------------


def test_every_strategy_can_be_chosen_and_is_documented():
    names = {each.type_name() for each in STRATEGIES}
    folder = Path(inspect.getfile(Strategy)).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "base", "choice"}
    assert {to_snake(name) for name in names} == modules
    assert set(ScalingStrategy.__subclasses__()) == set(STRATEGIES)
    assert set(Strategy.model_fields["type"].annotation.__args__) == names
    assert set(Strategy.model_fields) - {"type"} == {to_snake(name) for name in names}
    table = DOCS.partition("| strategy | replicas wanted |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == names == set(EXAMPLES)


@each_strategy
def test_settings_belong_to_their_type(strategy):
    name, field = strategy.type_name(), strategy.field_name()
    for other in STRATEGIES:
        if other is not strategy:
            stray = EXAMPLES[other.type_name()] | {field: EXAMPLES[name][field]}
            (problem,) = spec({"strategy": stray}).problems()
            assert field in problem
            assert name in problem
    problems = spec({"strategy": {"type": name}}).problems()
    assert bool(problems) == strategy.needs_settings
    assert spec({"strategy": EXAMPLES[name]}).problems() == []


@each_strategy
def test_the_reason_of_a_decision_names_the_strategy(strategy):
    the_spec = spec({"strategy": EXAMPLES[strategy.type_name()]})
    found = target(the_spec, observed(0, depth=Depth(queued=99, oldest_wait_seconds=99)))
    assert found.reason == f"{strategy.type_name()}AboveTarget"


# --- Backlog --------------------------------------------------------------------------------------


def test_backlog_counts_running_tasks_too():
    the_spec = spec({"maxReplicas": 50, "strategy": {"backlog": {"tasksPerReplica": 5}}})
    found = target(the_spec, observed(6, queued=37, in_flight=3))
    assert (found.replicas, found.reason, found.limited_by) == (8, "BacklogAboveTarget", ())
    assert found.message == "ceil((37 queued + 3 in flight) / 5 per replica) = 8"


# --- WaitTime -------------------------------------------------------------------------------------

WAIT = {
    "maxReplicas": 100,
    "startupSeconds": 1,
    "concurrencyPerReplica": 4,
    "strategy": {"type": "WaitTime", "waitTime": {"targetSeconds": 10}},
}


def traffic(arrivals, service):
    return Traffic(1000.0, 0, 0, 0, arrivals_per_second=arrivals, service_seconds=service)


def test_wait_time_keeps_pace_and_clears_the_queue_in_time():
    depth = Depth(queued=100, in_flight=8, oldest_wait_seconds=5)
    memory = Memory(traffic={"main": traffic(4.0, 2.0)})
    found = target(spec(WAIT), observed(1, depth=depth), memory)
    # 4/s x 2 s keeps 8 busy; 100 x 2 s within 5 s needs 40 more; 4 at once per replica.
    assert found.replicas == math.ceil((8 + 40) / 4)
    assert "4.00/s x 2.00 s + 100 queued x 2.00 s / 5.0 s left of 10 s" in found.message


def test_wait_time_is_urgent_but_finite_when_late():
    depth = Depth(queued=10, oldest_wait_seconds=600)
    found = target(spec(WAIT), observed(1, depth=depth), Memory(traffic={"main": traffic(0, 1.0)}))
    assert found.replicas == math.ceil(10 * 1.0 / 1.0 / 4)


def test_wait_time_plans_for_when_a_new_pod_would_be_ready():
    slow = spec(WAIT | {"startupSeconds": 4})
    memory = Memory(traffic={"main": traffic(0, 1.0)})
    wanted = {
        target(slow, observed(0, depth=Depth(queued=240, oldest_wait_seconds=age)), memory).replicas
        for age in (0.0, 1.0, 2.0, 3.0, 4.0)
    }
    # While the pods of a burst start, the burst is not ordered again.
    assert wanted == {math.ceil(240 / (10 - 4) / 4)}


@pytest.mark.parametrize(("startup", "least"), [(0, 1), (3, 3), (60, 5)])
def test_wait_time_hurries_no_more_than_a_start_up_takes(startup, least):
    late = Depth(queued=240, oldest_wait_seconds=99)
    slow = spec(WAIT | {"startupSeconds": startup})
    found = target(slow, observed(0, depth=late), Memory(traffic={"main": traffic(0, 1.0)}))
    assert found.replicas == math.ceil(240 / least / 4)


def test_wait_time_before_any_task_has_ended_takes_a_slot_per_task():
    found = target(spec(WAIT), observed(1, queued=9), Memory(traffic={"main": traffic(1, None)}))
    assert found.replicas == 3
    assert "the run time is unknown" in found.message


def test_wait_time_forgets_old_traffic():
    found = target(
        spec(WAIT | {"scaleDown": {"stabilizationSeconds": 0, "idleSeconds": 0}}),
        observed(1),
        Memory(active_at=0.0, traffic={"main": traffic(0.001, 1.0)}),
    )
    assert found.replicas == 0


def test_wait_time_counts_what_falls_due_soon_as_queued():
    depth = Depth(queued=10, due_soon=10, due_within_seconds=5)
    found = target(spec(WAIT), observed(1, depth=depth), Memory(traffic={"main": traffic(0, 4.0)}))
    assert found.replicas == math.ceil(20 * 4 / (10 - 1) / 4)
    assert "(10 queued + 10 due within 5 s) x 4.00 s" in found.message
