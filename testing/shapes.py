"""Jobs that return an awaitable although they are no `async def`, as in users' code."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable, Generator
from typing import Any


def where(ctx: Any) -> list[Any]:
    """Return the attempt, and whether this runs in the main thread with an event loop."""
    return [ctx.attempt, threading.current_thread() is threading.main_thread()]


async def plain(ctx: Any, n: int) -> list[Any]:
    await asyncio.sleep(0)
    return [*where(ctx), n]


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function, as a decorator for plain functions that is used on an async one."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def started(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function so that calling it needs a running event loop."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return asyncio.ensure_future(function(*args, **kwargs))

    return wrapper


def blocking(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate an async function so that it becomes a plain one."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return asyncio.run(function(*args, **kwargs))

    return wrapper


class Later:
    """Awaitable that is no coroutine."""

    def __init__(self, wanted: Awaitable[Any]) -> None:
        self.wanted = wanted

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.wanted.__await__()


def gives_awaitable(ctx: Any, n: int) -> Later:
    return Later(plain(ctx, n))


class CallableJob:
    """Callable object as a job, with a state of its own."""

    async def __call__(self, ctx: Any, n: int) -> list[Any]:
        return await plain(ctx, n)


wrapped = logged(plain)
in_loop = started(plain)
made_plain = blocking(plain)
anonymous = lambda ctx, n: plain(ctx, n)  # noqa: E731, PLW0108 - a lambda it is
partial = functools.partial(plain)
an_object = CallableJob()


@logged
async def decorated(ctx: Any, n: int) -> list[Any]:
    return await plain(ctx, n)


async def _fails(_ctx: Any, _n: int) -> None:
    await asyncio.sleep(0)
    raise ValueError("no")


@logged
async def fails(ctx: Any, n: int) -> None:
    await _fails(ctx, n)


@logged
async def for_ever(_ctx: Any, _n: int) -> None:
    await asyncio.Event().wait()
