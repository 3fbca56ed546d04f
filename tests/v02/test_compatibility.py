"""The interface of 0.2 on today's engine: names, arguments and meanings."""

from __future__ import annotations

import asyncio
import inspect
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import redis

from identtqueue import TaskFailed
from identtqueue.errors import IdenttqueueError, InvalidInput, NotSerializable
from identtqueue.v02 import client as client_module
from identtqueue.v02 import exceptions, job
from identtqueue.v02 import worker as worker_module
from identtqueue.v02.client import Client
from identtqueue.v02.exceptions import (
    ClientTimeoutException,
    ErrorException,
    ResultNotFound,
    WorkerTimeoutException,
)
from identtqueue.v02.job import JobStatus, JobStatusType
from identtqueue.v02.worker import Worker
from testing.redis_server import RedisServer
from testing.waiting import LONG_SECONDS, eventually


@pytest.fixture(autouse=True)
def deprecated() -> Iterator[None]:
    """Let calls of 0.2 warn. One test looks at the warnings."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "identtqueue.v02", DeprecationWarning)
        yield


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Client]:
    client = Client(redis_server.address)
    await client.connect()
    yield client
    await client.disconnect()


@asynccontextmanager
async def looping(worker: Worker) -> AsyncIterator[Worker]:
    """Run a worker within a `with` block."""
    task = asyncio.create_task(worker.loop())
    try:
        yield worker
    finally:
        await worker.disconnect()
        async with asyncio.timeout(LONG_SECONDS):
            await task


async def test_a_service_of_02_runs(client: Client, redis_server: RedisServer, queue: str) -> None:
    """Hooks, the dict `ctx`, arguments, the result and its removal."""
    ended: list[str] = []

    async def start(ctx: dict[str, object]) -> None:
        ctx["model"] = "loaded"

    async def stop(ctx: dict[str, object]) -> None:
        ended.append(str(ctx["model"]))

    async def read(ctx: dict[str, object], *args: object, **kwargs: object) -> list[object]:
        ctx["count"] = int(str(ctx.get("count", 0))) + 1
        assert callable(kwargs.pop("update_status"))
        return [ctx["model"], args, kwargs]

    worker = Worker(
        {"read": read},
        redis_address=redis_server.address,
        queue_name=queue,
        on_startup=start,
        on_shutdown=stop,
    )
    async with looping(worker):
        task_id = await client.enqueue_job(queue, "read", 1, path="p")
        kept = await client.wait_for_result(task_id, result_timeout=30, remove=False)
        assert kept == ["loaded", [1], {"path": "p"}]
        assert (await client.get_status(task_id)).status is JobStatusType.FINISHED
        assert await client.get_result(task_id) == kept
        assert await client.get_result(task_id) is None
        assert await client.get_status(task_id) is None
        with pytest.raises(ResultNotFound):
            await client.wait_for_result(task_id)
        task_id = await client.enqueue_job(queue, "read")
        assert await client.wait_for_result(task_id, 0) == ["loaded", [], {}]
        assert await client.get_result(task_id) is None, "it was removed"
    assert worker.ctx == {"model": "loaded", "count": 2}
    assert ended == ["loaded"]


async def test_the_status_of_a_task(client: Client, redis_server: RedisServer, queue: str) -> None:
    may_end = asyncio.Event()

    async def read(_ctx: object, update_status: object) -> None:
        await update_status(page=1, of=2)
        await may_end.wait()

    task_id = await client.enqueue_job(queue, "read")
    assert await client.get_status(task_id) == JobStatus(JobStatusType.ENQUEUED, {})
    with pytest.raises(ClientTimeoutException) as caught:
        await client.wait_for_result(task_id, 0.01)
    assert caught.value.args == (task_id,)
    assert await client.get_result(task_id) is None
    async with looping(Worker({"read": read}, redis_server.address, queue)):
        expected = JobStatus(JobStatusType.PROCESSING, {"page": 1, "of": 2})

        async def shown() -> bool:
            return await client.get_status(task_id) == expected

        await eventually(shown, "the data are shown")
        may_end.set()
        assert await client.wait_for_result(task_id, remove=False) is None
        assert await client.get_status(task_id) == JobStatus(JobStatusType.FINISHED, {})


async def test_how_jobs_fail(client: Client, redis_server: RedisServer, queue: str) -> None:
    async def fail(_ctx: object, **_kwargs: object) -> None:
        raise ValueError("too dark")

    async def hang(_ctx: object, **_kwargs: object) -> None:
        await asyncio.Event().wait()

    async def give_up(_ctx: object, **_kwargs: object) -> None:
        raise TimeoutError("the camera did not answer")

    jobs = {"fail": fail, "hang": hang, "give_up": give_up}
    worker = Worker(jobs, redis_server.address, queue, job_execution_timeout=0.1)
    async with looping(worker):
        for name, error, text in (
            ("fail", ErrorException, "^too dark$"),
            ("hang", WorkerTimeoutException, "ran longer"),
            ("give_up", ErrorException, "the camera did not answer"),
            ("unknown", ErrorException, "no job named 'unknown'"),
        ):
            task_id = await client.enqueue_job(queue, name)
            with pytest.raises(error, match=text) as caught:
                await client.wait_for_result(task_id)
            assert isinstance(caught.value, IdenttqueueError)
            with pytest.raises(error):
                await client.get_result(task_id)


async def test_a_worker_runs_one_task_at_a_time(
    client: Client, redis_server: RedisServer, queue: str
) -> None:
    running: list[int] = []
    most: list[int] = []

    async def count(_ctx: object, n: int, **_kwargs: object) -> None:
        running.append(n)
        most.append(len(running))
        await asyncio.sleep(0)
        running.remove(n)

    async with looping(Worker({"count": count}, redis_server.address, queue)):
        ids = [await client.enqueue_job(queue, "count", n) for n in range(20)]
        for task_id in ids:
            await client.wait_for_result(task_id)
    assert max(most) == 1


async def test_the_rest(client: Client, redis_server: RedisServer, queue: str) -> None:
    worker = Worker({"a": _never}, redis_server.address, queue)
    assert await worker.check_health() is True
    assert await worker.redis.ping()
    await worker.redis.aclose()
    assert isinstance(client.redis, redis.asyncio.Redis)
    seconds, micros = await client.redis.time()
    assert abs(await client.get_time() - seconds - micros / 1e6) < LONG_SECONDS
    with pytest.raises(NotSerializable):
        await client.enqueue_job(queue, "a", object())
    assert issubclass(ResultNotFound, ClientTimeoutException)
    assert not issubclass(ErrorException, TaskFailed)


@pytest.mark.parametrize(
    "address", ["embedded", "redis+cluster://localhost", "redis+sentinel://localhost/master"]
)
def test_the_raw_client_is_for_a_single_server(address: str) -> None:
    with pytest.raises(InvalidInput, match="a single server only"):
        _ = Client(address).redis


async def _never(_ctx: object, **_kwargs: object) -> None: ...


async def test_redis_that_is_away_is_not_healthy(
    new_redis_server: object, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "HEALTH_SECONDS", 0.1)
    server = new_redis_server()
    worker = Worker({"a": _never}, server.address, queue)
    await worker.connect()
    server.pause()
    assert await worker.check_health() is False
    server.resume()
    await worker.disconnect()


async def test_each_call_names_its_successor(redis_server: RedisServer, queue: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client = Client(redis_server.address, redis_max_connections=3, job_serializer=str)
        await client.connect()
        task_id = await client.enqueue_job(queue, "a")
        await client.get_status(task_id)
        await client.get_result(task_id)
        await client.get_time()
        with pytest.raises(ClientTimeoutException):
            await client.wait_for_result(task_id, 0.01)
        await client.disconnect()
        worker = Worker({"a": _never}, redis_server.address, queue, wait_task_timeout=1)
        await worker.check_health()
        await worker.connect()
        await worker.disconnect()
    texts = [str(warning.message) for warning in caught]
    assert all(text.startswith("identtqueue.v02: ") for text in texts)
    assert {warning.filename for warning in caught} == {__file__}, "they point at the caller"
    for name in (
        *("Client", "Client.connect", "Client.enqueue_job", "Client.get_status"),
        *("Client.get_result", "Client.get_time", "Client.wait_for_result", "Client.disconnect"),
        *("Worker", "Worker.check_health", "Worker.connect", "Worker.disconnect"),
    ):
        assert [t for t in texts if f" {name} is deprecated: use " in t], name
    for name in (
        "Client(redis_max_connections=…)",
        "Client(job_serializer=…)",
        "Worker(wait_task_timeout=…)",
    ):
        assert [t for t in texts if f"{name} has no meaning any more: " in t], name


def test_names_arguments_and_defaults_are_those_of_02() -> None:
    assert str(inspect.signature(Client.wait_for_result).replace(return_annotation="Any")) == (
        "(self, task_id: 'str', result_timeout: 'float' = 60.0, remove: 'bool' = True) -> 'Any'"
    )
    assert _defaults(Client) == {
        "redis_address": "redis://redis",
        "redis_max_connections": 10,
        "job_serializer": None,
        "job_deserializer": None,
        "status_ttl": 86_400,
        "logger": None,
    }
    assert _defaults(Worker) == {
        "jobs": inspect.Parameter.empty,
        "redis_address": "redis://redis",
        "queue_name": "default",
        "result_ttl": 300,
        "status_ttl": 86_400,
        "job_execution_timeout": 60.0,
        "on_startup": None,
        "on_shutdown": None,
        "wait_task_timeout": 0,
        "health_check_interval": 0,
        "health_check_max_tries": 10,
        "health_check_retry_time": 5,
        "job_serializer": None,
        "job_deserializer": None,
        "logger": None,
    }
    assert [status.value for status in job.JobStatusType] == [0, 1, 2]
    assert [kind.value for kind in job.JobResultType] == [0, 1, 2]
    assert client_module.Client is Client
    assert exceptions.ResultNotFound is ResultNotFound


def _defaults(kind: type) -> dict[str, object]:
    return {
        name: parameter.default for name, parameter in inspect.signature(kind).parameters.items()
    }
