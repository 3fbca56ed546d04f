"""From what a caller says to what a queue stores; shared by the asyncio and blocking clients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from identtqueue.errors import InvalidInput, InvalidTaskId
from identtqueue.protocol import codec
from identtqueue.protocol.commands import NewTask
from identtqueue.task import Task, TaskOptions, check_queue_name, new_task_id, queue_of

BATCH_TASKS: Final = 1_000
BATCH_BYTES: Final = 4 * 1024 * 1024
"""One batch at most: Redis runs a script to its end, and everybody else waits."""

_DEFAULT: Final = TaskOptions()


class Submission(msgspec.Struct, frozen=True):
    """A call of a job that is to be enqueued.

    Attributes:
        queue_name, function_name: where to, and which job of its workers.
        args, kwargs: handed to the job after its context; anything with a msgpack form.
        options: how the task is to be run; None: the defaults of `TaskOptions`.
    """

    queue_name: str
    function_name: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = msgspec.field(default_factory=dict)
    options: TaskOptions | None = None


def new_task(submission: Submission, max_payload_bytes: int) -> NewTask:
    """Check and encode it.

    Raises:
        InvalidInput: a name, an id, an option or an argument breaks a rule.
    """
    queue = check_queue_name(submission.queue_name)
    name = submission.function_name
    if not isinstance(name, str) or not name or len(name) > 255:
        raise InvalidInput(f"function_name {name!r} is not valid: 1 to 255 characters")
    options = submission.options or _DEFAULT
    payload = codec.encode_task(
        Task(
            name,
            tuple(submission.args),
            submission.kwargs,
            options.timeout_seconds,
            options.max_retries,
        ),
        max_payload_bytes,
    )
    wire = {} if options is _DEFAULT else _wire_options(options)
    return NewTask(_task_id(queue, options.task_id), payload, name, wire)


def _task_id(queue: str, given: str | None) -> str:
    if given is None:
        return new_task_id(queue)
    if not isinstance(given, str):
        raise InvalidTaskId(given, "it is no text")
    task_id = given if ":" in given else f"{queue}:{given}"
    if queue_of(task_id) != queue:
        raise InvalidTaskId(given, f"it belongs to another queue than {queue!r}")
    return task_id


def _wire_options(options: TaskOptions) -> dict[str, int | str | bool]:
    """What differs from the default, as `enqueue.lua` reads it (times in ms)."""
    wire: dict[str, int | str | bool] = {}
    if options.delay_seconds:
        wire["delay"] = _ms(options.delay_seconds)
    if options.at is not None:
        wire["at"] = _ms(options.at.timestamp())
    if options.expires_seconds is not None:
        wire["expires"] = _ms(options.expires_seconds)
    if options.result_ttl_seconds != _DEFAULT.result_ttl_seconds:
        wire["ttl"] = _ms(options.result_ttl_seconds)
    if options.unique_key is not None:
        wire["unique"] = options.unique_key
        wire["unique_ttl"] = _ms(options.unique_seconds)
    return wire


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def in_batches(tasks: Sequence[tuple[str, NewTask]]) -> Iterator[tuple[str, list[int]]]:
    """Positions of the tasks that go out together: one queue, bounded in number and size."""
    by_queue: dict[str, list[int]] = {}
    for position, (queue, _) in enumerate(tasks):
        by_queue.setdefault(queue, []).append(position)
    for queue, positions in by_queue.items():
        batch: list[int] = []
        size = 0
        for position in positions:
            size += len(tasks[position][1].payload)
            batch.append(position)
            if len(batch) >= BATCH_TASKS or size >= BATCH_BYTES:
                yield queue, batch
                batch, size = [], 0
        if batch:
            yield queue, batch
