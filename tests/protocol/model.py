"""Model of the protocol in Python: what each script must answer, and where tasks are afterwards.

Every move goes through `QueueModel._move`, which has no rules of its own. It looks the script up in
`identtqueue.protocol.states.TRANSITIONS` and refuses a move that is not in the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from identtqueue.limits import JobLimits
from identtqueue.protocol.answers import (
    Ack,
    Cancelled,
    Claim,
    CronPaused,
    Enqueued,
    JobPaused,
    Lease,
    Planned,
    Received,
    Replayed,
    Rescheduled,
    Revoked,
)
from identtqueue.protocol.states import TRANSITIONS
from identtqueue.task import State

_TABLE: Final = {row.script: row for row in TRANSITIONS}


class Due(Enum):
    """Condition under which a job's held tasks may start."""

    NOW = "now"  # and somebody was rung
    TIME = "when the time comes"
    PASSED = "the time has come"  # for which nobody rings
    SLOT = "when one of the job's tasks stops running, or when the job is resumed"


@dataclass(slots=True)
class ModelTask:
    """One task."""

    state: State | None = None
    job: str = ""
    attempt: int = 0
    failures: int = 0
    losses: int = 0
    owner: str | None = None  # who claimed it last
    firing: bool = False  # of the cron entry
    suspect: bool = False
    declined: set[str] = field(default_factory=set)  # signatures
    declined_long: bool = False
    unstarted: int = 0  # the last attempt that was a decline, as all before it
    waited_long: bool = False  # since it is pending
    counted: bool = False  # towards its job's max_running
    retried: int | None = None  # in which attempt, the last time
    cancel_asked: bool = False
    started: bool = False
    expired: bool = False
    unique: str | None = None
    waiters: set[str] = field(default_factory=set)
    progress: tuple[int, int] | None = None  # attempt, number
    origin: str | None = None  # who it was in the queue that it was moved from
    history: list[tuple[int, str]] = field(default_factory=list)  # number, outcome

    def note(self, outcome: str) -> None:
        """Note that its attempt has ended without success. The first and the last 20 are kept."""
        self.history.append((self.attempt, outcome))
        if len(self.history) > 21:
            del self.history[1]


@dataclass(slots=True)
class ModelCron:
    """The cron entry."""

    definition: str | None = None
    replaced: set[str | None] = field(default_factory=set)
    firings: set[str] = field(default_factory=set)
    paused: bool = False
    ahead: set[str] = field(default_factory=set)  # what is planned when it is resumed


@dataclass(slots=True)
class ModelWorker:
    """One worker that is listed."""

    in_flight: list[str] = field(default_factory=list)
    lapsed: bool = False
    draining: bool = False
    report: int = 0


@dataclass(frozen=True, slots=True)
class Submitted:
    """Arguments of an enqueue, as far as the model needs them."""

    task_id: str
    job: str = "job"
    delayed: bool = False
    unique: str | None = None
    replace: bool = False


