"""The commands of the protocol: one typed function builds each call and parses its reply.

The functions do no I/O, so the asyncio connection, the blocking one and pipelines share them. All
times are in ms.
"""

from __future__ import annotations

import enum
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import msgspec

from identtqueue.errors import InvalidInput, PayloadUndecodable, ProtocolMismatch
from identtqueue.limits import JobLimits, RateLimit
from identtqueue.protocol import codec, keys
from identtqueue.protocol.keys import QueueKeys, queue_keys
from identtqueue.task import Attempt, Failure, Progress, Result, State, TaskInfo, queue_of

PROTOCOL_VERSION: Final = "1"
"""Major version of keys and scripts. It is stored in `meta` of each queue, and a queue of another
version is refused."""

DEAD_LETTER_TTL_MS: Final = 7 * 86_400_000
"""How long dead letters are kept: a week, so that Friday night's can still be read on Monday."""

MOST_INLINE_BYTES: Final = 64 * 1024
"""Upper bound for a result in a reply. A larger result is announced with its size, and fetched by a
second call (see `await_result`)."""

PROMOTED_AT_ONCE: Final = 200
"""Upper bound for the due tasks that one call makes pending. Redis does nothing else meanwhile."""

EXPIRED: Final = codec.encode_failure(Failure("Expired", "not started before expires_seconds"))
CANCELLED: Final = codec.encode_failure(Failure("Cancelled", "cancelled on request"))

T = TypeVar("T")
Word = str | bytes | int | float


class Call(msgspec.Struct, Generic[T], frozen=True):
    """One command to Redis, and the function that parses its reply.

    Attributes:
        name: name of a script, or of a plain Redis command, which only reads.
        keys: the keys, all of one queue; empty for a command about the server.
        args: ARGV of a script, or the words after the keys of a plain command.
        parse: converts the reply to the call's value.
        is_script: whether `name` is a script.
        repeatable: whether the call may be sent again if its reply is lost. False for `claim` and
            `block_for_work`: a worker that loses the reply of a claim must ask Redis which tasks
            it owns.
        merge: for a command that each node of a cluster answers for itself: joins the answers.
        reply_bytes: size of the reply, if it is large and known; else 0.
    """

    name: str
    keys: tuple[str, ...]
    args: tuple[Word, ...]
    parse: Callable[[Any], T]
    is_script: bool = True
    repeatable: bool = True
    merge: Callable[[Sequence[T]], T] | None = None
    reply_bytes: int = 0


class Ack(enum.Enum):
    """The answer to a report about an attempt."""

    OK = b"ok"
    DONE = b"done"  # the same report had arrived before
    LOST = b"lost"  # the task was recovered; the report is ignored
    MISSING = b"missing"

    def __init__(self, word: bytes) -> None:
        self.recorded: Final = word in (b"ok", b"done")
        """Whether the report is recorded, now or before."""


_ACKS: Final = {ack.value: ack for ack in Ack}
"""The members by value. One is looked up for each task, and the class would take ten times as
long."""


class Lease(enum.Enum):
    """The answer to a renewal."""

    OK = b"ok"
    DRAINING = b"draining"
    LOST = b"lost"


class Cancelled(enum.Enum):
    """The answer to a cancellation."""

    OK = b"ok"
    ASKED = b"asked"
    ENDED = b"ended"
    MISSING = b"missing"


class Replayed(enum.Enum):
    """The answer to a replay or a discard."""

    OK = b"ok"
    MISSING = b"missing"
    NOT_DEAD = b"not dead"
    UNIQUE = b"unique"  # another unfinished task holds its unique key


class Enqueued(enum.Enum):
    """The answer to an enqueue."""

    OK = "ok"
    EXISTS = "exists"  # a task of this id exists already and was left as it is
    UNIQUE = "unique"  # another unfinished task holds the unique key


class Announced(msgspec.Struct, frozen=True):
    """The answer in place of a result that is too big for it: the size of that result."""

    size_bytes: int


class Receipt(msgspec.Struct, frozen=True):
    """The answer to the enqueue of one task.

    Attributes:
        task_id: the id of the task. If `status` is UNIQUE, the id of the task that holds the key.
        status: whether the task is new, and if not, why.
    """

    task_id: str
    status: Enqueued

    @property
    def created(self) -> bool:
        """Whether the task is new."""
        return self.status is Enqueued.OK


class NewTask(msgspec.Struct, frozen=True):
    """One task to enqueue. `options` contains only those that differ from the default."""

    task_id: str
    payload: bytes
    function_name: str
    options: Mapping[str, int | str | bool] = msgspec.field(default_factory=dict)
    random_id: bool = False  # then "exists" means that the call was sent twice


class Expiring(msgspec.Struct, frozen=True):
    """The state of a task that will be cancelled unless it starts within `expires_in_ms`."""

    state: State
    expires_in_ms: int


class Claim(enum.Enum):
    """Whether the worker may claim, and if not, why."""

    OK = b"ok"
    LOST = b"lost"
    DRAINING = b"draining"
    PAUSED = b"paused"


