"""Jobs in processes: they run, can be killed when cut off, and harm nothing else."""

from __future__ import annotations

import asyncio
import ctypes
import functools
import logging
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import redis

from identtqueue import (
    App,
    Client,
    InvalidInput,
    Job,
    RetryPolicy,
    State,
    TaskCancelled,
    TaskFailed,
    TaskOptions,
    Worker,
)
from identtqueue.errors import ProcessDied
from testing import process_jobs
from testing.accounts import left_over
from testing.invariants import check_invariants
from testing.ledger import VARIABLE, Ledger
from testing.process_jobs import TROUBLE
from testing.processes import WorkerProcess, environment
from testing.redis_server import RedisServer
from testing.serving import serving
from testing.waiting import eventually

Start = Callable[..., Awaitable[Worker]]


def is_gone(pid: int) -> bool:
    """Return whether a process has ended, even if it is still a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


async def are_gone(pids: list[int]) -> None:
    await eventually(lambda: all(map(is_gone, pids)), f"{pids} are gone")


@pytest.fixture
async def start(redis_server: RedisServer, queue: str) -> AsyncIterator[Start]:
    """Provide `await start(concurrency=2)`: a worker of `testing.process_jobs` on this queue."""
    async with AsyncExitStack() as stack:

        async def begin(**settings: object) -> Worker:
            settings.setdefault("redis_address", redis_server.address)
            worker = process_jobs.app.worker([queue], **settings)
            return await stack.enter_async_context(serving(worker))

        yield begin


async def ran(client: Client, queue: str, name: str, *args: object, **options: object) -> object:
    task_id = await client.enqueue_job(queue, name, *args, task_options=TaskOptions(**options))
    return await client.wait_for_result(task_id, 60)


async def failed(
    client: Client, queue: str, name: str, *args: object, **options: object
) -> TaskFailed:
    with pytest.raises(TaskFailed) as caught:
        await ran(client, queue, name, *args, **options)
    return caught.value


async def spinning(client: Client, queue: str, folder: Path, **options: object) -> tuple:
    """Start a job that keeps a CPU busy and has started a program; return its id and both pids."""
    started = folder / "started"
    task_id = await client.enqueue_job(
        queue, "spin", str(started), True, task_options=TaskOptions(**options)
    )
    await eventually(started.exists, "it runs")
    return task_id, [int(word) for word in started.read_text().split()]


# --- it runs ---


@pytest.mark.slow
async def test_arguments_results_and_what_the_job_sees(
    client: Client, start: Start, queue: str
) -> None:
    await start(timeout_seconds=50)
    assert await ran(client, queue, "echo", 1, "two") == [[1, "two"], {}]
    assert await ran(client, queue, "typed", {"name": "a", "pages": [1, 2]}, 3) == {
        "name": "A",
        "pages": [3, 6],
    }
    seen = await ran(client, queue, "context")
    assert seen["queue"] == queue
    assert seen["task_id"].startswith(f"{queue}:")
    assert (seen["function_name"], seen["attempt"], seen["failures"]) == ("context", 1, 0)
    assert seen["fencing_token"] == (await client.get_task(seen["task_id"])).fencing_token
    assert 0 < seen["left"] <= 50
    assert seen["logger"] == "identtqueue.job.context"
    assert seen["state_pid"] == seen["pid"] != os.getpid()
    assert await ran(client, queue, "asynchronous") is True, "one loop per process"
    assert await ran(client, queue, "on_loop") == "here"


@pytest.mark.slow
async def test_a_process_is_reused_and_started_when_needed(
    client: Client, start: Start, queue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "ledger"))
    worker = await start(concurrency=3)
    first = await ran(client, queue, "where")
    assert first == await ran(client, queue, "where")
    assert worker.gauges.processes == 1
    assert first[1] == os.getpid()
    assert first[2] == first[0], "a group of its own"
    gate = tmp_path / "gate"
    ids = [await client.enqueue_job(queue, "journal", str(gate)) for _ in range(3)]
    ledger = Ledger(tmp_path / "ledger")
    await ledger.wait_for(lambda found: len(found.starts()) == 3, "all run at the same time")
    assert len({line.pid for line in ledger.starts()}) == 3
    assert worker.gauges.processes == 3
    gate.touch()
    assert [r.value for r in await client.wait_many(ids, 60)] == [1, 1, 1]


@pytest.mark.slow
async def test_a_process_is_replaced_after_max_tasks_per_process(
    client: Client, start: Start, queue: str
) -> None:
    await start(concurrency=1, max_tasks_per_process=2)
    pids = [(await ran(client, queue, "where"))[0] for _ in range(6)]
    assert pids[0::2] == pids[1::2]
    assert len(set(pids)) == 3
    await are_gone(pids[:4])


@pytest.mark.slow
async def test_large_arguments_and_results(
    client: Client, redis_server: RedisServer, start: Start, queue: str
) -> None:
    await start(max_payload_bytes=20_000_000)
    data = os.urandom(900_000)
    assert await ran(client, queue, "big", data) == data[::-1]
    async with Client(redis_server.address, max_payload_bytes=20_000_000) as large:
        data = os.urandom(12_000_000)
        assert await ran(large, queue, "big", data) == data[::-1]


@pytest.mark.slow
async def test_results_that_can_not_be_stored(client: Client, start: Start, queue: str) -> None:
    await start()
    told = await failed(client, queue, "returns", "object")
    assert told.remote_type == "identtqueue.errors.NotSerializable"
    told = await failed(client, queue, "returns", "big")
    assert told.remote_type == "identtqueue.errors.PayloadTooLarge"
    assert "the limit is 1,048,576" in told.remote_message


@pytest.mark.slow
async def test_what_a_process_does_not_inherit(client: Client, start: Start, queue: str) -> None:
    """No connection to Redis, no listening port, no terminal, no blocked signal."""
    await start(http_port=0)
    found = await ran(client, queue, "inherited")
    assert found == {"sockets": ["AF_UNIX"] * 3, "stdin": "/dev/null", "blocked": []}


@pytest.mark.slow
async def test_log_records_reach_the_workers_handlers(
    client: Client, start: Start, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await start()
    await ran(client, queue, "logs")
    (page,) = [r for r in caplog.records if r.name == "identtqueue.job.logs"]
    assert (page.getMessage(), page.levelname, page.page) == ("page 7", "INFO", 7)
    assert page.process != os.getpid()
    (odd,) = [r for r in caplog.records if r.name == "service"]
    assert odd.getMessage().startswith("odd: caf\\udce9\nTraceback")
    assert odd.getMessage().endswith("TooDark: see above")


@pytest.mark.slow
async def test_progress(client: Client, start: Start, queue: str, tmp_path: Path) -> None:
    await start()
    gate = tmp_path / "gate"
    task_id = await client.enqueue_job(queue, "reports", str(gate))

    async def reported() -> bool:
        return await client.get_progress(task_id) == {"page": 1}

    await eventually(reported, "the first page is reported")
    gate.touch()
    await client.wait_for_result(task_id, 60)
    assert await client.get_progress(task_id) == {"page": 499}, "the last one, before the result"


async def test_hooks_are_called_in_the_worker(client: Client, start: Start, queue: str) -> None:
    seen: list[object] = []
    await start(
        before_task=lambda ctx: seen.append((ctx.function_name, os.getpid())),
        after_task=lambda _ctx, outcome: seen.append(outcome.name),
    )
    await ran(client, queue, "echo")
    await failed(client, queue, "die", "exit")
    pid = os.getpid()
    assert seen == [("echo", pid), "succeeded", ("die", pid), "failed"]


# --- it raises ---


@pytest.mark.slow
async def test_its_errors_reach_the_caller(client: Client, start: Start, queue: str) -> None:
    await start(unrunnable_seconds=0)
    told = await failed(client, queue, "raises", "too dark")
    assert told.remote_type == "testing.process_jobs.TooDark"
    assert told.remote_message == "the scan is too dark: caf\\udce9"
    assert told.remote_traceback.splitlines()[1].endswith("in raises"), "no frame of the worker's"
    for what, kind in (("key", "KeyError"), ("exit", "SystemExit"), ("interrupt", "Keyboard")):
        assert (await failed(client, queue, "raises", what)).remote_type.startswith(kind)
    assert await ran(client, queue, "echo") == [[], {}]
    told = await failed(client, queue, "typed", {"name": "a"})
    assert told.remote_type == "identtqueue.errors.BadArguments"
    told = await failed(client, queue, "echo_")
    assert told.remote_type == "identtqueue.errors.UnknownJob"


async def attempts(client: Client, task_id: str) -> int:
    return (await client.get_task(task_id)).attempt


@pytest.mark.slow
async def test_the_retry_policy_applies_as_everywhere(
    client: Client, start: Start, queue: str
) -> None:
    """Classes and base classes count, `give_up_on` comes first, and a `Retry` always counts."""
    await start(
        unrunnable_seconds=0,
        retry=RetryPolicy(
            max_retries=2,
            first_delay_seconds=0.01,
            retry_on=(ValueError, LookupError),
            give_up_on=(process_jobs.TooDark,),
        ),
    )
    assert await ran(client, queue, "raises", "retry") == 2
    key = await failed(client, queue, "raises", "key")
    assert await attempts(client, key.task_id) == 3, "a KeyError is a LookupError"
    dark = await failed(client, queue, "raises", "too dark")
    assert await attempts(client, dark.task_id) == 1
    bad = await failed(client, queue, "typed", 1)
    assert await attempts(client, bad.task_id) == 1


@pytest.mark.slow
async def test_unreadable_messages_do_no_harm(
    client: Client, start: Start, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An unreadable log record loses its fields. An unreadable answer fails its attempt."""
    worker = await start(max_retries=5)
    assert await ran(client, queue, "logs_oddly") == "done"
    (record,) = [r for r in caplog.records if r.getMessage() == "pages read"]
    assert (record.levelname, record.name) == ("WARNING", "identtqueue.job.logs_oddly")
    told = await failed(client, queue, "answers_oddly")
    assert told.remote_type == "identtqueue.errors.PayloadUndecodable"
    assert re.match("the answer of the process of job answers_oddly can't", told.remote_message)
    assert await attempts(client, told.task_id) == 1, "it would be the same again"
    assert await ran(client, queue, "echo") == [[], {}]
    assert worker.gauges.processes == 1
    assert worker.counters.died_processes == 0


