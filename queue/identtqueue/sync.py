"""The blocking client: for threads, scripts and frameworks without an event loop."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from redis.connection import AbstractConnection

from identtqueue.client import RETRY_FOR_SECONDS, outcome
from identtqueue.errors import RedisError, ResultTimeout, TaskNotFound
from identtqueue.protocol import codec, commands, keys
from identtqueue.protocol.commands import Cancelled, Receipt
from identtqueue.protocol.submission import Submission, in_batches, new_task
from identtqueue.task import Result, State, TaskInfo, TaskOptions, queue_of
from identtqueue.transport import wire
from identtqueue.transport.blocking import SyncRedis, open_blocking
from identtqueue.transport.settings import RedisSettings

LOOK_SECONDS = 5.0
"""A wait looks at the task itself this often, in case its connection died without a sign."""


class SyncClient:
    """`Client` without asyncio: the same methods, blocking. Threads may share an instance.

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
        self._max_payload_bytes = max_payload_bytes

    def connect(self) -> None:
        """Connect now, to fail early.

        Raises:
            RedisUnavailable, RedisAuthFailed, RedisTooOld: Redis is not to be had.
        """
        self._redis.run(commands.server_info())

    def close(self) -> None:
        """Close the connection."""
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
        return self.submit_many([submission])[0].task_id

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
        """See `Client.wait_for_result`; each wait takes a connection of its own."""
        queue_of(task_id)
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        channel = keys.reply_channel(secrets.token_hex(8))
        while True:
            found = self._wait_once(task_id, channel, deadline)
            if found is not None:
                return outcome(found)
            if deadline is not None and time.monotonic() >= deadline:
                assert timeout_seconds is not None
                raise ResultTimeout(task_id, timeout_seconds)

    def _wait_once(self, task_id: str, channel: str, deadline: float | None) -> Result | None:
        """Subscribe, then ask, then listen; None: nothing came, or the connection was lost."""
        try:
            connection = open_blocking(self._settings, "identtqueue-results")
        except RedisError:
            return self._look(task_id, "")  # this one retries, and raises when it gives up
        try:
            connection.send_command("SUBSCRIBE", channel, check_health=False)
            connection.read_response()
            found = self._look(task_id, channel)
            if found is None and self._listen(connection, deadline):
                found = self._look(task_id, channel)
        except wire.CONNECTION_LOST:
            return None
        else:
            return found
        finally:
            connection.disconnect()

    def _look(self, task_id: str, channel: str) -> Result | None:
        found = self._redis.run(commands.await_result(task_id, channel))
        if found is None:
            raise TaskNotFound(task_id)
        return found if isinstance(found, Result) else None

    @staticmethod
    def _listen(connection: AbstractConnection, deadline: float | None) -> bool:
        """Whether something was said before the deadline, or the time to look came."""
        left = LOOK_SECONDS if deadline is None else min(LOOK_SECONDS, deadline - time.monotonic())
        return left > 0 and (bool(connection.can_read(timeout=left)) or left == LOOK_SECONDS)

    def get_result(self, task_id: str) -> Any | None:
        """See `Client.get_result`."""
        found = self._look(task_id, "")
        return None if found is None else outcome(found)

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
