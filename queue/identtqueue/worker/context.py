"""The context: what each job gets as its first argument."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable, Generator
from datetime import UTC, datetime
from typing import Any, Concatenate, Generic

import msgspec

from identtqueue.errors import InvalidInput
from identtqueue.protocol import codec
from identtqueue.task import LONGEST_UNIQUE_PART, is_unique_part
from identtqueue.worker_state import S_co


class _OneTurn:
    """An awaitable that yields to the event loop once. It need not be awaited."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        yield


_ONE_TURN = _OneTurn()


def _to_nobody(_data: bytes) -> None:
    """Drop the progress of a context that no worker made, as in a unit test of a job."""


class Context(msgspec.Struct, Generic[S_co], frozen=True, kw_only=True):
    """One attempt, as its job sees it. `Context[State]` gives `state` a type.

    Attributes:
        task_id: id of the task, `<queue>:<unique part>`.
        queue: name of the queue that the task was enqueued in.
        function_name: name of the job.
        attempt: number of this attempt, counted from 1. After a failover in which Redis lost its
            last writes, a number may occur twice.
        fencing_token: a number that grows with every attempt of the task and never repeats. Pass it
            on when the job writes to another system, and have that system refuse writes with a
            lower token: they come from an attempt that has lost the task. The token is the Redis
            time of the claim in ms. If that clock has not moved on, it is the last token plus one.
            So it fits in 53 bits.
        failures: number of earlier attempts that raised an error.
        enqueued_at_ms: when the caller enqueued the task (Redis time), in ms since 1970. See also
            `enqueued_at`.
        deadline: time at which the attempt is cut off, on the clock of `time.monotonic()` and of
            the event loop. None: never.
        state: what the start-up hooks stored there (a database pool, a model), shared by all jobs
            of the worker: an object of the app's `state`, or else a dict. Each process for jobs has
            its own, filled by `on_process_startup`.
        logger: the logger `identtqueue.job.<function name>`.
        send_progress: sends progress that `report_progress` has encoded. May be called in any
            thread.
    """

    task_id: str
    queue: str
    function_name: str
    attempt: int
    failures: int
    enqueued_at_ms: int
    deadline: float | None
    state: S_co
    logger: logging.Logger
    send_progress: Callable[[bytes], None] = _to_nobody
    fencing_token: int = 0

    def report_progress(self, value: Any) -> Awaitable[None]:
        """Report to watching clients how far this attempt has come.

        `await` it in an async job, call it in a plain one. It never waits for Redis and never
        raises an error of Redis. Call it as often as you like: only the latest value is sent, at
        most ten times a second.

        Args:
            value: anything that msgpack can encode, at most 16 KiB.

        Returns:
            An awaitable that yields to the event loop once. A plain job can ignore it.

        Raises:
            NotSerializable: the value cannot be encoded.
            PayloadTooLarge: the encoded value is larger than 16 KiB.
        """
        self.send_progress(codec.encode_progress(value))
        return _ONE_TURN

    def follow_up_id(self, name: str) -> str:
        """Make a `task_id` for a task that this job enqueues: the same in each of its attempts.

        ::

            await check.options(task_id=ctx.follow_up_id("check")).enqueue(…)

        The id is `<this task's queue>/<its unique part>/<name>`, so the follow-ups of two tasks
        never have the same id. If that is too long for an id, the last two parts are hashed.

        Args:
            name: name of the follow-up, different for each follow-up of one task.

        Raises:
            InvalidInput: the name contains characters that an id cannot, or is too long.
        """
        if not is_unique_part(name):
            raise InvalidInput(f"follow_up_id({name!r}): give 1 to 255 characters on one line")
        queue, _, unique = self.task_id.partition(":")
        # Neither a queue's name nor the escaped name of the follow-up contains a slash. So the
        # first and the last slash separate the three parts, whatever the middle part contains.
        tail = f"{unique}/{name.replace('%', '%25').replace('/', '%2F')}"
        if len(queue) + 1 + len(tail) > LONGEST_UNIQUE_PART:
            tail = hashlib.sha256(tail.encode()).hexdigest()  # has no slash, unlike all other tails
        return f"{queue}/{tail}"

    @property
    def enqueued_at(self) -> datetime:
        """When the caller enqueued it (Redis time)."""
        return datetime.fromtimestamp(self.enqueued_at_ms / 1000, UTC)


JobFunction = Callable[Concatenate[Context[Any], ...], Any]
"""A function that can be a job: it takes the context first."""