class Claimed(msgspec.Struct, frozen=True):
    """The answer to a claim.

    Attributes:
        status: whether the worker may claim.
        attempts: the tasks that it got.
        next_due_ms: time until the next scheduled task, or the next task held by a rate limit, may
            start; None: there is none.
        pending: how many more tasks may start now (of held ones, one per job is counted).
        suspects: how many suspects wait for a worker that runs nothing else.
        hold_ms: the worker must start nothing for this time, or until it runs nothing and asks for
            a suspect; None: it may start tasks.
        shelves: names of the queue's shelves (see `worker/shelves.py`).
    """

    status: Claim
    attempts: tuple[Attempt, ...] = ()
    next_due_ms: int | None = None
    pending: int = 0
    suspects: int = 0
    hold_ms: int | None = None
    shelves: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Promoted:
    """The answer to a promotion.

    Attributes:
        moved: how many tasks became pending.
        next_due_ms: time until the next task is due; None: there is none.
        now_ms: Redis' time.
        more: whether due work is left, so that the caller should promote again at once.
        shelves: names of the queue's shelves (see `worker/shelves.py`).
    """

    moved: int
    next_due_ms: int | None
    now_ms: int
    more: bool = False
    shelves: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recovery:
    """The tasks that were taken from a lost worker.

    Attributes:
        lost: False if the worker was unknown or alive.
        requeued, dead, cancelled: the ids of its tasks, by what became of them.
        isolated: those of the requeued ones that run alone the next time, because they may have
            killed their workers.
        more: whether the worker still has tasks, so that the caller must recover it again.
    """

    lost: bool
    requeued: tuple[str, ...] = ()
    dead: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()
    isolated: tuple[str, ...] = ()
    more: bool = False

    def __add__(self, other: Recovery) -> Recovery:
        """Join the results of two calls."""
        return Recovery(
            self.lost or other.lost,
            self.requeued + other.requeued,
            self.dead + other.dead,
            self.cancelled + other.cancelled,
            self.isolated + other.isolated,
            other.more,
        )


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """The number of tasks in a queue, by state, at one moment.

    Attributes:
        queued: how many tasks are pending.
        in_flight: how many tasks run.
        scheduled: how many tasks are not due yet.
        dead: how many dead letters there are.
        oldest_wait_ms: how long the oldest of the queued tasks that may start has waited; None:
            none may start.
        next_due_in_ms: time until the next scheduled task is due; None: there is none.
        due_soon: how many scheduled tasks fall due within the time that the caller asked about.
        paused: whether the queue is paused, so that no task may start.
        workers: how many worker incarnations are registered.
        counters: counts of events since the queue's first task; they only grow.
        held: how many of the queued tasks may not start now, because their job is at a limit. The
            number is exact for up to 200 tasks that no worker has looked at. If there are more, it
            is estimated from the first 200.
        next_held_in_ms: time until a rate limit lets one of the held tasks start (0: one may start
            now); None: none is held, or only by `max_running`.
    """

    queued: int
    in_flight: int
    scheduled: int
    dead: int
    oldest_wait_ms: int | None
    next_due_in_ms: int | None
    due_soon: int
    paused: bool
    workers: int
    counters: Mapping[str, int]
    held: int = 0
    next_held_in_ms: int | None = None


@dataclass(frozen=True, slots=True)
class LimitsInUse:
    """The limits of one job of a queue, and how far they are used.

    Attributes:
        job: name of the job.
        limits: the limits of the newest registration; empty if they were removed while tasks were
            held.
        running: how many tasks count towards `max_running`.
        held: how many tasks a worker has looked at and has held back.
        next_start_in_ms: time until one more task may start (0: now); None: when a running one
            ends.
    """

    job: str
    limits: JobLimits
    running: int
    held: int
    next_start_in_ms: int | None


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One worker incarnation, as it is stored in its queue."""

    worker_id: str
    lease_expires_in_ms: int
    in_flight: int
    draining: bool
    info: Mapping[str, Any]
    """The fields that the worker wrote, without those of unexpected form."""
    flaw: str = ""
    """Names of the parts that can't be read. If `worker_id` is empty, that is one of them."""


ANSWER_MS: Final = 120_000
"""How long Redis keeps the answer of a call, for the case that it is sent again
(`lua/lib/once.lua`)."""


def _answer(k: QueueKeys) -> str:
    """Make a key for the answer of a call. If the call is sent again, it gets the same answer."""
    return k.answer_prefix + secrets.token_hex(8)


# --- client ---------------------------------------------------------------------------------


def enqueue(queue: str, tasks: Sequence[NewTask]) -> Call[list[Receipt]]:
    """Put tasks into a queue.

    A task whose id exists already is left as it is, unless the new task's option `replace` is set
    and the old one has ended.

    Args:
        queue: name of the queue.
        tasks: the tasks, all for this queue.

    Returns:
        A call that returns one receipt per task, in order. Its `parse` raises ProtocolMismatch if
        the queue was written by another major version.
    """
    k = queue_keys(queue)
    answer = "" if all(map(_tells_a_repeat, tasks)) else _answer(k)
    args: list[Word] = [k.task_prefix, k.unique_prefix, k.doorbell, PROTOCOL_VERSION, answer]
    for task in tasks:
        options = msgspec.msgpack.encode(task.options) if task.options else b""
        args += (task.task_id, task.payload, task.function_name, options)

    def parse(reply: list[bytes]) -> list[Receipt]:
        _check_protocol(reply)
        return [_receipt(task, status) for task, status in zip(tasks, reply, strict=True)]

    return Call(
        "enqueue",
        (k.pending, k.wake, k.scheduled, k.stats, k.meta, k.dead, k.tombstones, k.expiring),
        tuple(args),
        parse,
    )


def _tells_a_repeat(task: NewTask) -> bool:
    """Return whether the task itself would show that its enqueue was sent twice.

    It does if its id is random and its result is kept for at least as long as an answer.
    """
    if not task.random_id:
        return False
    return not task.options or int(task.options.get("ttl", ANSWER_MS)) >= ANSWER_MS


_TAKEN: Final = {b"ok": Enqueued.OK, b"exists": Enqueued.EXISTS}


def _receipt(task: NewTask, status: bytes) -> Receipt:
    taken = _TAKEN.get(status)
    if taken is None:
        word, other = status[: len(b"unique")], status[len(b"unique") :]
        if word != b"unique":
            raise ValueError(f"enqueue: {status!r}")
        return Receipt(other.decode(), Enqueued.UNIQUE)
    if taken is Enqueued.EXISTS and task.random_id:
        taken = Enqueued.OK  # no other task has this id: the first reply was lost
    return Receipt(task.task_id, taken)


