"""Fields that a TaskQueue does not have: typing errors, which the API server refuses too."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from identtqueue_operator.api.crd import root_schema

Schema = dict[str, Any]


@cache
def _spec_schema() -> Schema:
    found: Schema = root_schema()["properties"]["spec"]
    return found


def unknown_fields(spec: Any) -> list[str]:
    """List the paths of fields that a TaskQueue's specification does not have."""
    return list(_walk(spec, _spec_schema(), "spec"))


def _walk(value: Any, schema: Schema, path: str) -> Iterator[str]:
    if isinstance(value, list) and "items" in schema:
        for number, item in enumerate(value):
            yield from _walk(item, schema["items"], f"{path}[{number}]")
    known = schema.get("properties")
    if not isinstance(value, dict) or known is None:
        return
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields", False)
    for name, inner in value.items():
        if name in known:
            yield from _walk(inner, known[name], f"{path}.{name}")
        elif not open_ended:
            yield f"{path}.{name}"
