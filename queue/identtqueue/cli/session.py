"""How a command asks Redis, and how its errors are shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec

import click

from identtqueue.admin import Admin
from identtqueue.errors import IdenttqueueError

P = ParamSpec("P")


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Show an error of this library as one line on stderr, with exit code 1 and no traceback.

    Raises:
        ClickException: an error of this library was raised inside.
    """
    try:
        yield
    except IdenttqueueError as error:
        raise click.ClickException(str(error)) from error


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine, and show its errors as `errors_in_one_line` does."""
    with errors_in_one_line():
        asyncio.run(work)


def with_admin(
    command: Callable[Concatenate[Admin, P], Coroutine[Any, Any, None]],
) -> Callable[P, None]:
    """Make a coroutine function the body of a command: it gets an `Admin` that is connected.

    The `Admin` connects to the address of `identtqueue --redis-address`, and is closed afterwards.

    Args:
        command: takes the `Admin`, and then the arguments and options of the command by name.
    """

    @wraps(command)
    def body(*args: P.args, **kwargs: P.kwargs) -> None:
        async def work() -> None:
            async with Admin(click.get_current_context().obj) as admin:
                await command(admin, *args, **kwargs)

        run(work())

    return body
