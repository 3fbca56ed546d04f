"""Calls that look at a server and at a queue for `identtqueue doctor`. None of them writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from identtqueue.protocol import replies
from identtqueue.protocol.answers import Shelf
from identtqueue.protocol.call import Call
from identtqueue.protocol.keys import queue_keys

T = TypeVar("T")

SETTINGS: Final = (
    "save",
    "appendfsync",
    "client-output-buffer-limit",
    "timeout",
    "tcp-keepalive",
)
"""The settings of a server that are looked at and that INFO does not show."""


# --- servers; each node of a cluster answers for itself ---


def about() -> Call[list[dict[str, str]]]:
    """Read the default sections of INFO, of each server."""
    return Call("INFO", (), (), _parse_infos, is_script=False, merge=_join_servers)


def setting(name: str) -> Call[list[str]]:
    """Read one setting of each server. Redis 6.2 takes only one name per call.

    Args:
        name: one of `SETTINGS`.
    """
    return Call(
        "CONFIG",
        (),
        ("GET", name),
        _parse_setting,
        is_script=False,
        merge=_join_servers,
    )


def ping() -> Call[list[str]]:
    """Ask each server whether it answers."""
    return Call("PING", (), (), _parse_texts, is_script=False, merge=_join_servers)


# --- a queue ---


def protocol_version(queue: str) -> Call[str | None]:
    """Read the major version that has written a queue; None: nothing has."""
    key = queue_keys(queue).meta
    return Call("HMGET", (key,), ("protocol",), _parse_first_text, is_script=False)


def paused_at(queue: str) -> Call[int | None]:
    """Read when a queue was paused, in ms since 1970; 0: not known, None: it is not paused."""
    return Call("GET", (queue_keys(queue).paused,), (), _parse_paused, is_script=False)


def paused_jobs(queue: str) -> Call[dict[str, int]]:
    """Read which jobs of a queue are paused, and since when, in ms since 1970."""
    key = queue_keys(queue).paused_jobs
    return Call("HGETALL", (key,), (), _parse_paused_jobs, is_script=False)


def suspects(queue: str) -> Call[int]:
    """Count the suspects of a queue that wait to run alone."""
    return Call("LLEN", (queue_keys(queue).suspects,), (), int, is_script=False)


def dead_since(queue: str, since_ms: int) -> Call[int]:
    """Count the dead letters of a queue that are not older than `since_ms`.

    Args:
        queue: name of the queue.
        since_ms: a time of Redis, in ms since 1970.
    """
    return Call("ZCOUNT", (queue_keys(queue).dead,), (since_ms, "+inf"), int, is_script=False)


def shelves(queue: str) -> Call[list[Shelf]]:
    """List the shelves of a queue: its declined tasks, by job and by what has declined them."""
    return Call("HGETALL", (queue_keys(queue).shelves,), (), _parse_shelves, is_script=False)


def _parse_infos(reply: bytes) -> list[dict[str, str]]:
    """Parse sections of INFO of one server."""
    return [replies.parse_info(reply)]


def _parse_setting(reply: list[bytes]) -> list[str]:
    """Parse the answer to CONFIG GET of one server: name and value; empty: no such setting."""
    return [reply[1].decode() if len(reply) > 1 else ""]


def _parse_texts(reply: bytes) -> list[str]:
    """Parse the answer of one server that is a word."""
    return [reply.decode()]


def _join_servers(answers: Sequence[list[T]]) -> list[T]:
    """Join the answers of the nodes of a cluster, in order."""
    return [each for answer in answers for each in answer]


def _parse_first_text(reply: list[bytes | None]) -> str | None:
    """Parse the only field that was asked for as text."""
    return None if reply[0] is None else reply[0].decode()


def _parse_paused(reply: bytes | None) -> int | None:
    """Parse the mark of a paused queue: when it was paused, in ms; 0: an older release set it."""
    if reply is None:
        return None
    at_ms = replies.parse_count(reply)
    return at_ms if at_ms > 1 else 0


def _parse_paused_jobs(reply: list[bytes]) -> dict[str, int]:
    """Parse the jobs that are paused, and since when, in ms."""
    pairs = zip(reply[::2], reply[1::2], strict=True)
    return {job.decode(): replies.parse_count(at_ms) for job, at_ms in pairs}


def _parse_shelves(reply: list[bytes]) -> list[Shelf]:
    """Parse the numbers of tasks by shelf."""
    found = []
    for name, number in zip(reply[::2], reply[1::2], strict=True):
        signatures, _, job = name.decode().partition(":")
        found.append(Shelf(job, signatures.count(",") + 1, replies.parse_count(number)))
    return found
