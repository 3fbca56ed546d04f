"""Dead letters, read page by page."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from identtqueue.errors import InvalidInput
from identtqueue.protocol.calls import listing, one_task
from identtqueue.task import TaskInfo
from identtqueue.transport.connection import AsyncRedis


async def read_page(
    redis: AsyncRedis, queue: str, offset: int, limit: int
) -> AsyncGenerator[TaskInfo, None]:
    """Iterate over dead letters, the newest first: see `Admin.dead_letters`."""
    check_page(offset, limit)
    ids = await redis.run(listing.dead_letters(queue, offset, limit))
    for info in await redis.run_all([one_task.task_info(task_id) for task_id in ids]):
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