def _check_protocol(reply: list[Any]) -> None:
    if reply and reply[0] == b"protocol":
        raise ProtocolMismatch(reply[1].decode(), PROTOCOL_VERSION)


def await_result(
    task_id: str, reply_channel: str = "", *, size_bytes: int | None = None
) -> Call[Result | Expiring | State | Announced | None]:
    """Ask for the result of a task, and register a channel if it has not ended.

    A task that has expired is cancelled by this call.

    Args:
        task_id: the task.
        reply_channel: channel to notify when the task ends; empty: none.
        size_bytes: size of a result that was announced before. The result is then sent, whatever
            its size is by now.

    Returns:
        A call that returns the result, or only its size if it is large (`Announced`), or the state
        of a task that has not ended, or None if there is no such task.
    """
    k = queue_keys(queue_of(task_id))

    def parse(reply: list[Any]) -> Result | Expiring | State | Announced | None:
        if reply[0] == b"missing":
            return None
        state = State(reply[0].decode())
        if not state.ended:
            return state if reply[1] < 0 else Expiring(state, reply[1])
        return Announced(reply[2]) if reply[1] is None else parse_result(task_id, state, reply[1])

    most_bytes = MOST_INLINE_BYTES if size_bytes is None else -1
    return Call(
        "await",
        (k.task(task_id), k.pending, k.scheduled, k.stats, k.blocked, k.tombstones, k.expiring),
        (
            reply_channel,
            most_bytes,
            k.task_prefix,
            k.unique_prefix,
            k.held_prefix,
            task_id,
            EXPIRED,
        ),
        parse,
        reply_bytes=size_bytes or 0,
    )


def parse_result(task_id: str, state: State, data: bytes) -> Result:
    """Decode a result from the bytes that were stored or published for it.

    Raises:
        PayloadUndecodable: no plain value can hold the job's return value.
    """
    if state is State.SUCCEEDED:
        return Result(task_id, state, value=codec.decode_value(data))
    return Result(task_id, state, failure=codec.decode_failure(data))


def parse_reply(message: bytes) -> tuple[str, Result | None]:
    """Read a message from `lua/lib/end_task.lua`: the id of a task and its result.

    The result is None if it was too big to be published, or if it can't be read. The client then
    reads it from the task's hash, and gets the error there.
    """
    word, state, data = message.split(b"\n", 2)
    task_id = word.decode()
    if not data:
        return task_id, None
    try:
        return task_id, parse_result(task_id, State(state.decode()), data[1:])
    except PayloadUndecodable:
        return task_id, None


def cancel(task_id: str) -> Call[Cancelled]:
    """Cancel a task, or ask its worker to cancel it if it is running."""
    k = queue_keys(queue_of(task_id))
    return Call(
        "cancel",
        (
            k.pending,
            k.scheduled,
            k.stats,
            k.blocked,
            k.tombstones,
            k.suspects,
            k.wake,
            k.expiring,
            k.shelves,
            k.served,
            _answer(k),
        ),
        (
            k.task_prefix,
            k.unique_prefix,
            task_id,
            CANCELLED,
            keys.CONTROL_PREFIX,
            k.held_prefix,
            k.running_prefix,
            k.shelf_prefix,
        ),
        Cancelled,
    )


_INFO_FIELDS: Final = (
    "state",
    "function",
    "attempt",
    "failures",
    "losses",
    "enqueued_at",
    "started_at",
    "finished_at",
    "owner",
    "error",
    "progress",
    "fence",
)


def task_info(task_id: str) -> Call[TaskInfo | None]:
    """Read all that is known of a task; None if there is no such task."""
    queue = queue_of(task_id)

    def parse(reply: list[bytes | None]) -> TaskInfo | None:
        state, function, attempt, failures, losses, enqueued, started, finished = reply[:8]
        owner, error, progress, fence = reply[8:]
        if state is None:
            return None
        said = _progress_of(int(attempt or 0), progress)
        return TaskInfo(
            task_id=task_id,
            queue=queue,
            state=State(state.decode()),
            function_name=(function or b"").decode(),
            attempt=int(attempt or 0),
            failures=int(failures or 0),
            losses=int(losses or 0),
            enqueued_at_ms=int(enqueued or 0),
            started_at_ms=int(started) if started else None,
            finished_at_ms=int(finished) if finished else None,
            owner=owner.decode() if owner else None,
            failure=codec.decode_failure(error) if error else None,
            progress=said.value if said else None,
            fencing_token=max(int(started), int(fence or 0)) if started else None,
        )

    key = queue_keys(queue).task(task_id)
    return Call("HMGET", (key,), _INFO_FIELDS, parse, is_script=False)


def task_payload(task_id: str) -> Call[bytes | None]:
    """Read the envelope of a task; None once the task has succeeded or was cancelled."""

    def parse(reply: list[bytes | None]) -> bytes | None:
        return reply[0]

    key = queue_keys(queue_of(task_id)).task(task_id)
    return Call("HMGET", (key,), ("payload",), parse, is_script=False)


def cancel_asked(task_id: str) -> Call[int | None]:
    """Read the number of the attempt that a worker was asked to cancel; None: it was not asked."""

    def parse(reply: list[bytes | None]) -> int | None:
        asked, attempt = reply
        return int(attempt) if asked and attempt else None

    key = queue_keys(queue_of(task_id)).task(task_id)
    return Call("HMGET", (key,), ("cancel", "attempt"), parse, is_script=False)


