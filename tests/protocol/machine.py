"""Random tests of all scripts, with several workers, and reports that arrive late or twice.

Each step is done in a real Redis and in the model (`protocol.model`). Then the answers must be
equal, the invariants must hold, and every container and counter must be as in the model. A step
that the model refuses must have written nothing.
"""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from identtqueue.limits import JobLimits, RateLimit
from identtqueue.protocol import codec, counting, replies
from identtqueue.protocol.answers import Ack, Claim, Expiring, Recovery, Rescheduled
from identtqueue.protocol.call import Call
from identtqueue.protocol.calls import (
    acting,
    claiming,
    enqueueing,
    inspecting,
    leasing,
    listing,
    moving,
    one_task,
    record,
    recovering,
    registry,
    reporting,
    scheduling,
)
from identtqueue.protocol.calls.listing import Place
from identtqueue.protocol.keys import QUEUES, ROOT
from identtqueue.task import Failure, Result, State
from protocol.bench import FAILURE, LEASE_MS, Bench
from protocol.model import Due, QueueModel, Submitted
from testing.invariants import (
    check_invariants,
    held_tasks,
    pending_tasks,
    shelved_tasks,
    without_dead,
)
from testing.redis_server import RedisServer

T = TypeVar("T")

LATER_MS = 3_600_000
JOBS = ("job", "job", "job", "capped", "capped", "capped", "paced", "paced", "paced")
"""Number of tasks: t0, t1, …"""
NAMES = st.sampled_from([f"t{i}" for i in range(len(JOBS))])
AGES_SECONDS = 1_000_000
"""Time between two starts of a paced job. It passes when the machine says so."""
LIMITS: list[dict[str, JobLimits]] = [
    {},
    {
        "job": JobLimits(),
        "capped": JobLimits(max_running=1),
        "paced": JobLimits(rate_limit=RateLimit(1, AGES_SECONDS, burst=1)),
    },
    {
        "capped": JobLimits(max_running=2),
        "paced": JobLimits(max_running=1, rate_limit=RateLimit(1, AGES_SECONDS, burst=2)),
    },
    {"capped": JobLimits(max_running=1, rate_limit=RateLimit(1, AGES_SECONDS, burst=2))},
    {"capped": JobLimits(), "paced": JobLimits()},
]
"""Limits that workers declare. The first workers do not have the limited jobs."""
WHENS = ("now", "now", "later", "expires", "replace", "replace, expires")
FIRINGS = st.sampled_from(["c1", "c2", "c3"])
"""Of the cron entry."""
UNIQUE = st.sampled_from([None, None, None, "red", "blue"])
SOME = st.integers(0, 63)
FEW = st.integers(0, 5)
SEVERAL = st.lists(FEW, min_size=1, max_size=3)
_PLACES = {
    "pending": Place.PENDING,
    "scheduled": Place.SCHEDULED,
    "inflight": Place.RUNNING,
    "dead": Place.DEAD,
    "ended": Place.ENDED,
}
REPORTS = ("finish", "retry", "bury", "abort", "release")
EACH_STEP: list[tuple[Any, ...]] = [
    ("look",),
    ("look_up", "t1"),
    ("give_up", 0, True),
    ("replay", "t6"),
    ("wait", "t1", "x-channel"),
    ("progress", 0, None, 0),
    ("note_children", "t1", ["t2"]),
    ("finish", [0]),
    ("retry", 1),
    ("bury", 2),
    ("hasten", "t2"),
    ("promote", 3, False),
    ("register", LIMITS[2]),
    ("claim", 2, 4, True, False),
    ("release", [0]),
    ("claim", 2, 4, True, False),
    ("decline", 0, "v2"),
    ("abort", 1),
    ("revoke", ["t8"], False),
    ("cancel", "t7"),
    ("discard", "t2"),
    ("receive", "t2", "red", "x:a 1", False),
    ("schedule", "v1", ["c1"]),
    ("run_cron",),
    ("pause_cron", True),
    ("pause_job", "job", True),
    ("pause", True),
    ("pass_on",),
    ("count", 1, 1, 2),
    ("extend", 1),
    ("describe", 1),
    ("enlist",),
    ("drain", [1], False),
    ("lapse", 0),
    ("recover", 0, False, 3),
    ("leave", 2),
]
"""Every step that runs a script: its name, and what chance would have chosen."""

EXAMPLES, STEPS = (2_000, 80) if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else (200, 50)


def machine_settings(share: float = 1.0) -> hypothesis.settings:
    """Choose how many histories to run, and how long they are. Speed does not matter here."""
    return hypothesis.settings(
        max_examples=round(EXAMPLES * share),
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        print_blob=True,
    )


