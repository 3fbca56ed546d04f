"""The size bounds of a schema: which there are, which are missing, and objects at and over them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]
Path = tuple[str, ...]

KEYWORDS = {"string": "maxLength", "array": "maxItems", "object": "maxProperties"}
WORDS = {
    "maxLength": "Too long: may not be more than {}",
    "maxItems": "Too many: {over}: must have at most {} items",
    "maxProperties": "Too many: {over}: must have at most {} items",
}
"""Words of the API server about a value that exceeds a bound by one, by keyword."""


def nodes(schema: Schema, path: Path = ()) -> Iterator[tuple[Path, Schema]]:
    """Yield each node of a schema with its path: `[]` is an item of a list, `{}` one of a map."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, (*path, name))
    if "items" in schema:
        yield from nodes(schema["items"], (*path, "[]"))
    if isinstance(schema.get("additionalProperties"), dict):
        yield from nodes(schema["additionalProperties"], (*path, "{}"))


def is_bounded(node: Schema) -> bool:
    """Return whether this node by itself keeps each of its values small."""
    if node["type"] not in KEYWORDS or "enum" in node:
        return True
    if node["type"] == "object" and "properties" in node:
        return not node.get("x-kubernetes-preserve-unknown-fields")
    return KEYWORDS[node["type"]] in node


def bounds(schema: Schema) -> Iterator[tuple[Path, str, int]]:
    """Yield path, keyword and limit of each bound."""
    for path, node in nodes(schema):
        keyword = KEYWORDS.get(node["type"], "")
        if keyword in node:
            yield path, keyword, node[keyword]


def with_size(path: Path, keyword: str, size: int) -> Any:
    """Make an object in which the node at this path has this size, and nothing else is set."""
    value: Any
    if keyword == "maxLength":
        value = "x" * size
    elif keyword == "maxItems":
        # The names differ, because a list with `x-kubernetes-list-type: map` refuses equal ones.
        value = [{"name": f"n{number}", "type": f"t{number}"} for number in range(size)]
    else:
        value = {f"k{number}": "v" for number in range(size)}
    for step in reversed(path):
        value = [value] if step == "[]" else {"k": value} if step == "{}" else {step: value}
    return value
