"""The parsing of replies and messages of Redis. No other module knows their form.

The header of each script says what it returns.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from identtqueue.errors import PayloadUndecodable, ProtocolMismatch
from identtqueue.limits import JobLimits, RateLimit
from identtqueue.protocol import codec, counting
from identtqueue.protocol.answers import (
    Ack,
    Adopted,
    Announced,
    Claim,
    Claimed,
    Enqueued,
    Expiring,
    LimitsInUse,
    Planned,
    Promoted,
    QueueDepth,
    Receipt,
    Recovery,
    Scheduled,
    Shelf,
    WorkerRow,
)
from identtqueue.protocol.call import PROTOCOL_VERSION, NewTask
from identtqueue.task import Attempt, Progress, Result, State, TaskInfo, queue_of

T = TypeVar("T")

_ACKS: Final = {ack.value: ack for ack in Ack}
"""The members by value. One is looked up for each task, and the class would take ten times as
long."""

_FIXED_ANSWERS: Final = {b"ok": Enqueued.OK, b"exists": Enqueued.EXISTS}
"""The answers to an enqueue that are one word. The third one, UNIQUE, carries an id."""


def parse_receipts(tasks: Sequence[NewTask], reply: list[bytes]) -> list[Receipt]:
    """Parse the answers to an enqueue, one for each task."""
    _check_protocol(reply)
    return [_receipt(task, answer) for task, answer in zip(tasks, reply, strict=True)]


def _receipt(task: NewTask, answer: bytes) -> Receipt:
    status = _FIXED_ANSWERS.get(answer)
    if status is None:
        word, other = answer[: len(b"unique")], answer[len(b"unique") :]
        if word != b"unique":
            raise ValueError(f"enqueue: {answer!r}")
        return Receipt(other.decode(), Enqueued.UNIQUE)
    if status is Enqueued.EXISTS and task.random_id:
        status = Enqueued.OK  # no other task has this id: the first reply was lost
    return Receipt(task.task_id, status)


def _check_protocol(reply: list[Any]) -> None:
    if reply and reply[0] == b"protocol":
        raise ProtocolMismatch(reply[1].decode(), PROTOCOL_VERSION)


def parse_adopted(reply: list[bytes]) -> list[Adopted]:
    """Parse the answers to an adoption, one for each request."""
    _check_protocol(reply)
    return [Adopted(answer) for answer in reply]


def parse_registered(reply: list[Any]) -> int:
    """Parse the answer to a registration: Redis' time."""
    _check_protocol(reply)
    return int(reply[1])


def parse_planned(reply: list[bytes]) -> Planned:
    """Parse the answer to the planning of a schedule."""
    _check_protocol(reply)
    return Planned(reply[0])


def parse_left(reply: bytes) -> bool:
    """Parse the answer to `leave`: whether the lease was given back."""
    return reply == b"ok"


def parse_names(reply: list[bytes]) -> list[str]:
    """Parse a list of ids or names."""
    return [name.decode() for name in reply]


def parse_scheduled(reply: list[Any]) -> list[Scheduled]:
    """Parse ids with their times: in pairs by RESP2, as a list of both by RESP3."""
    flat = [part for item in reply for part in (item if isinstance(item, list) else [item])]
    return [
        Scheduled(task_id.decode(), int(float(due)))
        for task_id, due in zip(flat[::2], flat[1::2], strict=True)
    ]


def parse_scores(reply: list[Any]) -> dict[str, int]:
    """Parse the members of a ZSET with their times in ms: in pairs by RESP2, else as lists."""
    return {item.task_id: item.due_ms for item in parse_scheduled(reply)}


def parse_declarations(reply: list[Any] | Mapping[bytes, bytes]) -> dict[str, dict[str, Any]]:
    """Parse what workers have declared about jobs. What is no map is left out."""
    found = {}
    for name, packed in _fields(reply):
        try:
            declared = codec.decode_value(packed)
        except PayloadUndecodable:
            continue
        if isinstance(declared, dict):
            found[name.decode(errors="replace")] = declared
    return found


def parse_numbers(reply: list[Any] | Mapping[bytes, bytes]) -> dict[str, counting.Counts]:
    """Parse the numbers of a minute or an hour, by job."""
    return counting.parse_numbers(_fields(reply))


