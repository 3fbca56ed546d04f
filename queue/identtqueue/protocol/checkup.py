"""Calls that look at a server and at a queue for `identtqueue doctor`. None of them writes."""

from __future__ import annotations

from typing import Final

from identtqueue.protocol import replies
from identtqueue.protocol.answers import Shelf
from identtqueue.protocol.call import Call
from identtqueue.protocol.keys import queue_keys

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
    return Call("INFO", (), (), replies.parse_infos, is_script=False, merge=replies.join_servers)


def setting(name: str) -> Call[list[str]]:
    """Read one setting of each server. Redis 6.2 takes only one name per call.

    Args:
        name: one of `SETTINGS`.
    """
    return Call(
        "CONFIG",
        (),
        ("GET", name),
        replies.parse_setting,
        is_script=False,
        merge=replies.join_servers,
    )


def ping() -> Call[list[str]]:
    """Ask each server whether it answers."""
    return Call("PING", (), (), replies.parse_texts, is_script=False, merge=replies.join_servers)


# --- a queue ---


def protocol_version(queue: str) -> Call[str | None]:
    """Read the major version that has written a queue; None: nothing has."""
    key = queue_keys(queue).meta
    return Call("HMGET", (key,), ("protocol",), replies.parse_first_text, is_script=False)


def paused_at(queue: str) -> Call[int | None]:
    """Read when a queue was paused, in ms since 1970; 0: not known, None: it is not paused."""
    return Call("GET", (queue_keys(queue).paused,), (), replies.parse_paused, is_script=False)


def paused_jobs(queue: str) -> Call[dict[str, int]]:
    """Read which jobs of a queue are paused, and since when, in ms since 1970."""
    key = queue_keys(queue).paused_jobs
    return Call("HGETALL", (key,), (), replies.parse_paused_jobs, is_script=False)


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
    return Call("HGETALL", (queue_keys(queue).shelves,), (), replies.parse_shelves, is_script=False)
