"""The store's objects as kubectl shows them: tables, YAML, JSON, and descriptions."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import yaml

from identtqueue_operator.api.crd import COLUMNS
from identtqueue_operator.local.objects import Json
from identtqueue_operator.times import timestamp

NAMES = {
    "taskqueues": ("taskqueues", "taskqueue", "tq"),
    "pods": ("pods", "pod", "po"),
    "deployments": ("deployments", "deployment", "deploy"),
    "events": ("events", "event", "ev"),
}
"""The kinds that may be asked for, with the words for them."""
MISSING = "<none>"
AGES = (
    (120, 1, 1, ("s", "")),
    (600, 60, 1, ("m", "s")),
    (10_800, 60, 1, ("m", "")),
    (28_800, 3_600, 60, ("h", "m")),
    (172_800, 3_600, 60, ("h", "")),
    (691_200, 86_400, 3_600, ("d", "h")),
)
"""Below so many seconds, an age is shown in units of so many seconds, with a smaller unit."""


def kind_and_name(words: Sequence[str]) -> tuple[str, str | None]:
    """Read what is asked for: a kind, a name, or both; `pods/NAME` too.

    Raises:
        UsageError: there is no such kind.
    """
    parts = [part for word in words for part in word.split("/")]
    kinds = {name: plural for plural, names in NAMES.items() for name in names}
    if parts and parts[0].lower() in kinds:
        kind, *rest = parts
        plural = kinds[kind.lower()]
    else:
        plural, rest = "taskqueues", parts
    if len(rest) > 1:
        raise click.UsageError(f"{parts[0]} is none of {', '.join(NAMES)}")
    return plural, rest[0] if rest else None


def named(found: Sequence[Json], plural: str, name: str | None) -> list[Json]:
    """Select the objects of a name; without one, all.

    Raises:
        ClickException: there is no such object.
    """
    selected = [body for body in found if name in (None, body["metadata"]["name"])]
    if name is not None and not selected:
        raise click.ClickException(f'{plural} "{name}" not found')
    return selected


def listing(plural: str, found: Sequence[Json], output: str | None, *, one: bool) -> str:
    """Show objects.

    Args:
        plural: of their kind.
        found: the objects.
        output: `yaml`, `json`, `wide` or None.
        one: whether one was asked for by its name, so that the answer is no List.
    """
    if output in ("yaml", "json"):
        whole = found[0] if one else {"apiVersion": "v1", "kind": "List", "items": list(found)}
        if output == "json":
            return json.dumps(whole, indent=4)
        return yaml.safe_dump(whole, sort_keys=False, allow_unicode=True).rstrip()
    if not found:
        return "No resources found."
    wide = output == "wide"
    head, rows = {
        "taskqueues": _task_queues,
        "pods": _pods,
        "deployments": _deployments,
        "events": _events,
    }[plural](found, wide)
    namespaces = [body["metadata"]["namespace"] for body in found]
    if len(set(namespaces)) > 1:
        head = ["NAMESPACE", *head]
        rows = [[space, *row] for space, row in zip(namespaces, rows, strict=True)]
    return table([head, *rows])


def table(rows: Sequence[Sequence[str]]) -> str:
    """Align columns as kubectl does, three spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("   ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def age(text: str | None) -> str:
    """Say how long ago a time was, in kubectl's short form."""
    at = timestamp(text)
    if at is None:
        return "<unknown>"
    seconds = max(0, int(datetime.now(UTC).timestamp() - at))
    for most, large, small, (big, little) in AGES:
        if seconds < most:
            whole, rest = divmod(seconds, large)
            rest //= small
            return f"{whole}{big}{rest}{little}" if little and rest else f"{whole}{big}"
    return f"{seconds // 86_400}d"


# --- tables ---


def _task_queues(found: Sequence[Json], wide: bool) -> tuple[list[str], list[list[str]]]:
    columns = [column for column in COLUMNS if wide or not column[4]]
    head = ["NAME", *(column[0].upper() for column in columns)]
    rows = [
        [body["metadata"]["name"], *(_cell(body, column[1], column[2]) for column in columns)]
        for body in found
    ]
    return head, rows


def _cell(body: Json, kind: str, path: str) -> str:
    value = find(body, path)
    if kind == "date":
        return age(value)
    return "" if value is None else str(value)


_STEP = re.compile(r"\.(\w+)|\[\?\(@\.(\w+)==\"([^\"]+)\"\)\]")


def find(body: Any, path: str) -> Any:
    """Find what a JSONPath of the CRD's columns means; None if there is nothing."""
    for field, key, wanted in _STEP.findall(path):
        if field:
            body = body.get(field) if isinstance(body, Mapping) else None
        else:
            body = next((each for each in body or () if each.get(key) == wanted), None)
    return body


def _pods(found: Sequence[Json], wide: bool) -> tuple[list[str], list[list[str]]]:
    head = ["NAME", "READY", "STATUS", "RESTARTS", "AGE", *(["NODE"] if wide else [])]
    rows = []
    for body in found:
        statuses = (body.get("status") or {}).get("containerStatuses") or []
        ready = sum(bool(each.get("ready")) for each in statuses)
        row = [
            body["metadata"]["name"],
            f"{ready}/{len(statuses)}",
            _pod_status(body),
            str(sum(each.get("restartCount", 0) for each in statuses)),
            age(body["metadata"].get("creationTimestamp")),
        ]
        rows.append([*row, str(body["spec"].get("nodeName", MISSING))] if wide else row)
    return head, rows


def _pod_status(body: Json) -> str:
    status = body.get("status") or {}
    if body["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for each in status.get("containerStatuses") or ():
        for state in each["state"].values():
            if state.get("reason"):
                return str(state["reason"])
    return str(status.get("phase") or "Pending")


def _deployments(found: Sequence[Json], wide: bool) -> tuple[list[str], list[list[str]]]:  # noqa: ARG001
    head = ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    rows = []
    for body in found:
        status = body.get("status") or {}
        rows.append(
            [
                body["metadata"]["name"],
                f"{status.get('readyReplicas', 0)}/{body['spec'].get('replicas', 1)}",
                str(status.get("updatedReplicas", 0)),
                str(status.get("availableReplicas", 0)),
                age(body["metadata"].get("creationTimestamp")),
            ]
        )
    return head, rows


def _events(found: Sequence[Json], wide: bool) -> tuple[list[str], list[list[str]]]:  # noqa: ARG001
    head = ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    rows = [
        [
            age(body.get("lastTimestamp")),
            body["type"],
            body["reason"],
            f"{body['involvedObject']['kind'].lower()}/{body['involvedObject']['name']}",
            body["message"],
        ]
        for body in found
    ]
    return head, rows


# --- descriptions ---


def description(body: Json, events: Sequence[Json]) -> str:
    """Describe an object with its events."""
    metadata = body["metadata"]
    lines = [
        _field("Name", metadata["name"]),
        _field("Namespace", metadata["namespace"]),
        _field("Labels", _pairs(metadata.get("labels"))),
        _field("Annotations", _pairs(metadata.get("annotations"))),
        _field("API Version", body["apiVersion"]),
        _field("Kind", body["kind"]),
        "Spec:",
        *_tree(body.get("spec") or {}, "  "),
        "Status:",
        *_tree(body.get("status") or {}, "  "),
    ]
    own = [each for each in events if each["involvedObject"]["uid"] == metadata["uid"]]
    return "\n".join([*lines, *_event_lines(own)])


def _field(label: str, value: str) -> str:
    return f"{label + ':':<14}{value}"


def _pairs(given: Mapping[str, str] | None) -> str:
    return ", ".join(f"{name}={value}" for name, value in (given or {}).items()) or MISSING


def _tree(value: Mapping[str, Any], indent: str) -> Iterator[str]:
    """Show nested fields, each by its name in words."""
    width = max((len(label(name)) for name in value), default=0) + 3
    for name, inner in value.items():
        words = f"{label(name)}:"
        if isinstance(inner, Mapping):
            yield f"{indent}{words}"
            yield from _tree(inner, indent + "  ")
        elif isinstance(inner, list):
            yield f"{indent}{words}"
            for item in inner:
                if isinstance(item, Mapping):
                    yield from _tree(item, indent + "  ")
                else:
                    yield f"{indent}  {item}"
        else:
            yield f"{indent}{words:<{width}}{inner}"


def label(name: str) -> str:
    """Write a field's name in words: `maxReplicas` is Max Replicas."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return words[:1].upper() + words[1:]


def _event_lines(events: Sequence[Json]) -> list[str]:
    if not events:
        return [f"Events:         {MISSING}"]
    head = ["Type", "Reason", "Age", "From", "Message"]
    dashes = ["-" * len(word) for word in head]
    rows = [
        [
            each["type"],
            each["reason"],
            _event_age(each),
            each["source"]["component"],
            each["message"].strip(),
        ]
        for each in events
    ]
    return ["Events:", *(f"  {line}" for line in table([head, dashes, *rows]).splitlines())]


def _event_age(event: Json) -> str:
    count = event.get("count", 1)
    last = age(event.get("lastTimestamp"))
    return last if count < 2 else f"{last} (x{count} over {age(event.get('firstTimestamp'))})"
