"""Values of tasks and rows as JSON: one line each, with types that JSON has."""

from __future__ import annotations

import base64
import dataclasses
import enum
import json
import math
from collections.abc import Mapping
from typing import Any

import click
import msgspec

from identtqueue.task import Failure


def show_json(row: Mapping[str, Any]) -> None:
    """Print one line of JSON on standard output. Characters beyond ASCII are escaped."""
    click.echo(json.dumps(plain(row)))


def failure_row(failure: Failure | None) -> dict[str, str] | None:
    """Return the values of a failure for JSON."""
    if failure is None:
        return None
    return {"type": failure.type, "message": failure.message, "traceback": failure.traceback}


def plain(value: Any) -> Any:
    """Convert a value to types that JSON has: bytes become base64, other unknown types text."""
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else repr(key): plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no infinity and no NaN
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    return str(value)
