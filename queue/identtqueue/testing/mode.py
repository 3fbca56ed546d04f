"""The common part of inline mode and the recorder: an app without a server.

A task is checked, converted and encoded as always. What is left out is Redis: the bytes are kept
here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from identtqueue.app import App
from identtqueue.client.client import Client
from identtqueue.client.sync import SyncClient
from identtqueue.errors import InvalidInput, TaskNotFound
from identtqueue.protocol import codec
from identtqueue.protocol.answers import Receipt
from identtqueue.protocol.submission import Submission, new_task, refuse_existing
from identtqueue.task import Result
from identtqueue.testing.enqueued import Assertions, EnqueueLog
from identtqueue.testing.inline_client import NO_ADDRESS, InlineClient, InlineSyncClient
from identtqueue.testing.store import StoredTask, TaskStore
from identtqueue.transport.settings import RedisSettings

T = TypeVar("T")


class Mode(Assertions):
    """A mode in which an app has no server: lends its clients to the app, within a `with` block.

    Args:
        app: the app.
        now: the time at the beginning, an aware datetime.
    """

    def __init__(self, app: App, now: datetime | None) -> None:
        if now is not None and now.utcoffset() is None:
            raise InvalidInput("now must be an aware datetime: datetime(…, tzinfo=UTC)")
        super().__init__(EnqueueLog(app))
        self.app = app
        self.settings = RedisSettings(address=NO_ADDRESS)
        self.client: Client = InlineClient(self)
        self.sync_client: SyncClient = InlineSyncClient(self)
        self.store = TaskStore()
        self._now_ms = round((now.timestamp() if now else time.time()) * 1000)
        self._lending = app.lend(self)

    def __enter__(self) -> Self:
        self._lending.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._lending.__exit__(kind, error, tb)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, tb)

    async def close(self) -> None:
        """Do nothing: an app that closes its connection has none here."""

    @property
    def now(self) -> datetime:
        """The time of the clock, in UTC."""
        return datetime.fromtimestamp(self._now_ms / 1000, UTC)

    # --- what the clients ask ---

    def add(self, submissions: Sequence[Submission]) -> list[Receipt]:
        """Check, encode and keep tasks.

        Raises:
            InvalidInput, TaskExists: see `Client.submit_many`.
        """
        limit = self.app.client_settings.get("max_payload_bytes", codec.DEFAULT_MAX_PAYLOAD_BYTES)
        tasks = [new_task(submission, limit) for submission in submissions]
        receipts = []
        for submission, task in zip(submissions, tasks, strict=True):
            receipt = self.store.add(submission.queue_name, task, self._now_ms)
            self._log.note(submission, receipt)
            receipts.append(receipt)
        refuse_existing(submissions, receipts)
        return receipts

    def task(self, task_id: str) -> StoredTask:
        """Find a task by its id.

        Raises:
            TaskNotFound: it was never enqueued.
        """
        task = self.store.get(task_id)
        if task is None:
            raise TaskNotFound(task_id)
        return task

    def cancel(self, task_id: str) -> bool:
        """Cancel a task: see `Client.cancel`."""
        task = self.task(task_id)
        if task.state.ended:
            return False
        self.store.cancel(task, self._now_ms)
        return True

    async def after_enqueue(self) -> None:
        """Do nothing: no task runs by itself."""

    async def wait(self, task_id: str, timeout_seconds: float | None) -> Result:
        """Return how a task has ended: see `Client.wait`."""
        raise NotImplementedError

    def run_blocking(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine for a caller without an event loop."""
        return asyncio.run(work)
