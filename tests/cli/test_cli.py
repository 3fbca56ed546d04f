"""The command `identtqueue`: its output and exit codes. Workers run as real processes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import urllib.request
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from cli.terminal import HERE, Run, ended, one_line, start
from identtqueue import Client, Worker
from testing.processes import environment
from testing.redis_server import RedisServer, free_port
from testing.serving import serving

ROOT = HERE.parents[1]


# --- help and errors --------------------------------------------------------------------------


@pytest.mark.slow
async def test_help(redis_server: RedisServer, run: Run) -> None:
    said = await ended(await start(redis_server.address, "--help"))
    assert said.code == 0
    for command in ("worker", "queues", "workers", "task", "dead", "pause", "resume", "selftest"):
        assert f"  {command} " in said.out
    assert "IDENTTQUEUE_REDIS_ADDRESS" in said.out
    assert f"version {version('identtqueue')}" in (await run("--version")).out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("queues", "No Name"), "queue name 'No Name' is not valid"),
        (("tasks",), "Missing argument 'QUEUE'"),
        (("workers", "No Name"), "queue name 'No Name' is not valid"),
        (("task", "no-id"), "task id 'no-id' is not valid"),
        (("task", "q:never"), "no task q:never: never enqueued, or its result has expired"),
        (("dead", "replay", "q:"), "task id 'q:' is not valid"),
        (("dead", "list", "No Name"), "queue name 'No Name' is not valid"),
        (("dead", "list", "q", "--limit", "0"), "0 is not in the range x>=1"),
        (("dead", "list", "q", "--limit", "-1"), "-1 is not in the range x>=1"),
        (("dead", "list", "q", "--since", "-1"), "must be a duration such as 90s"),
        (("pause", "No Name"), "queue name 'No Name' is not valid"),
        (("bury",), "No such command 'bury'"),
        (("--redis-address", "http://x", "queues", "q"), "redis_address 'http://x'"),
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
    said = await run(*words)
    assert why in one_line(said)
    away = {"no task q:never": 3, "no result of task nobody": 6}
    assert said.code == next((code for text, code in away.items() if text in why), 2)


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
    said = await run("--redis-address", "redis://127.0.0.1:1", "queues", "q")
    assert said.code == 4
    message = one_line(said)
    assert "Redis can't be reached" in message
    assert "127.0.0.1:1" in message


@pytest.mark.slow
async def test_wrong_password(new_redis_server: Callable[..., RedisServer]) -> None:
    server = new_redis_server()
    with server.client() as raw:
        raw.config_set("requirepass", "right")
    for words in (("queues", "q"), ("worker", "apps:app")):
        said = await ended(await start(server.address, *words, IDENTTQUEUE_REDIS_PASSWORD="wrong"))
        message = one_line(said)
        assert said.code == 5
        assert "Redis refused the login" in message
        assert "wrong" not in message.replace("WRONGPASS", "")
    said = await ended(
        await start(server.address, "queues", "q", IDENTTQUEUE_REDIS_PASSWORD="right\n")
    )
    assert said.code == 0, said.err


@pytest.mark.parametrize("mark", ["#", "?"])
async def test_a_password_that_is_not_escaped(run: Run, mark: str) -> None:
    address = f"redis://me:12{mark}cr3t@127.0.0.1:6379"
    for words in (("queues", "q"), ("worker", "apps:app")):
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
    said = await run("queues", queue, IDENTTQUEUE_VERSION="1", IDENTTQUEUE_QUEUES_AS_JSON="1")
    assert said.rows[0][:2] == [queue, "0"]


@pytest.mark.slow
async def test_the_port_is_taken(redis_server: RedisServer, queue: str) -> None:
    words = ("worker", "apps:app", "--queue", queue, "--http-port", str(redis_server.port))
    assert "in use" in one_line(await ended(await start(redis_server.address, *words)))


# --- workers ----------------------------------------------------------------------------------


@pytest.mark.slow
async def test_selftest(redis_server: RedisServer, run: Run, queue: str) -> None:
    environ = {"IDENTTQUEUE_SELFTEST_QUEUE": queue}
    worker = await start(redis_server.address, "worker", "identtqueue.selftest:app", **environ)
    said = await run("selftest", **environ)
    assert said.code == 0, said.err
    words = dict(line.split(maxsplit=1) for line in said.out.splitlines()[:-1])
    assert [*words] == ["connected", "enqueued", "returned", "waited", "ran"]
    assert words["enqueued"].startswith(f"{queue}:")
    assert words["returned"].startswith("'hello'  (")
    assert said.out.splitlines()[-1] == "The installation works."
    worker.terminate()
    assert (await ended(worker)).code == 0


async def test_a_selftest_that_gets_no_answer_says_why(
    run: Run, redis_server: RedisServer, queue: str
) -> None:
    command = ("selftest", "--queue", queue, "--timeout-seconds", "0.05")
    assert "Start one: `identtqueue worker identtqueue.selftest" in await why(run, command)

    async def other(_ctx: object) -> None: ...

    async with serving(Worker({"other": other}, redis_server.address, queue)):
        assert "Do its workers run identtqueue.selftest:app?" in await why(run, command)
        assert (await run("pause", queue)).code == 0
        assert "is paused. Resume it" in await why(run, command)


async def why(run: Run, command: tuple[str, ...]) -> str:
    """Return why it failed, after a check that its task was cancelled."""
    said = await run(*command)
    assert said.code == 6
    message = one_line(said)
    task_id = message.removeprefix("Error: no result of task ").split()[0]
    assert "state      cancelled" in (await run("task", task_id)).out.replace("  state", "state")
    return message


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
