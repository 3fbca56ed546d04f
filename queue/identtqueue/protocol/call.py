"""Calls: what is sent to Redis, and the function that parses the reply.

A call does no I/O. So the asyncio connection, the blocking one and pipelines send the same calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

PROTOCOL_VERSION: Final = "2"
"""Major version of keys and scripts. It is stored in `meta` of each queue, and a queue of another
version is refused."""

REMEMBERED_MS: Final = 30 * 86_400_000
"""How long queues and jobs without any activity are remembered."""

T = TypeVar("T")

Word = str | bytes | int | float


class Call(msgspec.Struct, Generic[T], frozen=True):
    """One command to Redis, and the function that parses its reply.

    Attributes:
        name: name of a script, or of a plain Redis command. A plain one changes no task.
        keys: the keys, all of one queue; empty for a command about the server.
        args: ARGV of a script, or the words after the keys of a plain command.
        parse: converts the reply to the call's value.
        is_script: whether `name` is a script.
        repeatable: whether the call may be sent again if its reply is lost. False for `claim` and
            `block_for_work`: a worker that loses the reply of a claim must ask Redis which tasks
            it owns.
        merge: for a command that each node of a cluster answers for itself: joins the answers.
        reply_bytes: size of the reply, if it is large and known; else 0.
        is_kept: whether the same object is sent again and again, so that its bytes are kept.
    """

    name: str
    keys: tuple[str, ...]
    args: tuple[Word, ...]
    parse: Callable[[Any], T]
    is_script: bool = True
    repeatable: bool = True
    merge: Callable[[Sequence[T]], T] | None = None
    reply_bytes: int = 0
    is_kept: bool = False


class NewTask(msgspec.Struct, frozen=True):
    """One task to enqueue. `options` contains only those that differ from the default."""

    task_id: str
    payload: bytes
    function_name: str
    options: Mapping[str, int | str | bool] = msgspec.field(default_factory=dict)
    random_id: bool = False  # then "exists" means that the call was sent twice