# --- it dies ---

DEATHS = {
    "segfault": r"was killed by SIGSEGV \(a crash in native code\)",
    "exit": "ended with exit code 7",
    "SIGKILL": r"was killed by SIGKILL \(out of memory\?\)",
    "SIGABRT": "was killed by SIGABRT",
    "closes all": "was killed by SIGKILL",
}


@pytest.mark.slow
@pytest.mark.parametrize("how", DEATHS)
async def test_its_death_fails_this_attempt_only(
    client: Client,
    start: Start,
    queue: str,
    how: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "ledger"))
    gate = tmp_path / "gate"
    worker = await start(concurrency=2)
    other = await client.enqueue_job(queue, "journal", str(gate))
    await Ledger(tmp_path / "ledger").wait_for(lambda found: found.starts(), "another one runs")
    told = await failed(client, queue, "die", how)
    assert told.remote_type == "identtqueue.errors.ProcessDied"
    with pytest.raises(TaskFailed, match=f"the process of job die {DEATHS[how]}"):
        raise told
    info = await client.get_task(told.task_id)
    assert (info.attempt, info.failures, info.losses) == (1, 1, 0), "a failure, no lost worker"
    assert await ran(client, queue, "echo") == [[], {}], "its slot is free again"
    gate.touch()
    assert await client.wait_for_result(other, 60) == 1
    assert worker.counters.died_processes == 1


