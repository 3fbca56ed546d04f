"""Functions that can be jobs, and errors at the declaration of those that cannot."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import pydantic
import pytest

from identtqueue import App, Context, InvalidInput, Job
from identtqueue.signature import argument_types, is_async

if TYPE_CHECKING:
    from somewhere import Ctx


class Page(pydantic.BaseModel):
    path: str


@dataclass
class Point:
    x: int


class Box(msgspec.Struct):
    x: int


class LikeContext(Protocol):
    task_id: str


def declare(function: Callable[..., Any], **settings: Any) -> list[Any]:
    """Declare a job, in both ways."""
    app = App("redis://nowhere")
    return [app.task(name="job", **settings)(function), Job(name="job", function=function)]


async def generates(ctx):
    yield 1


def generates_plainly(ctx):
    yield 1


class Generates:
    async def __call__(self, ctx):
        yield 1


@pytest.mark.parametrize(
    "function",
    [generates, generates_plainly, Generates(), functools.partial(generates)],
    ids=["async", "plain", "object", "partial"],
)
def test_a_generator_is_no_job(function: Callable[..., Any]) -> None:
    for how in (App("redis://nowhere").task(name="job"), lambda f: Job(name="job", function=f)):
        with pytest.raises(InvalidInput, match="job job: it contains `yield`, but a job returns"):
            how(function)


async def of_a_path(path: str): ...
async def of_a_file(file: Path | None): ...
async def of_a_list(names: list[str]): ...
async def of_a_model(page: Page): ...
async def of_a_dataclass(point: Point): ...
async def of_a_struct(box: Box): ...
async def of_nothing(): ...
async def of_names(*, ctx): ...
async def of_keywords(**kwargs): ...


@pytest.mark.parametrize(
    "function",
    [
        *(of_a_path, of_a_file, of_a_list, of_a_model, of_a_dataclass, of_a_struct),
        *(of_nothing, of_names, of_keywords),
    ],
)
def test_a_job_without_a_context_is_refused(function: Callable[..., Any]) -> None:
    for how in (App("redis://nowhere").task(name="job"), lambda f: Job(name="job", function=f)):
        with pytest.raises(InvalidInput, match=r"job job: its first parameter must be the context"):
            how(function)


async def plain(ctx): ...
async def unused(_): ...
async def other_name(c): ...
async def annotated(job: Context): ...
async def protocol(job: LikeContext): ...
async def anything(job: Any): ...
async def any_object(job: object): ...
async def maybe(job: Context | None): ...
async def only_for_checkers(job: Ctx): ...
async def a_dict(ctx: dict): ...
async def star(*args): ...


def named(function: Any) -> str:
    """Name a case. Addresses must not be in it: each process of xdist has others."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(function))


class Call:
    async def __call__(self, ctx: Context, path: str) -> None: ...

    async def method(self, ctx: Context, path: str) -> None: ...

    @staticmethod
    async def static(ctx: Context, path: str) -> None: ...


@pytest.mark.parametrize(
    "function",
    [
        *(plain, unused, other_name, annotated, protocol, anything, any_object, maybe),
        *(only_for_checkers, a_dict, star, lambda ctx: None, Call(), Call().method, Call.static),
        functools.partial(Call().method, path="x"),
    ],
    ids=named,
)
def test_what_is_a_job(function: Callable[..., Any]) -> None:
    declare(function)


@pytest.mark.parametrize("function", [Call(), Call().method, functools.partial(Call())], ids=named)
def test_annotations_of_objects_and_partials_are_found(function: Callable[..., Any]) -> None:
    assert is_async(function)
    assert argument_types("job", function) == {"path": str}


def test_object_is_any() -> None:
    async def job(ctx: Context, a: object, b: Any, c: int) -> None: ...

    assert argument_types("job", job) == {"c": int}


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def test_a_plain_function_around_an_async_one_may_run_in_the_loop() -> None:
    wrapped = logged(plain)
    assert not inspect.iscoroutinefunction(wrapped)
    assert Job(name="job", function=wrapped).run_in == "thread"
    assert Job(name="job", function=wrapped, run_in="loop").run_in == "loop"
    for run_in, function in (("loop", lambda ctx: None), ("thread", plain), ("fast", plain)):
        with pytest.raises(InvalidInput, match="job job: "):
            App("redis://nowhere").task(name="job", run_in=run_in)(function)
        with pytest.raises(InvalidInput, match="job job: "):
            Job(name="job", run_in=run_in, function=function)


def test_what_has_no_name_gets_one() -> None:
    with pytest.raises(InvalidInput, match=r"has no name: give it one, @app.task\(name=…\)"):
        App("redis://nowhere").task(functools.partial(plain))
    for function in (None, 5, "plain"):
        with pytest.raises(InvalidInput, match="job 'job' is not callable"):
            Job(name="job", function=function)