def last_progress(task_id: str) -> Call[Progress | None]:
    """Read the latest progress of a task's last attempt; None if it has reported nothing."""

    def parse(reply: list[bytes | None]) -> Progress | None:
        return _progress_of(int(reply[0] or 0), reply[1])

    key = queue_keys(queue_of(task_id)).task(task_id)
    return Call("HMGET", (key,), ("attempt", "progress"), parse, is_script=False)


def _progress_of(attempt: int, stored: bytes | None) -> Progress | None:
    """Decode the stored progress if it is of this attempt and not of an earlier one."""
    found = parse_progress(stored) if stored else None
    return found if found and found.attempt == attempt else None


def parse_progress(message: bytes) -> Progress:
    """Decode what `progress` stores and publishes: the attempt, the value's number, the value."""
    attempt, number, data = message.split(b" ", 2)
    return Progress(int(attempt), int(number), codec.decode_value(data))


# --- worker ---------------------------------------------------------------------------------


def register(
    queue: str,
    worker: str,
    lease_ms: int,
    info: Mapping[str, Any],
    limits: Mapping[str, JobLimits] | None = None,
) -> Call[int]:
    """Take a worker's first lease, and declare the limits of its jobs.

    Args:
        queue: name of the queue.
        worker: the worker incarnation.
        lease_ms: length of the lease.
        info: the worker's pod, host, concurrency and so on.
        limits: the limits of each job; empty limits remove those of an earlier registration.

    Returns:
        A call that returns Redis' time. Its `parse` raises ProtocolMismatch if the queue was
        written by another major version.
    """
    k = queue_keys(queue)

    def parse(reply: list[Any]) -> int:
        _check_protocol(reply)
        return int(reply[1])

    args: list[Word] = [worker, lease_ms, codec.encode_plain(dict(info)), PROTOCOL_VERSION]
    for job, limit in (limits or {}).items():
        args += (job, _pack_limits(limit))
    return Call(
        "register",
        (k.workers, k.info, k.meta, k.limits, k.blocked, k.rates, k.wake),
        tuple(args),
        parse,
    )


def permitted(queue: str, names: Sequence[str]) -> Call[list[str]]:
    """List which of the commands the caller's ACL lacks on this queue; empty before Redis 7.0."""
    k = queue_keys(queue)
    return Call(
        "permitted", (k.doorbell,), tuple(names), lambda reply: [name.decode() for name in reply]
    )


def _pack_limits(limits: JobLimits) -> bytes:
    """Encode limits as `lua/lib/limits.lua` reads them, and with the fields that `limits` shows."""
    packed: dict[str, float] = {}
    if limits.max_running is not None:
        packed["max"] = limits.max_running
    if (rate := limits.rate_limit) is not None:
        packed |= {"interval": rate.interval_ms, "burst": rate.burst_size}
        packed |= {"count": rate.count, "per_seconds": rate.per_seconds}
    return codec.encode_plain(packed) if packed else b""


def extend(queue: str, worker: str, lease_ms: int) -> Call[Lease]:
    """Renew a worker's lease.

    Args:
        queue: name of the queue.
        worker: the worker incarnation.
        lease_ms: length of the new lease.
    """
    k = queue_keys(queue)
    return Call("extend", (k.workers, k.draining), (worker, lease_ms), Lease)


def leave(queue: str, worker: str) -> Call[bool]:
    """Give a worker's lease back; the call returns False while it owns tasks."""
    k = queue_keys(queue)
    return Call(
        "leave",
        (k.inflight(worker), k.workers, k.info, k.draining),
        (worker,),
        lambda reply: bool(reply == b"ok"),
    )


def claim(
    queue: str, worker: str, limit: int, *, idle: bool = False, shelves: Sequence[str] = ()
) -> Call[Claimed]:
    """Take up to `limit` pending tasks.

    Args:
        queue: the queue of the tasks.
        worker: the worker that will run them.
        limit: maximum number of tasks.
        idle: whether the worker runs nothing, in any queue, and makes no other claim at the same
            time. Then it may get a suspect (an attempt that is `alone`), and must run nothing
            beside it.
        shelves: names of the shelves whose tasks it may run.
    """
    k = queue_keys(queue)
    return Call(
        "claim",
        (
            k.pending,
            k.inflight(worker),
            k.workers,
            k.scheduled,
            k.stats,
            k.paused,
            k.draining,
            k.wake,
            k.limits,
            k.blocked,
            k.rates,
            k.tombstones,
            k.suspects,
            k.isolating,
            k.expiring,
            k.shelves,
            k.served,
            k.cron,
        ),
        (
            k.task_prefix,
            k.unique_prefix,
            worker,
            limit,
            k.doorbell,
            EXPIRED,
            CANCELLED,
            k.held_prefix,
            k.running_prefix,
            int(idle),
            k.shelf_prefix,
            *shelves,
        ),
        lambda reply: _parse_claim(queue, reply),
        repeatable=False,
    )


_NO_NEWS: Final[Mapping[bytes, Any]] = {}


def _parse_claim(queue: str, reply: list[Any]) -> Claimed:
    status = Claim(reply[0])
    if status is not Claim.OK:
        return Claimed(status)
    now, news = reply[2], reply[4]
    told = dict(zip(news[::2], news[1::2], strict=True)) if news else _NO_NEWS
    attempts = tuple(
        Attempt(
            task_id=reply[i].decode(),
            queue=queue,
            number=reply[i + 1],
            failures=int(reply[i + 2]),
            losses=int(reply[i + 3]),
            enqueued_at_ms=int(reply[i + 4]),
            started_at_ms=now,
            waited_ms=reply[i + 5],
            payload=reply[i + 6],
            fencing_token=told.get(b"fence " + reply[i], now) if told else now,
            alone=b"alone" in told,
        )
        for i in range(5, len(reply), 7)
    )
    return Claimed(
        status,
        attempts,
        _maybe(reply[1]),
        reply[3],
        suspects=told.get(b"suspects", 0),
        hold_ms=told.get(b"hold"),
        shelves=tuple(name.decode() for name in told.get(b"shelves", ())),
    )


