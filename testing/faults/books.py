"""The books of a chaos run: compares what was accepted, what ran and what Redis has recorded.

Everything is read after all processes have drained. A problem is a sentence with the history of its
task.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any

import redis

from identtqueue.protocol import codec
from identtqueue.protocol.keys import queue_keys
from identtqueue.task import State
from testing.accounts import left_over
from testing.faults.orders import DOOMED_RETRIES, MAX_DELIVERIES, Order
from testing.invariants import check_invariants
from testing.ledger import Line
from testing.packing import fields_in

FIELDS = ("state", "attempt", "failures", "losses", "owner", "result", "error")
ENDS = {
    "succeeded": State.SUCCEEDED,
    "TaskFailed": State.FAILED,
    "TaskCancelled": State.CANCELLED,
    "TaskExpired": State.CANCELLED,
}
"""The answer of a wait -> what must be recorded."""


@dataclass(slots=True)
class Entry:
    """Everything that is known of one order."""

    order: Order
    journal: list[tuple[str, str]] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    found: dict[str, bytes] = field(default_factory=dict)

    @property
    def state(self) -> State | None:
        """State of the task in Redis; None: Redis does not know it."""
        return State(self.found["state"].decode()) if self.found else None

    def number(self, name: str) -> int:
        """Return a counter of the task's hash."""
        return int(self.found.get(name, b"0"))

    def noted(self, what: str) -> list[str]:
        """List the entries of the producer's journal under this word."""
        return [more for word, more in self.journal if word == what]

    def attempts(self, event: str) -> list[int]:
        """List the numbers of the attempts that have written such a line."""
        return [line.attempt for line in self.lines if line.event == event]

    def history(self) -> str:
        """Describe all that is known, for those who investigate the problem."""
        rows = [f"  {self.order}", f"  journal: {self.journal}"]
        rows += [f"  {line}" for line in self.lines]
        rows.append(f"  Redis: { ({k: v[:120] for k, v in self.found.items()}) }")
        return "\n".join(rows)


@dataclass
class Books:
    """The books of a run, and the problems in them."""

    entries: dict[str, Entry]
    problems: list[str] = field(default_factory=list)

    def tasks(self) -> list[Entry]:
        """Entries of orders that have become tasks."""
        return [entry for entry in self.entries.values() if entry.found]

    def ends(self) -> Counter[str]:
        """Number of tasks by how they ended."""
        return Counter(str(entry.state) for entry in self.tasks())

    def repeats(self) -> list[tuple[Line, Line]]:
        """Starts that only a fault has caused, each with the start that it repeats before it."""
        found = []
        for entry in self.tasks():
            failed = set(entry.attempts("fail"))
            starts = sorted((x for x in entry.lines if x.event == "start"), key=lambda x: x.at)
            found += [
                (before, again)
                for before, again in pairwise(starts)
                if before.attempt not in failed
            ]
        return found

    def innocents_buried(self) -> int:
        """Dead letters of tasks that are not meant to fail."""
        return sum(
            entry.state is State.FAILED and State.FAILED not in entry.order.may_end
            for entry in self.tasks()
        )

    def finished_twice(self) -> int:
        """Tasks whose job came to its end more than once: one result was recorded all the same."""
        return sum(len(entry.attempts("end")) > 1 for entry in self.tasks())

    def accuse(self, entry: Entry, what: str) -> None:
        """Record a problem of a task."""
        self.problems.append(f"{entry.order.task_id}: {what}\n{entry.history()}")


def make_up(
    orders: Iterable[Order],
    journals: Iterable[tuple[str, str, str]],
    lines: Iterable[Line],
    raw: redis.Redis,
    queues: Sequence[str],
) -> Books:
    """Read everything and compare it."""
    books = Books({order.task_id: Entry(order) for order in orders})
    for what, task_id, more in journals:
        books.entries[task_id].journal.append((what, more))
    for line in lines:
        if line.task_id in books.entries:
            books.entries[line.task_id].lines.append(line)
        else:
            books.problems.append(f"{line.task_id} ran, and was never enqueued: {line}")
    _look_up(books.entries, raw)
    for entry in books.entries.values():
        _check_end(books, entry)
        _check_runs(books, entry)
        _check_answers(books, entry)
    for queue in queues:
        _check_queue(books, raw, queue)
    return books


