"""The handles of enqueued tasks: they await the result and keep its type."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from identtqueue.task import State

if TYPE_CHECKING:
    from identtqueue.app.job import AppJob

R_co = TypeVar("R_co", covariant=True)


class _Handle(msgspec.Struct, Generic[R_co], frozen=True, eq=False, weakref=True):
    """Common base of the asyncio and the blocking handle."""

    _job: AppJob[Any, R_co]
    task_id: str
    created: bool

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.task_id})"


class TaskHandle(_Handle[R_co], frozen=True, eq=False):
    """An enqueued task, with the type of its result.

    Attributes:
        task_id: `<queue>:<unique part>`.
        created: False if the task id or the unique key existed already: the handle then stands
            for the existing task. Also False if the handle was made from an id (`AppJob.handle`).
    """

    async def result(self, timeout_seconds: float | None = None) -> R_co:
        """Wait for the job's return value and convert it to the type that the job declares.

        Args:
            timeout_seconds: how long to wait; None: until the task has ended.

        Raises:
            TaskFailed, TaskCancelled, TaskExpired, ResultTimeout, TaskNotFound,
            RedisUnavailable: see `Client.wait_for_result`.
            BadResult: the value doesn't fit the declared type.
        """
        result = await self._job.app.client.wait(self.task_id, timeout_seconds)
        return self._job.convert_result(result)

    def progress(self, timeout_seconds: float | None = None) -> AsyncIterator[Any]:
        """Iterate over the progress that the job reports until it has ended: see `Client.watch`."""
        return self._job.app.client.watch(self.task_id, timeout_seconds)

    async def status(self) -> State | None:
        """Return the task's state; None if its result has expired."""
        return await self._job.app.client.get_status(self.task_id)

    async def cancel(self) -> bool:
        """See `Client.cancel`."""
        return await self._job.app.client.cancel(self.task_id)


class SyncTaskHandle(_Handle[R_co], frozen=True, eq=False):
    """An enqueued task, for code without an event loop: `TaskHandle` with blocking methods."""

    def result(self, timeout_seconds: float | None = None) -> R_co:
        """See `TaskHandle.result`."""
        result = self._job.app.sync_client.wait(self.task_id, timeout_seconds)
        return self._job.convert_result(result)

    def progress(self, timeout_seconds: float | None = None) -> Iterator[Any]:
        """See `TaskHandle.progress`."""
        return self._job.app.sync_client.watch(self.task_id, timeout_seconds)

    def status(self) -> State | None:
        """See `TaskHandle.status`."""
        return self._job.app.sync_client.get_status(self.task_id)

    def cancel(self) -> bool:
        """See `Client.cancel`."""
        return self._job.app.sync_client.cancel(self.task_id)
