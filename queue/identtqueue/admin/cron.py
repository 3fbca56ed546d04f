"""The schedules of a queue: run now, pause, resume."""

from __future__ import annotations

from identtqueue.errors import InvalidInput
from identtqueue.protocol.answers import CronPaused
from identtqueue.protocol.calls import scheduling
from identtqueue.transport.connection import AsyncRedis


async def run_now(redis: AsyncRedis, queue: str, name: str, note: bytes) -> str:
    """Enqueue a task of a schedule at once: see `Admin.run_cron_now`."""
    receipt = await redis.run(scheduling.run_cron(queue, name, note=note))
    if receipt is None:
        raise _unknown(queue, name)
    return receipt.task_id


async def set_paused(redis: AsyncRedis, queue: str, name: str, note: bytes, *, stop: bool) -> bool:
    """Pause or resume a schedule: see `Admin.pause_cron` and `Admin.resume_cron`."""
    answer = await redis.run(scheduling.pause_cron(queue, name, stop=stop, note=note))
    if answer is CronPaused.MISSING:
        raise _unknown(queue, name)
    return answer is CronPaused.OK


def _unknown(queue: str, name: str) -> InvalidInput:
    return InvalidInput(
        f"queue {queue} has no schedule {name!r}: a worker declares its schedules when it starts. "
        f"`identtqueue cron list {queue}` shows those that are declared"
    )
