"""The worker of identtqueue 0.2, on today's engine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import cached_property
from typing import Any, Final

from redis.asyncio import Redis

from identtqueue.errors import RedisError
from identtqueue.protocol.calls import server_facts
from identtqueue.transport.connect import async_redis
from identtqueue.transport.settings import RedisSettings
from identtqueue.v02.client import NO_SERIALIZER, Serializer, raw_redis
from identtqueue.v02.deprecation import replaced, without_meaning
from identtqueue.worker import worker as today
from identtqueue.worker.context import Context

Job = Callable[..., Awaitable[Any]]
Hook = Callable[[Any], Awaitable[None] | None]
"""Called with `ctx`."""

_BY_CLIENT: Final = "the client decides: TaskOptions(result_ttl_seconds=…)"
_PROBED: Final = "a worker keeps a lease in Redis, and http_port serves /livez and /readyz"
HEALTH_SECONDS: Final = 5.0
"""How long `check_health` waits for Redis."""


class Worker:
    """A worker with the interface of 0.2. Deprecated: use `identtqueue.Worker`.

    Args:
        jobs: jobs by name. Each is `async def job(ctx, *args, **kwargs)`. Its `kwargs` always have
            `update_status`.
        redis_address: address or settings of Redis.
        queue_name: the queue to fetch from.
        result_ttl, status_ttl: have no meaning any more: the client decides.
        job_execution_timeout: how long a job may run, in seconds; 0 or None: no limit.
        on_startup, on_shutdown: called with `ctx`, before the first and after the last task.
        wait_task_timeout: has no meaning any more: the worker waits without polling.
        health_check_interval, health_check_max_tries, health_check_retry_time: have no meaning any
            more: the worker reconnects by itself.
        job_serializer, job_deserializer: have no meaning any more.
        logger: kept as an attribute.

    Attributes:
        ctx: a dict that the hooks and all jobs share.
        logger: the given logger.
    """

    def __init__(
        self,
        jobs: Mapping[str, Job],
        redis_address: str | RedisSettings = "redis://redis",
        queue_name: str = "default",
        result_ttl: float = 300,
        status_ttl: float = 86_400,
        job_execution_timeout: float | None = 60.0,
        on_startup: Hook | None = None,
        on_shutdown: Hook | None = None,
        wait_task_timeout: float = 0,
        health_check_interval: float = 0,
        health_check_max_tries: int = 10,
        health_check_retry_time: float = 5,
        job_serializer: Serializer | None = None,
        job_deserializer: Serializer | None = None,
        logger: Any = None,
    ) -> None:
        replaced("Worker", "identtqueue.Worker")
        without_meaning(
            "Worker",
            {
                "result_ttl": (result_ttl, 300, _BY_CLIENT),
                "status_ttl": (status_ttl, 86_400, _BY_CLIENT),
                "wait_task_timeout": (wait_task_timeout, 0, "a worker waits without polling"),
                "health_check_interval": (health_check_interval, 0, _PROBED),
                "health_check_max_tries": (health_check_max_tries, 10, _PROBED),
                "health_check_retry_time": (health_check_retry_time, 5, _PROBED),
                "job_serializer": (job_serializer, None, NO_SERIALIZER),
                "job_deserializer": (job_deserializer, None, NO_SERIALIZER),
            },
        )
        self.logger = logger or logging.getLogger("identtqueue.v02")
        self._settings = RedisSettings.of(redis_address)
        self._worker = today.Worker(
            {name: _with_old_arguments(job) for name, job in jobs.items()},
            self._settings,
            queue_name,
            concurrency=1,
            timeout_seconds=job_execution_timeout or None,
            unrunnable_seconds=0,  # 0.2 answers at once that it has no such job
            on_startup=on_startup,
            on_shutdown=on_shutdown,
        )
        self._calls = async_redis(
            self._settings, client_name="identtqueue-v02", retry_for_seconds=HEALTH_SECONDS
        )

    @property
    def ctx(self) -> MutableMapping[str, Any]:
        """The dict that the hooks and all jobs share. Today: `ctx.state`."""
        state: MutableMapping[str, Any] = self._worker.state
        return state

    @cached_property
    def redis(self) -> Redis:
        """A client of redis-py, for commands of your own.

        Raises:
            InvalidInput: the address is that of Sentinels, a cluster or an embedded server.
        """
        return raw_redis(self._settings)

    def run(self) -> None:
        """Work until SIGTERM or SIGINT. Today: `Worker.run`."""
        replaced("Worker.run", "identtqueue.Worker.run")
        self._worker.run()

    async def loop(self) -> None:
        """Work in the running event loop until `disconnect`. Today: `Worker.serve`."""
        replaced("Worker.loop", "identtqueue.Worker.serve")
        await self._worker.serve()

    async def connect(self) -> None:
        """Connect now, so that a wrong address fails early. Today: the worker connects by itself.

        Raises:
            RedisError: Redis cannot be reached or refuses the connection.
        """
        replaced("Worker.connect", "identtqueue.Worker.serve, which connects")
        await self._calls.connect()

    async def disconnect(self) -> None:
        """Stop in order, and close the connections. Today: `Worker.stop`."""
        replaced("Worker.disconnect", "identtqueue.Worker.stop")
        self._worker.stop()
        await self._calls.close()
        if "redis" in self.__dict__:
            await self.redis.aclose()

    async def check_health(self) -> bool:
        """Return whether Redis answers. Today: `Worker.live_problem` and `Worker.ready_problem`."""
        replaced("Worker.check_health", "identtqueue.Worker.ready_problem")
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                await self._calls.run(server_facts.server_time())
        except (RedisError, TimeoutError):
            return False
        return True


def _with_old_arguments(job: Job) -> Callable[..., Awaitable[Any]]:
    """Make a job of today of one that takes a dict and `update_status`."""

    async def run(context: Context, /, *args: Any, **kwargs: Any) -> Any:
        async def update_status(**data: Any) -> None:
            await context.report_progress(data)

        return await job(context.state, *args, **kwargs, update_status=update_status)

    return run