@pytest.mark.slow
async def test_the_retry_policy_applies_to_its_death(
    client: Client, start: Start, queue: str
) -> None:
    """So a task that always kills its process becomes a dead letter, and the worker lives on."""
    quick = {"max_retries": 2, "first_delay_seconds": 0.01}
    worker = await start(retry=RetryPolicy(**quick))
    poison = await failed(client, queue, "die", "SIGKILL")
    assert await attempts(client, poison.task_id) == 3
    assert worker.counters.died_processes == 3
    assert await ran(client, queue, "echo") == [[], {}]


@pytest.mark.slow
async def test_giving_up_on_its_death(client: Client, start: Start, queue: str) -> None:
    await start(retry=RetryPolicy(max_retries=2, give_up_on=(ProcessDied,)))
    poison = await failed(client, queue, "die", "SIGKILL")
    assert await attempts(client, poison.task_id) == 1


@pytest.mark.slow
async def test_an_idle_one_that_dies_is_replaced(client: Client, start: Start, queue: str) -> None:
    worker = await start(concurrency=1)
    pid = (await ran(client, queue, "where"))[0]
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: worker.gauges.processes == 0, "the worker knows")
    assert (await ran(client, queue, "where"))[0] != pid


# --- it is cut off ---


@pytest.mark.slow
async def test_a_timeout_kills_it(client: Client, start: Start, queue: str, tmp_path: Path) -> None:
    """The program that its job has started is killed too. The attempt fails and frees its slot."""
    worker = await start(concurrency=1)
    task_id, pids = await spinning(client, queue, tmp_path, timeout_seconds=5)
    with pytest.raises(TaskFailed, match="spin ran longer than 5 s") as caught:
        await client.wait_for_result(task_id, 60)
    assert caught.value.remote_type == "identtqueue.errors.TimedOut"
    assert is_gone(pids[0])
    await are_gone(pids)
    assert await ran(client, queue, "echo") == [[], {}]
    assert (worker.counters.killed_processes, worker.counters.died_processes) == (1, 0)


