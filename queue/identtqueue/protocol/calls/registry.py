"""Calls about the registries: which queues are in use, which jobs and releases a queue has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from identtqueue.errors import PayloadUndecodable
from identtqueue.protocol import codec, keys, replies
from identtqueue.protocol.call import REMEMBERED_MS, Call
from identtqueue.protocol.keys import queue_keys

MOST_QUEUES: Final = 10_000
"""Most queues that the registry remembers: those that were used last."""


def enlist(queues: Sequence[str]) -> Call[bool]:
    """Note in the registry that queues are in use, and forget those that no longer are."""
    return Call("enlist", (keys.QUEUES,), (REMEMBERED_MS, MOST_QUEUES, *queues), replies.parse_ok)


def queues_seen() -> Call[dict[str, int]]:
    """List the queues of the registry, each with the time of its last activity."""
    return _times(keys.QUEUES)


def jobs_declared(queue: str) -> Call[dict[str, dict[str, Any]]]:
    """Read what workers have declared about the jobs of a queue, by job."""
    return Call("HGETALL", (queue_keys(queue).jobs,), (), _parse_declarations, is_script=False)


def jobs_enqueued(queue: str) -> Call[dict[str, int]]:
    """List the jobs of a queue of which tasks were enqueued, with the time of the last one."""
    return _times(queue_keys(queue).enqueued)


def releases(queue: str) -> Call[dict[str, int]]:
    """List the releases of applications, each with the time when a worker of it first came."""
    return _times(queue_keys(queue).releases)


def _times(key: str) -> Call[dict[str, int]]:
    """Read a ZSET whose scores are times in ms."""
    words = ("-inf", "+inf", "WITHSCORES")
    return Call("ZRANGEBYSCORE", (key,), words, replies.parse_scores, is_script=False)


def _parse_declarations(reply: list[Any] | Mapping[bytes, bytes]) -> dict[str, dict[str, Any]]:
    """Parse what workers have declared about jobs. What is no map is left out."""
    found = {}
    for name, packed in replies.parse_fields(reply):
        try:
            declared = codec.decode_value(packed)
        except PayloadUndecodable:
            continue
        if isinstance(declared, dict):
            found[name.decode(errors="replace")] = declared
    return found
