"""What tells the releases of a job apart: a hash of the arguments that it takes."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import msgspec


def signature_hash(function: Callable[..., Any], types: Mapping[str, Any]) -> str:
    """A short hash of the arguments that a function takes: names, kinds and types.

    It goes into the types, as far as they can be described: a model with a new field takes other
    values under the same name. Different hashes for the same thing cost one more attempt; the same
    hash for different things would keep tasks from the worker that can run them.
    """
    described: list[Any] = []
    try:
        parameters = list(inspect.signature(function).parameters.values())[1:]
    except (TypeError, ValueError):
        parameters = []
    for each in parameters:
        has_default = each.default is not inspect.Parameter.empty
        described.append([each.name, int(each.kind), has_default, _described(types.get(each.name))])
    return hashlib.sha256(repr(described).encode()).hexdigest()[:8]


def _described(target: Any) -> str:
    for describe in (_pydantic_schema, msgspec.json.schema):
        try:
            return repr(describe(target))
        except Exception:  # noqa: BLE001, S112 - types are anybody's; the next one is tried
            continue
    return str(target)


def _pydantic_schema(target: Any) -> Any:
    return target.model_json_schema()