@pytest.fixture
def as_first_process() -> Iterator[None]:
    """Adopt orphans as children of this process, as the first process of a container does."""
    prctl, set_child_subreaper = ctypes.CDLL(None).prctl, 36
    assert prctl(set_child_subreaper, 1, 0, 0, 0) == 0
    yield
    prctl(set_child_subreaper, 0, 0, 0, 0)


@pytest.mark.slow
@pytest.mark.usefixtures("as_first_process")
async def test_no_zombies_are_left(
    client: Client, start: Start, queue: str, tmp_path: Path
) -> None:
    """As first process of its container, the worker adopts what a killed job had started."""
    await start()
    task_id, pids = await spinning(client, queue, tmp_path)
    await client.cancel(task_id)
    with pytest.raises(TaskCancelled):
        await client.wait_for_result(task_id, 60)
    await eventually(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), f"{pids} were waited for"
    )


@pytest.mark.slow
async def test_a_cancellation_kills_it(
    client: Client, raw: redis.Redis, start: Start, queue: str, tmp_path: Path
) -> None:
    worker = await start(concurrency=1, max_retries=5)
    task_id, pids = await spinning(client, queue, tmp_path)
    assert await client.cancel(task_id) is True
    with pytest.raises(TaskCancelled):
        await client.wait_for_result(task_id, 60)
    await are_gone(pids)
    assert await ran(client, queue, "echo") == [[], {}]
    assert worker.counters.killed_processes == 1
    check_invariants(raw, queue)


@pytest.mark.slow
async def test_a_stop_ends_all_and_kills_what_runs(
    client: Client, redis_server: RedisServer, raw: redis.Redis, queue: str, tmp_path: Path
) -> None:
    worker = process_jobs.app.worker([queue], redis_address=redis_server.address, grace_seconds=0)
    async with serving(worker):
        idle = (await ran(client, queue, "where"))[0]
        task_id, pids = await spinning(client, queue, tmp_path)
        assert pids[0] == idle, "one was enough so far"
        other = (await ran(client, queue, "where"))[0]
    assert is_gone(other)
    assert is_gone(pids[0])
    await are_gone(pids)
    info = await client.get_task(task_id)
    assert (info.state, info.failures, info.losses) == (State.PENDING, 0, 0)
    assert left_over(raw, queue) == [f"idtq:{{{queue}}}:pending", f"idtq:{{{queue}}}:wake"]
    assert worker.gauges.processes == 0
    assert worker.counters.killed_processes == 1, "the idle one has ended by itself"


