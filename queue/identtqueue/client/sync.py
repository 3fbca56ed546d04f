"""The blocking client: for threads, scripts and frameworks without an event loop."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Literal, Self, overload

from identtqueue.client.client import Client
from identtqueue.client.gathering import may_be_gathered
from identtqueue.client.many import NoResult
from identtqueue.client.settings import check_client_settings
from identtqueue.current import current_task
from identtqueue.errors import RedisError, TaskNotFound
from identtqueue.protocol import codec
from identtqueue.protocol.answers import Announced, Cancelled, Receipt
from identtqueue.protocol.calls import enqueueing, inspecting, one_task, server_facts
from identtqueue.protocol.submission import (
    Submission,
    in_batches,
    new_task,
    new_tasks,
    refuse_existing,
    submission_of,
)
from identtqueue.task import Result, State, Task, TaskInfo, TaskOptions, check_queue_name, queue_of
from identtqueue.transport.background import Background, LazyBackground
from identtqueue.transport.connect import blocking_redis
from identtqueue.transport.enlistment import Enlistment
from identtqueue.transport.fork_local import ForkLocal
from identtqueue.transport.settings import RETRY_FOR_SECONDS, RedisSettings
from identtqueue.transport.shared_call import CallPart


class _BlockingConnections:
    """The connections of one process: one for calls, and one asyncio client that waits."""

    def __init__(self, settings: RedisSettings, retry_for_seconds: float) -> None:
        self.redis = blocking_redis(
            settings, client_name="identtqueue-client", retry_for_seconds=retry_for_seconds
        )
        self._waits = LazyBackground(lambda: Client(settings, retry_for_seconds=retry_for_seconds))

    @property
    def waits(self) -> Background[Client]:
        """The thread in which an asyncio client waits; it starts with the first wait."""
        return self._waits.running

    def close(self) -> None:
        self.redis.close()
        self._waits.close()


class SyncClient:
    """A blocking client with the methods of `Client`, for code without asyncio.

    Threads can share an instance: their calls share round trips, and their waits share one
    subscription. Processes that were forked after it was made can use it too; each opens its own
    connections.

    Args:
        redis_address, retry_for_seconds, max_payload_bytes: see `Client`.

    Raises:
        InvalidInput: the address, the environment or a setting breaks a rule.
    """

    def __init__(
        self,
        redis_address: str | RedisSettings | None = None,
        *,
        retry_for_seconds: float = RETRY_FOR_SECONDS,
        max_payload_bytes: int = codec.DEFAULT_MAX_PAYLOAD_BYTES,
    ) -> None:
        check_client_settings(retry_for_seconds, max_payload_bytes)
        settings = RedisSettings.of(redis_address)
        self._max_payload_bytes = max_payload_bytes
        self._connections = ForkLocal(lambda: _BlockingConnections(settings, retry_for_seconds))
        self._enlistment = Enlistment()

    @property
    def _here(self) -> _BlockingConnections:
        """Connections of this process; closed at the latest when the client is collected."""
        return self._connections.here

    def connect(self) -> None:
        """Connect now, so that a wrong address or login fails early.

        Raises:
            RedisUnavailable, RedisAuthFailed, RedisTlsFailed, RedisTopologyMismatch, RedisTooOld:
                Redis cannot be reached or refuses the connection.
        """
        self._here.redis.run(server_facts.server_info())

    def close(self) -> None:
        """Close the connections; the next call opens them again. Open waits raise an error."""
        self._here.close()

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    @overload
    def enqueue_job(
        self,
        queue_name: str,
        function_name: str,
        /,
        *args: Any,
        task_options: TaskOptions | None = None,
        **kwargs: Any,
    ) -> str: ...

    @overload
    def enqueue_job(
        self,
        /,
        *,
        queue_name: str,
        function_name: str,
        task_options: TaskOptions | None = None,
        **kwargs: Any,
    ) -> str: ...

    def enqueue_job(
        self, /, *args: Any, task_options: TaskOptions | None = None, **kwargs: Any
    ) -> str:
        """See `Client.enqueue_job`."""
        return self.submit(submission_of(args, kwargs, task_options)).task_id

    def submit(self, submission: Submission) -> Receipt:
        """See `Client.submit`."""
        task = new_task(submission, self._max_payload_bytes)
        if current_task.get() is not None or not may_be_gathered(task):
            return self._submit_in_batches([submission])[0]
        queue, redis = submission.queue_name, self._here.redis
        receipt: Receipt = redis.run_part(
            CallPart(queue, task, len(task.payload), enqueueing.enqueue)
        )
        self._note(queue)
        return receipt

    def submit_many(self, submissions: Iterable[Submission]) -> list[Receipt]:
        """See `Client.submit_many`."""
        return self._submit_in_batches(list(submissions))

    def _submit_in_batches(self, items: Sequence[Submission]) -> list[Receipt]:
        tasks = new_tasks(items, self._max_payload_bytes)
        prepared = [(item.queue_name, task) for item, task in zip(items, tasks, strict=True)]
        receipts: dict[int, Receipt] = {}
        for queue, positions in in_batches(prepared):
            batch = [prepared[i][1] for i in positions]
            taken = self._here.redis.run(enqueueing.enqueue(queue, batch))
            self._note_children([task.task_id for task in batch])
            receipts.update(zip(positions, taken, strict=True))
            self._note(queue)
        complete = [receipts[i] for i in range(len(prepared))]
        refuse_existing(items, complete)
        return complete

    def _note(self, queue: str) -> None:
        """Note in the registry that a queue is in use, if that is due. An error does no harm."""
        if (call := self._enlistment.due(queue)) is None:
            return
        try:
            self._enlistment.answered(self._here.redis.run(call, retry_for_seconds=0))
        except RedisError as error:
            self._enlistment.answered(error)

    def _note_children(self, task_ids: Sequence[str]) -> None:
        """If a job has enqueued these tasks, note that in its own task."""
        if (parent := current_task.get()) is not None:
            with contextlib.suppress(RedisError):  # the tasks are enqueued all the same
                self._here.redis.run(enqueueing.children(parent, task_ids))

    def wait_for_result(self, task_id: str, timeout_seconds: float | None = None) -> Any:
        """See `Client.wait_for_result`."""
        return self.wait(task_id, timeout_seconds).unwrap()

    def wait(self, task_id: str, timeout_seconds: float | None = None) -> Result:
        """See `Client.wait`."""
        queue_of(task_id)
        return self._here.waits.run(lambda client: client.wait(task_id, timeout_seconds))

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
        waits = self._here.waits
        if return_exceptions:
            return waits.run(
                lambda client: client.wait_many(task_ids, timeout_seconds, return_exceptions=True)
            )
        return waits.run(lambda client: client.wait_many(task_ids, timeout_seconds))

    @overload
    def as_completed(
        self,
        task_ids: Sequence[str],
        timeout_seconds: float | None = None,
        *,
        return_exceptions: Literal[False] = False,
    ) -> Iterator[Result]: ...

    @overload
    def as_completed(
        self,
        task_ids: Sequence[str],
        timeout_seconds: float | None = None,
        *,
        return_exceptions: Literal[True],
    ) -> Iterator[Result | NoResult]: ...

    def as_completed(
        self,
        task_ids: Sequence[str],
        timeout_seconds: float | None = None,
        *,
        return_exceptions: bool = False,
    ) -> Iterator[Result | NoResult]:
        """See `Client.as_completed`."""
        waits = self._here.waits
        if return_exceptions:
            return waits.iterate(
                lambda client: client.as_completed(
                    task_ids, timeout_seconds, return_exceptions=True
                )
            )
        return waits.iterate(lambda client: client.as_completed(task_ids, timeout_seconds))

    def watch(self, task_id: str, timeout_seconds: float | None = None) -> Iterator[Any]:
        """See `Client.watch`."""
        queue_of(task_id)
        return self._here.waits.iterate(lambda client: client.watch(task_id, timeout_seconds))

    def get_result(self, task_id: str) -> Any | None:
        """See `Client.get_result`."""
        redis = self._here.redis
        found = redis.run(one_task.await_result(task_id))
        if isinstance(found, Announced):
            found = redis.run(one_task.await_result(task_id, size_bytes=found.size_bytes))
        return found.unwrap() if isinstance(found, Result) else None

    def get_status(self, task_id: str) -> State | None:
        """See `Client.get_status`."""
        info = self.get_task(task_id)
        return info.state if info else None

    def get_task(self, task_id: str) -> TaskInfo | None:
        """See `Client.get_task`."""
        return self._here.redis.run(one_task.task_info(task_id))

    def get_arguments(self, task_id: str) -> Task | None:
        """See `Client.get_arguments`."""
        payload = self._here.redis.run(one_task.task_payload(task_id))
        return None if payload is None else codec.decode_task(payload)

    def get_progress(self, task_id: str) -> Any | None:
        """See `Client.get_progress`."""
        found = self._here.redis.run(one_task.last_progress(task_id))
        return found.value if found else None

    def cancel(self, task_id: str) -> bool:
        """See `Client.cancel`."""
        answer = self._here.redis.run(one_task.cancel(task_id))
        if answer is Cancelled.MISSING:
            raise TaskNotFound(task_id)
        return answer is not Cancelled.ENDED

    def queue_length(self, queue_name: str) -> int:
        """See `Client.queue_length`."""
        return self._here.redis.run(inspecting.depth(check_queue_name(queue_name))).queued
