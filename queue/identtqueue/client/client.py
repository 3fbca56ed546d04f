"""The asyncio client: enqueues tasks and awaits their results."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import Any, Literal, cast, overload

from identtqueue.client.connections import Connections
from identtqueue.client.gathering import may_be_gathered
from identtqueue.client.many import NoResult, gather_results, iterate_results
from identtqueue.client.settings import check_client_settings
from identtqueue.current import current_task
from identtqueue.errors import ResultTimeout, TaskNotFound
from identtqueue.protocol import codec
from identtqueue.protocol.answers import Cancelled, Receipt
from identtqueue.protocol.call import Call, NewTask
from identtqueue.protocol.calls import enqueueing, inspecting, one_task
from identtqueue.protocol.submission import (
    Submission,
    in_batches,
    new_task,
    new_tasks,
    refuse_existing,
    submission_of,
)
from identtqueue.task import Result, State, Task, TaskInfo, TaskOptions, check_queue_name, queue_of
from identtqueue.transport.connection import AsyncRedis
from identtqueue.transport.enlistment import Enlistment
from identtqueue.transport.home import Home
from identtqueue.transport.lifecycle import AsyncConnected
from identtqueue.transport.settings import RETRY_FOR_SECONDS, RedisSettings
from identtqueue.transport.subscriber import Subscriber


class Client(AsyncConnected):
    """A client that enqueues tasks and awaits results, shared by any number of coroutines.

    ::

        client = Client(redis_address="redis://redis")
        await client.connect()
        task_id = await client.enqueue_job(queue_name="mrz", function_name="read", path="…")
        result = await client.wait_for_result(task_id)

    Args:
        redis_address: an address, `redis://host:port/db`, `embedded` for a server that is started
            when it is needed, or None for the address in `IDENTTQUEUE_REDIS_ADDRESS`. Other
            variables of the environment (`…_USERNAME`, `…_PASSWORD` and so on) add the login, if
            the address holds none, and the TLS files. `RedisSettings` are used as they are,
            without the environment.
        retry_for_seconds: how long a call is retried while Redis can't be reached. Then it raises
            RedisUnavailable. Retrying is safe, because an id is enqueued only once.
        max_payload_bytes: upper bound for the encoded arguments of a task; larger ones are
            refused.

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
        self._settings = RedisSettings.of(redis_address)
        self._retry_for = retry_for_seconds
        self._max_payload_bytes = max_payload_bytes
        self._enlistment = Enlistment()
        self._home = Home(lambda: Connections(self._settings, self._retry_for), "Client")

    @property
    def _redis(self) -> AsyncRedis:
        return self._home.here.redis

    @property
    def _subscriber(self) -> Subscriber:
        return self._home.here.subscriber

    async def connect(self) -> None:
        """Connect now, so that a wrong address or login fails early; else the first call connects.

        Raises:
            RedisUnavailable, RedisAuthFailed, RedisTlsFailed, RedisTopologyMismatch, RedisTooOld:
                Redis cannot be reached or refuses the connection.
        """
        await self._redis.connect()

    async def close(self) -> None:
        """Close the connections. Open waits raise RedisUnavailable."""
        await self._home.here.close()

    @overload
    async def enqueue_job(
        self,
        queue_name: str,
        function_name: str,
        /,
        *args: Any,
        task_options: TaskOptions | None = None,
        **kwargs: Any,
    ) -> str: ...

    @overload
    async def enqueue_job(
        self,
        /,
        *,
        queue_name: str,
        function_name: str,
        task_options: TaskOptions | None = None,
        **kwargs: Any,
    ) -> str: ...

    async def enqueue_job(
        self, /, *args: Any, task_options: TaskOptions | None = None, **kwargs: Any
    ) -> str:
        """Enqueue one task and return its id.

        Args:
            *args: the queue's name, the job's name, then the job's positional arguments. Both
                names may also be given as `queue_name` and `function_name`. If they are given by
                position, the job may have keyword arguments of these two names.
            task_options: how to run the task.
            **kwargs: the job's keyword arguments. The names of `TaskOptions` are refused here,
                because `delay_seconds=5` would reach the job and delay nothing. Use `submit` for a
                job that has such an argument, and to learn whether the task is new.

        Raises:
            InvalidInput: queue name, options or arguments break a rule; nothing was written.
            TaskExists: the id is taken, and the options say `on_existing="raise"`.
            RedisFull: Redis is at `maxmemory`; nothing was written.
            RedisUnavailable: Redis could not be reached for `retry_for_seconds`. The task may have
                been enqueued all the same. Enqueue it again under the same `task_id` to be sure.
            RedisAuthFailed: Redis refuses the login, or its ACL does not let this user enqueue.
            ProtocolMismatch: the queue was written by another major version.
        """
        receipt = await self.submit(submission_of(args, kwargs, task_options))
        return receipt.task_id

    async def submit(self, submission: Submission) -> Receipt:
        """Enqueue one task.

        Returns:
            A receipt; its `created` says whether the task is new.

        Raises:
            InvalidInput, TaskExists, RedisUnavailable, RedisFull, RedisAuthFailed,
            ProtocolMismatch: see `enqueue_job`.
        """
        task = new_task(submission, self._max_payload_bytes)
        queue, here, parent = submission.queue_name, self._home.here, current_task.get()
        self._enlistment.note(here.redis, queue)
        if parent is None and may_be_gathered(task):
            return await here.gatherer.enqueue(queue, task)
        call = enqueueing.enqueue(queue, [task])
        (receipt,) = await (
            here.redis.run(call) if parent is None else self._enqueue_from_job(parent, call, [task])
        )
        if submission.options is not None:
            refuse_existing([submission], [receipt])
        return receipt

    async def submit_many(self, submissions: Iterable[Submission]) -> list[Receipt]:
        """Enqueue many tasks in batches, the next of which are made while Redis stores the first.

        Returns:
            One receipt per task, in the given order.

        Raises:
            InvalidInput: a task breaks a rule. All are checked before the first is written.
            TaskExists: an id is taken. It is raised after all tasks were sent, so the new ones are
                enqueued.
            RedisUnavailable, RedisFull, RedisAuthFailed, ProtocolMismatch: see `enqueue_job`.
                Earlier batches are enqueued, and of later ones those that were on their way.
        """
        items = list(submissions)
        tasks = new_tasks(items, self._max_payload_bytes)
        prepared = [(item.queue_name, task) for item, task in zip(items, tasks, strict=True)]
        redis = self._redis
        batches = list(in_batches(prepared))

        def calls() -> Iterator[Call[list[Receipt]]]:
            for queue, positions in batches:
                self._enlistment.note(redis, queue)
                yield enqueueing.enqueue(queue, [prepared[i][1] for i in positions])

        parent = current_task.get()
        if parent is None:
            answers = await redis.run_ahead(calls())
        else:
            answers = [
                await self._enqueue_from_job(parent, call, [prepared[i][1] for i in positions])
                for call, (_, positions) in zip(calls(), batches, strict=True)
            ]
        receipts: dict[int, Receipt] = {}
        for (_, positions), taken in zip(batches, answers, strict=True):
            receipts.update(zip(positions, taken, strict=True))
        complete = [receipts[i] for i in range(len(items))]
        refuse_existing(items, complete)
        return complete

    async def _enqueue_from_job(
        self, parent: str, call: Call[list[Receipt]], batch: Sequence[NewTask]
    ) -> list[Receipt]:
        """Enqueue tasks for the job of a task, and note them in that task, in one round trip."""
        note = enqueueing.children(parent, [task.task_id for task in batch])
        calls: list[Call[Any]] = [call, note]
        receipts, _ = await self._redis.run_each(calls)  # the note may fail: an ACL, say
        if isinstance(receipts, Exception):
            raise receipts
        return cast("list[Receipt]", receipts)

    async def wait_for_result(self, task_id: str, timeout_seconds: float | None = None) -> Any:
        """Wait for the task's result, without polling, and return it.

        Args:
            task_id: the task to wait for.
            timeout_seconds: how long to wait; 0 looks once, None waits until the task has ended.

        Raises:
            TaskFailed, TaskCancelled, TaskExpired: the task ended without a result.
            ResultTimeout: the task has not ended within `timeout_seconds`; it goes on.
            TaskNotFound: there is no such task, or its result has expired.
            InvalidTaskId: the id is not `<queue>:<unique part>`.
            RedisUnavailable: Redis could not be reached for `retry_for_seconds`, or the client was
                closed.
            RedisAuthFailed: Redis has refused the login or the subscription.
        """
        return (await self.wait(task_id, timeout_seconds)).unwrap()

    async def wait(self, task_id: str, timeout_seconds: float | None = None) -> Result:
        """Wait until the task has ended and return how, also if it failed or was cancelled.

        Args:
            task_id: the task to wait for.
            timeout_seconds: how long to wait; 0 looks once, None waits until the task has ended.

        Raises:
            ResultTimeout, TaskNotFound, InvalidTaskId, RedisUnavailable, RedisAuthFailed: see
                `wait_for_result`.
        """
        queue_of(task_id)
        results = self._home.here.results
        if timeout_seconds is not None and timeout_seconds <= 0:
            found = await results.look(task_id)
            if found is None:
                raise ResultTimeout(task_id, timeout_seconds)
            return found
        try:
            async with asyncio.timeout(timeout_seconds):
                return await results.wait(task_id)
        except TimeoutError as error:
            if isinstance(error, ResultTimeout) or timeout_seconds is None:
                raise
            raise ResultTimeout(task_id, timeout_seconds) from None

    @overload
    async def wait_many(
        self,
        task_ids: Sequence[str],
        timeout_seconds: float | None = None,
        *,
        return_exceptions: Literal[False] = False,
    ) -> list[Result]: ...

    @overload
    async def wait_many(
        self,
        task_ids: Sequence[str],
        timeout_seconds: float | None = None,
        *,
        return_exceptions: Literal[True],
    ) -> list[Result | NoResult]: ...

    async def wait_many(
        self,
        task_ids: Sequence[str],
        timeout_seconds: float | None = None,
        *,
        return_exceptions: bool = False,
    ) -> list[Result] | list[Result | NoResult]:
        """Wait until all tasks have ended and return how each ended, in the given order.

        A task that failed or was cancelled has a `Result` as well. A task that timed out or does
        not exist has none.

        Args:
            task_ids: the tasks to wait for, of any queues.
            timeout_seconds: how long to wait for all of them together; 0 looks once.
            return_exceptions: as in `asyncio.gather`. True: a ResultTimeout or TaskNotFound takes
                the place of the missing result, and the other results are kept.

        Raises:
            ResultTimeout, TaskNotFound: for the first task without a result, as soon as that is
                certain; only without `return_exceptions`.
            InvalidTaskId, RedisUnavailable, RedisAuthFailed: see `wait_for_result`.
        """
        waits = [asyncio.ensure_future(self.wait(t, timeout_seconds)) for t in task_ids]
        return await gather_results(waits, return_exceptions=return_exceptions)

    @overload
    def as_completed(
        self,
        task_ids: Sequence[str],
        timeout_seconds: float | None = None,
        *,
        return_exceptions: Literal[False] = False,
    ) -> AsyncIterator[Result]: ...

    @overload
    def as_completed(
        self,
        task_ids: Sequence[str],
        timeout_seconds: float | None = None,
        *,
        return_exceptions: Literal[True],
    ) -> AsyncIterator[Result | NoResult]: ...

    async def as_completed(
        self,
        task_ids: Sequence[str],
        timeout_seconds: float | None = None,
        *,
        return_exceptions: bool = False,
    ) -> AsyncIterator[Result | NoResult]:
        """Iterate over the results of the tasks, in the order in which they end.

        Args:
            task_ids: the tasks to wait for, of any queues.
            timeout_seconds: how long to wait for all of them together; 0 looks once.
            return_exceptions: True: a ResultTimeout or TaskNotFound is yielded instead of raised.
                Its `task_id` names the task.

        Raises:
            ResultTimeout, TaskNotFound: for the first task without a result, after all results
                that have arrived by then; only without `return_exceptions`.
            InvalidTaskId, RedisUnavailable, RedisAuthFailed: see `wait_for_result`.
        """
        waits = [asyncio.ensure_future(self.wait(t, timeout_seconds)) for t in task_ids]
        async with aclosing(iterate_results(waits, return_exceptions=return_exceptions)) as results:
            async for result in results:
                yield result

    async def get_result(self, task_id: str) -> Any | None:
        """Return the result if the task has ended, else None, without waiting.

        A job may return None as well. `get_status` distinguishes the two cases.

        Args:
            task_id: the task to look at.

        Raises:
            TaskFailed, TaskCancelled, TaskExpired: the task ended without a result.
            InvalidTaskId: the id is not `<queue>:<unique part>`.
        """
        found = await self._home.here.results.ask(task_id)
        return found.unwrap() if isinstance(found, Result) else None

    async def get_status(self, task_id: str) -> State | None:
        """Return the task's state; None if it was never enqueued or its result has expired.

        Args:
            task_id: the task, in any state.

        Raises:
            InvalidTaskId: the id is not `<queue>:<unique part>`.
        """
        info = await self.get_task(task_id)
        return info.state if info else None

    async def get_task(self, task_id: str) -> TaskInfo | None:
        """Return all that is known of the task; None if there is no such task any more.

        Args:
            task_id: the task, in any state.

        Raises:
            InvalidTaskId: the id is not `<queue>:<unique part>`.
        """
        return await self._redis.run(one_task.task_info(task_id))

    async def get_arguments(self, task_id: str) -> Task | None:
        """Return what the task was called with: its job, arguments and options, as plain values.

        Args:
            task_id: the task, in any state.

        Returns:
            None if the arguments are no longer kept, because the task has ended
            (`App(keep_arguments=False)`, or more than 16 KiB), or if there is no such task.

        Raises:
            PayloadUndecodable: the stored bytes can't be read.
            InvalidTaskId: the id is not `<queue>:<unique part>`.
        """
        payload = await self._redis.run(one_task.task_payload(task_id))
        return None if payload is None else codec.decode_task(payload)

    async def get_progress(self, task_id: str) -> Any | None:
        """Return the latest progress of the task; it can be read for as long as the result.

        Args:
            task_id: the task, running or ended.

        Returns:
            None if the current attempt has reported nothing, or if there is no such task.

        Raises:
            InvalidTaskId: the id is not `<queue>:<unique part>`.
        """
        found = await self._redis.run(one_task.last_progress(task_id))
        return found.value if found else None

    async def watch(self, task_id: str, timeout_seconds: float | None = None) -> AsyncIterator[Any]:
        """Iterate over the progress of a task, from the latest value on, until the task has ended.

        ::

            async for progress in client.watch(task_id):
                print(progress)
            result = await client.wait_for_result(task_id)

        Values may be skipped if newer ones have arrived, but never the last one. When a task is
        retried, its next attempt reports anew.

        Args:
            task_id: the task to watch.
            timeout_seconds: how long to watch; 0 looks once, None watches until the task has
                ended.

        Raises:
            ResultTimeout: the task has not ended within `timeout_seconds`.
            TaskNotFound: there is no such task, or its result has expired.
        """
        async with aclosing(self._home.here.watches.watch(task_id, timeout_seconds)) as values:
            async for value in values:
                yield value

    async def cancel(self, task_id: str) -> bool:
        """Cancel the task, or ask its worker to cancel it if it is running.

        A running async job gets a CancelledError. A job that runs in a process loses its process,
        which is killed. A job in a thread can't be interrupted, so only its result is dropped.

        Args:
            task_id: the task to cancel.

        Returns:
            True if the task is cancelled or its worker was asked; False if it had ended already.

        Raises:
            TaskNotFound: there is no such task, or its result has expired.
            InvalidTaskId: the id is not `<queue>:<unique part>`.
        """
        answer = await self._redis.run(one_task.cancel(task_id))
        if answer is Cancelled.MISSING:
            raise TaskNotFound(task_id)
        return answer is not Cancelled.ENDED

    async def queue_length(self, queue_name: str) -> int:
        """Count the tasks that are pending in the queue.

        Args:
            queue_name: name of the queue.

        Raises:
            InvalidQueueName: the name breaks the rule.
        """
        return (await self._redis.run(inspecting.depth(check_queue_name(queue_name)))).queued
