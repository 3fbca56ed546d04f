"""What a job is handed as its first argument."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from identtqueue.errors import InvalidInput
from identtqueue.protocol import codec
from identtqueue.task import LONGEST_UNIQUE_PART, UNIQUE_PART


class _OneTurn:
    """Awaited, it lets the loop take one turn; nobody has to await it."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        yield


_ONE_TURN = _OneTurn()


def _to_nobody(_data: bytes) -> None:
    """Where progress goes of a context that no worker made: in tests of jobs, say."""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt, as the job sees it.

    Attributes:
        task_id: `<queue>:<unique part>`.
        queue: where it was enqueued.
        function_name: of the job.
        attempt: counts the executions of the task, from 1. After a failover of Redis that lost the
            last writes, a number may come again.
        fencing_token: grows with every execution of the task and never comes again. Pass it on when
            the job writes elsewhere, and have a write with a lower token refused: it is a ghost's.
            It is the Redis time of the start in ms, or one more than the last token, if that clock
            has not moved on; so it fits in 53 bits.
        failures: earlier attempts that raised.
        enqueued_at_ms: when the caller enqueued it (Redis time), in ms since 1970; as a datetime:
            `enqueued_at`.
        deadline: event-loop or `time.monotonic()` time at which the attempt is cut off; None:
            never.
        state: what the start-up hook put there (a database pool, a model), shared by all jobs of
            the worker. In a process for jobs it is that process's own, with what
            `on_process_startup` put there.
        logger: `identtqueue.job.<function name>`.
        send_progress: takes what `report_progress` has encoded; may be called from any thread.
    """

    task_id: str
    queue: str
    function_name: str
    attempt: int
    failures: int
    enqueued_at_ms: int
    deadline: float | None
    state: MutableMapping[str, Any]
    logger: logging.Logger
    send_progress: Callable[[bytes], None] = _to_nobody
    fencing_token: int = 0

    def report_progress(self, value: Any) -> Awaitable[None]:
        """Tell whoever watches how far this attempt is.

        `await` it in an async job, call it in a plain one. It never waits for Redis, and no trouble
        with Redis gets here. Call it as often as you like: what is sent, ten times a second at
        most, is the latest value.

        Args:
            value: anything with a msgpack form, at most 16 KiB.

        Raises:
            NotSerializable, PayloadTooLarge: it is something else.
        """
        self.send_progress(codec.encode_progress(value))
        return _ONE_TURN

    def follow_up_id(self, name: str) -> str:
        """A `task_id` for what this task's job enqueues: the same in each of its attempts.

        ::

            await check.options(task_id=ctx.follow_up_id("check")).enqueue(…)

        The id is `<this task's queue>/<its unique part>/<name>`, so the follow-ups of two tasks
        never share one. If that is too long for an id, a hash stands for the last two parts.

        Args:
            name: of the follow-up; another for each that one task has.

        Raises:
            InvalidInput: the name is no text that an id can hold.
        """
        if not (isinstance(name, str) and UNIQUE_PART.fullmatch(name)):
            raise InvalidInput(f"follow_up_id({name!r}): give 1 to 255 characters on one line")
        queue, _, unique = self.task_id.partition(":")
        # A queue's name and the escaped name of the follow-up hold no slash. So the first and the
        # last one tell the three parts apart, whatever stands between them.
        tail = f"{unique}/{name.replace('%', '%25').replace('/', '%2F')}"
        if len(queue) + 1 + len(tail) > LONGEST_UNIQUE_PART:
            tail = hashlib.sha256(tail.encode()).hexdigest()  # no slash: no other id looks so
        return f"{queue}/{tail}"

    @property
    def enqueued_at(self) -> datetime:
        """When the caller enqueued it (Redis time)."""
        return datetime.fromtimestamp(self.enqueued_at_ms / 1000, UTC)