def _maybe(number: int) -> int | None:
    """Convert the -1 of the scripts, which means that there is no value, to None."""
    return None if number < 0 else number


def in_flight(queue: str, worker: str) -> Call[list[str]]:
    """List the ids of the tasks that a worker owns."""
    return Call(
        "LRANGE",
        (queue_keys(queue).inflight(worker),),
        (0, -1),
        lambda reply: [task_id.decode() for task_id in reply],
        is_script=False,
    )


def _acks(reply: list[bytes]) -> list[Ack]:
    return [_ACKS[ack] for ack in reply]


def finish(queue: str, worker: str, done: Sequence[tuple[str, int, bytes]]) -> Call[list[Ack]]:
    """Record results, each exactly once.

    Args:
        queue: the queue of the tasks.
        worker: the worker that owns them.
        done: id, attempt number and encoded value of each.

    Returns:
        A call that returns one answer per result, in order.
    """
    k = queue_keys(queue)
    args: list[Word] = [k.task_prefix, k.unique_prefix, worker, k.running_prefix]
    for triple in done:
        args += triple
    return Call("finish", (k.inflight(worker), k.stats, k.blocked, k.wake), tuple(args), _acks)


def retry(
    queue: str, worker: str, task_id: str, attempt: int, delay_ms: int, failure: bytes
) -> Call[Ack]:
    """Schedule the next attempt of a task that failed, or cancel the task if that was asked for.

    Args:
        queue: the queue of the task.
        worker: the worker that owns it.
        task_id: the task.
        attempt: number of the attempt.
        delay_ms: time until the next attempt.
        failure: the encoded failure.
    """
    k = queue_keys(queue)
    return Call(
        "retry",
        (k.inflight(worker), k.scheduled, k.stats, k.wake, k.blocked),
        (
            k.task_prefix,
            worker,
            task_id,
            attempt,
            delay_ms,
            failure,
            k.running_prefix,
            k.unique_prefix,
            CANCELLED,
        ),
        Ack,
    )


def bury(queue: str, worker: str, task_id: str, attempt: int, failure: bytes) -> Call[Ack]:
    """Make a task a dead letter after its attempt failed.

    Args:
        queue: the queue of the task.
        worker: the worker that owns it.
        task_id: the task.
        attempt: number of the attempt.
        failure: the encoded failure.
    """
    k = queue_keys(queue)
    return Call(
        "bury",
        (k.inflight(worker), k.dead, k.stats, k.blocked, k.wake),
        (
            k.task_prefix,
            k.unique_prefix,
            worker,
            task_id,
            attempt,
            failure,
            DEAD_LETTER_TTL_MS,
            k.running_prefix,
        ),
        Ack,
    )


def abort(queue: str, worker: str, task_id: str, attempt: int) -> Call[Ack]:
    """End a running task as cancelled, after its worker was asked to cancel it.

    Args:
        queue: the queue of the task.
        worker: the worker that owns it.
        task_id: the task.
        attempt: number of the attempt.
    """
    k = queue_keys(queue)
    return Call(
        "abort",
        (k.inflight(worker), k.stats, k.blocked, k.wake),
        (k.task_prefix, k.unique_prefix, worker, task_id, attempt, CANCELLED, k.running_prefix),
        Ack,
    )


def release(queue: str, worker: str, attempts: Sequence[tuple[str, int]]) -> Call[list[Ack]]:
    """Give tasks back to the head of the queue. This counts neither as a failure nor as a loss.

    A task whose cancellation was asked for is cancelled instead.

    Args:
        queue: the queue of the tasks.
        worker: the worker that owns them.
        attempts: id and attempt number of each.

    Returns:
        A call that returns one answer per task, in order.
    """
    k = queue_keys(queue)
    args: list[Word] = [k.task_prefix, worker, k.doorbell, k.held_prefix, k.running_prefix]
    args += (k.unique_prefix, CANCELLED)
    for pair in attempts:
        args += pair
    return Call(
        "release",
        (
            k.inflight(worker),
            k.pending,
            k.wake,
            k.stats,
            k.blocked,
            k.tombstones,
            k.suspects,
        ),
        tuple(args),
        _acks,
    )


def decline(
    queue: str, worker: str, task_id: str, attempt: int, signature: str, failure: Failure
) -> Call[Ack]:
    """Decline a task that this worker cannot run, and leave it to other workers.

    This counts neither as a failure nor as a loss.

    Args:
        queue: the queue of the task.
        worker: the worker that owns it.
        task_id: the task.
        attempt: number of the attempt.
        signature: hash of the job's signature in this worker; workers with the same one will not
            be offered the task.
        failure: why the worker cannot run it.
    """
    k = queue_keys(queue)
    line = f"- {worker} ({signature}): {failure.type}: {' '.join(failure.message[:500].split())}"
    return Call(
        "decline",
        (k.inflight(worker), k.stats, k.blocked, k.wake, k.shelves, k.expiring),
        (
            k.task_prefix,
            k.unique_prefix,
            worker,
            task_id,
            attempt,
            signature,
            codec.encode_failure(failure),
            line.encode("utf-8", "backslashreplace"),
            k.running_prefix,
            k.shelf_prefix,
            CANCELLED,
        ),
        Ack,
    )


def give_up(queue: str, shelves: Sequence[str], after_ms: int) -> Call[list[str]]:
    """Make tasks dead letters that no worker has been able to run for a long time.

    Args:
        queue: name of the queue.
        shelves: names of the shelves to look at.
        after_ms: how long no worker may have been able to run them.

    Returns:
        A call that returns the ids of these tasks.
    """
    k = queue_keys(queue)
    return Call(
        "give_up",
        (k.shelves, k.served, k.dead, k.stats),
        (k.task_prefix, k.unique_prefix, k.shelf_prefix, after_ms, DEAD_LETTER_TTL_MS, *shelves),
        lambda reply: [task_id.decode() for task_id in reply],
    )


