"""The chaos program itself: a short run, and tests that it would notice problems."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from identtqueue.protocol import codec
from identtqueue.protocol.answers import Claimed
from identtqueue.protocol.call import Call
from identtqueue.protocol.calls import claiming, leasing, one_task, reporting
from identtqueue.task import Failure
from protocol.bench import LEASE_MS, Bench
from testing.faults import books
from testing.faults.injection import KINDS
from testing.faults.orders import Order, orders_of
from testing.faults.plan import Fault, make_plan
from testing.faults.report import Injected, at_their_starts, costs, markdown
from testing.faults.run import unexpected_tracebacks
from testing.faults.stage import Stage, scenario
from testing.ledger import Line
from testing.packing import remove
from testing.processes import environment
from testing.redis_server import RedisServer

SHAPES = {name: kind.shape for name, kind in KINDS.items()}


@pytest.mark.slow
@scenario(long=True)
async def test_a_short_run(stage: Stage) -> None:
    """Exit code 0 means that the books balance. The long form is `make chaos`."""
    words = "--seed 20 --tasks 2000 --faults 8 --gap-seconds 1.5 --workers 3 --producers 2"
    chaos = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "testing.faults.chaos",
            *words.split(),
            "--output",
            str(stage.folder),
        ),
        env=environment(stage.server.address),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await chaos.communicate()
    finally:
        if chaos.returncode is None:
            await _interrupt(chaos)
    assert chaos.returncode == 0, said.decode()
    numbers = json.loads((stage.folder / "report.json").read_text())["numbers"]
    assert numbers["accepted"] > 1900
    assert (numbers["faults"], numbers["lost"], numbers["problems"]) == (8, 0, 0)


async def _interrupt(chaos: asyncio.subprocess.Process) -> None:
    """Interrupt it in order, so that its servers and workers end with it."""
    chaos.terminate()
    try:
        async with asyncio.timeout(30):
            await chaos.wait()
    except TimeoutError:
        chaos.kill()


# --- the plan ---------------------------------------------------------------------------------


def test_a_seed_is_a_plan() -> None:
    plan = make_plan(7, 200, SHAPES, 4.0)
    assert plan == make_plan(7, 200, SHAPES, 4.0)
    assert plan != make_plan(8, 200, SHAPES, 4.0)
    assert {fault.kind for fault in plan} == set(KINDS)
    times = [fault.at_seconds for fault in plan]
    assert times == sorted(times)
    assert 600 < times[-1] < 1000, "200 faults, 4 s apart"
    assert sum(fault.double for fault in plan) > 20


def test_a_seed_is_a_list_of_orders() -> None:
    def ids(seed: int, producer: int) -> list[Order]:
        groups = orders_of(seed, producer, ["a", "b"], 500)
        return [order for group in groups for order in group]

    assert ids(7, 0) == ids(7, 0)
    assert ids(7, 0) != ids(8, 0)
    names = [order.task_id for producer in (0, 1) for order in ids(7, producer)]
    assert len(set(names)) == len(names) == 1000


# --- the logs ---


def test_only_tracebacks_of_jobs_are_expected() -> None:
    trace = "Traceback (most recent call last):\n  File x\nValueError: too dark\n"
    job = f"12:00 ERROR identtqueue.worker: q:1 attempt 2 failed: waited 0.1 s: ValueError\n{trace}"
    assert list(unexpected_tracebacks(job * 3)) == []
    chain = job + f"\nDuring handling of the above exception, another occurred:\n\n{trace}"
    assert list(unexpected_tracebacks(chain)) == []
    ours = f"12:00 ERROR identtqueue.worker.hooks: after_task hook of q:1 attempt 2 failed\n{trace}"
    (start,) = unexpected_tracebacks(job + ours + job)
    assert (job + ours)[start:].startswith("Traceback")
    assert len(list(unexpected_tracebacks(trace + ours))) == 2


# --- the books --------------------------------------------------------------------------------


class Story:
    """Three tasks that have ended (done, cancelled, dead), with their journal and ledger."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        done, unwanted, dead = (bench.id(name) for name in ("done", "unwanted", "dead"))
        self.orders = [
            Order(done, bench.queue, "quick", "quick"),
            Order(unwanted, bench.queue, "cancelled", "slow"),
            Order(dead, bench.queue, "doomed", "doomed"),
        ]
        self.journal = [
            ("accepted", done, "ok"),
            ("answered", done, "succeeded"),
            ("accepted", unwanted, "ok"),
            ("cancel", unwanted, ""),
            ("accepted", dead, "ok"),
        ]
        self.lines: list[Line] = []
        bench.enqueue("done", "unwanted", "dead")
        bench.run(one_task.cancel(unwanted))
        bench.run(leasing.register(bench.queue, "w", LEASE_MS, {}))
        self._run("end", claiming.claim(bench.queue, "w", 1))
        result = codec.encode_value(1)
        bench.run(reporting.finish(bench.queue, "w", [(done, 1, result)]))
        failure = codec.encode_failure(Failure("ValueError", "always"))
        self._run("fail", claiming.claim(bench.queue, "w", 1))
        bench.run(reporting.retry(bench.queue, "w", dead, 1, 0, failure))
        self._run("fail", claiming.claim(bench.queue, "w", 1))
        bench.run(reporting.bury(bench.queue, "w", dead, 2, failure))
        bench.run(leasing.leave(bench.queue, "w"))
        bench.raw.delete(bench.keys.wake)

    def _run(self, end: str, claim: Call[Claimed]) -> None:
        (attempt,) = self.bench.run(claim).attempts
        at = float(len(self.lines))
        for event in ("start", end):
            self.lines.append(Line(event, attempt.task_id, attempt.number, 1, at))

    def forget(self, event: str, name: str) -> None:
        """Remove such lines of a task from the ledger."""
        task_id = self.bench.id(name)
        self.lines = [x for x in self.lines if (x.event, x.task_id) != (event, task_id)]

    def note(self, event: str, name: str, attempt: int, at: float = 9.0) -> None:
        """Add a line to the ledger."""
        self.lines.append(Line(event, self.bench.id(name), attempt, 1, at))

    def unjournal(self, what: str) -> None:
        """Remove such lines from the journal."""
        self.journal = [line for line in self.journal if line[0] != what]

    def problems(self) -> list[str]:
        """Return the problems that the books find."""
        found = books.make_up(
            self.orders, self.journal, self.lines, self.bench.raw, [self.bench.queue]
        )
        return found.problems


