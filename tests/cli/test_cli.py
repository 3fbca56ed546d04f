"""The command `identtqueue`: its output and exit codes. Workers run as real processes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner

from identtqueue import Client, Job, RateLimit, State, TaskFailed, TaskOptions, Worker
from identtqueue.cli import main
from testing.processes import environment
from testing.redis_server import RedisServer, free_port
from testing.serving import serving
from testing.waiting import eventually

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Said:
    """Output and exit code of a command."""

    code: int
    out: str
    err: str


Run = Callable[..., Awaitable[Said]]


async def start(address: str, *words: str, **environ: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "identtqueue", *words),
        cwd=HERE,
        env=environment(address, **environ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(process: asyncio.subprocess.Process) -> Said:
    out, err = await process.communicate()
    return Said(process.returncode, out.decode(), err.decode())


@pytest.fixture
def run(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Provide `await run("depth", "q")`: runs a command in this process, which is faster."""
    monkeypatch.chdir(HERE)
    monkeypatch.setattr(sys, "path", [*sys.path])

    async def call(*words: str, **environ: str) -> Said:
        environ = {"IDENTTQUEUE_REDIS_ADDRESS": redis_server.address} | environ
        said = await asyncio.to_thread(CliRunner().invoke, main, words, env=environ)
        assert said.exception is None or isinstance(said.exception, SystemExit), said.exception
        return Said(said.exit_code, said.stdout, said.stderr)

    return call


def one_line(said: Said, start: str = "Error: ") -> str:
    """Return the message of a failed command: one line, no traceback."""
    assert said.code == (2 if "Usage: " in said.err else 1)
    assert said.out == ""
    *usage, message = said.err.strip().splitlines()
    before = [line for line in usage if " INFO identtqueue." not in line]  # of a worker that starts
    assert all(line.startswith(("Usage: ", "Try ")) or not line for line in before), said.err
    assert message.startswith(start), said.err
    return message


# --- help and errors --------------------------------------------------------------------------


