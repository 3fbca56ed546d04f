"""The clients that an app uses in inline mode and under the recorder.

They are clients in name and type, so that all code that takes a client takes them. Each method that
would ask Redis asks the mode instead; the methods that are made of these are the real ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from identtqueue.client.client import Client
from identtqueue.client.many import NoResult
from identtqueue.client.sync import SyncClient
from identtqueue.protocol import codec
from identtqueue.protocol.answers import Receipt
from identtqueue.protocol.submission import Submission
from identtqueue.task import Result, State, Task, TaskInfo, check_queue_name, queue_of

if TYPE_CHECKING:
    from identtqueue.testing.mode import Mode

NO_ADDRESS: Final = "redis://no-server-in-inline-mode.invalid"
"""Where the clients and the worker of inline mode would connect, if they did."""


class InlineClient(Client):
    """An asyncio client without a server.

    Args:
        mode: what runs or records the tasks.
    """

    def __init__(self, mode: Mode) -> None:
        super().__init__(NO_ADDRESS)
        self._mode = mode

    async def connect(self) -> None:
        """Do nothing: there is no connection."""

    async def close(self) -> None:
        """Do nothing: there is no connection."""

    async def submit(self, submission: Submission) -> Receipt:
        """See `Client.submit`."""
        (receipt,) = await self.submit_many([submission])
        return receipt

    async def submit_many(self, submissions: Iterable[Submission]) -> list[Receipt]:
        """See `Client.submit_many`."""
        receipts = self._mode.add(list(submissions))
        await self._mode.after_enqueue()
        return receipts

    async def wait(self, task_id: str, timeout_seconds: float | None = None) -> Result:
        """See `Client.wait`."""
        queue_of(task_id)
        return await self._mode.wait(task_id, timeout_seconds)

    async def get_result(self, task_id: str) -> Any | None:
        """See `Client.get_result`."""
        return _result(self._mode, task_id)

    async def get_task(self, task_id: str) -> TaskInfo | None:
        """See `Client.get_task`."""
        return _info(self._mode, task_id)

    async def get_arguments(self, task_id: str) -> Task | None:
        """See `Client.get_arguments`."""
        return _arguments(self._mode, task_id)

    async def get_progress(self, task_id: str) -> Any | None:
        """See `Client.get_progress`."""
        info = _info(self._mode, task_id)
        return info.progress if info else None

    async def watch(self, task_id: str, timeout_seconds: float | None = None) -> AsyncIterator[Any]:
        """Yield the last value that the task has reported, when it has ended."""
        await self.wait(task_id, timeout_seconds)
        if (progress := self._mode.task(task_id).progress) is not None:
            yield progress.value

    async def cancel(self, task_id: str) -> bool:
        """See `Client.cancel`."""
        queue_of(task_id)
        return self._mode.cancel(task_id)

    async def queue_length(self, queue_name: str) -> int:
        """See `Client.queue_length`."""
        return _length(self._mode, queue_name)


class InlineSyncClient(SyncClient):
    """A blocking client without a server.

    Args:
        mode: what runs or records the tasks.
    """

    def __init__(self, mode: Mode) -> None:
        super().__init__(NO_ADDRESS)
        self._mode = mode

    def connect(self) -> None:
        """Do nothing: there is no connection."""

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def submit(self, submission: Submission) -> Receipt:
        """See `Client.submit`."""
        (receipt,) = self.submit_many([submission])
        return receipt

    def submit_many(self, submissions: Iterable[Submission]) -> list[Receipt]:
        """See `Client.submit_many`. In an event loop, the tasks run when the loop runs them."""
        receipts = self._mode.add(list(submissions))
        if not _in_a_loop():
            self._mode.run_blocking(self._mode.after_enqueue())
        return receipts

    def wait(self, task_id: str, timeout_seconds: float | None = None) -> Result:
        """See `Client.wait`."""
        queue_of(task_id)
        return self._mode.run_blocking(self._mode.wait(task_id, timeout_seconds))

    @overload
    def wait_many(
        self,
        task_ids: Sequence[str],
        timeout_seconds: float | None = None,
        *,
        return_exceptions: Literal[False] = False,
    ) -> list[Result]: ...

    @overload
    def wait_many(
        self,
        task_ids: Sequence[str],
        timeout_seconds: float | None = None,
        *,
        return_exceptions: Literal[True],
    ) -> list[Result | NoResult]: ...

    def wait_many(
        self,
        task_ids: Sequence[str],
        timeout_seconds: float | None = None,
        *,
        return_exceptions: bool = False,
    ) -> list[Result] | list[Result | NoResult]:
        """See `Client.wait_many`."""
        many = self._mode.client.wait_many
        if return_exceptions:
            return self._mode.run_blocking(many(task_ids, timeout_seconds, return_exceptions=True))
        return self._mode.run_blocking(many(task_ids, timeout_seconds))

    def as_completed(  # type: ignore[override]
        self,
        task_ids: Sequence[str],
        timeout_seconds: float | None = None,
        *,
        return_exceptions: bool = False,
    ) -> Iterator[Result | NoResult]:
        """See `Client.as_completed`."""
        if return_exceptions:
            yield from self.wait_many(task_ids, timeout_seconds, return_exceptions=True)
        else:
            yield from self.wait_many(task_ids, timeout_seconds)

    def watch(self, task_id: str, timeout_seconds: float | None = None) -> Iterator[Any]:
        """Yield the last value that the task has reported, when it has ended."""
        self.wait(task_id, timeout_seconds)
        if (progress := self._mode.task(task_id).progress) is not None:
            yield progress.value

    def get_result(self, task_id: str) -> Any | None:
        """See `Client.get_result`."""
        return _result(self._mode, task_id)

    def get_task(self, task_id: str) -> TaskInfo | None:
        """See `Client.get_task`."""
        return _info(self._mode, task_id)

    def get_arguments(self, task_id: str) -> Task | None:
        """See `Client.get_arguments`."""
        return _arguments(self._mode, task_id)

    def get_progress(self, task_id: str) -> Any | None:
        """See `Client.get_progress`."""
        info = _info(self._mode, task_id)
        return info.progress if info else None

    def cancel(self, task_id: str) -> bool:
        """See `Client.cancel`."""
        queue_of(task_id)
        return self._mode.cancel(task_id)

    def queue_length(self, queue_name: str) -> int:
        """See `Client.queue_length`."""
        return _length(self._mode, queue_name)


def _info(mode: Mode, task_id: str) -> TaskInfo | None:
    queue_of(task_id)
    task = mode.store.get(task_id)
    return task.info if task is not None else None


def _arguments(mode: Mode, task_id: str) -> Task | None:
    queue_of(task_id)
    task = mode.store.get(task_id)
    if task is None or task.state in (State.SUCCEEDED, State.CANCELLED):
        return None
    return codec.decode_task(task.payload)


def _result(mode: Mode, task_id: str) -> Any | None:
    queue_of(task_id)
    task = mode.store.get(task_id)
    return task.outcome.unwrap() if task is not None and task.state.ended else None


def _length(mode: Mode, queue: str) -> int:
    pending = mode.store.waiting(check_queue_name(queue))
    return sum(task.due_ms <= mode.now.timestamp() * 1000 for task in pending)


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
