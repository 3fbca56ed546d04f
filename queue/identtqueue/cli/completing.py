"""Names for the completion of a shell: queues, jobs and workers that exist, asked from Redis.

A shell that waits is worse than one that does not know. So the answer takes at most
`BUDGET_SECONDS`, and without one there are no names, and no message.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import click
from click.types import StringParamType

from identtqueue.errors import IdenttqueueError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from identtqueue.admin import Admin

BUDGET_SECONDS: Final = 0.3

MOST: Final = 200
"""How many names are offered."""

AskNames = Callable[["Admin", click.Context], Awaitable[list[str]]]


class NameOf(StringParamType):
    """A text that names something in Redis, which the shell can complete.

    Args:
        ask: returns the names that there are.
    """

    def __init__(self, ask: AskNames) -> None:
        self._ask = ask

    def shell_complete(
        self, ctx: click.Context, _: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """Return the names that begin so, if Redis says them in time."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - only to complete names

        names = {name for name in _asked(ctx, self._ask) if name.startswith(incomplete)}
        return [CompletionItem(name) for name in sorted(filter(str.isprintable, names))[:MOST]]


async def _queues(admin: Admin, _: click.Context) -> list[str]:
    return [queue.name for queue in await admin.queues()]


async def _jobs(admin: Admin, context: click.Context) -> list[str]:
    """List the jobs of the queues that the command line names, else of all queues."""
    given = (context.params.get(name) for name in ("queue", "queues", "names", "words"))
    named = next(filter(None, given), ())
    queues = [named] if isinstance(named, str) else list(named)
    found = await asyncio.gather(
        *(admin.jobs(queue) for queue in queues or await _queues(admin, context))
    )
    return [job.name for jobs in found for job in jobs]


async def _workers(admin: Admin, context: click.Context) -> list[str]:
    """List the pods or hosts of all workers, and their ids."""
    found = await asyncio.gather(*(admin.workers(queue) for queue in await _queues(admin, context)))
    workers = [worker for each in found for worker in each]
    return [w.pod_name or w.host for w in workers] + [w.worker_id for w in workers]


QUEUE: Final = NameOf(_queues)
JOB: Final = NameOf(_jobs)
WORKER: Final = NameOf(_workers)

KINDS: Final = {"queue": QUEUE, "job": JOB, "worker": WORKER}
"""The kinds of names, by what parameters are called that take them."""


def complete_names(command: click.Command) -> None:
    """Let the parameters of a command, and of those below it, be completed from Redis.

    Their names say what they take: `queue`, `--job`, `WORKER…`.
    """
    for parameter in command.params:
        kind = kind_of(parameter)
        if kind is not None:
            parameter.type = kind
    for child in command.commands.values() if isinstance(command, click.Group) else ():
        complete_names(child)


def kind_of(parameter: click.Parameter) -> NameOf | None:
    """Return what kind of name a parameter takes; None: it is no such name."""
    if not isinstance(parameter.type, StringParamType):
        return None
    called = f"{parameter.name} {parameter.metavar or ''}".lower()
    words = (word.removesuffix("s") for word in re.findall("[a-z]+", called))
    return next((KINDS[word] for word in words if word in KINDS), None)


def _asked(context: click.Context, ask: AskNames) -> list[str]:
    """Return the answer of Redis; nothing if there is none in time, whatever the reason."""
    from identtqueue.admin import Admin, RedisSettings  # noqa: PLC0415 - only to complete names

    address = context.find_root().params.get("redis_address")

    async def within_budget() -> list[str]:
        settings = RedisSettings.of(address)
        if settings.place.embedded is not None:
            return []  # to ask would start the server
        async with asyncio.timeout(BUDGET_SECONDS), Admin(settings) as admin:
            return await ask(admin, context)

    logging.disable(logging.CRITICAL)  # a warning would stand in the middle of a command line
    try:
        return asyncio.run(within_budget())
    except (IdenttqueueError, TimeoutError, OSError):
        return []
    finally:
        logging.disable(logging.NOTSET)
