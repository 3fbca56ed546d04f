"""Hash of a job's arguments, which tells releases of the job apart."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import msgspec


def signature_hash(function: Callable[..., Any], types: Mapping[str, Any]) -> str:
    """Hash the arguments that a function takes: their names, kinds and types.

    The fields of the types are included, as far as a type can be described, because a model with a
    new field takes other values under the same name. If equal arguments get different hashes, that
    costs one attempt more. If different arguments got the same hash, tasks would never reach the
    worker that can run them.

    Args:
        function: the job's function. Its first parameter, the context, is left out.
        types: declared types of the arguments by name; empty for untyped jobs.

    Returns:
        Eight hexadecimal digits.
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
        except Exception:  # noqa: BLE001, S112 - a user's type may raise: try the next way
            continue
    return str(target)


def _pydantic_schema(target: Any) -> Any:
    return target.model_json_schema()
