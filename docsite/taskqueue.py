"""The reference page of the TaskQueue resource, from the schema of its CRD."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from docsite.pages import DOCS
from identtqueue_operator.api import crd
from identtqueue_operator.api.v1alpha1 import API_VERSION, KIND

PAGE = DOCS / "reference" / "taskqueue.md"
HEAD = f"""# TaskQueue

Every field of the resource `{KIND}`, version `{API_VERSION}`, from the schema of its CRD.
[The operator's page](../operator.md) says how they work together, and
[samples](../../manifests/samples/) are there to copy. `kubectl explain taskqueue.spec` shows the
same texts.

<!-- Written by `python -m docsite taskqueue`. Do not edit. -->
"""

Schema = dict[str, Any]


def render() -> str:
    """Make the page."""
    properties = crd.root_schema()["properties"]
    parts = [HEAD]
    for name in ("spec", "status"):
        parts += _section(name, properties[name])
    return "\n".join(parts)


def _section(path: str, schema: Schema) -> Iterator[str]:
    """Yield a table of the fields of an object, then one for each object below it."""
    required = set(schema.get("required", ()))
    yield f"## {path}\n"
    if text := schema.get("description"):
        yield f"{_plain(text)}\n"
    for rule in schema.get("x-kubernetes-validations", ()):
        yield f"- Rule: {_plain(rule['message'])}"
    yield from ([""] if schema.get("x-kubernetes-validations") else [])
    yield "| field | type | meaning |\n|---|---|---|"
    inner = []
    for name, field in schema["properties"].items():
        below, shown = _object_of(field, f"{path}.{name}")
        inner += below
        needed = "**Required.** " if name in required else ""
        yield f"| `{name}` | {shown} | {needed}{_plain(field.get('description', ''))} |"
    yield ""
    for below_path, below_schema in inner:
        yield from _section(below_path, below_schema)


def _object_of(field: Schema, path: str) -> tuple[list[tuple[str, Schema]], str]:
    """Return the object that a field holds, if it has fields to list, and the field's type."""
    if field.get("type") == "array":
        below, shown = _object_of(field["items"], f"{path}[]")
        return below, f"list of {shown}{_bounds(field)}"
    if field.get("type") == "object" and field.get("properties"):
        anchor = path.replace(".", "").replace("[]", "").lower()
        return [(path, field)], f"[object](#{anchor})"
    if field.get("type") == "object":
        return [], "map" if "additionalProperties" in field else "object"
    return [], f"{_kind(field)}{_bounds(field)}"


def _kind(field: Schema) -> str:
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if field.get("x-kubernetes-int-or-string"):
        return "integer or text"
    return {"string": "text"}.get(field.get("type", ""), field.get("type", "any"))


def _bounds(field: Schema) -> str:
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None and high is not None:
        return f", {low:,} to {high:,}"
    if (most := field.get("maxItems")) is not None:
        return f", at most {most}"
    return f", at least {low:,}" if low is not None else ""


def _plain(text: str) -> str:
    """Put a description on one line of a table."""
    return " ".join(text.split()).replace("|", "\\|")
