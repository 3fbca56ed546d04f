"""The schedules of a queue: list them, run one now, pause and resume one."""

from __future__ import annotations

from identtqueue.admin.base import AdminBase
from identtqueue.errors import InvalidInput
from identtqueue.protocol.answers import CronInfo, CronPaused
from identtqueue.protocol.calls import scheduling


class CronAdmin(AdminBase):
    """The methods of `Admin` about schedules."""

    async def cron(self, queue: str) -> list[CronInfo]:
        """List the schedules that workers have declared in the queue, by name.

        A schedule is forgotten when no worker has declared it for 30 days.

        Args:
            queue: name of the queue.
        """
        return await self._redis.run(scheduling.schedules(queue))

    async def run_cron_now(self, queue: str, name: str) -> str:
        """Enqueue a task of a schedule at once, beside its firings, also if it is paused.

        Args:
            queue: name of the queue.
            name: name of the schedule.

        Returns:
            The id of the task. If another task holds the schedule's `unique_key`, nothing is
            enqueued, and it is the id of that task.

        Raises:
            InvalidInput: the queue has no such schedule.
        """
        note = self._note("run_cron", name)
        receipt = await self._redis.run(scheduling.run_cron(queue, name, note=note))
        if receipt is None:
            raise _unknown(queue, name)
        return receipt.task_id

    async def pause_cron(self, queue: str, name: str) -> bool:
        """Withdraw the firings of a schedule that lie ahead, and let none be planned.

        This lasts until `resume_cron`, also through restarts and new releases of the workers. A
        firing that is pending or runs already goes on.

        Args:
            queue: name of the queue.
            name: name of the schedule.

        Returns:
            False if the schedule was paused already.

        Raises:
            InvalidInput: the queue has no such schedule.
        """
        return await self._set_cron_paused(queue, name, stop=True)

    async def resume_cron(self, queue: str, name: str) -> bool:
        """Let a schedule fire again, from its next time on. What was missed is not made up for.

        Args:
            queue: name of the queue.
            name: name of the schedule.

        Returns:
            False if the schedule was not paused.

        Raises:
            InvalidInput: the queue has no such schedule.
        """
        return await self._set_cron_paused(queue, name, stop=False)

    async def _set_cron_paused(self, queue: str, name: str, *, stop: bool) -> bool:
        note = self._note("pause_cron" if stop else "resume_cron", name)
        answer = await self._redis.run(scheduling.pause_cron(queue, name, stop=stop, note=note))
        if answer is CronPaused.MISSING:
            raise _unknown(queue, name)
        return answer is CronPaused.OK


def _unknown(queue: str, name: str) -> InvalidInput:
    return InvalidInput(
        f"queue {queue} has no schedule {name!r}: a worker declares its schedules when it starts. "
        f"`identtqueue cron list {queue}` shows those that are declared"
    )