class QueueMachine(RuleBasedStateMachine):
    """State machine of all scripts. A subclass sets `server`."""

    server: ClassVar[RedisServer]
    scripts_run: ClassVar[set[str]] = set()

    @initialize()
    def start(self) -> None:
        self.bench = Bench(self.server, f"q-{secrets.token_hex(6)}")
        self.model = QueueModel()
        self.known_workers: list[str] = []
        self.reports: list[tuple[str, str, int]] = []  # worker, id, attempt: all ever claimed
        self.times_due = 0
        self.times_reported = 0
        self.missed = False
        """Whether only upkeep or a claim notices now that nobody looks for the next due task."""
        self.seen = self.bench.snapshot()
        # In the middle of things, where all the scripts have something to do: one worker knows of
        # no limits, and of the tasks that the other one meets some are held.
        for worker, tasks, limit in (("w0", 2, 1), ("w1", len(JOBS), 5)):
            self.register(LIMITS[len(self.known_workers)])
            self.enqueue([(f"t{i}", "now", None) for i in range(tasks)])
            self._claim(worker, limit)
        self.decline(0, "v1")

    def teardown(self) -> None:
        self.bench.close()

    # --- what every step does ---

    def call(self, call: Call[T], version: int) -> T:
        """Run a call. `version` is that of the model before the step."""
        answer = self.bench.redis.run(call)
        self.scripts_run.add(call.name)
        before, self.seen = self.seen, check_invariants(self.bench.raw, self.bench.queue)
        if self.model.version == version:
            q = self.bench.queue
            assert without_dead(self.seen, q) == without_dead(before, q), (
                f"{call.name} answered {answer} and wrote"
            )
        if any(key.startswith(self.bench.keys.answer_prefix) for key in call.keys):
            self.send_again(call, answer)
        return answer

    def send_again(self, call: Call[T], answer: T) -> None:
        """Send a call a second time, as if its reply had been lost."""
        assert self.bench.redis.run(call) == answer
        after = check_invariants(self.bench.raw, self.bench.queue)
        assert without_dead(after, self.bench.queue) == without_dead(self.seen, self.bench.queue)

    def value(self, key: str, nothing: Any) -> Any:
        """Return the value that was seen under a key."""
        return self.seen[key].value if key in self.seen else nothing

    def counted(self, kind: str) -> int:
        """Add up the numbers of one kind of all minutes."""
        return sum(int(n) for field, n in self.numbers("minute") if field.startswith(kind))

    def worked(self) -> int:
        """Add up the started attempts that workers have reported; minutes and hours must agree."""
        sums = {
            sum(
                codec.decode_value(packed)[0][0] for f, packed in self.numbers(span) if f == "w:job"
            )
            for span in ("minute", "hour")
        }
        (number,) = sums
        return number

    def numbers(self, span: str) -> list[tuple[str, bytes]]:
        prefix = f"{ROOT}:{{{self.bench.queue}}}:{span}:"
        found = (entry.value.items() for key, entry in self.seen.items() if key.startswith(prefix))
        return [field for fields in found for field in fields]

    def pick(self, items: list[Any], position: int) -> Any:
        return items[position % len(items)]

    def id(self, name: str) -> str:
        return self.bench.id(name)

    @invariant()
    def redis_is_as_the_model(self) -> None:
        model, k, seen, value = self.model, self.bench.keys, self.seen, self.value
        assert pending_tasks(self.seen, self.bench.queue) == model.pending
        assert value(k.suspects, []) == model.suspects
        assert {shelf: int(n) for shelf, n in value(k.shelves, {}).items()} == {
            shelf: len(ids) for shelf, ids in model.shelves.items()
        }
        shelved = [task_id for ids in model.shelves.values() for task_id in ids]
        assert sorted(shelved_tasks(seen, self.bench.queue)) == sorted(shelved)
        assert set(value(k.served, {})) == model.served
        assert value(k.isolating, b"").decode() == (model.isolating or "")
        assert set(value(k.scheduled, {})) == set(model.scheduled)
        assert set(value(k.dead, {})) == model.dead
        assert set(value(k.workers, {})) == set(model.workers)
        draining = {worker for worker, listed in model.workers.items() if listed.draining}
        assert value(k.draining, set()) == draining
        assert (k.paused in seen) == model.paused
        assert set(value(k.paused_jobs, {})) == model.paused_jobs
        for worker, listed in model.workers.items():
            assert value(k.inflight(worker), []) == listed.in_flight
        ends = [entry.split(" ", 1)[1] for entry in value(k.ended, [])]
        assert Counter(ends) == Counter(model.ended), "each end is listed once"
        hashes = {key for key in seen if key.startswith(k.task_prefix)}
        assert hashes == set(map(k.task, model.tasks))
        for task_id, task in model.tasks.items():
            fields = seen[k.task(task_id)].value
            shown = [fields["state"].decode()]
            shown += [int(fields.get(name, 0)) for name in ("attempt", "failures", "losses")]
            assert shown == [task.state, task.attempt, task.failures, task.losses], task_id
            past = codec.decode_value(fields["history"]) if "history" in fields else []
            assert [(entry[0], entry[6]) for entry in past] == task.history, task_id
            said = replies.parse_progress(fields["progress"]) if "progress" in fields else None
            assert task.progress == (said and (said.attempt, said.number)), task_id
        held = {
            key.removeprefix(k.unique_prefix): entry.value.decode()
            for key, entry in seen.items()
            if key.startswith(k.unique_prefix)
        }
        assert held == model.unique
        stats = {name: int(n) for name, n in value(k.stats, {}).items() if not name.endswith("_ms")}
        assert stats == {name: n for name, n in model.stats.items() if n}
        for kind, name in (("e:", "enqueued"), ("r:", "recovered")):
            assert self.counted(kind) == model.stats[name], name
        # A sleeping worker is woken: there is a token, unless it was taken while the queue was
        # paused. (For suspects, upkeep pushes it again, as a busy worker may have taken it.)
        startable = model.pending or Due.NOW in model.blocked.values()
        assert k.wake in seen or not startable or model.paused

    @invariant()
    def somebody_looks_for_the_next_due_task(self) -> None:
        """A worker has the alarm, or the token makes one look. Both may be lost, but not unseen."""
        assert self.bench.keys.wake in self.seen or self.missed or not self.unattended()

    def unattended(self) -> bool:
        """Return whether no worker has promised to look in time for the next due task."""
        value, k = self.value, self.bench.keys
        scheduled, blocked = value(k.scheduled, {}), value(k.blocked, {})
        due = min(
            [*scheduled.values(), *(ms for ms in blocked.values() if ms != float("inf"))] or [0]
        )
        now = self.bench.now_ms()
        return due > now and not now < int(value(k.alarm, 0)) <= due

    @invariant()
    def limits_are_as_the_model_has_them(self) -> None:
        model, k, value = self.model, self.bench.keys, self.value
        assert held_tasks(self.seen, self.bench.queue) == model.held
        now = self.bench.now_ms()
        found = {
            job: Due.SLOT if due == float("inf") else Due.TIME if due > now else Due.NOW
            for job, due in value(k.blocked, {}).items()
        }
        assert found == {
            job: Due.NOW if due is Due.PASSED else due for job, due in model.blocked.items()
        }
        assert set(value(k.limits, {})) == set(model.limits)
        for job in set(JOBS):
            assert value(k.running_prefix + job, set()) == model.running(job)

    # --- client ---

    @rule(
        batch=st.lists(
            st.tuples(NAMES, st.sampled_from(WHENS), UNIQUE),
            min_size=1,
            max_size=4,
        )
    )
    def enqueue(self, batch: list[tuple[str, str, str | None]]) -> None:
        tasks, submitted = [], []
        for name, when, unique in batch:
            options: dict[str, Any] = {
                "later": {"delay": LATER_MS},
                "expires": {"expires": LATER_MS},
                "replace": {"replace": True},
                "replace, expires": {"replace": True, "expires": LATER_MS},
            }.get(when, {})
            if unique is not None:
                options |= {"unique": unique, "unique_ttl": LATER_MS}
            job = JOBS[int(name[1:])]
            tasks.append(self.bench.task(name, job, **options))
            submitted.append(
                Submitted(self.id(name), job, when == "later", unique, "replace" in when)
            )
        version = self.model.version
        expected = self.model.enqueue(submitted)
        receipts = self.call(enqueueing.enqueue(self.bench.queue, tasks), version)
        assert [(receipt.task_id, receipt.status) for receipt in receipts] == expected

    @rule(
        definition=st.sampled_from(["v1", "v2", "v3"]),
        names=st.lists(FIRINGS, min_size=1, max_size=3, unique=True),
    )
    def schedule(self, definition: str, names: list[str]) -> None:
        fires = {self.id(name): self.bench.now_ms() + LATER_MS for name in names}
        version = self.model.version
        expected = self.model.schedule(definition, list(fires))
        task = self.bench.task("c0")
        call = scheduling.schedule(self.bench.queue, "tick", definition, task, fires)
        assert self.call(call, version) is expected

    @rule(name=NAMES | FIRINGS)
    def cancel(self, name: str) -> None:
        version = self.model.version
        expected = self.model.cancel(self.id(name))
        assert self.call(one_task.cancel(self.id(name)), version) is expected

    @rule(name=NAMES, channel=st.sampled_from(["x-channel", "y-channel"]))
    def wait(self, name: str, channel: str) -> None:
        version = self.model.version
        expected = self.model.wait(self.id(name), channel)
        found = self.call(one_task.await_result(self.id(name), channel), version)
        assert (found.state if isinstance(found, Result | Expiring) else found) is expected

    # --- worker ---

    @precondition(lambda self: len(self.model.workers) < 4)
    @rule(limits=st.sampled_from(LIMITS))
    def register(self, limits: dict[str, JobLimits]) -> None:
        worker = f"w{len(self.known_workers)}"
        self.known_workers.append(worker)
        version = self.model.version
        self.model.register(worker, limits)
        self.call(leasing.register(self.bench.queue, worker, LEASE_MS, {}, limits), version)

    @rule()
    def enlist(self) -> None:
        assert self.call(registry.enlist([self.bench.queue]), self.model.version)
        assert self.bench.raw.zrem(QUEUES, self.bench.queue) == 1

    @precondition(lambda self: self.known_workers)
    @rule(which=SOME, report=st.integers(1, 3), number=FEW)
    def count(self, which: int, report: int, number: int) -> None:
        worker = self.pick(self.known_workers, which)
        version = self.model.version
        expected = self.model.count(worker, report, number)
        counts = {"job": counting.pack([number] * 52, {"ValueError": number})}
        call = reporting.count(self.bench.queue, worker, report, counts)
        assert self.call(call, version) is expected
        assert self.worked() == self.model.worked

    @precondition(lambda self: self.known_workers)
    @rule(which=SOME)
    def extend(self, which: int) -> None:
        worker = self.pick(self.known_workers, which)
        version = self.model.version
        expected = self.model.extend(worker)
        assert self.call(leasing.extend(self.bench.queue, worker, LEASE_MS), version) is expected

    @precondition(lambda self: self.known_workers)
    @rule(which=SOME)
    def describe(self, which: int) -> None:
        worker = self.pick(self.known_workers, which)
        known = worker in self.model.workers
        assert (
            self.call(leasing.describe(self.bench.queue, worker, {}), self.model.version) is known
        )

    @precondition(lambda self: self.known_workers)
    @rule(which=SOME)
    def leave(self, which: int) -> None:
        worker = self.pick(self.known_workers, which)
        version = self.model.version
        expected = self.model.leave(worker)
        assert self.call(leasing.leave(self.bench.queue, worker), version) is expected

    @precondition(lambda self: self.known_workers)
    @rule(which=SOME, limit=st.integers(0, 4), idle=st.booleans(), asks=st.booleans())
    def claim(self, which: int, limit: int, idle: bool, asks: bool) -> None:
        shelves = sorted(self.model.shelves) if asks else []
        self._claim(self.pick(self.known_workers, which), limit, idle=idle, shelves=shelves)

    def _claim(
        self, worker: str, limit: int, *, idle: bool = False, shelves: Sequence[str] = ()
    ) -> Claim:
        listed = self.model.workers.get(worker)
        idle = idle and (listed is None or not listed.in_flight)
        version = self.model.version
        due = sorted((score, job) for job, score in self.value(self.bench.keys.blocked, {}).items())
        waiting = bool(self.model.suspects) and self.model.next_suspect() is None
        alarm_ms = int(self.value(self.bench.keys.alarm, 0))
        asked = set(self.model.shelves)
        startable = self.model.startable_jobs()
        jobs = [job for _, job in due if job in startable]
        status, expected = self.model.claim(worker, limit, jobs, idle=idle, shelves=shelves)
        left = len(self.model.pending) + len(self.model.startable_jobs())
        if self.model.alone:
            left += len(self.model.suspects)
        if status is Claim.OK and not left and self.bench.keys.wake in self.seen:
            self.model.version += 1  # a token with nothing behind it (cancelled) is taken away
        self.model.version += status is Claim.OK  # it may get the alarm
        claimed = self.call(
            claiming.claim(self.bench.queue, worker, limit, idle=idle, shelves=shelves), version
        )
        assert claimed.status is status
        assert [(a.task_id, a.number) for a in claimed.attempts] == expected
        for attempt in claimed.attempts:
            task = self.model.tasks[attempt.task_id]
            assert (attempt.failures, attempt.losses) == (task.failures, task.losses)
            name = "c0" if task.firing else attempt.task_id.split(":")[1]
            assert codec.decode_task(attempt.payload).args == (name,)
        if status is Claim.OK:
            left += sum(map(self.model.shelf_left, shelves))
            assert claimed.pending == left
            assert set(claimed.shelves) <= asked | set(self.model.shelves)
            assert claimed.suspects == len(self.model.suspects)
            assert [a.task_id for a in claimed.attempts if a.alone] == (
                [self.model.alone] if self.model.alone else []
            )
            assert (claimed.hold_ms is not None) == (
                not idle
                and self.model.isolating == worker
                and self.model.next_suspect() is not None
            )
            timed = self.model.scheduled or Due.TIME in self.model.blocked.values()
            timed = timed or (waiting and self.model.next_suspect() is None)
            if claimed.next_due_ms is None:
                assert not timed or alarm_ms
            else:
                assert timed
                assert int(self.value(self.bench.keys.alarm, 0)) == claimed.alarm_ms
        self.missed = status is not Claim.OK and (status is Claim.PAUSED or self.missed)
        self.reports += ((worker, task_id, number) for task_id, number in expected)
        return status

    @precondition(lambda self: self.known_workers)
    @rule(which=SOME, limit=st.integers(1, 4))
    def wake_up(self, which: int, limit: int) -> None:
        """Have an idle worker take the token, and claim or pass it on.

        While the queue is paused, the token is gone, and so is an alarm whose time comes then.
        """
        if self.bench.raw.lpop(self.bench.keys.wake) is None:
            return
        self.seen = self.bench.snapshot()
        status = self._claim(self.pick(self.known_workers, which), limit)
        if status in (Claim.LOST, Claim.DRAINING):
            self.pass_on()

    @rule(promised=st.booleans())
    def pass_on(self, promised: bool = False) -> None:
        """Wake another worker. One that has the alarm takes its promise back."""
        alarm_ms = int(self.value(self.bench.keys.alarm, 0)) if promised else 0
        startable = self.call(claiming.wake(self.bench.queue, alarm_ms), version=-1)
        assert not promised or self.bench.keys.alarm not in self.seen
        self.missed = False
        model = self.model
        expected = len(model.pending) + len(model.suspects) + len(model.startable_jobs())
        assert startable == expected

    # Reports of attempts that were claimed at any time: the first, a repeated or a far too late
    # one. The sixth rule reports for a worker that may not own the task, with any number.

    @precondition(lambda self: self.reports)
    @rule(which=SEVERAL)
    def finish(self, which: list[int]) -> None:
        self._report("finish", [self.pick(self.reports, -1 - position) for position in which])

    @precondition(lambda self: self.reports)
    @rule(which=SEVERAL)
    def release(self, which: list[int]) -> None:
        self._report("release", [self.pick(self.reports, -1 - position) for position in which])

    @precondition(lambda self: self.reports)
    @rule(which=FEW, signature=st.sampled_from(["unknown", "v1", "v2"]))
    def decline(self, which: int, signature: str) -> None:
        said = (*self.pick(self.reports, -1 - which), signature)
        version = self.model.version
        expected = self.model.decline(*said)
        why = Failure("UnknownJob", "no such job")
        answer = self.call(reporting.decline(self.bench.queue, *said, why), version)
        assert answer is expected

    @precondition(lambda self: self.model.shelves)
    @rule(which=SOME, long_ago=st.booleans())
    def give_up(self, which: int, long_ago: bool) -> None:
        shelf = self.pick(sorted(self.model.shelves), which)
        if long_ago:
            for task_id in self.model.shelves[shelf]:
                self.bench.raw.hset(self.bench.unpack(task_id), "declined_since", 1)
                self.model.tasks[task_id].declined_long = True
            self.seen = self.bench.snapshot()
        version = self.model.version
        expected = self.model.give_up(shelf)
        answer = self.call(recovering.give_up(self.bench.queue, [shelf], LATER_MS), version)
        assert answer == expected

    @precondition(lambda self: self.reports)
    @rule(which=FEW)
    def retry(self, which: int) -> None:
        self._report("retry", [self.pick(self.reports, -1 - which)])

    @precondition(lambda self: self.reports)
    @rule(which=FEW)
    def bury(self, which: int) -> None:
        self._report("bury", [self.pick(self.reports, -1 - which)])

    @precondition(lambda self: self.reports)
    @rule(which=FEW)
    def abort(self, which: int) -> None:
        self._report("abort", [self.pick(self.reports, -1 - which)])

    @precondition(lambda self: self.reports)
    @rule(script=st.sampled_from(REPORTS), which=SOME, by=SOME, offset=st.integers(-1, 1))
    def report_falsely(self, script: str, which: int, by: int, offset: int) -> None:
        """Report for a worker that may not own the task, with a number that may be wrong."""
        _, task_id, attempt = self.pick(self.reports, -1 - which)
        self._report(script, [(self.pick(self.known_workers, by), task_id, attempt + offset)])

    @precondition(lambda self: self.reports)
    @rule(which=SOME, by=st.none() | SOME, offset=st.sampled_from([0, 0, 0, -1, 1]))
    def progress(self, which: int, by: int | None, offset: int) -> None:
        """Report progress from its worker or another, for an attempt that may have ended."""
        worker, task_id, attempt = self.pick(self.reports, -1 - which)
        if by is not None:
            worker = self.pick(self.known_workers, by)
        self.times_reported += 1
        said = (worker, task_id, attempt + offset, self.times_reported)
        version = self.model.version
        expected = self.model.progress(*said)
        answer = self.call(reporting.progress(*said, codec.encode_progress("half")), version)
        assert answer is expected

    def _report(self, script: str, attempts: list[tuple[str, str, int]]) -> None:
        worker = attempts[0][0]
        pairs = [(task_id, attempt) for _, task_id, attempt in attempts]
        version = self.model.version
        # `release` works from the last to the first, which keeps their order.
        backwards = script == "release"
        told = [
            self.model.report(script, worker, *pair)
            for pair in (reversed(pairs) if backwards else pairs)
        ]
        expected = list(reversed(told)) if backwards else told
        answer = self.call(self._report_call(script, worker, pairs), version)
        assert (answer if isinstance(answer, list) else [answer]) == expected

    def _report_call(
        self, script: str, worker: str, pairs: list[tuple[str, int]]
    ) -> Call[Ack] | Call[list[Ack]]:
        queue, one = self.bench.queue, pairs[0]
        if script == "finish":
            return reporting.finish(queue, worker, [(*pair, b"\xc0") for pair in pairs])
        if script == "release":
            return reporting.release(queue, worker, pairs)
        if script == "retry":
            return reporting.retry(queue, worker, *one, LATER_MS, FAILURE)
        if script == "bury":
            return reporting.bury(queue, worker, *one, FAILURE)
        return reporting.abort(queue, worker, *one)

    # --- upkeep and administration ---

    @precondition(lambda self: self.known_workers)
    @rule(which=SOME, first=st.integers(1, 3), second=st.integers(1, 3))
    def lose_the_replies_to_two_claims(self, which: int, first: int, second: int) -> None:
        """Claim twice, as with a claim ahead, and give back what the worker does not know of."""
        worker = self.pick(self.known_workers, which)
        if worker not in self.model.workers:
            return
        known = set(self.model.workers[worker].in_flight)
        for limit in (first, second):
            self._claim(worker, limit)
        found = self.bench.redis.run(claiming.in_flight(self.bench.queue, worker))
        unknown = [task_id for task_id in found if task_id not in known]
        if unknown:
            numbers = {task_id: number for _, task_id, number in self.reports}
            self._report("release", [(worker, task_id, numbers[task_id]) for task_id in unknown])

    @rule(limit=st.integers(1, 3), serves=st.booleans())
    def promote(self, limit: int, serves: bool) -> None:
        shelves = sorted(self.model.shelves) if serves else []
        self.model.version += len(shelves)
        version = self.model.version - len(shelves)
        expected = self.model.promote(limit)
        self.model.served |= set(shelves) & set(self.model.shelves)
        if self.bench.keys.wake not in self.seen:
            version = -1  # it may push the token
        call = scheduling.promote(self.bench.queue, limit, serves=shelves)
        promoted = self.call(call, version)
        self.missed = False
        assert promoted.moved == expected
        assert (promoted.next_due_ms is None) == (not self.model.scheduled)

    @precondition(lambda self: self.known_workers)
    @rule(which=SOME, waive=st.booleans(), limit=st.integers(1, 3))
    def recover(self, which: int, waive: bool, limit: int) -> None:
        worker = self.pick(self.known_workers, which)
        version = self.model.version
        fates = self.model.recover(worker, waive=waive, limit=limit)
        recovery = self.call(self.bench.recovery(worker, waive=waive, limit=limit), version)
        by_fate: dict[State, list[str]] = {}
        for task_id, fate in (fates or {}).items():
            by_fate.setdefault(fate, []).append(task_id)
        requeued = by_fate.get(State.PENDING, [])
        isolated = [task_id for task_id in requeued if self.model.tasks[task_id].suspect]
        assert recovery == Recovery(
            fates is not None,
            tuple(by_fate.get(State.PENDING, ())),
            tuple(by_fate.get(State.FAILED, ())),
            tuple(by_fate.get(State.CANCELLED, ())),
            tuple(isolated),
        )

    @precondition(lambda self: self.known_workers)
    @rule(which=st.lists(SOME, min_size=1, max_size=2, unique=True), stop=st.booleans())
    def drain(self, which: list[int], stop: bool) -> None:
        workers = list(dict.fromkeys(self.pick(self.known_workers, w) for w in which))
        version = self.model.version
        expected = self.model.drain(workers, stop=stop)
        assert self.call(acting.drain(self.bench.queue, workers, stop=stop), version) == expected

    @rule(stop=st.sampled_from([True, False, False]))
    def pause(self, stop: bool) -> None:
        version = self.model.version
        expected = self.model.pause(stop=stop)
        assert self.call(acting.pause(self.bench.queue, stop=stop), version) is expected

    @rule(job=st.sampled_from(sorted(set(JOBS))), stop=st.sampled_from([True, False, False]))
    def pause_job(self, job: str, stop: bool) -> None:
        version = self.model.version
        expected = self.model.pause_job(job, stop=stop)
        assert self.call(acting.pause_job(self.bench.queue, job, stop=stop), version) is expected

    @rule(stop=st.booleans())
    def pause_cron(self, stop: bool) -> None:
        version = self.model.version
        expected = self.model.pause_cron(stop=stop)
        call = scheduling.pause_cron(self.bench.queue, "tick", stop=stop)
        assert self.call(call, version) is expected

    @rule()
    def run_cron(self) -> None:
        version = self.model.version
        call = scheduling.run_cron(self.bench.queue, "tick")
        task_id = str(call.args[4])
        expected = self.model.run_cron(task_id)
        receipt = self.call(call, version)
        assert (receipt is not None) == expected
        assert receipt is None or (receipt.task_id, receipt.created) == (task_id, True)

    @rule(name=NAMES)
    def replay(self, name: str) -> None:
        version = self.model.version
        expected = self.model.replay(self.id(name))
        assert self.call(acting.replay(self.bench.queue, [self.id(name)]), version) == [expected]

    @rule(names=st.lists(NAMES | FIRINGS, min_size=1, max_size=3), asks=st.booleans())
    def revoke(self, names: list[str], asks: bool) -> None:
        version = self.model.version
        ids = list(map(self.id, names))
        expected = [self.model.revoke(task_id, asks=asks) for task_id in ids]
        why = Failure("Cancelled", "by an administrator")
        assert self.call(acting.revoke(self.bench.queue, ids, why, asks=asks), version) == expected

    @rule(
        name=NAMES,
        unique=UNIQUE,
        origin=st.sampled_from(["x:a 1", "x:a 2"]),
        expires=st.booleans(),
    )
    def receive(self, name: str, unique: str | None, origin: str, expires: bool) -> None:
        job, task_id = JOBS[int(name[1:])], self.id(name)
        fields = {"payload": self.bench.task(name, job).payload, "function": job.encode()}
        fields |= {"enqueued_at": b"%d" % self.bench.now_ms(), "origin": origin.encode()}
        if unique is not None:
            fields |= {"unique": unique.encode(), "unique_ttl": b"%d" % LATER_MS}
        if expires:
            fields["expires_at"] = b"%d" % (self.bench.now_ms() + LATER_MS)
        version = self.model.version
        expected = self.model.receive(task_id, job, unique, origin)
        self.missed = True  # nobody is woken for a moved task before its mover lets it start
        assert self.call(moving.receive(self.bench.queue, {task_id: fields}), version) == [expected]

    @rule(name=NAMES)
    def discard(self, name: str) -> None:
        version = self.model.version
        expected = self.model.discard(self.id(name))
        assert self.call(acting.discard(self.bench.queue, [self.id(name)]), version) == [expected]

    @rule(name=NAMES)
    def hasten(self, name: str) -> None:
        version = self.model.version
        expected = self.model.hasten(self.id(name))
        assert self.call(acting.reschedule(self.bench.queue, {self.id(name): 0}), version) == [
            expected
        ]
        if expected is Rescheduled.OK:  # two within a millisecond would be due at the same time
            self.note_due(self.id(name))

    @rule()
    def look(self) -> None:
        model, version = self.model, self.model.version
        depth = self.call(inspecting.depth(self.bench.queue), version)
        in_flight = {worker: len(listed.in_flight) for worker, listed in model.workers.items()}
        lists = [model.pending, *model.held.values(), *model.shelves.values()]
        waiting = [task_id for ids in lists for task_id in ids]
        expired = [task_id for task_id in waiting if model.has_expired(task_id)]
        assert depth.queued == len(waiting) + len(model.suspects) - len(expired)
        if not expired:
            assert depth.held == model.held_back() + model.shelved_back()
        blocked = set(model.blocked.values())
        assert (depth.next_held_in_ms is None) == (not blocked - {Due.SLOT})
        assert (depth.next_held_in_ms == 0) == bool(model.startable_jobs())
        shown = {job.job: job for job in self.call(inspecting.limits(self.bench.queue), version)}
        assert {job: row.limits for job, row in shown.items() if row.limits} == model.limits
        assert {job: row.held for job, row in shown.items() if row.held} == {
            job: len(ids) for job, ids in model.held.items()
        }
        assert {job for job, row in shown.items() if row.paused} == model.paused_jobs
        assert depth.in_flight == sum(in_flight.values())
        (entry,) = self.call(scheduling.schedules(self.bench.queue), version) or [None]
        assert (entry is None) == (model.cron.definition is None)
        assert entry is None or entry.paused == model.cron.paused
        assert (depth.scheduled, depth.dead) == (len(model.scheduled), len(model.dead))
        assert (depth.workers, depth.paused) == (len(model.workers), model.paused)
        rows = self.call(inspecting.workers(self.bench.queue), version)
        assert {row.worker_id: row.in_flight for row in rows} == in_flight
        self.look_at_lists()
        lacking = self.call(leasing.permitted(self.bench.queue, ["HSET", "TIME"]), version)
        assert lacking == []
        expired = self.call(recovering.expired(self.bench.queue, self.bench.now_ms(), 99), version)
        assert set(expired) == {w for w, listed in model.workers.items() if listed.lapsed}

    def look_at_lists(self) -> None:
        """Read all lists in both orders, in small pages, and compare them with the model."""
        model = self.model
        lists = {"pending": model.pending, "suspects": model.suspects}
        lists |= {f"held:{job}": ids for job, ids in model.held.items()}
        lists |= {f"shelf:{shelf}": ids for shelf, ids in model.shelves.items()}
        lists |= {f"inflight:{w}": listed.in_flight for w, listed in model.workers.items()}
        for name, ids in lists.items():
            alive = [task_id for task_id in ids if not model.has_expired(task_id)]
            for expected, newest_first in ((alive, False), (alive[::-1], True)):
                found = self.read_list(name, newest_first=newest_first)
                once = list(
                    dict.fromkeys(found)
                )  # an id that was enqueued again may lie there twice
                assert sorted(once) == sorted(expected), name
                assert len(once) < len(found) or found == expected, name
        due = [task_id for task_id in model.scheduled if not model.has_expired(task_id)]
        assert sorted(self.read_list("scheduled")) == sorted(due)
        assert sorted(self.read_list("dead")) == sorted(model.dead)
        ended = {t for t in model.ended if t in model.tasks and model.tasks[t].state.ended}
        assert set(self.read_list("ended")) == ended
        parts: list[listing.Part] = []
        for place in (Place.HELD, Place.RUNNING):
            parts += self.call(listing.parts(self.bench.queue, place), model.version)
        assert {part.name: part.number for part in parts} == {
            name: len(ids) for name, ids in lists.items() if ids and name != "pending"
        }
        tally = self.call(listing.tally(self.bench.queue, "dead"), model.version)
        assert sum(group.number for group in tally.groups) == len(model.dead)

    def read_list(self, part: str, *, newest_first: bool = True) -> list[str]:
        """Read all pages of a container."""
        place, found, stop = _PLACES.get(part.partition(":")[0], Place.HELD), [], None
        while True:
            call = listing.page(
                *(self.bench.queue, place, part),
                newest_first=newest_first,
                stop=stop,
                most=2,
                most_scanned=3,
            )
            read = self.call(call, self.model.version)
            found += [row.task_id for row in read.rows]
            stop = read.stop
            if stop is None:
                return found

    @rule(name=NAMES)
    def look_up(self, name: str) -> None:
        """Read a task, in whichever form it is kept."""
        task_id = self.id(name)
        task = self.model.tasks.get(task_id)
        found = self.call(one_task.task_info(task_id), self.model.version)
        assert (found and (found.state, found.attempt)) == (task and (task.state, task.attempt))

    @rule(name=NAMES, children=st.lists(NAMES, min_size=1, max_size=3, unique=True))
    def note_children(self, name: str, children: list[str]) -> None:
        """Note which tasks the job of a task has enqueued, and read the task whole."""
        ids, parent = [self.id(child) for child in children], self.id(name)
        known = parent in self.model.tasks
        self.model.version += known
        version = self.model.version - known
        assert self.call(enqueueing.children(parent, ids), version) is known
        stored = self.call(record.record(parent), self.model.version)
        assert (stored is not None) == known
        if stored is not None:
            task = self.model.tasks[parent]
            assert set(ids) <= set(stored.children)
            assert stored.children_count == len(stored.children)
            assert (stored.info.state, stored.info.attempt) == (task.state, task.attempt)
            assert stored.payload is not None

    # --- time, and what happens to Redis ---

    @precondition(lambda self: set(self.model.scheduled) - set(self.model.due))
    @rule(which=SOME)
    def fall_due(self, which: int) -> None:
        task_id = self.pick([t for t in self.model.scheduled if t not in self.model.due], which)
        self.model.due.append(task_id)
        self.note_due(task_id)

    def note_due(self, task_id: str) -> None:
        """Make a task due after all others that are due, in Redis as in the model."""
        self.model.due.remove(task_id)
        self.model.due.append(task_id)
        self.times_due += 1
        self.bench.raw.zadd(self.bench.keys.scheduled, {task_id: self.times_due})
        self.miss_the_alarm()

    @rule(job=st.sampled_from(["capped", "paced"]))
    def pass_time(self, job: str) -> None:
        self.bench.pass_time(job)
        self.model.pass_time(job)
        self.miss_the_alarm()

    @rule()
    def miss_the_alarm(self) -> None:
        """Let the time of the alarm pass without a look: its worker has died, or looks late."""
        self.bench.raw.delete(self.bench.keys.alarm)
        self.missed = True
        self.seen = self.bench.snapshot()

    @precondition(lambda self: self.model.suspects)
    @rule()
    def a_suspect_waits_for_long(self) -> None:
        """Let a suspect wait so long that the worker that held back for it has not become idle."""
        self.bench.wait_long(self.model.suspects)
        self.bench.raw.delete(self.bench.keys.isolating)
        self.model.isolating = None
        for task_id in self.model.suspects:
            self.model.tasks[task_id].waited_long = True
        self.seen = self.bench.snapshot()

    @precondition(lambda self: self.model.workers)
    @rule(which=SOME)
    def lapse(self, which: int) -> None:
        worker = self.pick(list(self.model.workers), which)
        self.bench.lapse(worker)
        self.model.workers[worker].lapsed = True
        self.seen = self.bench.snapshot()

    @rule(name=NAMES)
    def expire(self, name: str) -> None:
        if self.bench.field(name, "expires_at") is not None:
            self.bench.expire(name)
            self.model.tasks[self.id(name)].expired = True
            self.seen = self.bench.snapshot()

    @rule(name=NAMES)
    def forget(self, name: str) -> None:
        """Let the time to live of a result or a dead letter end."""
        task = self.model.tasks.get(self.id(name))
        if task is None or task.state is None or not task.state.ended:
            return
        self.bench.raw.delete(self.bench.unpack(self.id(name)))
        if task.state is State.FAILED:
            self.bench.raw.zadd(self.bench.keys.dead, {self.id(name): 1})
        self.model.forget(self.id(name))
        self.model.promote(1)
        self.call(scheduling.promote(self.bench.queue, 1), version=-1)  # which sweeps

    @precondition(lambda self: self.model.unique)
    @rule(which=SOME)
    def unique_key_runs_out(self, which: int) -> None:
        key = self.pick(sorted(self.model.unique), which)
        self.bench.raw.delete(self.bench.keys.unique_prefix + key)
        del self.model.unique[key]
        self.seen = self.bench.snapshot()

    @rule()
    def scripts_are_flushed(self) -> None:
        self.bench.raw.script_flush()

    # --- one history that chance has no part in ---

    def take_each_step(self) -> None:
        """Take every step that runs a script, once. Random histories may miss one."""
        for step, *details in EACH_STEP:
            getattr(self, step)(*details)
            self.redis_is_as_the_model()
            self.somebody_looks_for_the_next_due_task()
            self.limits_are_as_the_model_has_them()