def _look_up(entries: Mapping[str, Entry], raw: redis.Redis) -> None:
    names = iter(entries)
    while batch := list(islice(names, 2000)):
        with raw.pipeline(transaction=False) as pipe:
            for task_id in batch:
                k = queue_keys(entries[task_id].order.queue)
                pipe.hmget(k.task(task_id), *FIELDS)
                pipe.hget(k.packed_tasks, task_id.partition(":")[2])
            values = iter(pipe.execute())
            for task_id, of_its_own, text in zip(batch, values, values, strict=True):
                found = fields_in(text) if text else dict(zip(FIELDS, of_its_own, strict=True))
                entries[task_id].found = {
                    name: value for name, value in found.items() if value is not None
                }


def _check_end(books: Books, entry: Entry) -> None:
    """Check that each accepted order has one end, which is allowed for its kind."""
    if entry.state is None:
        if entry.noted("unique"):
            if entry.noted("unique")[0] not in books.entries:
                books.accuse(entry, "is said to be a task that nobody has enqueued")
        elif entry.noted("accepted"):
            books.accuse(entry, "LOST: it was accepted, and Redis does not know it")
        else:
            books.accuse(entry, "was never accepted")
        return
    if entry.state is State.CANCELLED and entry.order.kind == "cancelled":
        if not entry.noted("cancel"):
            books.accuse(entry, "was cancelled, and nobody had asked for it")
    elif entry.state is State.FAILED and State.FAILED not in entry.order.may_end:
        books.accuse(entry, "BURIED: it is a dead letter, and nothing is wrong with it")
    elif entry.state not in entry.order.may_end:
        books.accuse(entry, f"LOST: it ended as {entry.state}")


def _check_runs(books: Books, entry: Entry) -> None:
    """Check that what jobs wrote into the ledger agrees with what Redis has recorded."""
    starts, ends = entry.attempts("start"), entry.attempts("end")
    twice = [number for number, times in Counter(starts).items() if times > 1]
    if twice:
        books.accuse(entry, f"attempts {twice} started twice: the fencing token is not unique")
    if max(starts, default=0) > entry.number("attempt"):
        books.accuse(entry, f"attempt {max(starts)} ran, Redis knows {entry.number('attempt')}")
    if entry.state is State.SUCCEEDED:
        value: Any = codec.decode_value(entry.found["result"])
        recorded = value[0] if isinstance(value, list) else value
        if recorded != entry.number("attempt"):
            books.accuse(entry, f"the result of attempt {recorded} was recorded")
        if recorded not in ends:
            books.accuse(entry, f"attempt {recorded} has a result and never came to its end")
    elif entry.state is State.FAILED and entry.order.kind == "poison":
        losses = entry.number("losses")
        if losses < MAX_DELIVERIES or len(starts) > MAX_DELIVERIES + 1:
            books.accuse(entry, f"it was buried after {losses} losses, {len(starts)} starts")
    elif entry.state is State.FAILED and entry.order.kind == "doomed":
        failures = len(set(entry.attempts("fail")))
        if failures <= DOOMED_RETRIES or entry.number("failures") != DOOMED_RETRIES + 1:
            books.accuse(entry, f"it was given up after {failures} failures")
    elif entry.order.kind == "expiring" and starts:
        books.accuse(entry, "expired, and had started before")


def _check_answers(books: Books, entry: Entry) -> None:
    """Check that every wait returned what Redis has recorded."""
    for told in entry.noted("answered"):
        if ENDS.get(told) is not entry.state:
            books.accuse(entry, f"its waiter was told {told}")


def _check_queue(books: Books, raw: redis.Redis, queue: str) -> None:
    """Check that nothing is left or in two places, and that the queue's own counters agree."""
    try:
        check_invariants(raw, queue)
    except AssertionError as error:
        books.problems.append(f"queue {queue}: {error}")
    left = left_over(raw, queue)
    if left:
        books.problems.append(f"queue {queue}: left over: {left}")
    told: defaultdict[str, int] = defaultdict(int)
    for name, value in raw.hgetall(queue_keys(queue).stats).items():
        told[name.decode()] = int(value)
    own = [entry for entry in books.tasks() if entry.order.queue == queue]
    counted = Counter(str(entry.state) for entry in own)
    ends = (State.SUCCEEDED, State.FAILED, State.CANCELLED)
    expected = {"enqueued": len(own)} | {str(state): counted[str(state)] for state in ends}
    for name, number in expected.items():
        if told[name] != number:
            books.problems.append(f"queue {queue}: {told[name]} were {name}, found {number}")