class QueueModel:
    """Model of one queue. `version` grows with every change, so a refusal leaves it as it was."""

    def __init__(self) -> None:
        self.tasks: dict[str, ModelTask] = {}
        self.workers: dict[str, ModelWorker] = {}
        self.pending: list[str] = []
        self.cron = ModelCron()
        self.suspects: list[str] = []
        self.shelves: dict[str, list[str]] = {}
        self.served: set[str] = set()
        self.isolating: str | None = None  # who becomes idle for it
        self.scheduled: list[str] = []
        self.due: list[str] = []  # those of `scheduled` whose time has come, in that order
        self.dead: set[str] = set()
        self.ended: list[str] = []  # an id for each time that the task has ended
        self.limits: dict[str, JobLimits] = {}
        self.held: dict[str, list[str]] = {}
        self.blocked: dict[str, Due] = {}
        self.started: Counter[str] = Counter()  # per job, since its rate limit let all it can
        self.unique: dict[str, str] = {}
        self.stats: Counter[str] = Counter()
        self.worked = 0  # started attempts that workers have reported
        self.paused = False
        self.paused_jobs: set[str] = set()
        self.version = 0

    # --- moves ---

    def _move(self, script: str, task_id: str, target: State | None) -> ModelTask:
        """Move a task from its container to the next, if the table allows that."""
        self.version += 1
        task = self.tasks.setdefault(task_id, ModelTask())
        row = _TABLE[script]
        assert task.state in row.sources, f"{script}: {task_id} is {task.state}"
        assert target in row.targets, f"{script} makes nothing {target}"
        for container in (self.pending, self.suspects, self.scheduled, self.due):
            if task_id in container:
                container.remove(task_id)
        self.dead.discard(task_id)
        for shelf, ids in list(self.shelves.items()):
            if task_id in ids:
                self._take_off(shelf, task_id)
        for job, ids in list(self.held.items()):
            if task_id in ids:
                ids.remove(task_id)
                self._note_held(job, self.blocked[job])
        if task.state is State.RUNNING and task.owner in self.workers:
            self.workers[task.owner].in_flight.remove(task_id)
        stays = target is State.PENDING and task.suspect
        if task.counted and target is not State.RUNNING and not stays:
            task.counted = False
            if self.blocked.get(task.job) is Due.SLOT:
                self.blocked[task.job] = Due.NOW
        task.state = target
        if target is None:
            del self.tasks[task_id]
        elif target is State.FAILED:
            self.dead.add(task_id)
        elif target is State.SCHEDULED:
            self.scheduled.append(task_id)
        if target is not None and target.ended:
            self.ended.append(task_id)
            task.waiters.clear()
            if task.unique is not None and self.unique.get(task.unique) == task_id:
                del self.unique[task.unique]
        return task

    def _to_pending(self, script: str, task_id: str, *, head: bool = False) -> ModelTask:
        task = self._move(script, task_id, State.PENDING)
        task.waited_long = False
        if task.suspect:
            self.suspects.insert(0 if head else len(self.suspects), task_id)
        elif head:
            self.held.get(task.job, self.pending).insert(0, task_id)
        else:
            self.pending.append(task_id)
        return task

    # --- shelves ---

    def _take_off(self, shelf: str, task_id: str) -> None:
        self.shelves[shelf].remove(task_id)
        if not self.shelves[shelf]:
            del self.shelves[shelf]
            self.served.discard(shelf)

    def decline(self, worker: str, task_id: str, attempt: int, signature: str) -> Ack:
        refusal = self._not_running(worker, task_id, attempt, State.PENDING)
        task = self.tasks.get(task_id)
        if refusal is Ack.LOST and task is not None and task.cancel_asked:
            refusal = self._not_running(worker, task_id, attempt, State.CANCELLED)
        if refusal is not None:
            return refusal
        task = self.tasks[task_id]
        if task.cancel_asked:
            self._move("decline", task_id, State.CANCELLED)
            self.stats["cancelled"] += 1
            return Ack.OK
        task.suspect = False  # it has its losses, and becomes one again
        task.note("declined")
        self._move("decline", task_id, State.PENDING)
        task.declined.add(signature)
        shelf = ",".join(sorted(task.declined)) + ":" + task.job
        self.shelves.setdefault(shelf, []).append(task_id)
        if attempt == 1 or task.unstarted == attempt - 1:
            task.unstarted, task.started = attempt, False
        self.stats["declined"] += 1
        return Ack.OK

    def give_up(self, shelf: str) -> list[str]:
        dead: list[str] = []
        if shelf in self.served:
            return dead
        for task_id in list(self.shelves.get(shelf, ())):
            if not self.tasks[task_id].declined_long:
                break
            self._move("give_up", task_id, State.FAILED)
            self.stats["failed"] += 1
            dead.append(task_id)
        return dead

    def shelved_back(self) -> int:
        """Count the declined tasks that no present worker can run, or whose job is paused."""
        return sum(
            len(ids)
            for shelf, ids in self.shelves.items()
            if shelf.partition(":")[2] in self.paused_jobs
            or (self.workers and shelf not in self.served)
        )

    # --- limits ---

    def running(self, job: str) -> set[str]:
        """List the tasks that count towards the job's max_running."""
        return {i for i, task in self.tasks.items() if task.job == job and task.counted}

    def startable_jobs(self) -> set[str]:
        """List the jobs with held tasks that may start now."""
        return {job for job, due in self.blocked.items() if due in (Due.NOW, Due.PASSED)}

    def _allowance(self, job: str) -> tuple[int, Due]:
        if job in self.paused_jobs:
            return 0, Due.SLOT
        limits = self.limits.get(job, JobLimits())
        free = 99
        if limits.max_running is not None:
            free = limits.max_running - len(self.running(job))
            if free <= 0:
                return 0, Due.SLOT
        if limits.rate_limit is not None:
            free = min(free, limits.rate_limit.burst_size - self.started[job])
            if free <= 0:
                return 0, Due.TIME
        return free, Due.NOW

    def _note_held(self, job: str, due: Due) -> None:
        if self.held.get(job):
            self.blocked[job] = due
        else:
            self.held.pop(job, None)
            self.blocked.pop(job, None)

    def pass_time(self, job: str) -> None:
        """Let so much time pass that the job's rate limit allows a full burst."""
        self.started[job] = 0
        if self.blocked.get(job) is Due.TIME:
            self.blocked[job] = Due.PASSED

    def next_suspect(self) -> str | None:
        """Find the first suspect that may start."""
        for task_id in self.suspects[:20]:
            task = self.tasks[task_id]
            own, task.counted = task.counted, False
            free, _ = self._allowance(task.job)
            task.counted = own
            if free > 0:
                return task_id
        return None

    def _serve_suspects(self, worker: str, limit: int, *, idle: bool) -> tuple[int, str | None]:
        """Return how many tasks may start in all, and the suspect that has started alone."""
        task_id = self.next_suspect()
        if task_id is None:
            return limit, None
        if not idle:
            if self.isolating == worker:
                return 0, None
            holder = self.workers.get(self.isolating or "")
            if not self.tasks[task_id].waited_long or (holder is not None and not holder.draining):
                return limit, None
            self.isolating = worker
            self.version += 1
            return 0, None
        if limit == 0:
            return limit, None
        self.version += 1
        task = self.tasks[task_id]
        if task.counted and self.blocked.get(task.job) is Due.SLOT:
            self.blocked[task.job] = Due.NOW  # it gives its slot back, and takes it again
        task.counted = False
        self._start(worker, task_id)
        if task.state is not State.RUNNING:
            return limit, None
        if self.isolating == worker or not self.suspects:
            self.isolating = None
        return 1, task_id

    def held_back(self) -> int:
        """Count the pending tasks that may not start now."""
        free = {task.job: self._allowance(task.job)[0] for task in self.tasks.values()}
        # Suspects are counted as if they could start, unless their job is paused: each is one
        # worker's work.
        resting = sum(self.tasks[task_id].job in self.paused_jobs for task_id in self.suspects)
        waiting = Counter(self.tasks[task_id].job for task_id in self.pending)
        waiting.update({job: len(ids) for job, ids in self.held.items()})
        return resting + sum(max(0, number - free[job]) for job, number in waiting.items())

    # --- client ---

    def enqueue(self, batch: Sequence[Submitted]) -> list[tuple[str, Enqueued]]:
        return [self._enqueue_one(item) for item in batch]

    def _enqueue_one(self, item: Submitted) -> tuple[str, Enqueued]:
        old = self.tasks.get(item.task_id)
        if old is not None and not (item.replace and old.state and old.state.ended):
            return item.task_id, Enqueued.EXISTS
        if item.unique in self.unique:
            assert item.unique is not None
            return self.unique[item.unique], Enqueued.UNIQUE
        if old is not None:  # all that stays of it is its number
            self.tasks[item.task_id] = ModelTask(state=old.state, attempt=old.attempt)
        if item.delayed:
            task = self._move("enqueue", item.task_id, State.SCHEDULED)
        else:
            task = self._to_pending("enqueue", item.task_id)
        task.job = item.job
        if item.unique is not None:
            task.unique = item.unique
            self.unique[item.unique] = item.task_id
        self.stats["enqueued"] += 1
        return item.task_id, Enqueued.OK

    def cancel(self, task_id: str) -> Cancelled:
        task = self.tasks.get(task_id)
        if task is None:
            return Cancelled.MISSING
        assert task.state is not None
        if task.state is State.RUNNING:
            self.version += not task.cancel_asked
            task.cancel_asked = True
            return Cancelled.ASKED
        if task.state.ended:
            return Cancelled.ENDED
        self._move("cancel", task_id, State.CANCELLED)
        self.stats["cancelled"] += 1
        return Cancelled.OK

    def revoke(self, task_id: str, *, asks: bool) -> Revoked:
        task = self.tasks.get(task_id)
        if task is None:
            return Revoked.MISSING
        assert task.state is not None
        if task.state.ended:
            return Revoked.ENDED
        if task.state is State.RUNNING:
            if not asks:
                return Revoked.RUNNING
            asked_before, task.cancel_asked = task.cancel_asked, True
            self.version += not asked_before
            return Revoked.ASKED_BEFORE if asked_before else Revoked.ASKED
        self._cancel("revoke", task_id)
        return Revoked.OK

    def receive(self, task_id: str, job: str, unique: str | None, origin: str) -> Received:
        old = self.tasks.get(task_id)
        if old is not None and old.origin != origin:
            return Received.EXISTS
        if old is not None and old.state is not State.CANCELLED:
            return Received.OK
        if unique in self.unique:
            return Received.UNIQUE
        if old is not None:
            self.tasks[task_id] = ModelTask(state=old.state, attempt=old.attempt)
        task = self._move("receive", task_id, State.SCHEDULED)
        task.job, task.origin = job, origin
        if unique is not None:
            task.unique = unique
            self.unique[unique] = task_id
        self.stats["enqueued"] += 1
        return Received.OK

    def wait(self, task_id: str, channel: str) -> State | None:
        task = self.tasks.get(task_id)
        if task is None:
            return None
        assert task.state is not None
        if self.has_expired(task_id):
            self._cancel("await", task_id)
        elif not task.state.ended and channel not in task.waiters:
            task.waiters.add(channel)
            self.version += 1
        return task.state

    # --- worker ---

    def register(self, worker: str, limits: Mapping[str, JobLimits]) -> None:
        self.version += 1
        self.workers[worker] = ModelWorker()
        for job, declared in limits.items():
            if self.limits.get(job, JobLimits()) == declared:
                continue
            self.limits[job] = declared
            if not declared:
                del self.limits[job]
                self.started[job] = 0
            if job in self.blocked:
                self.blocked[job] = Due.NOW

    def count(self, worker: str, report: int, number: int) -> Ack:
        listed = self.workers.get(worker)
        if listed is None:
            return Ack.LOST
        if listed.report == report:
            return Ack.DONE
        self.version += 1
        listed.report = report
        self.worked += number
        return Ack.OK

    def extend(self, worker: str) -> Lease:
        listed = self.workers.get(worker)
        if listed is None:
            return Lease.LOST
        self.version += 1
        listed.lapsed = False
        return Lease.DRAINING if listed.draining else Lease.OK

    def leave(self, worker: str) -> bool:
        listed = self.workers.get(worker)
        if listed is not None:
            if listed.in_flight:
                return False
            self.version += 1
            del self.workers[worker]
        return True

    def promote(self, limit: int) -> int:
        self._end_expired()
        for job in self.paused_jobs & set(self.blocked):
            self.version += self.blocked[job] is not Due.SLOT
            self.blocked[job] = Due.SLOT
        self.version += bool(self.startable_jobs() or self.suspects)  # for whom it rings
        return self._promote_due(limit)

    def _end_expired(self) -> None:
        for task_id in [t for t in self.tasks if self.has_expired(t)]:
            self._cancel("promote", task_id)

    def has_expired(self, task_id: str) -> bool:
        task = self.tasks[task_id]
        waits = task.state in (State.PENDING, State.SCHEDULED)
        return waits and task.expired and not task.started

    def _cancel(self, script: str, task_id: str) -> None:
        self._move(script, task_id, State.CANCELLED)
        self.stats["cancelled"] += 1

    def _promote_due(self, limit: int) -> int:
        moving = self.due[:limit]
        firings = [t for t in moving if self.tasks[t].firing and not self.tasks[t].attempt]
        for task_id in moving:
            if task_id in firings[:-1]:  # missed: the last one of them runs
                self._move("promote", task_id, State.CANCELLED)
                self.stats["cancelled"] += 1
            else:
                self._to_pending("promote", task_id)
        return len(moving)

    def schedule(self, definition: str, ids: Sequence[str]) -> Planned:
        """Plan firings of a cron entry, all far ahead. Its workers have just renewed it."""
        cron = self.cron
        if cron.definition != definition:
            if definition in cron.replaced:
                return Planned.REPLACED
            self.version += 1
            self._withdraw("schedule")
            cron.ahead.clear()
            cron.replaced |= {cron.definition} - {None}
            cron.definition = definition
        for task_id in ids:
            if cron.paused and task_id not in cron.firings | cron.ahead:
                cron.ahead.add(task_id)
                self.version += 1
            elif not cron.paused:
                self._plan("schedule", task_id)
        return Planned.SUSPENDED if cron.paused else Planned.OK

    def _withdraw(self, script: str) -> set[str]:
        """Withdraw the firings that are scheduled, and return them."""
        withdrawn = {
            task_id
            for task_id in self.cron.firings
            if task_id in self.tasks and self.tasks[task_id].state is State.SCHEDULED
        }
        for task_id in withdrawn:
            self._move(script, task_id, None)
            self.stats["cancelled"] += 1
        self.cron.firings -= withdrawn
        return withdrawn

    def _plan(self, script: str, task_id: str) -> None:
        if task_id in self.cron.firings:
            return
        self.version += 1
        self.cron.firings.add(task_id)
        if task_id not in self.tasks:
            task = self._move(script, task_id, State.SCHEDULED)
            task.job, task.firing = "job", True
            self.stats["enqueued"] += 1

    def pause_cron(self, *, stop: bool) -> CronPaused:
        cron = self.cron
        if cron.definition is None:
            return CronPaused.MISSING
        if cron.paused == stop:
            return CronPaused.AS_BEFORE
        self.version += 1
        cron.paused = stop
        if stop:
            cron.ahead = self._withdraw("pause_cron")
            return CronPaused.OK
        for task_id in cron.ahead:
            self._plan("pause_cron", task_id)
        cron.ahead.clear()
        return CronPaused.OK

    def run_cron(self, task_id: str) -> bool:
        if self.cron.definition is None:
            return False
        task = self._to_pending("run_cron", task_id)
        task.job, task.firing = "job", True
        self.stats["enqueued"] += 1
        return True

    def claim(
        self,
        worker: str,
        limit: int,
        jobs: Sequence[str] = (),
        *,
        idle: bool = False,
        shelves: Sequence[str] = (),
    ) -> tuple[Claim, list[tuple[str, int]]]:
        """Claim tasks. `jobs` is the order in which jobs with startable held tasks are served."""
        self.alone: str | None = None
        listed = self.workers.get(worker)
        if listed is None:
            return Claim.LOST, []
        if listed.draining:
            return Claim.DRAINING, []
        if self.paused:
            return Claim.PAUSED, []
        self.version += bool(self.startable_jobs() or self.suspects)  # for whom it rings
        self._promote_due(1000)
        assert set(jobs) == self.startable_jobs()
        before = len(listed.in_flight)
        limit, self.alone = self._serve_suspects(worker, limit, idle=idle)
        for shelf in shelves:
            self._serve_shelf(worker, shelf, limit - (len(listed.in_flight) - before))
        if self.alone:
            jobs = [*jobs, *sorted(self.startable_jobs() - set(jobs))]
        for job in jobs:
            self.version += 1
            while self.held.get(job) and len(listed.in_flight) - before < limit:
                if self._allowance(job)[0] == 0:
                    break
                self._start(worker, self.held[job][0])
            self._note_held(job, self._allowance(job)[1])
        while self.pending and len(listed.in_flight) - before < limit:
            self._start(worker, self.pending[0])
        claimed = [(task_id, self.tasks[task_id].attempt) for task_id in listed.in_flight[before:]]
        self.stats["claimed"] += len(claimed)
        return Claim.OK, claimed

    def _serve_shelf(self, worker: str, shelf: str, number: int) -> None:
        job = shelf.partition(":")[2]
        number = min(number, self._allowance(job)[0])
        for task_id in self.shelves.get(shelf, [])[: max(0, number)]:
            self._take_off(shelf, task_id)
            self._start(worker, task_id)

    def shelf_left(self, shelf: str) -> bool:
        """Return whether more tasks of a shelf may start."""
        return shelf in self.shelves and self._allowance(shelf.partition(":")[2])[0] > 0

    def progress(self, worker: str, task_id: str, attempt: int, number: int) -> Ack:
        task = self.tasks.get(task_id)
        if task is None:
            return Ack.MISSING
        current = (task.state, task.owner, task.attempt) == (State.RUNNING, worker, attempt)
        if not current:
            return Ack.LOST
        self.version += 1
        task.progress = (attempt, number)
        return Ack.OK

    def _start(self, worker: str, task_id: str) -> None:
        """Start a task, or cancel or hold it."""
        task = self.tasks[task_id]
        if task.cancel_asked or self.has_expired(task_id):
            self._cancel("claim", task_id)
            return
        free, due = self._allowance(task.job)
        if free == 0:
            self.version += 1
            self.pending.remove(task_id)
            self.held.setdefault(task.job, []).append(task_id)
            self.blocked[task.job] = due
            return
        self._move("claim", task_id, State.RUNNING)
        limits = self.limits.get(task.job, JobLimits())
        task.counted = limits.max_running is not None
        self.started[task.job] += limits.rate_limit is not None
        task.attempt += 1
        task.started = True
        task.owner = worker
        self.workers[worker].in_flight.append(task_id)

    def report(self, script: str, worker: str, task_id: str, attempt: int) -> Ack:
        """Report an attempt: finish, retry, bury, abort or release."""
        target, counter = _REPORTS[script]
        task = self.tasks.get(task_id)
        targets = {target}
        if script in ("retry", "release") and task is not None and task.cancel_asked:
            targets.add(State.CANCELLED)
        refusal = self._not_running(worker, task_id, attempt, *targets)
        if refusal is Ack.LOST and script == "retry" and task is not None:
            return Ack.DONE if task.retried == attempt else refusal
        if refusal is not None:
            return refusal
        assert task is not None
        if task.cancel_asked and State.CANCELLED in targets:
            self._cancel(script, task_id)
            return Ack.OK
        if script in _NOTED:
            task.note(_NOTED[script])
        if target is State.PENDING:
            self._to_pending(script, task_id, head=True)
        else:
            self._move(script, task_id, target)
        task.failures += script in ("retry", "bury")
        if script == "retry":
            task.retried = attempt
            if task.suspect:
                task.suspect, task.losses = False, 0
        self.stats[counter] += 1
        return Ack.OK

    def _not_running(self, worker: str, task_id: str, attempt: int, *targets: State) -> Ack | None:
        """Return why a report of the attempt is refused."""
        task = self.tasks.get(task_id)
        if task is None:
            return Ack.MISSING
        if task.attempt != attempt or task.owner != worker:
            return Ack.LOST
        if task.state is not State.RUNNING:
            return Ack.DONE if task.state in targets else Ack.LOST
        return None

    # --- upkeep and administration ---

    def recover(self, worker: str, *, waive: bool, limit: int) -> dict[str, State] | None:
        """Recover a worker; return what became of each task. None: it is unknown or alive."""
        listed = self.workers.get(worker)
        if listed is None or not (waive or listed.lapsed):
            return None
        self.version += 1
        fates: dict[str, State] = {}
        alone, before = len(listed.in_flight) == 1, len(self.suspects)
        for task_id in reversed(list(listed.in_flight)):
            task = self.tasks[task_id]
            task.losses += 1
            task.note("lost")
            if task.cancel_asked:
                self._move("recover", task_id, State.CANCELLED)
                self.stats["cancelled"] += 1
            elif task.losses >= limit and task.suspect and alone:
                self._move("recover", task_id, State.FAILED)
                self.stats["failed"] += 1
            else:
                task.suspect = task.suspect or task.losses >= min(2, limit - 1)
                self._to_pending("recover", task_id, head=not task.suspect)
                task.owner = None
                self.stats["recovered"] += 1
            assert task.state is not None
            fates[task_id] = task.state
        self.suspects[before:] = reversed(self.suspects[before:])  # in their old order
        del self.workers[worker]
        return fates

    def drain(self, workers: Sequence[str], *, stop: bool) -> list[str]:
        changed = []
        for worker in workers:
            listed = self.workers.get(worker)
            if listed is not None and listed.draining != stop:
                listed.draining = stop
                changed.append(worker)
        self.version += len(changed)
        return changed

    def pause(self, *, stop: bool) -> bool:
        changed = self.paused != stop
        self.paused = stop
        self.version += changed
        return changed

    def pause_job(self, job: str, *, stop: bool) -> JobPaused:
        if (job in self.paused_jobs) == stop:
            return JobPaused.AS_BEFORE
        self.version += 1
        self.paused_jobs ^= {job}
        if job in self.blocked:
            self.blocked[job] = Due.SLOT if stop else Due.NOW
        return JobPaused.OK

    def replay(self, task_id: str) -> Replayed:
        refusal = self._not_dead(task_id)
        if refusal is None and self.tasks[task_id].unique in self.unique:
            refusal = Replayed.UNIQUE
        if refusal is None:
            task = self._to_pending("replay", task_id)
            if task.unique is not None:
                self.unique[task.unique] = task_id
            task.failures = task.losses = 0
            task.suspect = task.declined_long = False
            task.declined.clear()
            task.unstarted = 0
            task.cancel_asked = task.expired = False
            self.stats["replayed"] += 1
        return refusal or Replayed.OK

    def discard(self, task_id: str) -> Replayed:
        refusal = self._not_dead(task_id)
        if refusal is None:
            self._move("discard", task_id, None)
        return refusal or Replayed.OK

    def hasten(self, task_id: str) -> Rescheduled:
        if task_id not in self.tasks:
            return Rescheduled.MISSING
        if task_id not in self.scheduled:
            return Rescheduled.NOT_SCHEDULED
        self.version += 1
        if task_id not in self.due:
            self.due.append(task_id)
        return Rescheduled.OK

    def _not_dead(self, task_id: str) -> Replayed | None:
        if task_id not in self.tasks:
            return Replayed.MISSING
        return None if task_id in self.dead else Replayed.NOT_DEAD

    # --- time ---

    def forget(self, task_id: str) -> None:
        """Let the time to live of its result end."""
        self.dead.discard(task_id)
        del self.tasks[task_id]


_NOTED: Final = {"retry": "failed", "bury": "failed", "release": "released"}
"""The reports that add the attempt to the history of the task, and the outcome in it."""

_REPORTS: Final = {
    "finish": (State.SUCCEEDED, "succeeded"),
    "retry": (State.SCHEDULED, "retried"),
    "bury": (State.FAILED, "failed"),
    "abort": (State.CANCELLED, "cancelled"),
    "release": (State.PENDING, "released"),
}
