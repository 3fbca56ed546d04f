"""The way of a value from the caller to the job, and types of values: shared by several tests."""

from __future__ import annotations

import dataclasses
import enum
from datetime import UTC, date, datetime
from typing import Any, Generic, TypeVar

import msgspec
from pydantic import BaseModel

from identtqueue import App, Context
from identtqueue.protocol import codec
from identtqueue.protocol.sameness import same
from identtqueue.task import Task
from identtqueue.worker.registry import Job

HIDDEN = "hunter2-never-shown"


def arrives(value: Any, declared: Any) -> Any:
    """Return what a typed job gets, through the checks of caller and worker and the payload."""
    app = App("redis://nowhere")

    async def job(_ctx: Context, x: Any, *, y: Any = None) -> None: ...

    job.__annotations__.update(x=declared, y=declared)
    typed = app.task(name="job")(job)
    call = typed.call(value, y=value).submission
    task = codec.decode_task(codec.encode_task(Task("job", call.args, call.kwargs)))
    (x,), kwargs = Job(name="job", function=job, types=typed.argument_types()).bind(
        task.args, task.kwargs
    )
    assert same(x, kwargs["y"])
    return x


def arrives_plain(value: Any) -> Any:
    """Return what an untyped job gets, and what a caller gets as the result."""
    (x,) = codec.decode_task(codec.encode_task(Task("job", (value,)))).args
    assert same(x, codec.decode_value(codec.encode_value(value)))
    return x


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.0


class Box(msgspec.Struct):
    x: int


class Page(BaseModel):
    path: str
    at: date | None = None


T = TypeVar("T")


class Wrapped(BaseModel, Generic[T]):
    value: T


AT = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
