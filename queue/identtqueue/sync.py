"""The blocking client: for threads, scripts and frameworks without an event loop."""

from __future__ import annotations

import contextlib
import math
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from redis.connection import AbstractConnection

from identtqueue.errors import RedisUnavailable, ResultTimeout, TaskNotFound
from identtqueue.protocol import codec, commands, keys
from identtqueue.protocol.commands import Cancelled, Receipt
from identtqueue.protocol.submission import Submission, in_batches, new_task
from identtqueue.task import Result, State, TaskInfo, TaskOptions, check_queue_name, queue_of
from identtqueue.transport import wire
from identtqueue.transport.blocking import SyncRedis, open_blocking
from identtqueue.transport.settings import RETRY_FOR_SECONDS, RedisSettings

LOOK_SECONDS = 5.0
"""A wait looks at the task itself this often, in case its connection died without a sign."""


@dataclass(slots=True)
class _Listener:
    """A connection that is subscribed to a channel of its own; used by one wait after the other."""

    connection: AbstractConnection
    channel: str

    def hear(self, task_id: str, seconds: float) -> Result | None:
        """The result if it is said in time; None also for news of an earlier wait's task."""
        if seconds <= 0 or not self.connection.can_read(timeout=seconds):
            return None
        told, result = commands.parse_reply(self.connection.read_response()[2])
        return result if told == task_id else None


class SyncClient:
    """`Client` without asyncio: the same methods, blocking, but for waiting for many at once.

    Threads may share an instance.

    Args:
        redis_address, retry_for_seconds, max_payload_bytes: see `Client`.
    """

    def __init__(
        self,
        redis_address: str | RedisSettings | None = None,
        *,
        retry_for_seconds: float = RETRY_FOR_SECONDS,
        max_payload_bytes: int = codec.DEFAULT_MAX_PAYLOAD_BYTES,
    ) -> None:
        self._settings = RedisSettings.of(redis_address)
        self._redis = SyncRedis(
            self._settings, client_name="identtqueue-client", retry_for_seconds=retry_for_seconds
        )
        self._retry_for = retry_for_seconds
        self._max_payload_bytes = max_payload_bytes
        self._listeners: list[_Listener] = []  # idle ones

    def connect(self) -> None:
        """Connect now, to fail early.

        Raises:
            RedisUnavailable, RedisAuthFailed, RedisTooOld: Redis is not to be had.
        """
        self._redis.run(commands.server_info())

    def close(self) -> None:
        """Close the connections."""
        while self._listeners:
            self._listeners.pop().connection.disconnect()
        self._redis.close()

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

    def enqueue_job(
        self,
        queue_name: str,
        function_name: str,
        *args: Any,
        task_options: TaskOptions | None = None,
        **kwargs: Any,
    ) -> str:
        """See `Client.enqueue_job`."""
        submission = Submission(queue_name, function_name, args, kwargs, task_options)
        return self.submit(submission).task_id

    def submit(self, submission: Submission) -> Receipt:
        """See `Client.submit`."""
        return self.submit_many([submission])[0]

    def submit_many(self, submissions: Iterable[Submission]) -> list[Receipt]:
        """See `Client.submit_many`."""
        prepared = [
            (item.queue_name, new_task(item, self._max_payload_bytes)) for item in submissions
        ]
        receipts: dict[int, Receipt] = {}
        for queue, positions in in_batches(prepared):
            batch = [prepared[i][1] for i in positions]
            taken = self._redis.run(commands.enqueue(queue, batch))
            receipts.update(zip(positions, taken, strict=True))
        return [receipts[i] for i in range(len(prepared))]

    def wait_for_result(self, task_id: str, timeout_seconds: float | None = None) -> Any:
        """See `Client.wait_for_result`; waits of several threads take a connection each."""
        return self.wait(task_id, timeout_seconds).unwrap()

    def wait(self, task_id: str, timeout_seconds: float | None = None) -> Result:
        """See `Client.wait`."""
        queue_of(task_id)
        deadline = math.inf if timeout_seconds is None else time.monotonic() + timeout_seconds
        while True:
            try:
                found = self._wait_once(task_id, deadline)
            except RedisUnavailable:
                if time.monotonic() < deadline:
                    raise
                found = None
            if found is not None:
                return found
            if time.monotonic() >= deadline:
                raise ResultTimeout(task_id, timeout_seconds or 0)

    def _wait_once(self, task_id: str, deadline: float) -> Result | None:
        """Subscribe, then ask, then listen; None: nothing came, or the connection was lost."""
        try:
            listener = self._listener()
        except (RedisUnavailable, *wire.CONNECTION_LOST):
            return self._look(task_id, "", deadline)  # this one retries, and raises in the end
        try:
            found = self._look(task_id, listener.channel, deadline)
            if found is None:
                found = listener.hear(task_id, min(LOOK_SECONDS, deadline - time.monotonic()))
        except wire.CONNECTION_LOST:
            listener.connection.disconnect()
            return None
        except BaseException:
            listener.connection.disconnect()
            raise
        self._listeners.append(listener)
        return found

    def _listener(self) -> _Listener:
        """An idle one, or a new one."""
        with contextlib.suppress(IndexError):
            return self._listeners.pop()
        connection = open_blocking(self._settings, "identtqueue-results")
        channel = keys.reply_channel(secrets.token_hex(8))
        connection.send_command("SUBSCRIBE", channel, check_health=False)
        connection.read_response()
        return _Listener(connection, channel)

    def _look(self, task_id: str, channel: str, deadline: float) -> Result | None:
        patience = max(0.0, min(self._retry_for, deadline - time.monotonic()))
        found = self._redis.run(commands.await_result(task_id, channel), retry_for_seconds=patience)
        if found is None:
            raise TaskNotFound(task_id)
        return found if isinstance(found, Result) else None

    def get_result(self, task_id: str) -> Any | None:
        """See `Client.get_result`."""
        found = self._redis.run(commands.await_result(task_id))
        return found.unwrap() if isinstance(found, Result) else None

    def get_status(self, task_id: str) -> State | None:
        """See `Client.get_status`."""
        info = self.get_task(task_id)
        return info.state if info else None

    def get_task(self, task_id: str) -> TaskInfo | None:
        """See `Client.get_task`."""
        return self._redis.run(commands.task_info(task_id))

    def cancel(self, task_id: str) -> bool:
        """See `Client.cancel`."""
        answer = self._redis.run(commands.cancel(task_id))
        if answer is Cancelled.MISSING:
            raise TaskNotFound(task_id)
        return answer is not Cancelled.ENDED

    def queue_length(self, queue_name: str) -> int:
        """See `Client.queue_length`."""
        return self._redis.run(commands.depth(check_queue_name(queue_name))).queued
