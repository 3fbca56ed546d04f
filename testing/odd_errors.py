"""Ordinary and odd errors that a job may raise, and jobs that raise them in each place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from identtqueue import Context, Job, Retry


class OfMyOwn(BaseException):
    """An error that is no `Exception`."""


class StrRaisesValueError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class StrRaisesSystemExit(Exception):
    def __str__(self) -> str:
        raise SystemExit("no text")


class StrRaisesCancelledError(Exception):
    def __str__(self) -> str:
        raise asyncio.CancelledError


class StrRaisesKeyboardInterrupt(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt


class StrIsNone(Exception):
    def __str__(self) -> str:
        return None  # type: ignore[return-value]  # noqa: PLE0307


class _Text(str):
    __slots__ = ()

    def encode(self, *_: Any) -> bytes:
        raise SystemExit("no bytes")


class StrIsOdd(Exception):
    def __str__(self) -> str:
        return _Text("odd")


class ReprRaises(StopIteration):
    """A StopIteration, which cannot leave a coroutine as it is; its `repr` raises too."""

    def __repr__(self) -> str:
        raise SystemExit("no text")


class ReduceRaises(Exception):
    def __reduce__(self) -> Any:
        raise SystemExit("no copy")


class TracebackRaises(Exception):
    @property
    def __traceback__(self) -> Any:
        raise SystemExit("no traceback")


class ClassRaises(Exception):
    @property
    def __class__(self) -> Any:
        raise SystemExit("no class")


class _Nameless(type):
    @property
    def __module__(cls) -> str:
        raise SystemExit("no name")


class Nameless(Exception, metaclass=_Nameless):
    pass


class OddNotes(Exception):
    __notes__ = 7  # type: ignore[assignment]


class OddGroup(ExceptionGroup[Exception]):
    @property
    def exceptions(self) -> Any:
        raise SystemExit("no parts")


def _of_itself() -> Exception:
    error = ValueError("the cause of itself")
    error.__cause__ = error
    return error


ERRORS: dict[str, Callable[[], BaseException]] = {
    "ValueError": lambda: ValueError("x"),
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "CancelledError": asyncio.CancelledError,
    "StopIteration": lambda: StopIteration(7),
    "StopAsyncIteration": StopAsyncIteration,
    "GeneratorExit": GeneratorExit,
    "TimeoutError": lambda: TimeoutError("the job's own"),
    "ExceptionGroup": lambda: ExceptionGroup("two", [ValueError(1), KeyError(2)]),
    "BaseExceptionGroup": lambda: BaseExceptionGroup("two", [SystemExit(1), KeyError(2)]),
    "RecursionError": lambda: RecursionError("deep"),
    "MemoryError": MemoryError,
    "the cause of itself": _of_itself,
} | {
    kind.__qualname__: kind
    for kind in (
        *(OfMyOwn, StrRaisesValueError, StrRaisesSystemExit, StrRaisesCancelledError, StrIsNone),
        *(StrRaisesKeyboardInterrupt, StrIsOdd, ReprRaises, ReduceRaises, TracebackRaises),
        *(ClassRaises, Nameless, OddNotes),
    )
}
ERRORS["OddGroup"] = lambda: OddGroup("two", [ValueError(1), KeyError(2)])


def raise_one(_ctx: Context, name: str) -> NoReturn:
    error = ERRORS[name]()
    raise error


async def raise_one_async(_ctx: Context, name: str) -> NoReturn:
    error = ERRORS[name]()
    raise error


TROUBLES = ("TimedOut", "CancelledError", "ExceptionGroup", "Retry in a group")


async def fail_once_async(ctx: Context, how: str) -> int:
    """Fail in the first attempt only."""
    if ctx.failures == 0:
        if how == "TimedOut":
            await asyncio.sleep(60)
        if how == "CancelledError":  # as when a library's pool cancels what the job awaits
            part = asyncio.ensure_future(asyncio.sleep(60))
            asyncio.get_running_loop().call_soon(part.cancel)
            await part
        _fail(how)
    return ctx.attempt


def fail_once(ctx: Context, how: str) -> int:
    """Fail in the first attempt only."""
    if ctx.failures == 0:
        if how == "TimedOut":
            time.sleep(2)
        _fail(how)
    return ctx.attempt


def _fail(how: str) -> NoReturn:
    if how == "CancelledError":
        raise asyncio.CancelledError
    parts = [OSError("one"), Retry("two", after_seconds=0)]
    raise ExceptionGroup("parts", parts if how == "Retry in a group" else parts[:1])


@dataclass(frozen=True)
class _Point:
    x: int


RESULTS: dict[str, Callable[[], Any]] = {
    "no msgpack form": object,
    "too large": lambda: "x" * 20_000,
    "huge number": lambda: 2**70,
    "lone surrogate": lambda: "\ud800",
    "a map as a key": lambda: {_Point(1): "ok"},
}


def return_one(_ctx: Context, what: str) -> Any:
    return RESULTS[what]()


async def return_one_async(_ctx: Context, what: str) -> Any:
    return RESULTS[what]()


PLACES = {
    "loop": {"run_in": "loop", "is_async": True},
    "thread": {"run_in": "thread", "is_async": False},
    "process": {"run_in": "process", "is_async": False},
    "async process": {"run_in": "process", "is_async": True},
}
"""All places in which a job can run."""


def job_in(place: str, function: Callable[..., Any], **settings: Any) -> Job:
    """Make a job that runs in a place, from a function or its async twin."""
    kind = PLACES[place]
    name = function.__name__
    if kind["is_async"]:
        function = globals()[f"{name}_async"]
    return Job(name=name, function=function, run_in=kind["run_in"], **settings)  # type: ignore[arg-type]