def progress(worker: str, task_id: str, attempt: int, number: int, data: bytes) -> Call[Ack]:
    """Store and publish a progress value of an attempt.

    Args:
        worker: the worker that owns the task.
        task_id: the task.
        attempt: number of the attempt.
        number: counts the values of this attempt.
        data: the encoded value.
    """
    k = queue_keys(queue_of(task_id))
    message = b"%d %d %b" % (attempt, number, data)
    return Call(
        "progress",
        (k.task(task_id),),
        (worker, attempt, message, k.progress_channel(task_id)),
        Ack,
    )


def wake(queue: str) -> Call[int]:
    """Wake another idle worker if tasks may start; the call returns their number.

    They are counted as in `Claimed.pending`.
    """
    k = queue_keys(queue)
    return Call(
        "wake",
        (k.pending, k.wake, k.blocked, k.tombstones, k.suspects),
        (k.task_prefix,),
        int,
    )


# --- upkeep and administration ----------------------------------------------------------------


SCHEDULE_KEPT_MS: Final = 30_000
"""How long a definition of a schedule stays valid after the last worker that has it was seen. Then
an older definition may replace it. Workers plan their schedules three times as often."""


class Planned(enum.Enum):
    """The answer to the planning of a schedule."""

    OK = b"ok"
    REPLACED = b"replaced"  # a worker with a newer definition keeps the schedule


def schedule(
    queue: str, name: str, definition: str, task: NewTask, firings: Mapping[str, int]
) -> Call[Planned]:
    """Plan the firings of a schedule that lie ahead.

    Args:
        queue: the queue in which they run.
        name: name of the schedule.
        definition: hash of all that the schedule declares. With a new hash, the firings that were
            planned under the old one are withdrawn.
        task: the task of each firing; its id is ignored.
        firings: task id of each firing -> its time, in ms since 1970.

    Returns:
        A call whose `parse` raises ProtocolMismatch if the queue was written by another major
        version.
    """
    k = queue_keys(queue)

    def parse(reply: list[bytes]) -> Planned:
        _check_protocol(reply)
        return Planned(reply[0])

    args: list[Word] = [k.task_prefix, k.unique_prefix, k.doorbell, PROTOCOL_VERSION]
    args += (name, definition, task.payload, task.function_name)
    args += (msgspec.msgpack.encode(task.options), SCHEDULE_KEPT_MS)
    for task_id, fire_ms in firings.items():
        args += (task_id, fire_ms)
    return Call(
        "schedule",
        (k.cron, k.scheduled, k.stats, k.meta, k.wake, k.expiring),
        tuple(args),
        parse,
    )


def promote(
    queue: str, limit: int = PROMOTED_AT_ONCE, *, serves: Sequence[str] = ()
) -> Call[Promoted]:
    """Make due tasks pending.

    The call also cancels expired tasks, removes old dead letters, and checks that held tasks can
    still start.

    Args:
        queue: name of the queue.
        limit: maximum number of tasks to make pending.
        serves: shelves whose tasks the caller may run, so that these are not given up.
    """
    k = queue_keys(queue)
    return Call(
        "promote",
        (
            k.scheduled,
            k.pending,
            k.wake,
            k.dead,
            k.blocked,
            k.limits,
            k.rates,
            k.tombstones,
            k.suspects,
            k.expiring,
            k.stats,
            k.shelves,
            k.served,
            k.cron,
        ),
        (
            k.task_prefix,
            k.doorbell,
            limit,
            DEAD_LETTER_TTL_MS,
            k.running_prefix,
            k.unique_prefix,
            k.held_prefix,
            EXPIRED,
            k.shelf_prefix,
            *serves,
        ),
        lambda reply: Promoted(
            moved=reply[0],
            next_due_ms=_maybe(reply[1]),
            now_ms=reply[2],
            more=bool(reply[3]),
            shelves=tuple(name.decode() for name in reply[4]),
        ),
    )


def ring(queue: str) -> Call[int]:
    """Ring the doorbell of a queue.

    The call returns how many connections listen; in a cluster, those of one node.
    """
    return Call("PUBLISH", (queue_keys(queue).doorbell,), (b"1",), int, is_script=False)


def expired(queue: str, now_ms: int, limit: int = 16) -> Call[list[str]]:
    """List workers whose lease had expired at `now_ms` (Redis time); `recover` checks it again.

    Args:
        queue: name of the queue.
        now_ms: a time of Redis.
        limit: maximum number of workers.
    """
    return Call(
        "ZRANGEBYSCORE",
        (queue_keys(queue).workers,),
        ("-inf", now_ms, "LIMIT", 0, limit),
        lambda reply: [worker.decode() for worker in reply],
        is_script=False,
    )


SHORTEST_BLOCK_SECONDS: Final = 0.002


def block_for_work(queues: Sequence[str], seconds: float) -> Call[str | None]:
    """Block until a wake token arrives on one of the queues.

    The call blocks for at least 2 ms: 0 would block for ever, and Redis 6.2 rounds 1 ms down to 0.

    Args:
        queues: names of the queues.
        seconds: how long to block.

    Returns:
        A call that returns the name of the queue, or None after `seconds`.
    """
    wakes = {queue_keys(queue).wake: queue for queue in queues}
    return Call(
        "BLPOP",
        tuple(wakes),
        (max(SHORTEST_BLOCK_SECONDS, seconds),),
        lambda reply: wakes[reply[0].decode()] if reply else None,
        is_script=False,
        repeatable=False,
    )


