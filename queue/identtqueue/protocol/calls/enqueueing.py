"""Calls that put tasks into queues."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final

import msgspec

from identtqueue.protocol import replies
from identtqueue.protocol.answers import Enqueued, Receipt
from identtqueue.protocol.call import PROTOCOL_VERSION, Call, NewTask, Word
from identtqueue.protocol.keys import queue_keys
from identtqueue.task import queue_of

ANSWER_MS: Final = 120_000
"""How long Redis keeps the answer of a call, for the case that it is sent again
(`lua/lib/once.lua`)."""


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
    answer = "" if all(map(_tells_a_repeat, tasks)) else k.new_answer()
    args: list[Word] = [k.task_prefix, k.unique_prefix, k.doorbell, PROTOCOL_VERSION, answer]
    args.append(k.minute_prefix)
    for (name, options), group in groupby(tasks, _alike):
        run = list(group)
        heads = [word for task in run for word in (task.task_id, len(task.payload))]
        payloads = b"".join([task.payload for task in run])
        args += (name, _encode(options) if options else b"", _encode(heads), payloads)

    return Call(
        "enqueue",
        (
            k.pending,
            k.wake,
            k.scheduled,
            k.stats,
            k.meta,
            k.dead,
            k.tombstones,
            k.expiring,
            k.enqueued,
            k.packed_tasks,
        ),
        tuple(args),
        lambda reply: _parse_receipts(tasks, reply),
    )


_alike: Final = attrgetter("function_name", "options")
_encode: Final = msgspec.msgpack.Encoder().encode


def _tells_a_repeat(task: NewTask) -> bool:
    """Return whether the task itself would show that its enqueue was sent twice.

    It does if its id is random and its result is kept for at least as long as an answer. Then the
    script need not keep an answer.
    """
    if not task.random_id:
        return False
    return not task.options or int(task.options.get("ttl", ANSWER_MS)) >= ANSWER_MS


def children(parent: str, task_ids: Sequence[str]) -> Call[bool]:
    """Note in a task which tasks its job has enqueued. Nothing happens if the task is gone.

    Args:
        parent: the task whose job has enqueued them.
        task_ids: the tasks.
    """
    k = queue_keys(queue_of(parent))
    args = (k.task_prefix, parent, *task_ids)
    return Call("children", (k.packed_tasks, k.new_answer()), args, bool)


_FIXED_ANSWERS: Final = {b"ok": Enqueued.OK, b"exists": Enqueued.EXISTS}
"""The answers to an enqueue that are one word. The third one, UNIQUE, carries an id."""


def _parse_receipts(tasks: Sequence[NewTask], reply: bytes | list[bytes]) -> list[Receipt]:
    """Parse the answer to an enqueue: one word if all tasks were accepted, else one for each."""
    if isinstance(reply, bytes):
        status = _FIXED_ANSWERS[reply]
        return [Receipt(task.task_id, status) for task in tasks]
    replies.check_protocol(reply)
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