@pytest.mark.slow
async def test_help(redis_server: RedisServer, run: Run) -> None:
    said = await ended(await start(redis_server.address, "--help"))
    assert said.code == 0
    for command in ("worker", "depth", "workers", "task", "dead", "pause", "resume", "selftest"):
        assert f"  {command} " in said.out
    assert "IDENTTQUEUE_REDIS_ADDRESS" in said.out
    assert f"version {version('identtqueue')}" in (await run("--version")).out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("depth", "No Name"), "queue name 'No Name' is not valid"),
        (("depth",), "Missing argument 'QUEUES...'"),
        (("workers", "No Name"), "queue name 'No Name' is not valid"),
        (("task", "no-id"), "task id 'no-id' is not valid"),
        (("task", "q:never"), "no task q:never: never enqueued, or its result has expired"),
        (("dead", "replay", "no-id"), "task id 'no-id' is not valid"),
        (("dead", "list", "No Name"), "queue name 'No Name' is not valid"),
        (("dead", "list", "q", "--limit", "0"), "0 is not in the range x>=1"),
        (("dead", "list", "q", "--limit", "-1"), "-1 is not in the range x>=1"),
        (("dead", "list", "q", "--offset", "-1"), "-1 is not in the range x>=0"),
        (("pause", "No Name"), "queue name 'No Name' is not valid"),
        (("bury",), "No such command 'bury'"),
        (("--redis-address", "http://x", "depth", "q"), "redis_address 'http://x'"),
        (
            ("selftest", "--queue", "nobody", "--timeout-seconds", "0.1"),
            "no result of task nobody:",
        ),
        (("worker", "no_such_module:app"), "No module named 'no_such_module'"),
        (("worker", "no_such_package.tasks:app"), "No module named 'no_such_package'"),
        (("worker", ":app"), "':app' names no module"),
        (("worker", ".tasks:app"), "'.tasks:app' names no module"),
        (("worker", "apps:missing"), "has no attribute 'missing'"),
        (("worker", "apps:no_app"), "apps:no_app is not an identtqueue.App"),
        (("worker", "apps:no_jobs"), "this app has no jobs: import the modules that declare them"),
        (("worker", "apps:no_jobs"), "--import MODULE"),
        (("worker", "apps:no_jobs", "--import", "no_such_jobs"), "named 'no_such_jobs'"),
        (("worker", "apps:no_jobs", "--import", ".jobs"), "--import '.jobs' names no module"),
        (("worker", "apps:app", "--queue", "No Name"), "queue name 'No Name' is not valid"),
        (("worker", "apps:app", "--queue", "mrz:x"), "queue 'mrz:x': expected NAME or NAME:WEIGHT"),
        (("worker", "apps:app", "--queue", "mrz:0"), "weight of queue 'mrz' is 0"),
        (
            ("worker", "apps:app", "--queue", "a:2", "--queue-order", "strict"),
            "have no meaning in strict order",
        ),
        (("worker", "apps:app", "--queue-order", "random"), "'random' is not one of"),
        (("worker", "apps:app", "--concurrency", "0"), "concurrency=0: must be 1 or more"),
        (("worker", "apps:app", "--lease-seconds", "1"), "lease_seconds=1.0: must be 5 or more"),
        (("worker", "apps:app", "--log-level", "loud"), "'loud' is not one of"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
async def test_errors_are_one_line(run: Run, words: tuple[str, ...], why: str) -> None:
    assert why in one_line(await run(*words))


@pytest.mark.slow
async def test_what_fails_within_the_apps_module_says_where(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("import no_such_library\n")
    environ = {"PYTHONPATH": str(tmp_path)}
    said = await ended(await start(redis_server.address, "worker", "broken:app", **environ))
    assert said.code != 0
    assert "broken.py" in said.err
    assert said.err.strip().endswith("No module named 'no_such_library'")


async def test_nobody_there(run: Run) -> None:
    message = one_line(await run("--redis-address", "redis://127.0.0.1:1", "depth", "q"))
    assert "Redis can't be reached" in message
    assert "127.0.0.1:1" in message


@pytest.mark.slow
async def test_wrong_password(new_redis_server: Callable[..., RedisServer]) -> None:
    server = new_redis_server()
    with server.client() as raw:
        raw.config_set("requirepass", "right")
    for words in (("depth", "q"), ("worker", "apps:app")):
        said = await ended(await start(server.address, *words, IDENTTQUEUE_REDIS_PASSWORD="wrong"))
        message = one_line(said)
        assert "Redis refused the login" in message
        assert "wrong" not in message.replace("WRONGPASS", "")
    said = await ended(
        await start(server.address, "depth", "q", IDENTTQUEUE_REDIS_PASSWORD="right\n")
    )
    assert said.code == 0, said.err


@pytest.mark.parametrize("mark", ["#", "?"])
async def test_a_password_that_is_not_escaped(run: Run, mark: str) -> None:
    address = f"redis://me:12{mark}cr3t@127.0.0.1:6379"
    for words in (("depth", "q"), ("worker", "apps:app")):
        for said in (
            await run("--redis-address", address, *words),
            await run(*words, IDENTTQUEUE_REDIS_ADDRESS=address),
        ):
            message = one_line(said)
            assert "IDENTTQUEUE_REDIS_PASSWORD" in message
            assert "cr3t" not in message
            assert "12" not in message.replace("127.0.0.1", "")


async def test_a_variable_that_click_would_derive(run: Run, queue: str) -> None:
    """Such a variable once made each command print its version and exit."""
    said = await run("depth", queue, IDENTTQUEUE_VERSION="1", IDENTTQUEUE_DEPTH_AS_JSON="1")
    assert said.out.startswith(f"queue {queue}  queued 0")


@pytest.mark.slow
async def test_the_port_is_taken(redis_server: RedisServer, queue: str) -> None:
    words = ("worker", "apps:app", "--queue", queue, "--http-port", str(redis_server.port))
    assert "in use" in one_line(await ended(await start(redis_server.address, *words)))


# --- looking and mending ----------------------------------------------------------------------


@pytest.fixture
async def dead_letter(client: Client, redis_server: RedisServer, queue: str) -> str:
    """Make a dead letter; return its id."""

    async def read(_ctx, _path, _data, *, page):
        raise ValueError("too dark")

    async with serving(Worker({"read": read}, redis_server.address, queue)):
        task_id = await client.enqueue_job(queue, "read", "s3://bucket/a.jpg", b"\0", page=3)
        with pytest.raises(TaskFailed):
            await client.wait_for_result(task_id, 30)
    return task_id


async def test_depth(client: Client, run: Run, queue: str) -> None:
    await client.enqueue_job(queue, "job")
    said = await run("depth", queue, f"{queue}-b")
    assert said.code == 0
    first, second = said.out.splitlines()
    assert first.startswith(
        f"queue {queue}  queued 1  held 0  in_flight 0  scheduled 0  dead 0  workers 0"
    )
    assert second.endswith("oldest_wait_ms -  paused False")
    said = await run("depth", "--json", queue)
    row = json.loads(said.out)
    assert (row["queue"], row["queued"], row["paused"]) == (queue, 1, False)


async def test_limits(client: Client, redis_server: RedisServer, run: Run, queue: str) -> None:
    async def job(_ctx):
        return 1

    jobs = [
        Job(name="both", function=job, max_running=2, rate_limit=RateLimit(1, 3600)),
        Job(name="free", function=job),
        Job(name="one", function=job, max_running=1),
    ]
    async with serving(Worker(jobs, redis_server.address, queue)):
        await client.wait_for_result(await client.enqueue_job(queue, "both"), 30)
        await client.enqueue_job(queue, "both")

        async def shown() -> list[str]:
            said = await run("limits", queue)
            assert said.code == 0
            return said.out.splitlines()

        both, one = await eventually(lambda: _when_held(shown()), "the second one is held")
    assert both.startswith(
        "both  running 0/2  rate 1 per 3600 s, burst 1  held 1  next start in 35"
    )
    assert one == "one  running 0/1  held 0  next start in 0.000 s"


async def _when_held(lines: Awaitable[list[str]]) -> list[str] | None:
    rows = await lines
    return rows if "held 1" in rows[0] else None


async def test_workers(client: Client, redis_server: RedisServer, run: Run, queue: str) -> None:
    async def job(_ctx):
        return 1

    worker = Worker({"job": job}, redis_server.address, queue, concurrency=3)
    async with serving(worker):
        task_id = await client.enqueue_job(queue, "job")
        await client.wait_for_result(task_id, 30)
        owner = (await client.get_task(task_id)).owner
        said = await run("workers", queue)
    assert said.out.startswith(f"{owner}  {os.uname().nodename}  fetching  in flight 0/3  lease ")
    assert (await run("workers", queue)).out == ""


async def test_scheduled(client: Client, run: Run, queue: str) -> None:
    at = datetime(2100, 1, 1, tzinfo=UTC)
    options = TaskOptions(at=at, task_id="1")
    task_id = await client.enqueue_job(queue, "job", task_options=options)
    listed = await run("scheduled", "list", queue)
    assert listed.out == f"{task_id}  due 2100-01-01T00:00:00+00:00\n"
    assert (await run("scheduled", "start", task_id)).out == f"{task_id}  due now\n"
    assert (await run("scheduled", "start", f"{queue}:2")).out == f"{queue}:2  is not scheduled\n"
    assert await client.get_status(task_id) is State.SCHEDULED  # until a worker claims it


async def test_task(client: Client, run: Run, queue: str, dead_letter: str) -> None:
    said = await run("task", dead_letter)
    first, *rows = said.out.splitlines()
    assert first == dead_letter
    shown = {row[2:12].rstrip(): row[13:] for row in rows if row[2] != " "}
    assert shown["job"] == "read"
    assert shown["state"] == "failed (a dead letter)"
    assert shown["arguments"] == "'s3://bucket/a.jpg', b'\\x00', page=3"
    assert shown["attempts"] == "1  (failures 1, losses 0)"
    for name in ("enqueued", "started", "ended"):
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} UTC", shown[name])
    assert shown["worker"] == (await client.get_task(dead_letter)).owner
    assert shown["failure"] == "ValueError: too dark"
    below = said.out.partition("ValueError: too dark\n")[2]
    assert below.startswith("    Traceback (most recent call last):\n")
    assert "in read" in below
    assert below.endswith("    ValueError: too dark\n")


async def test_task_as_json(run: Run, queue: str, dead_letter: str) -> None:
    row = json.loads((await run("task", "--json", dead_letter)).out)
    assert (row["task_id"], row["queue"], row["job"]) == (dead_letter, queue, "read")
    assert (row["state"], row["attempt"], row["failures"], row["losses"]) == ("failed", 1, 1, 0)
    assert (row["args"], row["kwargs"]) == (["s3://bucket/a.jpg", "AA=="], {"page": 3})
    assert row["enqueued_at_ms"] <= row["started_at_ms"] <= row["finished_at_ms"]
    assert row["failure"]["type"] == "ValueError"
    assert "in read" in row["failure"]["traceback"]


async def test_a_task_that_waits(client: Client, run: Run, queue: str) -> None:
    task_id = await client.enqueue_job(queue, "job")
    said = await run("task", task_id)
    assert "  state      pending\n  arguments  (none)\n  attempts   0  (failures" in said.out
    assert not {"started", "ended", "worker", "failure"} & set(said.out.split())


async def test_nothing_that_a_task_holds_reaches_the_terminal_as_a_command(
    client: Client, redis_server: RedisServer, run: Run, queue: str
) -> None:
    evil = "\x1b[2J\x1b]0;owned\x07\r\x9b"

    async def read(ctx, _text):
        await ctx.report_progress(evil)
        raise ValueError(evil)

    async with serving(Worker({evil: read}, redis_server.address, queue)):
        task_id = await client.enqueue_job(queue, evil, evil)
        with pytest.raises(TaskFailed):
            await client.wait_for_result(task_id, 30)
    for words in (("task", task_id), ("dead", "list", queue), ("task", "--json", task_id)):
        out = (await run(*words)).out
        assert "owned" in out
        assert {char for char in out if not char.isprintable()} == {"\n"}


async def test_arguments_that_can_not_be_read(
    client: Client, run: Run, raw: redis.Redis, queue: str
) -> None:
    task_id = await client.enqueue_job(queue, "job")
    raw.hset(f"idtq:{{{queue}}}:task:{task_id}", "payload", b"\xc1")
    said = await run("task", task_id)
    assert "arguments  (the payload (1 bytes) is not a task envelope" in said.out
    row = json.loads((await run("task", "--json", task_id)).out)
    assert row["args"] is None
    assert "not a task envelope" in row["payload_error"]


async def test_huge_arguments_are_cut_for_people_only(client: Client, run: Run, queue: str) -> None:
    task_id = await client.enqueue_job(queue, "job", "x" * 100_000)
    said = await run("task", task_id)
    assert len(said.out) < 6_000
    assert "… (100002 characters; --json shows all)" in said.out
    row = json.loads((await run("task", "--json", task_id)).out)
    assert row["args"] == ["x" * 100_000]


async def test_progress(client: Client, redis_server: RedisServer, run: Run, queue: str) -> None:
    async def read(ctx):
        await ctx.report_progress({"page": 3})

    async with serving(Worker({"read": read}, redis_server.address, queue)):
        task_id = await client.enqueue_job(queue, "read")
        await client.wait_for_result(task_id, 30)
    said = await run("task", task_id)
    assert "  progress   {'page': 3}\n" in said.out
    assert "  arguments  (deleted: " in said.out
    assert json.loads((await run("task", "--json", task_id)).out)["progress"] == {"page": 3}


async def test_dead_letters(client: Client, run: Run, queue: str, dead_letter: str) -> None:
    said = await run("dead", "list", queue)
    assert said.out == (await run("task", dead_letter)).out
    assert "arguments  's3://bucket/a.jpg'" in said.out
    assert "Traceback" in said.out
    (row,) = (await run("dead", "list", queue, "--json")).out.splitlines()
    assert json.loads(row)["task_id"] == dead_letter
    assert (await run("dead", "list", queue, "--offset", "1")).out == ""

    other = f"{queue}:never"
    said = await run("dead", "replay", dead_letter, other)
    assert said.out.splitlines() == [
        f"{dead_letter}  replayed",
        f"{other}  is not a dead letter, or another task has its unique key",
    ]
    assert await client.get_status(dead_letter) is State.PENDING
    assert (await run("dead", "list", queue)).out == ""


async def test_discard(client: Client, run: Run, dead_letter: str) -> None:
    said = await run("dead", "discard", dead_letter)
    assert said.out == f"{dead_letter}  discarded\n"
    assert await client.get_status(dead_letter) is None
    said = await run("dead", "discard", dead_letter)
    assert said.out == f"{dead_letter}  is not a dead letter\n"


async def test_pause_and_resume(run: Run, raw: redis.Redis, queue: str) -> None:
    assert (await run("pause", queue)).out == "paused\n"
    assert raw.exists(f"idtq:{{{queue}}}:paused")
    assert (await run("pause", queue)).out == "was paused already\n"
    assert (await run("resume", queue)).out == "resumed\n"
    assert (await run("resume", queue)).out == "was not paused\n"
    assert not raw.exists(f"idtq:{{{queue}}}:paused")


# --- workers ----------------------------------------------------------------------------------


@pytest.mark.slow
async def test_selftest(redis_server: RedisServer, run: Run, queue: str) -> None:
    environ = {"IDENTTQUEUE_SELFTEST_QUEUE": queue}
    worker = await start(redis_server.address, "worker", "identtqueue.selftest:app", **environ)
    said = await run("selftest", **environ)
    assert said.code == 0, said.err
    assert said.out.startswith(f"{queue}:")
    assert " succeeded on " in said.out
    worker.terminate()
    assert (await ended(worker)).code == 0


@pytest.mark.slow
async def test_a_worker_from_the_environment(
    redis_server: RedisServer, client: Client, queue: str
) -> None:
    port, other = free_port(), f"{queue}-b"
    worker = await start(
        *(redis_server.address, "worker", "apps:named"),
        IDENTTQUEUE_QUEUES=f"{queue}:3, {other}",
        IDENTTQUEUE_CONCURRENCY="3",
        IDENTTQUEUE_LEASE_SECONDS="7",
        IDENTTQUEUE_GRACE_SECONDS="1",
        IDENTTQUEUE_MAX_DELIVERIES="2",
        IDENTTQUEUE_HTTP_PORT=str(port),
        IDENTTQUEUE_LOG_LEVEL="warning",
        IDENTTQUEUE_POD_UID="uid-1",
        IDENTTQUEUE_POD_NAME="pod-1",
        IDENTTQUEUE_CONTAINER="main",
    )
    for name in (queue, other):
        task_id = await client.enqueue_job(name, "hello", "you")
        assert await client.wait_for_result(task_id, 60) == "hello you"
    assert (await client.get_task(task_id)).owner.startswith("uid-1.")

    def ask() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            return answer.read().decode()

    assert "identtqueue_concurrency 3.0" in await asyncio.to_thread(ask)
    worker.send_signal(signal.SIGINT)
    said = await ended(worker)
    assert (said.code, said.out, said.err) == (0, "", ""), "nothing to warn of, nothing said"


@pytest.mark.slow
async def test_options_come_before_the_environment(
    redis_server: RedisServer, client: Client, queue: str
) -> None:
    """The address on the command line also comes before the one in the code."""
    words = ("--redis-address", redis_server.address, "worker", "apps:fixed", "--queue", queue)
    worker = await start("redis://127.0.0.1:1", *words, IDENTTQUEUE_QUEUES="elsewhere")
    task_id = await client.enqueue_job(queue, "hello", "you")
    assert await client.wait_for_result(task_id, 60) == "hello you"
    worker.terminate()
    assert (await ended(worker)).code == 0


async def said_at_start(process: asyncio.subprocess.Process) -> str:
    """Run a worker until it has registered; return its log."""
    assert process.stderr is not None
    async with asyncio.timeout(60):
        while b": queues " not in (line := await process.stderr.readline()):
            assert line, "it ended"
    process.terminate()
    await process.communicate()
    return line.decode().rpartition(": queues ")[2].strip()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "environ", "queues"),
    [
        (("--queue", "{}-a:3", "--queue", "{}-b"), {"QUEUES": "other:5"}, "{}-a:3, {}-b"),
        ((), {"QUEUES": "{}-a:3,{}-b", "QUEUE_ORDER": "fair"}, "{}-a:3, {}-b"),
        (("--queue-order", "strict"), {"QUEUES": "{}-b,{}-a"}, "{}-b, {}-a, in strict order"),
        ((), {"QUEUES": "{}-a", "QUEUE_ORDER": "strict"}, "{}-a, in strict order"),
    ],
)
async def test_order_and_weights(
    redis_server: RedisServer, queue: str, words: tuple[str, ...], environ: dict, queues: str
) -> None:
    def named(text: str) -> str:
        return text.replace("{}", queue)

    variables = {f"IDENTTQUEUE_{name}": named(value) for name, value in environ.items()}
    process = await start(
        redis_server.address, "worker", "apps:app", *map(named, words), **variables
    )
    assert await said_at_start(process) == named(queues)