def recover(queue: str, worker: str, *, waive_lease: bool, max_deliveries: int) -> Call[Recovery]:
    """Take the tasks back from a worker whose lease has expired or that is certainly dead.

    Args:
        queue: name of the queue.
        worker: the worker incarnation.
        waive_lease: True if the worker is certainly dead. False: its lease must have expired.
        max_deliveries: how many workers a task may lose before it becomes a dead letter.

    Raises:
        InvalidInput: `max_deliveries` is less than 1.
    """
    if max_deliveries < 1:
        raise InvalidInput(f"max_deliveries={max_deliveries}: must be 1 or more")
    k = queue_keys(queue)
    lost = Failure(
        "WorkerLost",
        f"the worker was lost {max_deliveries} times or more while it ran this task, at last with "
        f"nothing else to run (max_deliveries={max_deliveries}); last on {worker}",
    )
    return Call(
        "recover",
        (
            k.inflight(worker),
            k.workers,
            k.info,
            k.draining,
            k.pending,
            k.wake,
            k.dead,
            k.stats,
            k.blocked,
            k.tombstones,
            k.suspects,
        ),
        (
            k.task_prefix,
            k.unique_prefix,
            worker,
            k.doorbell,
            "waive" if waive_lease else "expired",
            max_deliveries,
            codec.encode_failure(lost),
            CANCELLED,
            DEAD_LETTER_TTL_MS,
            k.held_prefix,
            k.running_prefix,
        ),
        _parse_recovery,
    )


def _parse_recovery(reply: list[bytes]) -> Recovery:
    if reply[0] not in (b"ok", b"more"):
        return Recovery(lost=False)
    fates: dict[bytes, list[str]] = {b"pending": [], b"failed": [], b"cancelled": []}
    isolated = []
    for i in range(1, len(reply), 2):
        task_id, fate = reply[i].decode(), reply[i + 1]
        if fate == b"suspect":
            isolated.append(task_id)
            fate = b"pending"
        fates[fate].append(task_id)
    return Recovery(
        lost=True,
        more=reply[0] == b"more",
        requeued=tuple(fates[b"pending"]),
        dead=tuple(fates[b"failed"]),
        cancelled=tuple(fates[b"cancelled"]),
        isolated=tuple(isolated),
    )


def drain(queue: str, workers: Sequence[str], *, stop: bool) -> Call[list[str]]:
    """Ask workers to stop fetching, or call them back.

    Args:
        queue: name of the queue.
        workers: the worker incarnations.
        stop: True to drain, False to call back.

    Returns:
        A call that returns the workers whose state changed.
    """
    k = queue_keys(queue)
    return Call(
        "drain",
        (k.workers, k.draining, _answer(k)),
        ("drain" if stop else "undrain", keys.CONTROL_PREFIX, *workers),
        lambda reply: [worker.decode() for worker in reply],
    )


def pause(queue: str, *, stop: bool) -> Call[bool]:
    """Stop all claims from a queue, or resume them; the call returns whether that was a change.

    Args:
        queue: name of the queue.
        stop: True to pause, False to resume.
    """
    k = queue_keys(queue)
    return Call(
        "pause",
        (k.paused, k.pending, k.wake, k.blocked, k.suspects, _answer(k)),
        ("pause" if stop else "resume", k.doorbell),
        bool,
    )


def replay(task_id: str) -> Call[Replayed]:
    """Put a dead letter back into its queue, with its unique key and no failures or losses."""
    k = queue_keys(queue_of(task_id))
    return Call(
        "replay",
        (k.dead, k.pending, k.wake, k.stats, k.tombstones, _answer(k)),
        (k.task_prefix, k.doorbell, task_id, k.unique_prefix),
        Replayed,
    )


def discard(task_id: str) -> Call[Replayed]:
    """Delete a dead letter."""
    k = queue_keys(queue_of(task_id))
    return Call("discard", (k.dead, _answer(k)), (k.task_prefix, task_id), Replayed)


def dead_letters(queue: str, offset: int, limit: int) -> Call[list[str]]:
    """List the ids of dead letters, the newest first.

    Args:
        queue: name of the queue.
        offset: how many to skip.
        limit: maximum number of ids.
    """
    return Call(
        "ZREVRANGE",
        (queue_keys(queue).dead,),
        (offset, offset + limit - 1),
        lambda reply: [task_id.decode() for task_id in reply],
        is_script=False,
    )


def depth(queue: str, within_ms: int = 0) -> Call[QueueDepth]:
    """Count the tasks of a queue by state, and the scheduled ones that fall due soon.

    Args:
        queue: name of the queue.
        within_ms: how far ahead `QueueDepth.due_soon` looks.
    """
    k = queue_keys(queue)
    return Call(
        "depth",
        (
            k.pending,
            k.workers,
            k.scheduled,
            k.dead,
            k.stats,
            k.paused,
            k.limits,
            k.blocked,
            k.rates,
            k.tombstones,
            k.suspects,
            k.expiring,
            k.shelves,
            k.served,
        ),
        (
            k.task_prefix,
            k.inflight_prefix,
            within_ms,
            k.held_prefix,
            k.running_prefix,
            k.shelf_prefix,
        ),
        _parse_depth,
    )


def _parse_depth(reply: list[Any]) -> QueueDepth:
    numbers = [_number(value) for value in reply[:12]]
    counters = {reply[i].decode(): _count(reply[i + 1]) for i in range(12, len(reply), 2)}
    return QueueDepth(
        queued=numbers[0],
        in_flight=numbers[1],
        scheduled=numbers[2],
        dead=numbers[3],
        oldest_wait_ms=_maybe(numbers[4]),
        next_due_in_ms=_maybe(numbers[5]),
        due_soon=numbers[6],
        paused=bool(numbers[7]),
        workers=numbers[8],
        counters=counters,
        held=numbers[10],
        next_held_in_ms=_maybe(numbers[11]),
    )