def _fields(reply: list[Any] | Mapping[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """Return names and values of a HASH: in pairs by RESP2, as a map by RESP3."""
    if isinstance(reply, Mapping):
        return list(reply.items())
    return list(zip(reply[::2], reply[1::2], strict=True))


def parse_rolled(reply: list[bytes | None]) -> int:
    """Parse the last minute whose enqueued tasks are in the numbers of its hour; 0: none is."""
    return int(reply[0] or 0)


def parse_all(reply: list[bytes]) -> list[bytes]:
    """Take the elements of a list as they are."""
    return list(reply)


def parse_raw(reply: bytes | None) -> bytes | None:
    """Take a value as it is."""
    return reply


def parse_text(reply: bytes) -> str:
    """Parse an answer that is a word or a name."""
    return reply.decode()


def parse_number(reply: bytes | None) -> int:
    """Parse a number that is stored as text; 0: it is not stored."""
    return int(reply or 0)


def parse_present(reply: object) -> bool:
    """Return whether anything was found."""
    return reply is not None


def parse_ok(reply: bytes) -> bool:
    """Return whether a script has done what it was asked for."""
    return reply == b"ok"


def parse_time(reply: list[bytes]) -> float:
    """Parse the answer to TIME: seconds since 1970."""
    seconds, microseconds = reply
    return int(seconds) + int(microseconds) / 1_000_000


def parse_first(reply: list[bytes | None]) -> bytes | None:
    """Take the only field that was asked for, as it is."""
    return reply[0]


def parse_cancel_asked(reply: list[bytes | None]) -> int | None:
    """Parse the fields `cancel` and `attempt` of a task."""
    asked, attempt = reply
    return int(attempt) if asked and attempt else None


def parse_last_progress(reply: list[bytes | None]) -> Progress | None:
    """Parse the fields `attempt` and `progress` of a task."""
    return _progress_of(int(reply[0] or 0), reply[1])


def parse_wake(queues: Mapping[str, str], reply: list[bytes] | None) -> str | None:
    """Return the queue whose wake token was taken; None: none has come.

    Args:
        queues: the queues by the names of their `wake` lists.
        reply: the list and the token.
    """
    return queues[reply[0].decode()] if reply else None


def parse_connected(number: int, reply: list[Any]) -> list[bool]:
    """Parse the answer to PUBSUB NUMSUB: which channels have a subscriber.

    Args:
        number: how many channels were asked about.
        reply: the reply.

    Raises:
        ValueError: there is not one answer for each channel.
    """
    if len(reply) != 2 * number:
        raise ValueError("not one number for each channel")
    return [reply[i + 1] > 0 for i in range(0, len(reply), 2)]


def join_connected(answers: Sequence[list[bool]]) -> list[bool]:
    """Join the answers of the nodes of a cluster: a subscriber is connected to one of them."""
    return [any(each) for each in zip(*answers, strict=True)]


def parse_awaited(task_id: str, reply: list[Any]) -> Result | Expiring | State | Announced | None:
    """Parse the answer to `await`; see `commands.await_result`."""
    if reply[0] == b"missing":
        return None
    state = State(reply[0].decode())
    if not state.ended:
        return state if reply[1] < 0 else Expiring(state, reply[1])
    return Announced(reply[2]) if reply[1] is None else parse_result(task_id, state, reply[1])


INFO_FIELDS: Final = (
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
"""Fields of a task's hash, in the order in which `parse_task_info` reads them."""


def parse_task_info(task_id: str, reply: list[bytes | None]) -> TaskInfo | None:
    """Parse the fields of a task; None if there is no such task."""
    state, function, attempt, failures, losses, enqueued, started, finished = reply[:8]
    owner, error, progress, fence = reply[8:]
    if state is None:
        return None
    said = _progress_of(int(attempt or 0), progress)
    return TaskInfo(
        task_id=task_id,
        queue=queue_of(task_id),
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


def _progress_of(attempt: int, stored: bytes | None) -> Progress | None:
    """Decode the stored progress if it is of this attempt and not of an earlier one."""
    found = parse_progress(stored) if stored else None
    return found if found and found.attempt == attempt else None


def parse_progress(message: bytes) -> Progress:
    """Decode what `progress` stores and publishes: the attempt, the value's number, the value."""
    attempt, number, data = message.split(b" ", 2)
    return Progress(int(attempt), int(number), codec.decode_value(data))


_NO_NEWS: Final[Mapping[bytes, Any]] = {}


def parse_claim(queue: str, reply: list[Any]) -> Claimed:
    """Parse the answer to a claim."""
    status = Claim(reply[0])
    if status is not Claim.OK:
        return Claimed(status)
    now, pairs = reply[2], reply[4]
    news = dict(zip(pairs[::2], pairs[1::2], strict=True)) if pairs else _NO_NEWS
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
            fencing_token=news.get(b"fence " + reply[i], now) if news else now,
            alone=b"alone" in news,
        )
        for i in range(5, len(reply), 7)
    )
    return Claimed(
        status,
        attempts,
        _maybe(reply[1]),
        reply[3],
        suspects=news.get(b"suspects", 0),
        hold_ms=news.get(b"hold"),
        shelves=tuple(name.decode() for name in news.get(b"shelves", ())),
    )


def _maybe(number: int) -> int | None:
    """Convert the -1 of the scripts, which means that there is no value, to None."""
    return None if number < 0 else number


def parse_acks(reply: list[bytes]) -> list[Ack]:
    """Parse the answers to a batch of reports, in order."""
    return [_ACKS[ack] for ack in reply]


def parse_promoted(reply: list[Any]) -> Promoted:
    """Parse the answer to a promotion."""
    return Promoted(
        moved=reply[0],
        next_due_ms=_maybe(reply[1]),
        now_ms=reply[2],
        more=bool(reply[3]),
        shelves=tuple(name.decode() for name in reply[4]),
    )


def parse_recovery(reply: list[bytes]) -> Recovery:
    """Parse the answer to a recovery."""
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


def parse_depth(reply: list[Any]) -> QueueDepth:
    """Parse the answer to `depth`."""
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


def parse_limits(reply: list[Any]) -> list[LimitsInUse]:
    """Parse the limits of the jobs, and sort them by job name."""
    found = [
        LimitsInUse(
            job=reply[i].decode(),
            limits=_unpack_limits(reply[i + 1]),
            running=reply[i + 2],
            held=reply[i + 3],
            next_start_in_ms=_maybe(reply[i + 4]),
            paused=bool(reply[i + 5]),
        )
        for i in range(0, len(reply), 6)
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


LONGEST_WORKER_ID: Final = 512

LONGEST_INFO_TEXT: Final = 512

_INFO_TEXTS: Final = (
    "pod_uid",
    "pod_name",
    "container",
    "host",
    "boot",
    "domain",
    "process",
    "version",
    "node",
    "release",
)

_INFO_NUMBERS: Final = ("concurrency", "registered_at_ms", "timeout_ms", "rss_bytes")

_INFO_SIGNED: Final = ("clock_ahead_ms",)
"""Numbers that may be negative."""


def parse_workers(reply: list[Any]) -> list[WorkerRow]:
    """Parse the rows of the workers."""
    if len(reply) % 5:
        raise ValueError("no rows of workers")
    return [_worker_row(*reply[i : i + 5]) for i in range(0, len(reply), 5)]


def _worker_row(
    worker_id: bytes, lease_ms: int, in_flight: int, draining: int, packed: bytes
) -> WorkerRow:
    """Parse one row. A flaw in it, which no worker has written, does not affect the other rows."""
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
    for name in (*_INFO_NUMBERS, *_INFO_SIGNED):
        value = said.get(name)
        least = -(1 << 53) if name in _INFO_SIGNED else -1
        if isinstance(value, int) and not isinstance(value, bool) and least < value < 1 << 53:
            info[name] = value
    known = (*_INFO_TEXTS, *_INFO_NUMBERS, *_INFO_SIGNED)
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


def uptime_seconds(info: Mapping[str, str]) -> int:
    """Read from INFO how long a server has run; 0 if it does not say."""
    text = info.get("uptime_in_seconds", "")
    return int(text) if re.fullmatch("[0-9]{1,12}", text) else 0


def server_time_ms(info: Mapping[str, str]) -> int | None:
    """Read the time of a server from INFO, in ms since 1970; None if it does not say."""
    text = info.get("server_time_usec", "")
    return int(text) // 1000 if re.fullmatch("[0-9]{1,18}", text) else None


def newest_info(answers: Sequence[dict[str, str]]) -> dict[str, str]:
    """Choose the INFO of the node that was started last."""
    return min(answers, key=uptime_seconds)


def parse_info(reply: bytes) -> dict[str, str]:
    """Parse a section of INFO."""
    lines = (line.partition(":") for line in reply.decode().splitlines() if ":" in line)
    return {name: value for name, _, value in lines}


def parse_infos(reply: bytes) -> list[dict[str, str]]:
    """Parse sections of INFO of one server."""
    return [parse_info(reply)]


def parse_setting(reply: list[bytes]) -> list[str]:
    """Parse the answer to CONFIG GET of one server: name and value; empty: no such setting."""
    return [reply[1].decode() if len(reply) > 1 else ""]


def parse_texts(reply: bytes) -> list[str]:
    """Parse the answer of one server that is a word."""
    return [reply.decode()]


def join_servers(answers: Sequence[list[T]]) -> list[T]:
    """Join the answers of the nodes of a cluster, in order."""
    return [each for answer in answers for each in answer]


def parse_first_text(reply: list[bytes | None]) -> str | None:
    """Parse the only field that was asked for as text."""
    return None if reply[0] is None else reply[0].decode()


def parse_paused(reply: bytes | None) -> int | None:
    """Parse the mark of a paused queue: when it was paused, in ms; 0: an older release set it."""
    if reply is None:
        return None
    at_ms = _count(reply)
    return at_ms if at_ms > 1 else 0


def parse_paused_jobs(reply: list[bytes]) -> dict[str, int]:
    """Parse the jobs that are paused, and since when, in ms."""
    pairs = zip(reply[::2], reply[1::2], strict=True)
    return {job.decode(): _count(at_ms) for job, at_ms in pairs}


def parse_shelves(reply: list[bytes]) -> list[Shelf]:
    """Parse the numbers of tasks by shelf."""
    found = []
    for name, number in zip(reply[::2], reply[1::2], strict=True):
        signatures, _, job = name.decode().partition(":")
        found.append(Shelf(job, signatures.count(",") + 1, _count(number)))
    return found
