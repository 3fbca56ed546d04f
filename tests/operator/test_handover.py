"""From an HPA or a ScaledObject to a TaskQueue, as docs/handover.md tells it."""

import re
from pathlib import Path

import pytest

from identtqueue_operator.api import crd
from identtqueue_operator.timings import Timings

PAGE = (Path(__file__).parents[2] / "docs" / "handover.md").read_text()
KINDS = {"orders-hpa": "horizontalpodautoscalers", "orders-keda": "scaledobjects"}


def told_by_the_page() -> dict[str, tuple[str, str]]:
    """Status and message of the condition in each situation."""
    table = PAGE.partition("## What the condition says")[2]
    rows = re.findall(r"^\| ([^|]+) \| (True|False) \| `([^`]+)` \|$", table, re.MULTILINE)
    return {situation: (status, message) for situation, status, message in rows}


SITUATIONS: dict[str, tuple[str, dict[str, str]] | None] = {
    "an HPA": ("orders-hpa", {}),
    "a ScaledObject": ("orders-keda", {}),
    "one that is paused": ("orders-keda", {"autoscaling.keda.sh/paused-replicas": "3"}),
    "an older TaskQueue": None,
    "none of them": None,
}


def scaler(setup, name: str, annotations: dict[str, str]) -> None:
    target = {"kind": "Deployment", "name": setup.name}
    body = {"metadata": {"annotations": annotations}, "spec": {"scaleTargetRef": target}}
    setup.api.put(KINDS[name], name, body)


def test_the_page_has_all_situations() -> None:
    assert set(told_by_the_page()) == set(SITUATIONS)


@pytest.mark.parametrize("situation", SITUATIONS)
async def test_the_condition_and_the_event_say_what_the_page_says(operator, setup, situation):
    setup.fleet.create()
    status, message = told_by_the_page()[situation]
    if (found := SITUATIONS[situation]) is not None:
        scaler(setup, *found)
    elif status == "True":
        setup.create(name="orders-before")
    setup.create()
    expected = message.replace("orders-worker", setup.name)
    await setup.reason("Conflicting" if status == "True" else "Idle")
    (condition,) = [c for c in setup.status["conditions"] if c["type"] == "Conflicting"]
    assert (condition["status"], condition["message"]) == (status, expected)
    if status == "True":
        assert expected in await setup.told("ConflictingAutoscaler")


@pytest.mark.parametrize("timings", [Timings(autoscalers_period_seconds=0.05)])
@pytest.mark.parametrize("old", ["orders-hpa", "orders-keda"])
async def test_the_order_of_steps_leaves_no_gap(operator, setup, old):
    """The number stays until the old scaler is gone, and then is what the queue asks for."""
    setup.fleet.create(2)
    await setup.fleet.settle()
    await setup.enqueue(5)
    scaler(setup, old, {})
    setup.create()
    await setup.reason("Conflicting")
    assert setup.condition("RedisReachable")[0] == "True"
    assert setup.condition("WorkloadFound")[0] == "True"
    assert setup.status["tasks"]["queued"] == 5, "it sees what it will act on"
    for _ in range(3):
        await operator.looks()
    assert not setup.api.writes("/scale")
    setup.api.remove(KINDS[old], old)
    await setup.replicas(5)
    assert [body["spec"]["replicas"] for body in setup.api.writes("/scale")] == [5], "in one step"
    await setup.reason("StartingWorkers")
    assert setup.condition("Conflicting")[0] == "False"


@pytest.mark.parametrize(
    ("annotations", "paused"),
    [
        ({"autoscaling.keda.sh/paused": "true"}, True),
        ({"autoscaling.keda.sh/paused": "false"}, False),
        ({"autoscaling.keda.sh/paused-replicas": "0"}, True),
        ({"autoscaling.keda.sh/paused-scale-in": "true"}, True),
        ({"autoscaling.keda.sh/paused-scale-out": "false"}, False),
        ({}, False),
    ],
)
async def test_what_counts_as_paused(operator, setup, annotations, paused):
    setup.fleet.create()
    scaler(setup, "orders-keda", annotations)
    setup.create()
    text = await setup.told("ConflictingAutoscaler")
    assert ("it is paused" in text) is paused


def test_the_fields_that_the_page_names_exist() -> None:
    """Those of the TaskQueue, in the second column of the table."""
    (version,) = crd.definition()["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    table = PAGE.partition("| ScaledObject |")[2].partition("\n\n")[0]
    columns = [row.split("|")[2] for row in table.splitlines()[2:]]
    fields = [name for column in columns for name in re.findall(r"`([\w.\[\]]+)", column)]
    assert len(fields) > 20
    for field in fields:
        assert _exists(schema, field), field


def _exists(schema: dict, path: str) -> bool:
    """Whether the path leads somewhere, from the spec or from its `scaling`."""
    starts = (schema, schema["properties"]["scaling"])
    return any(_follow(start, path.replace("[]", "").split(".")) for start in starts)


def _follow(schema: dict, names: list[str]) -> bool:
    for name in names:
        schema = (schema.get("items") or schema).get("properties", {}).get(name)
        if schema is None:
            return False
    return True