def _set(story: Story, name: str, field: str, value: object) -> None:
    story.bench.raw.hset(f"{story.bench.keys.task_prefix}{story.bench.id(name)}", field, value)


WRONGS: dict[str, Callable[[Story], object]] = {
    "LOST: it was accepted": lambda s: remove(s.bench.raw, s.bench.id("done")),
    "LOST: it ended as succeeded": lambda s: s.orders.__setitem__(
        0, replace(s.orders[0], kind="doomed")
    ),
    "BURIED: it is a dead letter, and nothing is wrong with it": lambda s: s.orders.__setitem__(
        2, replace(s.orders[2], kind="quick")
    ),
    "it was buried after 0 losses, 2 starts": lambda s: s.orders.__setitem__(
        2, replace(s.orders[2], kind="poison")
    ),
    "nobody had asked for it": lambda s: s.unjournal("cancel"),
    "was never enqueued": lambda s: s.note("start", "ghost", 1),
    "started twice": lambda s: s.note("start", "done", 1),
    "Redis knows 1": lambda s: s.note("start", "done", 2),
    "never came to its end": lambda s: s.forget("end", "done"),
    "the result of attempt 3": lambda s: _set(s, "done", "result", codec.encode_value(3)),
    "given up after 0 failures": lambda s: s.forget("fail", "dead"),
    "its waiter was told TaskFailed": lambda s: s.journal.append(
        ("answered", s.bench.id("done"), "TaskFailed")
    ),
    "left over": lambda s: s.bench.raw.sadd(s.bench.keys.draining, "w"),
    "has no hash": lambda s: s.bench.raw.rpush(s.bench.keys.pending, s.bench.id("nothing")),
    "were enqueued, found 3": lambda s: s.bench.raw.hincrby(s.bench.keys.stats, "enqueued", 1),
    "were succeeded, found 1": lambda s: s.bench.raw.hincrby(s.bench.keys.stats, "succeeded", 1),
}


@pytest.fixture
def story(redis_server: RedisServer, queue: str) -> Story:
    bench = Bench(redis_server, queue)
    yield Story(bench)
    bench.close()


def test_books_that_balance(story: Story) -> None:
    assert story.problems() == []


@pytest.mark.parametrize("text", WRONGS)
def test_books_that_do_not(story: Story, text: str) -> None:
    WRONGS[text](story)
    problems = story.problems()
    assert any(text in problem for problem in problems), problems


# --- the report -------------------------------------------------------------------------------


def test_what_a_fault_has_cost() -> None:
    """A repeated run is attributed to the fault that hit its process, and timed from there."""
    (first, second) = (
        Injected(Fault(n, 0, kind, 0, 0, 0, double=False), begun, begun + 1, pids)
        for n, kind, begun, pids in ((1, "killed", 10.0, [7]), (2, "paused", 11.0, []))
    )
    repeats = [
        (Line("start", "q:a", 1, 7, 9.0), Line("start", "q:a", 2, 8, 16.5)),
        (Line("start", "q:b", 1, 8, 9.0), Line("start", "q:b", 2, 8, 12.0)),
        (Line("start", "q:c", 1, 8, 40.0), Line("start", "q:c", 2, 8, 41.0)),
    ]
    late = Injected(Fault(3, 0, "exits", 0, 0, 0, double=False), 1.0, 1.0, [-1])
    at_their_starts([late], [Line("start", "q:fault-3", 1, 8, 40.5)])
    assert (late.begun, late.ended, late.pids) == (40.5, 40.5, [8])
    assert costs([late], repeats[2:])["exits"]["repeats"] == 1
    assert costs([first, second], repeats) == {
        "killed": {"injected": 1, "repeats": 1, "longest": 6.5},
        "paused": {"injected": 1, "repeats": 1, "longest": 1.0},
        "(none of them)": {"injected": 0, "repeats": 1, "longest": 0.0},
    }
    names = [
        "accepted",
        "succeeded",
        "failed",
        "cancelled",
        "lost",
        "buried",
        "problems",
        "repeats",
    ]
    names += ["finished_twice", "faults", "double", "worker_starts", "producer_starts"]
    numbers = dict.fromkeys([*names, "orders_resent", "seconds"], 1234)
    facts = dict.fromkeys(("date", "commit", "command", "machine"), "x")
    text = markdown(
        {
            "facts": facts,
            "numbers": numbers,
            "costs": costs([first], repeats[:1]),
            "about": {"killed": "SIGKILL"},
        }
    )
    assert "| killed | 1 | 1 | 6.5 | SIGKILL |" in text
    assert "| 1,234 |" in text
