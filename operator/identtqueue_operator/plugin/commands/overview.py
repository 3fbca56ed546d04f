"""`kubectl tq status` and `kubectl tq explain`: what the status of a TaskQueue says, in words."""

import time
from collections.abc import Iterator
from typing import Final

import click

from identtqueue.cli.display.table import Cell, Column, Styled, Table
from identtqueue.cli.display.text import one_line
from identtqueue.cli.display.values import show_json
from identtqueue_operator.plugin.kubectl import Json, Kubectl
from identtqueue_operator.plugin.options import cluster_options, json_option
from identtqueue_operator.plugin.task_queues import find_all, name_of
from identtqueue_operator.status.explanation import Explanation, ago, span

_GOOD_IF_TRUE: Final = {"Ready", "RedisReachable", "WorkloadFound", "WorkersReady"}
_NEWS_IF_TRUE: Final = {
    "Conflicting",
    "QueueShared",
    "EntriesUnreadable",
    "ReplicasChangedByOthers",
    "OperatorsOverlap",
    "Paused",
}
"""Conditions that are worth a line while they are True."""


@click.command()
@click.argument("name", required=False)
@json_option
@cluster_options(everywhere=True)
def status(kubectl: Kubectl, name: str | None, *, as_json: bool) -> None:
    """Show how the TaskQueues are, or one of them, and what is wrong."""
    found = find_all(kubectl, name)
    if as_json:
        for body in found:
            show_json(_summary(body))
        return
    if not found:
        click.echo(_nothing(kubectl))
        return
    _table(found, all_namespaces=kubectl.all_namespaces).show()
    for body in found:
        for line in _lines(body, whole=name is not None):
            click.echo(one_line(line))


@click.command()
@click.argument("name", required=False)
@json_option
@cluster_options(everywhere=True)
def explain(kubectl: Kubectl, name: str | None, *, as_json: bool) -> None:
    """Explain why a TaskQueue has its number of replicas: the last decisions, step by step."""
    found = find_all(kubectl, name)
    for number, body in enumerate(found):
        explanation = Explanation.of(body)
        if as_json:
            show_json(explanation.as_json())
            continue
        if number:
            click.echo()
        for line in explanation.lines(time.time()):
            click.echo(one_line(line))
    if not found and not as_json:
        click.echo(_nothing(kubectl))


def _nothing(kubectl: Kubectl) -> str:
    where = "any namespace" if kubectl.all_namespaces else f"namespace {kubectl.namespace}"
    return f"there is no TaskQueue in {where}"


def _table(found: list[Json], *, all_namespaces: bool) -> Table:
    numbers = ("replicas", "ready", "queued", "running", "scheduled", "dead")
    columns = [Column("name"), *(Column(each, right=True) for each in numbers)]
    columns += [Column("oldest wait", right=True), Column("state")]
    table = Table(*([Column("namespace")] if all_namespaces else []), *columns)
    for body in found:
        seen = body.get("status") or {}
        replicas, tasks = seen.get("replicas") or {}, seen.get("tasks") or {}
        oldest = tasks.get("oldestWaitSeconds")
        cells: list[Cell] = [
            Styled(name_of(body), "name"),
            _replicas(replicas),
            replicas.get("ready"),
            tasks.get("queued"),
            tasks.get("inFlight"),
            tasks.get("scheduled"),
            tasks.get("dead"),
            None if oldest is None else span(oldest),
            _state(seen),
        ]
        table.add(*([body["metadata"]["namespace"]] if all_namespaces else []), *cells)
    return table


def _replicas(replicas: Json) -> Cell:
    current, desired = replicas.get("current"), replicas.get("desired")
    return f"{current}->{desired}" if current != desired else current


def _state(seen: Json) -> Cell:
    reason = seen.get("reason")
    if reason is None:
        return Styled("NotSeen", "warn")
    return Styled(reason, "good" if _condition(seen, "Ready").get("status") == "True" else "bad")


def _condition(seen: Json, kind: str) -> Json:
    return next((c for c in seen.get("conditions") or () if c["type"] == kind), {})


def _findings(seen: Json) -> Iterator[Json]:
    """Select the conditions that a person should know of."""
    for condition in seen.get("conditions") or ():
        kind, value = condition["type"], condition["status"]
        good = kind in _GOOD_IF_TRUE and value == "False"
        if good or (kind in _NEWS_IF_TRUE and value == "True"):
            yield condition


def _lines(body: Json, *, whole: bool) -> Iterator[str]:
    """Say what is wrong; of a single TaskQueue, everything else too."""
    seen, now = body.get("status") or {}, time.time()
    name = name_of(body)
    if whole and seen.get("message"):
        yield f"{name}: {seen['message']}"
    for condition in _findings(seen):
        since = ago(condition["lastTransitionTime"], now)
        is_not = "" if condition["status"] == "True" else "not "
        what = f"{is_not}{condition['type']} ({condition['reason']}) since {since}"
        yield f"{name}: {what.replace(' ago', '')}: {condition['message']}"
    if not whole:
        return
    if seen.get("lastScaleTime"):
        yield f"{name}: last scaled {ago(seen['lastScaleTime'], now)}"
    for trigger in seen.get("triggers") or ():
        wish = f"asks for {trigger['desired']} replicas" if "desired" in trigger else "is not read"
        yield f"{name}: trigger {trigger['name']} {wish}{_why(trigger)}"
    if recovered := seen.get("recovered"):
        last = ago(recovered.get("lastTime"), now)
        yield f"{name}: {recovered['total']} tasks of dead workers were returned, the last {last}"


def _why(trigger: Json) -> str:
    return f": {trigger['message']}" if trigger.get("message") else ""


def _summary(body: Json) -> Json:
    """Return what the text form shows, for programs."""
    seen = body.get("status") or {}
    return {
        "namespace": body["metadata"]["namespace"],
        "name": name_of(body),
        "ready": _condition(seen, "Ready").get("status") == "True",
        "reason": seen.get("reason"),
        "message": seen.get("message"),
        "replicas": seen.get("replicas"),
        "tasks": seen.get("tasks"),
        "triggers": seen.get("triggers") or [],
        "recovered": seen.get("recovered"),
        "last_scale_time": seen.get("lastScaleTime"),
        "findings": [
            {name: condition[name] for name in ("type", "status", "reason", "message")}
            for condition in _findings(seen)
        ],
    }
