"""Parsing: the API server's JSON becomes the operator's small values.

A pod of the API server takes tens of kilobytes as a dict; the operator keeps a few hundred bytes.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from identtqueue_operator.model import (
    Container,
    Hindrance,
    Key,
    Owner,
    Pod,
    Selector,
)
from identtqueue_operator.times import timestamp

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
DRAINING_SINCE = "identtqueue.dev/draining-since"
DRAIN_BY_HAND = "identtqueue.dev/drain"
"""Annotation by which a person has a pod drain. Its value says who asked."""
FIELD_MANAGER = "identtqueue-operator"
"""Name of the operator in `metadata.managedFields`. All its writes carry it, so that it is known
who changed a number of replicas."""
TEMPLATE_HASH = "identtqueue.dev/template-hash"
REVISION_LABEL = "controller-revision-hash"
"""Label by which a StatefulSet marks the pods of one revision of its template."""

Body = Mapping[str, Any]


def key_of(body: Body) -> Key:
    """Read namespace and name."""
    metadata = body["metadata"]
    return Key(metadata.get("namespace") or "", metadata["name"])


def owner_of(body: Body) -> Owner | None:
    """Read what controls an object."""
    owner = _controller(body)
    if owner is None:
        return None
    group = str(owner.get("apiVersion") or "").rpartition("/")[0]
    return Owner(str(owner["uid"]), str(owner["name"]), group, str(owner.get("kind")))


def _controller(body: Body) -> Body | None:
    owners: Iterable[Body] = body["metadata"].get("ownerReferences") or ()
    return next((owner for owner in owners if owner.get("controller")), None)


def replicas_by(entries: Iterable[Body]) -> str:
    """Find the manager that wrote the number of replicas last.

    Several own it if they applied the same number. Then it is one that is not the operator.
    """
    owners = [
        (str(entry.get("time") or ""), str(entry.get("manager") or ""))
        for entry in entries
        if "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    ]
    others = [owner for owner in owners if owner[1] != FIELD_MANAGER]
    return max(others or owners, default=("", ""))[1]


def condition_message(status: Body, kind: str, value: str) -> str:
    """Read the message of a condition, if it has that value."""
    for condition in status.get("conditions") or ():
        if condition["type"] == kind and condition["status"] == value:
            return str(condition.get("message") or condition.get("reason") or kind)
    return ""


def selector(body: Body) -> Selector:
    """Read a label selector."""
    return Selector(
        tuple(sorted((body.get("matchLabels") or {}).items())),
        tuple(
            (e["key"], e["operator"], tuple(e.get("values") or ()))
            for e in body.get("matchExpressions") or ()
        ),
    )


_TERM = re.compile(
    r"\s*(?P<no>!)?\s*(?P<key>[^\s!=,()<>]+)\s*"
    r"(?:(?P<sign>==?|!=)\s*(?P<value>[^\s=,()!]*)|(?P<word>in|notin)\s*\((?P<values>[^()]*)\))?"
    r"\s*(?:,|$)"
)


def parse_selector(text: str) -> Selector:
    """Parse a label selector as `kubectl -l` takes it, and as a `/scale` has it in its status.

    Raises:
        ValueError: it is none.
    """
    labels: list[tuple[str, str]] = []
    expressions: list[tuple[str, str, tuple[str, ...]]] = []
    at = 0
    while at < len(text):
        term = _TERM.match(text, at)
        if term is None or (term["no"] and (term["sign"] or term["word"])):
            raise ValueError(f"this is no label selector: {text[:100]!r}")
        at = term.end()
        key = term["key"]
        if term["word"]:
            values = tuple(sorted(value.strip() for value in term["values"].split(",")))
            expressions.append((key, "In" if term["word"] == "in" else "NotIn", values))
        elif term["sign"] == "!=":
            expressions.append((key, "NotIn", (term["value"],)))
        elif term["sign"]:
            labels.append((key, term["value"]))
        else:
            expressions.append((key, "DoesNotExist" if term["no"] else "Exists", ()))
    return Selector(tuple(sorted(labels)), tuple(expressions))


def pod(body: Body, gone_at: float | None = None) -> Pod:
    """Read a pod as it is or, with `gone_at`, as it was last seen."""
    metadata, status = body["metadata"], body.get("status") or {}
    annotations = metadata.get("annotations") or {}
    ready = next((c for c in status.get("conditions") or () if _is_ready(c)), None)
    return Pod(
        key=key_of(body),
        uid=metadata["uid"],
        phase=status.get("phase") or "Pending",
        ready=ready is not None,
        ready_since=timestamp((ready or {}).get("lastTransitionTime")),
        assigned=bool((body.get("spec") or {}).get("nodeName")),
        created_at=timestamp(metadata.get("creationTimestamp")) or 0.0,
        deleting=bool(metadata.get("deletionTimestamp")),
        containers=tuple(_containers(status.get("containerStatuses") or ())),
        deletion_cost=_integer(annotations.get(DELETION_COST)),
        draining_since=timestamp(annotations.get(DRAINING_SINCE)),
        drains_by_hand=bool(annotations.get(DRAIN_BY_HAND)),
        owner=owner_of(body),
        revision=str((metadata.get("labels") or {}).get(REVISION_LABEL) or ""),
        unschedulable=condition_message(status, "PodScheduled", "False"),
        hindrance=_hindrance(status.get("initContainerStatuses") or ()),
        gone_at=gone_at,
    )


def _is_ready(condition: Body) -> bool:
    return bool(condition["type"] == "Ready" and condition["status"] == "True")


def _containers(statuses: Iterable[Body]) -> Iterable[Container]:
    for status in statuses:
        state = status.get("state") or {}
        last = status.get("lastState") or {}
        end = state.get("terminated") or last.get("terminated") or {}
        if end.get("reason") == "ContainerStatusUnknown":
            end = {}  # the kubelet could not find the container: that is no report of its end
        yield Container(
            name=status["name"],
            running="running" in state,
            ended_at=timestamp(end.get("finishedAt")),
            how=_how(end),
            waiting=(state.get("waiting") or {}).get("reason") or "",
            restarts=status.get("restartCount") or 0,
            started_at=timestamp((state.get("running") or {}).get("startedAt")),
        )


def _hindrance(statuses: Iterable[Body]) -> Hindrance | None:
    """Say what keeps an init container from its end; `PodInitializing` does not."""
    for status in statuses:
        waiting = ((status.get("state") or {}).get("waiting") or {}).get("reason")
        if waiting and waiting != "PodInitializing":
            return Hindrance(waiting, f"init container {status['name']}")
    return None


def _how(end: Body) -> str:
    if not end:
        return ""
    code = end.get("exitCode")
    reason = end.get("reason") or "ended"
    return reason if code is None else f"{reason}, exit code {code}"


def _integer(text: str | None) -> int:
    try:
        return int(text or 0)
    except ValueError:
        return 0
