"""Log records about attempts: levels, fields, tracebacks, and that broken logging harms nothing."""

from __future__ import annotations

import ast
import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

import identtqueue.worker
from identtqueue import Client, RetryPolicy, TaskCancelled, TaskFailed, TaskOptions, Worker
from identtqueue.protocol.call import NewTask
from identtqueue.protocol.calls import claiming, enqueueing, leasing, recovering
from identtqueue.protocol.keys import queue_keys
from identtqueue.transport.connection import AsyncRedis
from testing import process_jobs
from testing.redis_server import RedisServer
from testing.serving import Serve, serving
from testing.waiting import eventually

FIELDS = {"task_id", "job", "queue", "attempt"}


async def deep(_ctx, text):
    def deeper():
        raise ValueError(text)

    deeper()


def deep_in_a_thread(_ctx, text):
    raise KeyError(text)


async def wait_for_ever(_ctx):
    await asyncio.Event().wait()


def about(caplog: pytest.LogCaptureFixture, task_id: str) -> list[logging.LogRecord]:
    """Return the worker's log records about one task."""
    return [
        record
        for record in caplog.records
        if record.name.startswith("identtqueue") and task_id in record.getMessage()
    ]


async def dies(client: Client, task_id: str) -> None:
    with pytest.raises(TaskFailed):
        await client.wait_for_result(task_id, 30)


async def test_a_dead_letter_is_an_error_a_retry_a_warning(
    client: Client, serve: Serve, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "identtqueue")
    await serve({"deep": deep}, retry=RetryPolicy(max_retries=1, first_delay_seconds=0.01))
    task_id = await client.enqueue_job(queue, "deep", "too dark")
    await dies(client, task_id)
    first, last = about(caplog, task_id)
    assert (first.levelname, first.outcome, first.attempt) == ("WARNING", "retried", 1)
    assert (last.levelname, last.outcome, last.attempt) == ("ERROR", "failed", 2)
    for record in (first, last):
        assert (record.task_id, record.job, record.queue) == (task_id, "deep", queue)
        assert record.error == "ValueError"
        assert record.ran_seconds >= 0 <= record.waited_seconds
        line, *below = record.getMessage().splitlines()
        assert line.endswith(": ValueError: too dark")
        assert below[0] == "Traceback (most recent call last):"
        assert any("in deeper" in text for text in below), "the job's own frames"
        assert below[-1] == "ValueError: too dark"