def limits(queue: str) -> Call[list[LimitsInUse]]:
    """List the limits of a queue's jobs and how far they are used, sorted by job name."""
    k = queue_keys(queue)
    return Call(
        "limits",
        (k.limits, k.blocked, k.rates, k.tombstones),
        (k.held_prefix, k.running_prefix, k.task_prefix),
        _parse_limits,
    )


def _parse_limits(reply: list[Any]) -> list[LimitsInUse]:
    found = [
        LimitsInUse(
            job=reply[i].decode(),
            limits=_unpack_limits(reply[i + 1]),
            running=reply[i + 2],
            held=reply[i + 3],
            next_start_in_ms=_maybe(reply[i + 4]),
        )
        for i in range(0, len(reply), 5)
    ]
    return sorted(found, key=lambda limits: limits.job)


def _unpack_limits(packed: bytes) -> JobLimits:
    fields = codec.decode_value(packed) if packed else {}
    rate = (
        RateLimit(fields["count"], fields["per_seconds"], fields["burst"])
        if "count" in fields
        else None
    )
    return JobLimits(max_running=fields.get("max"), rate_limit=rate)


def workers(queue: str) -> Call[list[WorkerRow]]:
    """List the workers of a queue, those with the oldest lease first."""
    k = queue_keys(queue)
    return Call("workers", (k.workers, k.info, k.draining), (k.inflight_prefix,), _parse_workers)


LONGEST_WORKER_ID: Final = 512
LONGEST_INFO_TEXT: Final = 512
_INFO_TEXTS: Final = ("pod_uid", "pod_name", "container", "host", "boot", "domain", "process")
_INFO_NUMBERS: Final = ("concurrency", "registered_at_ms")


def _parse_workers(reply: list[Any]) -> list[WorkerRow]:
    if len(reply) % 5:
        raise ValueError("no rows of workers")
    return [_worker_row(*reply[i : i + 5]) for i in range(0, len(reply), 5)]


def _worker_row(
    worker_id: bytes, lease_ms: int, in_flight: int, draining: int, packed: bytes
) -> WorkerRow:
    """Parse one row. A flaw in it, written by something else than a worker, spoils no other row."""
    info, flaws = _worker_info(packed)
    readable = worker_id.decode(errors="replace")
    if readable.encode() != worker_id or not 0 < len(worker_id) <= LONGEST_WORKER_ID:
        readable, flaws = "", ["worker_id"]
    flaw = f"{', '.join(flaws)} of worker {readable or 'without a name'}" if flaws else ""
    return WorkerRow(readable, _number(lease_ms), _number(in_flight), bool(draining), info, flaw)


def _worker_info(packed: bytes) -> tuple[dict[str, Any], list[str]]:
    """Decode the info that a worker wrote, and list the names of fields of unexpected form."""
    try:
        said = codec.decode_value(packed) if packed else {}
    except PayloadUndecodable:
        said = None
    if not isinstance(said, dict):
        return {}, ["info"]
    info: dict[str, Any] = {}
    for name in _INFO_TEXTS:
        value = said.get(name)
        if isinstance(value, str) and len(value) <= LONGEST_INFO_TEXT:
            info[name] = value
    for name in _INFO_NUMBERS:
        value = said.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53:
            info[name] = value
    known = (*_INFO_TEXTS, *_INFO_NUMBERS)
    return info, [n for n in known if said.get(n) is not None and n not in info]


def _number(value: Any) -> int:
    """Check that a value in a script's reply is a number, and return it.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(value, int):
        raise TypeError(type(value).__name__)
    return value


def _count(text: bytes) -> int:
    """Parse a number that Redis keeps as text.

    Raises:
        ValueError: it is not a number of 64 bits, as all of Redis' are.
    """
    number = int(text) if len(text) <= 20 else 1 << 63
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError("not a number of 64 bits")
    return number


def connected(workers: Sequence[str]) -> Call[list[bool]]:
    """Check whether each worker's process holds its control connection.

    The kernel closes that connection when the process dies.
    """

    def parse(reply: list[Any]) -> list[bool]:
        if len(reply) != 2 * len(workers):
            raise ValueError("not one number for each channel")
        return [reply[i + 1] > 0 for i in range(0, len(reply), 2)]

    return Call(
        "PUBSUB",
        (),
        ("NUMSUB", *(keys.control_channel(worker) for worker in workers)),
        parse,
        is_script=False,
        merge=lambda answers: [any(each) for each in zip(*answers, strict=True)],
    )


def server_info() -> Call[dict[str, str]]:
    """Read the `server` section of INFO; in a cluster, of the node that was started last."""

    def newest(answers: Sequence[dict[str, str]]) -> dict[str, str]:
        return min(answers, key=uptime_seconds)

    return Call("INFO", (), ("server",), _parse_info, is_script=False, merge=newest)


def uptime_seconds(info: Mapping[str, str]) -> int:
    """Read from INFO how long a server has run; 0 if it does not say."""
    text = info.get("uptime_in_seconds", "")
    return int(text) if re.fullmatch("[0-9]{1,12}", text) else 0


def memory_info() -> Call[dict[str, str]]:
    """Read the `memory` section of INFO. Redis 6.2 takes only one section per call."""
    return Call("INFO", (), ("memory",), _parse_info, is_script=False)


def _parse_info(reply: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in reply.decode().splitlines() if ":" in line)
    return {name: value for name, _, value in lines}


def cluster_slots() -> Call[Sequence[Any]]:
    """Ask a node of a cluster which node has which slots."""
    return Call("CLUSTER", (), ("SLOTS",), list, is_script=False)


def role() -> Call[list[Any]]:
    """Ask a server for its role: master or replica."""
    return Call("ROLE", (), (), list, is_script=False)
