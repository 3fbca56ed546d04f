"""Acts on many tasks: by filters, after a question, in steps that can be broken off."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import select
import signal
import sys
from collections.abc import Callable

import pytest

from cli.terminal import HERE, Run, ended, one_line, start
from identtqueue import Client, State, Submission, TaskOptions, Worker
from identtqueue.admin import Admin, Place
from identtqueue.protocol.scripts import script
from testing.processes import environment
from testing.proxy import Proxy
from testing.redis_server import RedisServer
from testing.serving import serving
from testing.waiting import eventually


@pytest.fixture
async def waiting(client: Client, queue: str) -> list[str]:
    """Enqueue five tasks of two jobs, of which one is scheduled; return their ids."""
    ids = [
        await client.enqueue_job(queue, job, task_options=TaskOptions(task_id=name))
        for job, name in (("read", "r1"), ("read", "r2"), ("send", "s1"), ("send", "s2"))
    ]
    later = TaskOptions(task_id="later", delay_seconds=600)
    return [*ids, await client.enqueue_job(queue, "read", task_options=later)]


@pytest.fixture
async def failed(client: Client, redis_server: RedisServer, queue: str) -> list[str]:
    """Make four dead letters of two jobs; return their ids."""

    async def job(_ctx):
        raise ValueError("too dark")

    ids = [
        await client.enqueue_job(queue, name, task_options=TaskOptions(max_retries=0))
        for name in ("read", "read", "read", "send")
    ]
    async with serving(Worker({"read": job, "send": job}, redis_server.address, queue)):
        for task_id in ids:
            await client.wait(task_id, 30)
    return ids


async def states(client: Client, ids: list[str]) -> list[State | None]:
    return [await client.get_status(task_id) for task_id in ids]


# --- what is acted on ---


async def test_replay_of_what_matches(
    client: Client, run: Run, queue: str, failed: list[str]
) -> None:
    said = await run("dead", "replay", queue, "--job", "read", "--error", "ValueError")
    assert (said.code, said.out, said.err) == (0, "3 tasks replayed\n", "")
    assert await states(client, failed) == [State.PENDING] * 3 + [State.FAILED]
    said = await run("dead", "replay", queue, "--job", "read")
    assert said.code == 3
    assert one_line(said) == f"Error: no dead task of {queue} matches job=read: nothing was changed"
    row = json.loads((await run("dead", "replay", queue, "--all", "--json")).out)
    assert (row["act"], row["places"], row["matched"], row["changed"]) == ("replay", ["dead"], 1, 1)


async def test_ids(client: Client, run: Run, queue: str, failed: list[str]) -> None:
    never = f"{queue}:never"
    said = await run("dead", "replay", failed[0], never, failed[0])
    assert said.out == (
        f"{failed[0]}  replayed\n"
        f"{never}  is not a dead letter, or another task has its unique key\n"
    )
    assert said.code == 1
    said = await run("dead", "discard", failed[1], "--json")
    assert json.loads(said.out) == {"task_id": failed[1], "act": "discard", "changed": True}
    assert (await run("dead", "discard", failed[1])).code == 3
    said = await run("cancel", failed[0])
    assert (said.code, said.out) == (0, f"{failed[0]}  cancelled\n")
    assert await states(client, failed[:2]) == [State.CANCELLED, None]


async def test_move(client: Client, run: Run, queue: str, failed: list[str]) -> None:
    other = f"{queue}-b"
    said = await run("dead", "move", queue, "--job", "send", "--to", other, "--yes")
    assert (said.code, said.out) == (0, "1 task moved\n")
    assert (await run("queues", other)).rows[0][1] == "1"


async def test_cancel_of_what_matches(
    client: Client, run: Run, queue: str, waiting: list[str]
) -> None:
    said = await run("cancel", queue, "--job", "read", "--state", "pending", "--yes")
    assert (said.code, said.out) == (0, "2 tasks cancelled\n")
    said = await run("cancel", queue, "--all", "--yes")
    assert said.out == "3 tasks cancelled\n"
    assert set(await states(client, waiting)) == {State.CANCELLED}


async def test_reschedule(client: Client, run: Run, queue: str, waiting: list[str]) -> None:
    said = await run("reschedule", waiting[-1], "--at", "2100-01-01T00:00Z")
    assert (said.code, said.out) == (0, f"{waiting[-1]}  rescheduled\n")
    utc = (await run("tasks", queue, "--state", "scheduled", "--utc")).out
    assert "2100-01-01 00:00:00.000 UTC" in utc
    assert (
        await run("reschedule", queue, "--all", "--delay-seconds", "60")
    ).out == "1 task rescheduled\n"
    assert (await run("reschedule", waiting[-1], "--now")).out == f"{waiting[-1]}  due now\n"
    said = await run("reschedule", waiting[0], "--now")
    assert (said.code, said.out) == (3, f"{waiting[0]}  is not scheduled\n")


async def test_purge(client: Client, run: Run, queue: str, waiting: list[str]) -> None:
    said = await run("purge", queue, "--state", "scheduled", "--yes")
    assert (said.code, said.out) == (0, "1 task purged\n")
    assert (await run("purge", queue, "--yes")).out == "4 tasks purged\n"
    assert (await run("queues", queue)).rows[0][1:6] == ["0"] * 5
    assert (await run("purge", queue, "--yes")).code == 3


async def test_one_job_is_paused(client: Client, run: Run, queue: str, waiting: list[str]) -> None:
    assert (await run("pause", queue, "--job", "read")).out == "paused\n"
    assert (await run("pause", queue, "--job", "read")).out == "was paused already\n"
    rows = {row[0]: row[1] for row in (await run("jobs", queue)).rows}
    assert rows["read"] == "paused"
    assert (await run("resume", queue, "--job", "read")).out == "resumed\n"
    assert (await run("resume", queue, "--job", "read")).out == "was not paused\n"


async def test_who_did_it(run: Run, queue: str, failed: list[str]) -> None:
    said = await run("audit", queue)
    assert (said.code, said.out, said.err) == (0, "", f"Nobody has acted on {queue}.\n")
    await run("pause", queue)
    await run("dead", "discard", queue, "--job", "send", "--yes")
    rows = [json.loads(line) for line in (await run("audit", queue, "--json")).out.splitlines()]
    assert [row["act"] for row in rows] == ["discard", "pause"]
    assert (rows[0]["matched"], rows[0]["changed"], "send" in rows[0]["what"]) == (1, 1, True)
    assert (await run("audit", queue, "--limit", "1")).rows[0][-2:] == ["1", "1"]


# --- what is not acted on ---


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("dead", "replay", "{}"), "which tasks of {}? give --all, or filters, or ids"),
        (("dead", "replay", "{}", "--all", "--job", "a"), "give filters or --all, not both"),
        (("dead", "replay", "{}", "--job", ""), "--job is empty"),
        (("dead", "replay", "{}", "{}:1"), "'{}' is no task id: give one queue, or only ids"),
        (("dead", "replay", "{}:1", "--all"), "go with a queue, not with ids"),
        (("dead", "replay", "No Name", "--all"), "queue name 'No Name' is not valid"),
        (("dead", "move", "{}", "--all", "--to", "No"), "queue name 'No' is not valid"),
        (("cancel", "{}:1", "--state", "pending"), "--state goes with a queue, not with ids"),
        (("cancel", "{}", "--all", "--cursor", "x", "--yes"), "--cursor belongs to one list"),
        (("reschedule", "{}:1"), "Give one of --now, --at and --delay-seconds"),
        (("reschedule", "{}:1", "--now", "--delay-seconds", "1"), "Give one of"),
    ],
)
async def test_what_is_refused(run: Run, queue: str, words: tuple[str, ...], why: str) -> None:
    said = await run(*(word.replace("{}", queue) for word in words))
    assert why.replace("{}", queue) in one_line(said)
    assert said.code == 2


# --- the question ---


async def test_without_a_terminal_nothing_is_destroyed(
    client: Client, run: Run, queue: str, failed: list[str]
) -> None:
    said = await run("dead", "discard", queue, "--job", "read")
    assert said.code == 2
    message = one_line(said)
    assert f"Discard 3 tasks of {queue} (job=read)?" in message
    assert "give --yes" in message
    assert await states(client, failed) == [State.FAILED] * 4
    said = await run("dead", "discard", queue, "--job", "other")
    assert said.code == 3


class Pseudo:
    """A pseudo-terminal in which a command runs."""

    def __init__(self, server: RedisServer, *words: str) -> None:
        self.pid, self._master = pty.fork()
        if not self.pid:
            os.chdir(HERE)
            command = [sys.executable, "-m", "identtqueue", *words]
            os.execvpe(
                command[0], command, environment(server.address, TERM="xterm", COLUMNS="100")
            )
        self.seen = ""

    def read_until(self, text: str) -> None:
        """Read what the command prints, until it has printed this, or has ended."""
        while text not in self.seen:
            assert select.select([self._master], [], [], 30)[0], (
                f"{text!r} did not come: {self.seen}"
            )
            try:
                self.seen += os.read(self._master, 65536).decode()
            except OSError:  # it has ended
                assert text == "", self.seen
                return

    def type(self, text: str) -> None:
        """Type something."""
        os.write(self._master, text.encode())

    def end(self) -> int:
        """Read to the end; return the exit code."""
        while select.select([self._master], [], [], 30)[0]:
            try:
                self.seen += os.read(self._master, 65536).decode()
            except OSError:
                break
        os.close(self._master)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "code", "left"), [("n", 1, 4), ("y", 0, 1)])
async def test_a_person_is_asked(
    client: Client,
    redis_server: RedisServer,
    queue: str,
    failed: list[str],
    answer: str,
    code: int,
    left: int,
) -> None:
    terminal = Pseudo(redis_server, "dead", "discard", queue, "--job", "read")
    await asyncio.to_thread(terminal.read_until, f"Discard 3 tasks of {queue} (job=read)? [y/N]: ")
    assert await states(client, failed) == [State.FAILED] * 4
    terminal.type(f"{answer}\r")
    assert await asyncio.to_thread(terminal.end) == code
    assert ("3 tasks discarded" in terminal.seen) is (answer == "y")
    assert (await states(client, failed)).count(State.FAILED) == left


# --- breaking off ---


@pytest.mark.slow
async def test_ctrl_c_stops_between_two_steps_and_says_where_to_go_on(
    new_redis_server: Callable[..., RedisServer],
) -> None:
    server, number = new_redis_server(), 10_000
    later = TaskOptions(delay_seconds=3_600)
    async with (
        Client(server.address) as client,
        Admin(server.address) as admin,
        Proxy(server.port) as proxy,  # holds the reply to a step, so that none outruns the signal
    ):
        await client.submit_many(Submission("q", "read", options=later) for _ in range(number))
        words = ("reschedule", "q", "--all", "--at", "2100-01-01T00:00Z")
        step = script("reschedule").sha.encode()
        proxy.hold_replies_to(step)
        process = await start(proxy.address, *words)

        async def changed() -> int:
            entries = await admin.audit("q")
            return entries[0].changed if entries else 0

        first = await eventually(changed, "the first step is done")
        proxy.hold_replies_to(step)
        proxy.release()

        async def is_further() -> bool:
            return await changed() > first

        await eventually(is_further, "the second step is done")
        process.send_signal(signal.SIGINT)
        proxy.release()
        said = await ended(process)
        assert said.code == 130, said
        stopped = re.search(r"stopped: ([\d,]+) tasks of scheduled rescheduled; to go on", said.err)
        cursor = re.search(r"add (--cursor \S+)", said.err)
        assert stopped, said.err
        assert 0 < int(stopped[1].replace(",", "")) < number
        said = await ended(await start(server.address, *words, *cursor[1].split()))
        assert said.code == 0, said
        page = await admin.tasks("q", Place.SCHEDULED, newest_first=False, limit=1)
        assert page.rows[0].due_at_ms == 4_102_444_800_000
