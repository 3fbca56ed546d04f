"""How a command asks Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import click

from identtqueue.cli.display.times import Clock
from identtqueue.cli.exits import Exit, errors_in_one_line

if TYPE_CHECKING:
    from identtqueue.admin import Admin
    from identtqueue.client.client import Client
    from identtqueue.redaction import Redact

P = ParamSpec("P")


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine, and show its errors as `errors_in_one_line` does.

    Ctrl-C cancels it. It may say then how far it has come.
    """
    with errors_in_one_line():
        try:
            asyncio.run(work)
        except KeyboardInterrupt:
            raise click.exceptions.Exit(Exit.INTERRUPTED) from None


def with_admin(
    command: Callable[Concatenate[Admin, P], Coroutine[Any, Any, None]],
) -> Callable[P, None]:
    """Make a coroutine function the body of a command: it gets an `Admin` that is connected.

    The `Admin` connects to the address of `identtqueue --redis-address`, and is closed afterwards.
    If the command has the option `--app`, it hides what that app hides.

    Args:
        command: takes the `Admin`, and then the arguments and options of the command by name.
    """

    @wraps(command)
    def body(*args: P.args, **kwargs: P.kwargs) -> None:
        # Imported when it is needed: it takes longer than all else that `--help` imports.
        from identtqueue.admin import Admin  # noqa: PLC0415

        context = click.get_current_context()
        target = kwargs.pop("target", None)

        async def work() -> None:
            redact = None if target is None else _redact_of(str(target))
            async with Admin(context.obj, redact=redact) as admin:
                await command(admin, *args, **kwargs)

        run(work())

    return body


def _redact_of(target: str) -> Redact:
    from identtqueue.cli.launch import load_app  # noqa: PLC0415 - few commands need an app

    return load_app(target).redact


def with_client(
    command: Callable[Concatenate[Client, P], Coroutine[Any, Any, None]],
) -> Callable[P, None]:
    """Make a coroutine function the body of a command, as `with_admin` does, with a `Client`."""

    @wraps(command)
    def body(*args: P.args, **kwargs: P.kwargs) -> None:
        from identtqueue.client.client import Client  # noqa: PLC0415 - few commands need it

        async def work() -> None:
            # As an Admin, it does not wait for a Redis that is away.
            async with Client(click.get_current_context().obj, retry_for_seconds=0) as client:
                await command(client, *args, **kwargs)

        run(work())

    return body


async def clock(admin: Admin, *, utc: bool = False) -> Clock:
    """Make the form of the times of one output, as seen from Redis' own time.

    Args:
        admin: asks for the time.
        utc: write times in UTC.
    """
    now_ms = (await admin.server()).now_ms
    return Clock(int(time.time() * 1000) if now_ms is None else now_ms, utc)


async def queue_names(admin: Admin, given: Sequence[str]) -> list[str]:
    """Return the queues that were named on the command line, each once; if none, all that exist.

    Args:
        admin: knows the queues that exist.
        given: the names.
    """
    return list(dict.fromkeys(given)) or [info.name for info in await admin.queues()]


def nothing(text: str) -> None:
    """Say on standard error that there is nothing to show, so that a pipe stays empty."""
    click.echo(text, err=True)