@pytest.mark.slow
async def test_the_queues_of_the_app(redis_server: RedisServer) -> None:
    worker = await start(redis_server.address, "worker", "apps")
    assert await said_at_start(worker) == "from-the-app"
    assert worker.returncode == 0


# --- what a worker says ---


Log = Callable[..., Awaitable[list[str]]]


@pytest.fixture
def log(redis_server: RedisServer, queue: str, tmp_path: Path) -> Log:
    """`await log("setup code", "--log-level", …)`: of a worker whose jobs' module runs that code.

    Its app is in a module that does not import them.
    """
    (tmp_path / "service.py").write_text("from identtqueue import App\napp = App()\n")

    async def run_one(code: str, *words: str, **environ: str) -> list[str]:
        (tmp_path / "late_jobs.py").write_text(
            f"{code}\nfrom service import app\n\n"
            "@app.task(queue='from-the-app')\n"
            "async def late(_ctx, name):\n    return f'late {name}'\n\n"
            "@app.task(queue='from-the-app', run_in='process')\n"
            "def heavy(_ctx):\n    return 1\n"
        )
        process = await start(
            *(redis_server.address, "worker", "service", "--import", "late_jobs"),
            *("--queue", f"{queue}:2", *words),
            PYTHONPATH=os.pathsep.join([str(tmp_path), environment("")["PYTHONPATH"]]),
            **environ,
        )
        async with Client(redis_server.address) as client:
            task_id = await client.enqueue_job(queue, "late", "you")
            assert await client.wait_for_result(task_id, 60) == "late you"
        process.terminate()
        said = await ended(process)
        assert (said.code, said.out) == (0, "")
        return said.err.splitlines()

    return run_one


