"""Tasks that are read in pages, and changed by their ids: dead letters, scheduled tasks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any

from identtqueue.errors import InvalidInput
from identtqueue.protocol import commands
from identtqueue.protocol.answers import Hastened, Replayed
from identtqueue.protocol.call import Call
from identtqueue.task import TaskInfo
from identtqueue.transport.connection import AsyncRedis


async def read_page(
    redis: AsyncRedis, queue: str, offset: int, limit: int
) -> AsyncGenerator[TaskInfo, None]:
    """Iterate over dead letters, the newest first: see `Admin.dead_letters`."""
    check_page(offset, limit)
    ids = await redis.run(commands.dead_letters(queue, offset, limit))
    for info in await redis.run_all([commands.task_info(task_id) for task_id in ids]):
        if info is not None:
            yield info


def check_page(offset: int, limit: int) -> None:
    """Check which part of a list is asked for.

    Raises:
        InvalidInput: `offset` or `limit` is too small.
    """
    if offset < 0 or limit < 1:
        raise InvalidInput(
            f"offset={offset}, limit={limit}: offset must be 0 or more, limit 1 or more"
        )


async def change_each(
    redis: AsyncRedis,
    task_ids: Iterable[str],
    command: Callable[[str], Call[Replayed]] | Callable[[str], Call[Hastened]],
) -> list[str]:
    """Run a command for each task, and return the ids of those that it has changed.

    Args:
        redis: runs the calls.
        task_ids: the tasks, of any queues.
        command: makes the call for an id.
    """
    ids = list(task_ids)
    calls: list[Call[Any]] = [command(task_id) for task_id in ids]
    answers = await redis.run_all(calls)
    done = (Replayed.OK, Hastened.OK)
    return [t for t, answer in zip(ids, answers, strict=True) if answer in done]
