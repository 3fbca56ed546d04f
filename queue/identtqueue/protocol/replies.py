"""The parsing of what several calls have in common, and of messages on channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from identtqueue.errors import PayloadUndecodable, ProtocolMismatch
from identtqueue.protocol import codec
from identtqueue.protocol.answers import Scheduled
from identtqueue.protocol.call import PROTOCOL_VERSION
from identtqueue.task import Progress, Result, State, TaskInfo, queue_of


def check_protocol(reply: list[Any]) -> None:
    """Check that a queue was written by this major version.

    Raises:
        ProtocolMismatch: it was written by another one.
    """
    if reply and reply[0] == b"protocol":
        raise ProtocolMismatch(reply[1].decode(), PROTOCOL_VERSION)


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


def parse_fields(reply: list[Any] | Mapping[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """Return names and values of a HASH: in pairs by RESP2, as a map by RESP3."""
    if isinstance(reply, Mapping):
        return list(reply.items())
    return list(zip(reply[::2], reply[1::2], strict=True))


def parse_ok(reply: bytes) -> bool:
    """Return whether a script has done what it was asked for."""
    return reply == b"ok"


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
    said = progress_of(int(attempt or 0), progress)
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


def progress_of(attempt: int, stored: bytes | None) -> Progress | None:
    """Decode the stored progress if it is of this attempt and not of an earlier one."""
    found = parse_progress(stored) if stored else None
    return found if found and found.attempt == attempt else None


def parse_progress(message: bytes) -> Progress:
    """Decode what `progress` stores and publishes: the attempt, the value's number, the value."""
    attempt, number, data = message.split(b" ", 2)
    return Progress(int(attempt), int(number), codec.decode_value(data))


def maybe(number: int) -> int | None:
    """Convert the -1 of the scripts, which means that there is no value, to None."""
    return None if number < 0 else number


def checked_number(value: Any) -> int:
    """Check that a value in a script's reply is a number, and return it.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(value, int):
        raise TypeError(type(value).__name__)
    return value


def parse_count(text: bytes) -> int:
    """Parse a number that Redis keeps as text.

    Raises:
        ValueError: it is not a number of 64 bits, as all of Redis' are.
    """
    number = int(text) if len(text) <= 20 else 1 << 63
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError("not a number of 64 bits")
    return number


def parse_info(reply: bytes) -> dict[str, str]:
    """Parse a section of INFO."""
    lines = (line.partition(":") for line in reply.decode().splitlines() if ":" in line)
    return {name: value for name, _, value in lines}


def parse_tags(stored: bytes | None) -> tuple[str, ...]:
    """Parse the tags of a task, which are stored one a line."""
    return tuple(stored.decode().split("\n")) if stored else ()
