"""The checks and the encoding of tasks to enqueue, shared by the asyncio and blocking clients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from identtqueue.checks import check_function_name
from identtqueue.current import current_task
from identtqueue.errors import InvalidInput, TaskExists
from identtqueue.protocol import codec
from identtqueue.protocol.answers import Receipt
from identtqueue.protocol.call import NewTask
from identtqueue.task import (
    OPTION_NAMES,
    TaskOptions,
    check_queue_name,
    queue_of,
    unique_parts,
)

BATCH_TASKS: Final = 200
BATCH_BYTES: Final = 1024 * 1024
"""Upper bound for one batch. Redis runs a script to its end while all other clients wait."""

_DEFAULT: Final = TaskOptions()
_NO_OPTIONS: Final[Mapping[str, int | str | bool]] = {}

_NAMES: Final = ("queue_name", "function_name")
"""The first two arguments of `enqueue_job`, which may be given by position or by name."""


class Submission(msgspec.Struct, frozen=True):
    """A task to enqueue: the call of a job, and its options.

    Attributes:
        queue_name: the queue to put it in.
        function_name: the name of the job.
        args, kwargs: arguments of the job after its context; anything with a msgpack form.
        options: how to run the task; None: the defaults of `TaskOptions`.
    """

    queue_name: str
    function_name: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = msgspec.field(default_factory=dict)
    options: TaskOptions | None = None


def new_task(submission: Submission, max_payload_bytes: int) -> NewTask:
    """Check and encode a submission: see `new_tasks`."""
    return new_tasks((submission,), max_payload_bytes)[0]


def new_tasks(submissions: Sequence[Submission], max_payload_bytes: int) -> list[NewTask]:
    """Check and encode submissions, in order.

    Args:
        submissions: the tasks to enqueue.
        max_payload_bytes: upper bound for one encoded task.

    Raises:
        InvalidInput: a name, an id, an option or an argument breaks a rule.
    """
    tasks: list[NewTask] = []
    queue: Any = None
    name: Any = None
    parent = current_task.get()
    parts = unique_parts(len(submissions))
    # This loop runs once per task of a batch, so it asks for what batches have in common only once.
    for submission, part in zip(submissions, parts, strict=True):
        if submission.queue_name is not queue or submission.function_name is not name:
            queue = check_queue_name(submission.queue_name)
            name = check_function_name(submission.function_name)
        options = _DEFAULT if submission.options is None else submission.options
        if not isinstance(options, TaskOptions):
            raise InvalidInput(f"options={options!r}: give TaskOptions(…)")
        payload = codec.encode_call(
            name,
            tuple(submission.args),
            submission.kwargs,
            timeout_seconds=options.timeout_seconds,
            max_retries=options.max_retries,
            limit_bytes=max_payload_bytes,
        )
        wire = _NO_OPTIONS if options is _DEFAULT else _wire_options(options)
        if parent is not None:
            wire = {**wire, "parent": parent}
        given = options.task_id
        task_id = f"{queue}:{part}" if given is None else _own_id(queue, given)
        tasks.append(NewTask(task_id, payload, name, wire, random_id=given is None))
    return tasks


def _own_id(queue: str, given: str) -> str:
    """Return the id of a task whose caller has given one."""
    task_id = given if given.startswith(f"{queue}:") else f"{queue}:{given}"
    queue_of(task_id)
    return task_id


def submission_of(
    names: tuple[Any, ...], kwargs: dict[str, Any], options: TaskOptions | None
) -> Submission:
    """Make a submission from the arguments of `enqueue_job`.

    Args:
        names: queue and job, if they were given by position, then the job's positional arguments.
        kwargs: queue and job, if they were given by name, and the job's keyword arguments.
        options: the options of the task.

    Raises:
        InvalidInput: a name is missing, or an option of the task stands among the arguments of
            its job.
    """
    if len(names) < len(_NAMES):
        kwargs = dict(kwargs)
        for name in _NAMES[len(names) :]:
            if name not in kwargs:
                raise InvalidInput(f"enqueue_job: give {name}")
            names = (*names, kwargs.pop(name))
    if kwargs:
        refuse_options("enqueue_job", kwargs)
    return Submission(names[0], names[1], names[2:], kwargs, options)


def refuse_options(what: str, kwargs: Mapping[str, Any]) -> None:
    """Refuse keyword arguments that have the name of an option of a task.

    Args:
        what: name of the called function, for the error.
        kwargs: the keyword arguments of the job.

    Raises:
        InvalidInput: an argument has such a name.
    """
    if (taken := OPTION_NAMES.intersection(kwargs)) and (name := min(taken)):
        raise InvalidInput(
            f"{what}: {name} is an option of the task, not an argument of its job: give "
            f"task_options=TaskOptions({name}=…). (An untyped job with an argument of that name "
            f"gets it by submit(Submission(queue_name, function_name, kwargs={{{name!r}: …}})).)"
        )


def refuse_existing(submissions: Sequence[Submission], receipts: Sequence[Receipt]) -> None:
    """Raise TaskExists for the first submission whose id was taken, if its options ask for that.

    Args:
        submissions: the tasks that were enqueued.
        receipts: one for each of them, in the same order.

    Raises:
        TaskExists: an id was taken, and its options say `on_existing="raise"`. The new tasks are
            enqueued all the same.
    """
    for submission, receipt in zip(submissions, receipts, strict=True):
        options = submission.options
        if options is not None and options.on_existing == "raise" and not receipt.created:
            raise TaskExists(receipt.task_id)


def _wire_options(options: TaskOptions) -> dict[str, int | str | bool]:
    """Encode the options that differ from the default as `enqueue.lua` reads them, times in ms."""
    wire: dict[str, int | str | bool] = {}
    if options.delay_seconds:
        wire["delay"] = _ms(options.delay_seconds)
    if options.at is not None:
        wire["at"] = _ms(options.at.timestamp())
    if options.expires_seconds is not None:
        wire["expires"] = _ms(options.expires_seconds)
    if options.result_ttl_seconds != _DEFAULT.result_ttl_seconds:
        wire["ttl"] = _ms(options.result_ttl_seconds)
    # A random id can only be taken by itself, when its call is sent again. It must not replace
    # itself then.
    if options.on_existing == "replace" and options.task_id is not None:
        wire["replace"] = True
    if options.unique_key is not None:
        wire["unique"] = options.unique_key
        wire["unique_ttl"] = _ms(options.unique_seconds)
    if options.tags:
        wire["tags"] = "\n".join(options.tags)
    return wire


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def in_batches(tasks: Sequence[tuple[str, NewTask]]) -> Iterator[tuple[str, list[int]]]:
    """Split tasks into batches: each of one queue, and bounded in number and size.

    Args:
        tasks: pairs of queue and task.

    Yields:
        The queue of a batch and the positions of its tasks.
    """
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