async def test_the_traceback_of_a_thread_is_logged(
    client: Client, serve: Serve, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    await serve({"job": deep_in_a_thread})
    task_id = await client.enqueue_job(queue, "job", "why")
    await dies(client, task_id)
    (record,) = about(caplog, task_id)
    assert record.levelname == "ERROR"
    assert "in deep_in_a_thread" in record.getMessage()
    assert "KeyError: 'why'" in record.getMessage()


@pytest.mark.slow
async def test_the_traceback_of_a_process_is_logged(
    client: Client, redis_server: RedisServer, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(process_jobs.app.worker([queue], redis_address=redis_server.address)):
        task_id = await client.enqueue_job(queue, "raises", "key")
        await dies(client, task_id)
    (record,) = about(caplog, task_id)
    assert (record.levelname, record.job) == ("ERROR", "raises")
    assert "process_jobs.py" in record.getMessage()
    assert "KeyError: 'key'" in record.getMessage()


async def test_all_records_about_an_attempt_have_the_same_fields(
    client: Client,
    redis_server: RedisServer,
    calls: AsyncRedis,
    queue: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """However an attempt ends, even if a hook fails or another worker has taken the task over."""
    caplog.set_level(logging.DEBUG, "identtqueue")

    async def fine(_ctx):
        return 1

    def break_(_ctx, _outcome):
        raise RuntimeError("hook")

    jobs = {"fine": fine, "deep": deep, "wait": wait_for_ever}
    worker = Worker(jobs, redis_server.address, queue, after_task=break_, grace_seconds=0)
    expected: dict[str, str] = {}

    async def enqueue(name: str, *args: object, **options: float) -> str:
        task_id = await client.enqueue_job(
            queue, name, *args, task_options=TaskOptions(**options) if options else None
        )
        expected[task_id] = name
        return task_id

    async def taken(task_id: str) -> str:
        return await eventually(lambda: _owned(client, task_id), f"{task_id} runs")

    async with serving(worker):
        await client.wait_for_result(await enqueue("fine"), 30)
        await dies(client, await enqueue("deep", "x"))
        declined = await enqueue("fine", 1, 2, 3)
        await eventually(lambda: about(caplog, declined), "it is left to a worker that takes it")
        await dies(client, await enqueue("wait", timeout_seconds=0.05))
        cancelled = await enqueue("wait")
        await taken(cancelled)
        await client.cancel(cancelled)
        with pytest.raises(TaskCancelled):
            await client.wait_for_result(cancelled, 30)
        stolen = await enqueue("wait", timeout_seconds=60)
        owner = await taken(stolen)
        await calls.run(recovering.recover(queue, owner, waive_lease=True, max_deliveries=1))
        # It may have caused the loss of its worker, so it runs alone. It is released at the end.
        await eventually(lambda: any("alone" in r.getMessage() for r in about(caplog, stolen)))
    for task_id, name in expected.items():
        records = about(caplog, task_id)
        assert records, f"nothing about {name}"
        for record in records:
            assert record.__dict__.keys() >= FIELDS, record.getMessage()
            assert (record.task_id, record.job) == (task_id, name)
    assert about(caplog, stolen)[-1].outcome == "released"


def test_every_log_call_about_an_attempt_passes_the_fields() -> None:
    """Check every logging call in the source, including those that no test above reaches."""
    bare = [
        f"{file.name}:{node.lineno}"
        for file in Path(identtqueue.worker.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).startswith("logger.")
        and any("attempt %d" in ast.unparse(argument) for argument in node.args)
        and "extra" not in {keyword.arg for keyword in node.keywords}
    ]
    assert bare == []


async def _owned(client: Client, task_id: str) -> str | None:
    info = await client.get_task(task_id)
    return info.owner if info and info.state == "running" else None


async def test_a_payload_that_can_not_be_read_is_logged_too(
    client: Client, serve: Serve, calls: AsyncRedis, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    await serve({"deep": deep})
    task_id = f"{queue}:odd"
    await calls.run(enqueueing.enqueue(queue, [NewTask(task_id, b"\xc1", "odd", {})]))
    await dies(client, task_id)
    (record,) = about(caplog, task_id)
    assert (record.levelname, record.task_id, record.job) == ("ERROR", task_id, "")


@pytest.fixture
def own_factory() -> Iterator[None]:
    """Make records as an application's factory might, setting a field that the worker sets too."""
    before = logging.getLogRecordFactory()

    def make(*args: object, **kwargs: object) -> logging.LogRecord:
        record = before(*args, **kwargs)
        record.task_id = "mine"
        return record

    logging.setLogRecordFactory(make)
    yield
    logging.setLogRecordFactory(before)


def raising_filter(_record: logging.LogRecord) -> bool:
    raise RuntimeError("a broken filter")


@pytest.fixture
def broken_filter() -> Iterator[None]:
    """Raise, as a broken filter of the application might."""
    log = logging.getLogger("identtqueue.worker")
    log.addFilter(raising_filter)
    yield
    log.removeFilter(raising_filter)


@pytest.mark.parametrize("own", ["own_factory", "broken_filter"])
async def test_no_logging_of_the_application_harms_an_attempt(
    client: Client,
    serve: Serve,
    queue: str,
    own: str,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    request.getfixturevalue(own)
    worker = await serve({"deep": deep, "fine": lambda _ctx: 1})
    for _ in range(3):
        task_id = await client.enqueue_job(queue, "deep", "too dark")
        await dies(client, task_id)
        assert await client.wait_for_result(await client.enqueue_job(queue, "fine"), 30) == 1
    assert worker.gauges.running == 0
    assert "too dark" in caplog.text + capsys.readouterr().err


@pytest.mark.slow
async def test_dead_letters_of_a_lost_worker_are_an_error(
    client: Client,
    redis_server: RedisServer,
    calls: AsyncRedis,
    queue: str,
    caplog: pytest.LogCaptureFixture,
    raw: redis.Redis,
) -> None:
    task_id = await client.enqueue_job(queue, "fine")
    await calls.run(leasing.register(queue, "before", 60_000, {}))
    await calls.run(claiming.claim(queue, "before", 1))
    await calls.run(recovering.recover(queue, "before", waive_lease=True, max_deliveries=1))
    await calls.run(leasing.register(queue, "lost", 60_000, {}))
    await calls.run(claiming.claim(queue, "lost", 1, idle=True))  # alone, so it is to blame
    raw.zadd(queue_keys(queue).workers, {"lost": 1}, xx=True)  # its lease ran out long ago
    worker = Worker(
        {"fine": lambda _ctx: 1}, redis_server.address, queue, max_deliveries=1, lease_seconds=5
    )
    async with serving(worker):
        await dies(client, task_id)
        await eventually(lambda: about(caplog, task_id), "it is logged")
    (record,) = about(caplog, task_id)
    assert record.levelname == "ERROR"
    assert "1 dead letters" in record.getMessage()