@pytest.mark.slow
async def test_a_worker_names_its_jobs_queues_and_server(
    log: Log, queue: str, redis_server: RedisServer
) -> None:
    lines = await log("")
    assert re.match(r"\d{4}-\d\d-\d\d [\d:,]+ INFO identtqueue\.cli\.launch: ", lines[0])
    assert lines[0].endswith(
        f": starting with 2 jobs (heavy (in a process), late) for queues {queue}:2"
    )
    assert any(
        re.search(rf": connected to \w+ [\d.]+ at 127.0.0.1:{redis_server.port}$", line)
        for line in lines
    )


OWN = "import logging; logging.basicConfig(level='INFO', format='OWN %(levelname)s %(message)s')"
OWN_BY_DICT = """
import identtqueue.transport.connection  # loggers that exist are disabled by dictConfig, by default
import logging.config
logging.config.dictConfig({
    "version": 1,
    "formatters": {"f": {"format": "OWN %(levelname)s %(message)s"}},
    "handlers": {"h": {"class": "logging.StreamHandler", "formatter": "f"}},
    "root": {"level": "INFO", "handlers": ["h"]},
})
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "environ"),
    [(("--log-format", "json"), {}), ((), {"IDENTTQUEUE_LOG_FORMAT": "json"})],
    ids=["option", "variable"],
)
async def test_the_format_that_is_given(
    log: Log, words: tuple[str, ...], environ: dict[str, str]
) -> None:
    lines = [json.loads(line) for line in await log("", *words, **environ)]
    (end,) = [line for line in lines if line.get("outcome")]
    assert (end["job"], end["level"], end["outcome"]) == ("late", "info", "succeeded")


@pytest.mark.slow
@pytest.mark.parametrize("code", [OWN, OWN_BY_DICT], ids=["basicConfig", "dictConfig"])
async def test_the_applications_logging_is_respected(log: Log, code: str) -> None:
    lines = await log(code)
    assert [line for line in lines if not line.startswith("OWN ")] == []
    assert len(lines) == len(set(lines)), "nothing twice"
    for words in ("starting with 2 jobs", "connected to", "succeeded", "SIGTERM: stopping"):
        assert any(words in line for line in lines), (words, lines)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "environ"),
    [(("--log-level", "warning"), {}), ((), {"IDENTTQUEUE_LOG_LEVEL": "warning"})],
    ids=["option", "variable"],
)
@pytest.mark.parametrize("code", ["", OWN, OWN_BY_DICT], ids=["none", "basicConfig", "dictConfig"])
async def test_a_level_that_is_given_counts(
    log: Log,
    code: str,
    words: tuple[str, ...],
    environ: dict[str, str],
) -> None:
    assert await log(code, *words, **environ) == []