@pytest.mark.slow
async def test_cut_off_while_its_process_starts(
    client: Client, start: Start, queue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is kept, and the next attempt gets it."""
    monkeypatch.setenv(TROUBLE, str(tmp_path))
    worker = await start(concurrency=1)
    os.kill((await ran(client, queue, "where"))[0], signal.SIGKILL)
    await eventually(lambda: worker.gauges.processes == 0, "there is none")
    (tmp_path / "slow").touch()
    task_id = await client.enqueue_job(queue, "echo")
    await eventually((tmp_path / "waits").exists, "one starts")
    await client.cancel(task_id)
    with pytest.raises(TaskCancelled):
        await client.wait_for_result(task_id, 60)
    (tmp_path / "slow").unlink()
    assert await ran(client, queue, "echo") == [[], {}]
    assert worker.counters.killed_processes == 0


@pytest.mark.slow
async def test_cut_off_while_its_process_starts_and_others_wait(
    client: Client, start: Start, queue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others wait for the starting process, so there are never more than `concurrency`."""
    monkeypatch.setenv(TROUBLE, str(tmp_path))
    worker = await start(concurrency=1)
    os.kill((await ran(client, queue, "where"))[0], signal.SIGKILL)
    await eventually(lambda: worker.gauges.processes == 0, "there is none")
    (tmp_path / "slow").touch()
    for _ in range(3):
        task_id = await client.enqueue_job(queue, "echo")
        await eventually(lambda: worker.gauges.running == 1, "it waits for a process")
        await client.cancel(task_id)
        with pytest.raises(TaskCancelled):
            await client.wait_for_result(task_id, 60)
    task_id = await client.enqueue_job(queue, "echo")
    await eventually(lambda: worker.gauges.running == 1, "it waits for a process")
    assert worker.gauges.processes == 1
    (tmp_path / "slow").unlink()
    assert await client.wait_for_result(task_id, 60) == [[], {}]
    assert worker.gauges.processes == 1


# --- it can't start ---


@pytest.mark.slow
async def test_a_hook_that_fails_stops_the_worker(
    client: Client,
    redis_server: RedisServer,
    raw: redis.Redis,
    queue: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first process is started before the first task is taken."""
    monkeypatch.setenv(TROUBLE, str(tmp_path))
    (tmp_path / "no model").touch()
    task_id = await client.enqueue_job(queue, "echo")
    closed = []
    worker = process_jobs.app.worker(
        [queue], redis_address=redis_server.address, on_shutdown=closed.append
    )
    with pytest.raises(Exception, match="FileNotFoundError: no model"):
        await worker.serve()
    assert await client.get_status(task_id) is State.PENDING
    assert (await client.get_task(task_id)).attempt == 0
    assert len(closed) == 1, "what was started is shut down"
    assert worker.gauges.processes == 0


@pytest.mark.slow
async def test_a_hook_that_fails_later_is_not_charged_to_a_task(
    client: Client, start: Start, queue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker takes no more tasks, says why, and tries again later. The task is requeued."""
    monkeypatch.setenv(TROUBLE, str(tmp_path))
    worker = await start(concurrency=1)
    assert (await failed(client, queue, "die", "exit")).remote_type.endswith("ProcessDied")
    (tmp_path / "no model").touch()
    task_id = await client.enqueue_job(queue, "echo")
    why = "a process for jobs has not started: FileNotFoundError: no model"
    await eventually(lambda: why in (worker.ready_problem() or ""), "it says why")
    (tmp_path / "no model").unlink()
    assert await client.wait_for_result(task_id, 60) == [[], {}]
    info = await client.get_task(task_id)
    assert (info.failures, info.losses) == (0, 0)
    assert worker.gauges.processes == 1


class Service:
    def method(self, _ctx: object) -> None: ...


UNFINDABLE = {
    "lambda": lambda _ctx: None,
    "partial": functools.partial(process_jobs.echo.function, 1),
    "bound method": Service().method,
}


@pytest.mark.parametrize("function", UNFINDABLE.values(), ids=UNFINDABLE.keys())
def test_what_can_not_be_found(function: Callable[..., object]) -> None:
    with pytest.raises(InvalidInput, match=r"job f: .* can't run in a process, .* top level"):
        Job(name="f", function=function, run_in="process")


def test_a_nested_function_can_not_be_found() -> None:
    app = App("redis://nowhere")

    @app.task(run_in="process")
    def nested(_ctx: object) -> None: ...

    with pytest.raises(InvalidInput, match=r"job nested: .* can't run in a process"):
        app.worker()
    with pytest.raises(InvalidInput, match=r"on_process_startup: .* can't run in a process"):
        Worker({"f": print}, "redis://nowhere", "q", on_process_startup=lambda _state: None)


async def asynchronous(_ctx: object) -> None: ...


@pytest.mark.parametrize(
    ("function", "run_in", "message"),
    [
        (print, "loop", "a plain function would block the loop"),
        (asynchronous, "thread", "runs in the loop or in a process, not in a thread"),
        (print, "fork", "run_in='fork': must be loop, inline, thread or process"),
    ],
)
def test_where_a_job_can_not_run(
    function: Callable[..., object], run_in: str, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        Job(name="f", function=function, run_in=run_in)


# --- real worker processes ---


@pytest.fixture
async def worker(
    redis_server: RedisServer, queue: str, tmp_path: Path
) -> AsyncIterator[Callable[..., WorkerProcess]]:
    """Start worker processes of `testing.process_jobs:app`, and end them afterwards."""
    made: list[WorkerProcess] = []

    def make(**options: float) -> WorkerProcess:
        ledger = Ledger(tmp_path / "ledger")
        made.append(
            WorkerProcess(
                redis_server.address, [queue], ledger, app="testing.process_jobs:app", **options
            )
        )
        return made[-1]

    yield make
    for process in made:
        process.destroy()


NewWorker = Callable[..., WorkerProcess]


@pytest.mark.slow
async def test_a_killed_worker_leaves_no_process_behind(
    client: Client, raw: redis.Redis, worker: NewWorker, queue: str, tmp_path: Path
) -> None:
    """Even a busy process ends, with all that its job has started. The task runs elsewhere."""
    victim = await worker(concurrency=2).started()
    idle = (await ran(client, queue, "where"))[0]
    task_id, pids = await spinning(client, queue, tmp_path)
    idle = (await ran(client, queue, "where"))[0]
    assert not any(map(is_gone, [idle, *pids]))
    await victim.kill()
    await are_gone([idle, *pids])
    (tmp_path / "started").unlink()
    peer = await worker().started()
    await eventually((tmp_path / "started").exists, "it runs again")
    assert (await client.get_task(task_id)).losses == 1
    await client.cancel(task_id)
    with pytest.raises(TaskCancelled):
        await client.wait_for_result(task_id, 60)
    await peer.terminate()
    assert left_over(raw, queue) == []


@pytest.mark.slow
async def test_signals_to_everybody_do_not_disturb_the_drain(
    client: Client, worker: NewWorker, queue: str, tmp_path: Path
) -> None:
    """Ctrl-C in a terminal and service managers send SIGINT or SIGTERM to all processes."""
    gate = tmp_path / "gate"
    process = await worker().started()
    task_id = await client.enqueue_job(queue, "journal", str(gate))
    ledger = Ledger(tmp_path / "ledger")
    await ledger.wait_for(lambda found: found.starts(), "it runs")
    (line,) = ledger.starts()
    process.send(signal.SIGTERM)
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(line.pid, number)
    await eventually(lambda: "SIGTERM: stopping" in process.log, "it has heard")
    gate.touch()
    assert await process.ended() == 0
    assert await client.wait_for_result(task_id, 60) == 1
    assert is_gone(line.pid)


@pytest.mark.slow
async def test_a_grace_time_that_is_exceeded(
    client: Client, worker: NewWorker, queue: str, tmp_path: Path
) -> None:
    process = await worker(grace_seconds=0.5).started()
    task_id, pids = await spinning(client, queue, tmp_path)
    process.send(signal.SIGTERM)
    assert await process.ended() == 0
    await are_gone(pids)
    info = await client.get_task(task_id)
    assert (info.state, info.failures, info.losses) == (State.PENDING, 0, 0)
    assert "Traceback" not in process.log


@pytest.mark.slow
async def test_poison_does_not_take_the_worker_with_it(
    client: Client, worker: NewWorker, queue: str
) -> None:
    process = await worker(concurrency=2).started()
    told = await asyncio.gather(*(failed(client, queue, "die", how) for how in DEATHS))
    assert {error.remote_type for error in told} == {"identtqueue.errors.ProcessDied"}
    assert await ran(client, queue, "echo", 1) == [[1], {}]
    await process.terminate()


SCRIPT = """
    import sys
    from identtqueue import Job, RetryPolicy, Worker

    class Odd(Exception):
        pass

    def job(ctx, what):
        if what == "odd" and ctx.failures == 0:
            raise Odd("once")
        return [__name__, ctx.attempt, ctx.state["model"]]

    def load(state):
        state["model"] = "loaded"

    {guard}
        Worker(
            [Job(name="job", function=job, run_in="process")],
            sys.argv[1],
            sys.argv[2],
            retry=RetryPolicy(max_retries=1, first_delay_seconds=0.01, retry_on=(Odd,)),
            on_process_startup=load,
        ).run()
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["path", "module"])
async def test_jobs_of_the_main_module(
    client: Client, redis_server: RedisServer, queue: str, tmp_path: Path, way: str
) -> None:
    (tmp_path / "service.py").write_text(
        textwrap.dedent(SCRIPT).format(guard='if __name__ == "__main__":')
    )
    command = ["service.py"] if way == "path" else ["-m", "service"]
    script = await asyncio.create_subprocess_exec(
        *(sys.executable, *command, redis_server.address, queue),
        cwd=tmp_path,
        env=environment(redis_server.address),
    )
    try:
        assert await ran(client, queue, "job", "fine") == ["__mp_main__", 1, "loaded"]
        assert await ran(client, queue, "job", "odd") == ["__mp_main__", 2, "loaded"]
        script.send_signal(signal.SIGTERM)
        assert await script.wait() == 0
    finally:
        if script.returncode is None:
            script.kill()
            await script.wait()


@pytest.mark.slow
async def test_a_main_module_that_does_not_guard_its_worker(
    redis_server: RedisServer, queue: str, tmp_path: Path
) -> None:
    (tmp_path / "service.py").write_text(textwrap.dedent(SCRIPT).format(guard="if True:"))
    script = await asyncio.create_subprocess_exec(
        *(sys.executable, "service.py", redis_server.address, queue),
        cwd=tmp_path,
        env=environment(redis_server.address),
        stderr=subprocess.PIPE,
    )
    _, said = await script.communicate()
    assert script.returncode == 1
    assert b'put the call below if __name__ == "__main__":' in said


@pytest.mark.slow
def test_on_uvloop(redis_server: RedisServer, queue: str, tmp_path: Path) -> None:
    import uvloop

    async def scenario() -> None:
        worker = process_jobs.app.worker([queue], redis_address=redis_server.address)
        async with Client(redis_server.address) as client, serving(worker):
            assert await ran(client, queue, "echo", 1) == [[1], {}]
            assert "SIGKILL" in str(await failed(client, queue, "die", "SIGKILL"))
            started = str(tmp_path / "started")
            told = await failed(client, queue, "spin", started, timeout_seconds=0.2)
            assert told.remote_type == "identtqueue.errors.TimedOut"

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
