"""The client of identtqueue 0.2, on today's engine."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property
from typing import Any, Final

from redis.asyncio import Redis

from identtqueue.client import client as today
from identtqueue.errors import InvalidInput, ResultTimeout, TaskNotFound, TimedOut
from identtqueue.protocol.calls import bridge, server_facts
from identtqueue.protocol.submission import Submission
from identtqueue.retry import class_name
from identtqueue.task import Result, State, TaskOptions
from identtqueue.transport.address import Topology
from identtqueue.transport.connect import async_redis
from identtqueue.transport.dial import with_host_check
from identtqueue.transport.settings import RETRY_FOR_SECONDS, RedisSettings
from identtqueue.v02.deprecation import replaced, without_meaning
from identtqueue.v02.exceptions import (
    ClientTimeoutException,
    ErrorException,
    ResultNotFound,
    WorkerTimeoutException,
)
from identtqueue.v02.job import JobStatus, JobStatusType

Serializer = Callable[[Any], Any]

TIMED_OUT: Final = class_name(TimedOut)
"""The type of a failure that 0.2 reports as the worker's time-out."""

NO_SERIALIZER: Final = (
    "arguments and results travel as msgpack (docs/library.md#values). Convert other values "
    "before you pass them"
)


class Client:
    """A client with the interface of 0.2. Deprecated: use `identtqueue.Client`.

    Args:
        redis_address: address or settings of Redis.
        redis_max_connections: has no meaning any more: all calls share one connection.
        job_serializer, job_deserializer: have no meaning any more.
        status_ttl: how long status and result of a task can be read after its end, in seconds.
        logger: kept as an attribute.

    Attributes:
        logger: the given logger.
    """

    def __init__(
        self,
        redis_address: str | RedisSettings = "redis://redis",
        redis_max_connections: int = 10,
        job_serializer: Serializer | None = None,
        job_deserializer: Serializer | None = None,
        status_ttl: float = 86_400,
        logger: Any = None,
    ) -> None:
        replaced("Client", "identtqueue.Client")
        without_meaning(
            "Client",
            {
                "redis_max_connections": (redis_max_connections, 10, "one connection is enough"),
                "job_serializer": (job_serializer, None, NO_SERIALIZER),
                "job_deserializer": (job_deserializer, None, NO_SERIALIZER),
            },
        )
        self.logger = logger or logging.getLogger("identtqueue.v02")
        self._settings = RedisSettings.of(redis_address)
        self._options = TaskOptions(result_ttl_seconds=status_ttl)
        self._client = today.Client(self._settings)
        self._calls = async_redis(
            self._settings, client_name="identtqueue-v02", retry_for_seconds=RETRY_FOR_SECONDS
        )

    @cached_property
    def redis(self) -> Redis:
        """A client of redis-py, for commands of your own.

        Raises:
            InvalidInput: the address is that of Sentinels, a cluster or an embedded server.
        """
        return raw_redis(self._settings)

    async def connect(self) -> None:
        """Connect now. Today: `Client.connect`."""
        replaced("Client.connect", "identtqueue.Client.connect")
        await self._client.connect()

    async def disconnect(self) -> None:
        """Close the connections. Today: `Client.close`."""
        replaced("Client.disconnect", "identtqueue.Client.close")
        await self._client.close()
        await self._calls.close()
        if "redis" in self.__dict__:
            await self.redis.aclose()

    async def enqueue_job(
        self, queue_name: str, function_name: str, *args: Any, **kwargs: Any
    ) -> str:
        """Enqueue a task and return its id. Today: `Client.enqueue_job`."""
        replaced("Client.enqueue_job", "identtqueue.Client.enqueue_job, or job.enqueue of an App")
        submission = Submission(queue_name, function_name, args, kwargs, self._options)
        return (await self._client.submit(submission)).task_id

    async def wait_for_result(
        self, task_id: str, result_timeout: float = 60.0, remove: bool = True
    ) -> Any:
        """Wait for the result of a task. Today: `Client.wait_for_result(task_id, timeout_seconds)`.

        Args:
            task_id: the task.
            result_timeout: how long to wait, in seconds; 0: for ever.
            remove: whether the result is removed. A failure stays, as a dead letter.

        Raises:
            ClientTimeoutException: the result did not come in time.
            WorkerTimeoutException: the job took too long.
            ErrorException: the job has failed, or the task was cancelled.
            ResultNotFound: there is no such task, or its result was removed or has expired.
        """
        replaced("Client.wait_for_result", "identtqueue.Client.wait_for_result(timeout_seconds=…)")
        try:
            result = await self._client.wait(task_id, result_timeout or None)
        except ResultTimeout:
            raise ClientTimeoutException(task_id) from None
        except TaskNotFound:
            raise ResultNotFound(task_id) from None
        return await self._taken(result, remove=remove)

    async def get_result(self, task_id: str, remove: bool = True) -> Any:
        """Return the result of a task, or None if there is none. Today: `Client.get_result`.

        Args:
            task_id: the task.
            remove: whether the result is removed. A failure stays, as a dead letter.

        Raises:
            WorkerTimeoutException, ErrorException: see `wait_for_result`.
        """
        replaced("Client.get_result", "identtqueue.Client.get_result")
        try:
            result = await self._client.wait(task_id, 0)
        except (ResultTimeout, TaskNotFound):
            return None
        return await self._taken(result, remove=remove)

    async def get_status(self, task_id: str) -> JobStatus | None:
        """Return the status of a task; None if there is no such task. Today: `Client.get_task`."""
        replaced("Client.get_status", "identtqueue.Client.get_status and Client.get_progress")
        info = await self._client.get_task(task_id)
        if info is None:
            return None
        if info.state is State.RUNNING:
            return JobStatus(JobStatusType.PROCESSING, as_data(info.progress))
        ended = info.state.ended
        return JobStatus(JobStatusType.FINISHED if ended else JobStatusType.ENQUEUED)

    async def get_time(self) -> float:
        """Return Redis' time, in seconds since 1970. Today: `TaskInfo` has the times of a task."""
        replaced("Client.get_time", "the times of identtqueue.Client.get_task")
        return await self._calls.run(server_facts.server_time())

    async def _taken(self, result: Result, *, remove: bool) -> Any:
        if remove:
            await self._calls.run(bridge.remove(result.task_id))
        if result.state is State.SUCCEEDED:
            return result.value
        failure = result.failure
        assert failure is not None
        if failure.type == TIMED_OUT:
            raise WorkerTimeoutException(result.task_id)
        raise ErrorException(failure.message)


def as_data(progress: Any) -> dict[str, Any]:
    """Return the progress of a task in the form of 0.2, which are values by name."""
    if progress is None:
        return {}
    return progress if isinstance(progress, dict) else {"progress": progress}


def raw_redis(settings: RedisSettings) -> Redis:
    """Make a client of redis-py for the same server.

    Raises:
        InvalidInput: the address is that of Sentinels, a cluster or an embedded server.
    """
    if settings.topology is not Topology.STANDALONE or settings.place.embedded is not None:
        raise InvalidInput(
            "identtqueue.v02: the attribute redis exists for the address of a single server only: "
            "make a client of redis-py for Sentinels, a cluster or an embedded server"
        )
    arguments = settings.connection_arguments()
    if (path := arguments.pop("path", None)) is not None:
        arguments["unix_socket_path"] = path
    if settings.uses_tls:
        arguments = with_host_check(arguments)
    return Redis(ssl=settings.uses_tls, **arguments)
