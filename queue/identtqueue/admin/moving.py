"""Moves of tasks from one queue to another, which may be on another node of a cluster.

No script sees both queues, so a move takes three calls, and its mover may die after each of them:

1. The new queue receives the task. It is scheduled there, far enough ahead not to start.
2. The old queue gives it up: a dead letter is deleted, and a task that waits is cancelled.
3. The new queue makes it due.

A mover that dies after the first call has changed nothing that can run before the hold ends. If
the move is repeated, the new queue knows by the `origin` of the task that it has received it
before, and the move goes on. After the second call the task is in the new queue only, and starts
there at the end of the hold, at the latest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from identtqueue.protocol.answers import Movable, Received, Replayed, Revoked
from identtqueue.protocol.calls import acting, moving
from identtqueue.protocol.submission import BATCH_BYTES
from identtqueue.task import Failure
from identtqueue.transport.connection import AsyncRedis

WITHDRAWN = Failure("Moved", "its move to this queue was broken off, because it had started")


async def move(
    redis: AsyncRedis, source: str, target: str, task_ids: Sequence[str], note: bytes
) -> list[str]:
    """Move tasks to another queue, and return those that were moved.

    Args:
        redis: runs the calls.
        source: the queue of the tasks.
        target: the queue to move them to.
        task_ids: the tasks.
        note: for the audit lists of both queues.
    """
    if not task_ids:
        await redis.run(acting.discard(source, [], note=note))
        return []
    sizes = await redis.run_all([moving.payload_size(task_id) for task_id in task_ids])
    moved: list[str] = []
    for batch in _batches(task_ids, sizes):
        moved += await _move_batch(redis, source, target, batch, note)
    return moved


def _batches(task_ids: Sequence[str], sizes: Sequence[int]) -> Iterator[list[str]]:
    """Split tasks into batches whose envelopes together have at most 1 MiB, or one is larger."""
    batch: list[str] = []
    total = 0
    for task_id, size in zip(task_ids, sizes, strict=True):
        if batch and total + size > BATCH_BYTES:
            yield batch
            batch, total = [], 0
        batch.append(task_id)
        total += size
    yield batch


async def _move_batch(
    redis: AsyncRedis, source: str, target: str, task_ids: Sequence[str], note: bytes
) -> list[str]:
    found = await redis.run_all([moving.movable(task_id) for task_id in task_ids])
    due_ms = await redis.run_all([moving.due_time(task_id) for task_id in task_ids])
    tasks = {t: task for t, task in zip(task_ids, found, strict=True) if task is not None}
    due = {_moved(t, target): ms or 0 for t, ms in zip(task_ids, due_ms, strict=True)}

    arriving = {_moved(task_id, target): task.fields for task_id, task in tasks.items()}
    answers = await redis.run(moving.receive(target, arriving, note=note))
    taken = [t for t, answer in zip(tasks, answers, strict=True) if answer is Received.OK]
    gone = await _give_up(redis, source, target, {t: tasks[t] for t in taken}, note)

    stayed = [_moved(task_id, target) for task_id in taken if task_id not in gone]
    if stayed:
        await redis.run(acting.revoke(target, stayed, WITHDRAWN, asks=False))
    start = {_moved(task_id, target): due[_moved(task_id, target)] for task_id in gone}
    if start:
        await redis.run(acting.reschedule(target, start))
    return gone


async def _give_up(
    redis: AsyncRedis, source: str, target: str, tasks: dict[str, Movable], note: bytes
) -> list[str]:
    """Remove tasks from their old queue, and return those that were still there."""
    dead = [task_id for task_id, task in tasks.items() if task.dead]
    waiting = [task_id for task_id in tasks if task_id not in dead]
    gone: list[str] = []
    if dead:
        answers = await redis.run(acting.discard(source, dead, note=note))
        gone += [t for t, answer in zip(dead, answers, strict=True) if answer is Replayed.OK]
    if waiting:
        why = Failure("Moved", f"moved to queue {target}")
        said = await redis.run(acting.revoke(source, waiting, why, asks=False, note=note))
        gone += [t for t, answer in zip(waiting, said, strict=True) if answer is Revoked.OK]
    return gone


def _moved(task_id: str, target: str) -> str:
    """Return the id of a task in the queue to which it is moved: its unique part stays."""
    return f"{target}:{task_id.partition(':')[2]}"
