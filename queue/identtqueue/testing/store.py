"""The tasks of inline mode: which there are, which are due, how each has ended. No I/O, no clock.

This is no Redis. It has one user, so it needs none of Redis' guards, and keeps Python objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from identtqueue.protocol import codec
from identtqueue.protocol.answers import Enqueued, Receipt
from identtqueue.protocol.call import NewTask
from identtqueue.protocol.ends import CANCELLED, EXPIRED
from identtqueue.task import Attempt, Failure, Progress, Result, State, TaskInfo


@dataclass(slots=True, eq=False)
class StoredTask:
    """One task. Times are in ms since 1970.

    Attributes:
        due_ms: when it may start.
        expires_ms: when it is cancelled unless it has started; None: never.
        unique_key: the key that it holds; None: none.
        ended: done when the task has ended. Threads and event loops may wait for it.
    """

    task_id: str
    queue: str
    function_name: str
    payload: bytes
    enqueued_ms: int
    due_ms: int
    expires_ms: int | None = None
    unique_key: tuple[str, str] | None = None
    state: State = State.PENDING
    attempt: int = 0
    failures: int = 0
    fencing_token: int = 0
    started_ms: int | None = None
    finished_ms: int | None = None
    result: bytes = b""
    failure: Failure | None = None
    progress: Progress | None = None
    ended: Future[None] = field(default_factory=Future)

    @property
    def info(self) -> TaskInfo:
        """All that is known of it, as `Client.get_task` returns it."""
        return TaskInfo(
            task_id=self.task_id,
            queue=self.queue,
            state=self.state,
            function_name=self.function_name,
            attempt=self.attempt,
            failures=self.failures,
            losses=0,
            enqueued_at_ms=self.enqueued_ms,
            started_at_ms=self.started_ms,
            finished_at_ms=self.finished_ms,
            owner="inline" if self.attempt else None,
            failure=self.failure,
            progress=None if self.progress is None else self.progress.value,
            fencing_token=self.fencing_token or None,
        )

    @property
    def outcome(self) -> Result:
        """How it has ended. Each time the value is decoded anew."""
        value = codec.decode_value(self.result) if self.state is State.SUCCEEDED else None
        return Result(self.task_id, self.state, value, self.failure)


class TaskStore:
    """The tasks of one test."""

    def __init__(self) -> None:
        self._tasks: dict[str, StoredTask] = {}
        self._unique: dict[tuple[str, str], tuple[str, int]] = {}  # key -> id, end of its hold

    def __iter__(self) -> Iterator[StoredTask]:
        return iter(list(self._tasks.values()))

    def get(self, task_id: str) -> StoredTask | None:
        """Find a task by its id."""
        return self._tasks.get(task_id)

    def add(self, queue: str, new: NewTask, now_ms: int) -> Receipt:
        """Take a task to run, unless its id or its unique key is taken.

        Args:
            queue: name of its queue.
            new: the task, checked and encoded.
            now_ms: the time.
        """
        options = new.options
        old = self._tasks.get(new.task_id)
        if old is not None and not (options.get("replace") and old.state.ended):
            return Receipt(new.task_id, Enqueued.EXISTS)
        unique = (queue, str(options["unique"])) if "unique" in options else None
        if unique is not None and (holder := self._holder(unique, now_ms)) is not None:
            return Receipt(holder, Enqueued.UNIQUE)
        due_ms = int(options.get("at", now_ms + int(options.get("delay", 0))))
        expires = options.get("expires")
        task = StoredTask(
            task_id=new.task_id,
            queue=queue,
            function_name=new.function_name,
            payload=new.payload,
            enqueued_ms=now_ms,
            due_ms=max(due_ms, now_ms),
            expires_ms=None if expires is None else now_ms + int(expires),
            unique_key=unique,
            state=State.SCHEDULED if due_ms > now_ms else State.PENDING,
            attempt=old.attempt if old is not None else 0,
        )
        self._tasks.pop(new.task_id, None)  # a task that replaces another one comes last
        self._tasks[new.task_id] = task
        if unique is not None:
            self._unique[unique] = (new.task_id, now_ms + int(options["unique_ttl"]))
        return Receipt(new.task_id, Enqueued.OK)

    def waiting(self, queue: str | None = None) -> list[StoredTask]:
        """List the tasks that wait to be run, those that are due first at the beginning."""
        waiting = [task for task in self if task.state in (State.PENDING, State.SCHEDULED)]
        found = [task for task in waiting if queue is None or task.queue == queue]
        return sorted(found, key=lambda task: task.due_ms)

    def running(self) -> list[StoredTask]:
        """List the tasks that run now."""
        return [task for task in self if task.state is State.RUNNING]

    def next_due_ms(self) -> int | None:
        """Return when the next task that waits may start; None: none waits."""
        return next((task.due_ms for task in self.waiting()), None)

    def claim(self, now_ms: int) -> Attempt | None:
        """Start the next task that is due; cancel those that have expired before.

        Args:
            now_ms: the time.

        Returns:
            Its attempt; None: no task is due.
        """
        for task in self.waiting():
            if task.due_ms > now_ms:
                break
            if task.expires_ms is not None and now_ms >= task.expires_ms and not task.attempt:
                self.end(task, State.CANCELLED, now_ms, failure=codec.decode_failure(EXPIRED))
                continue
            return _begin(task, now_ms)
        return None

    def cancel(self, task: StoredTask, now_ms: int) -> None:
        """Cancel a task, which is not running."""
        self.end(task, State.CANCELLED, now_ms, failure=codec.decode_failure(CANCELLED))

    def end(
        self,
        task: StoredTask,
        state: State,
        now_ms: int,
        *,
        result: bytes = b"",
        failure: Failure | None = None,
    ) -> None:
        """Note how a task has ended, and free its unique key."""
        task.state, task.finished_ms = state, now_ms
        task.result, task.failure = result, failure
        if task.unique_key is not None:
            self._unique.pop(task.unique_key, None)
        task.ended.set_result(None)

    def again(self, task: StoredTask, due_ms: int, now_ms: int) -> None:
        """Let a task run again, at a time."""
        task.due_ms = due_ms
        task.state = State.SCHEDULED if due_ms > now_ms else State.PENDING

    def _holder(self, key: tuple[str, str], now_ms: int) -> str | None:
        task_id, until_ms = self._unique.get(key, ("", 0))
        return task_id if now_ms < until_ms else None


def _begin(task: StoredTask, now_ms: int) -> Attempt:
    waited_ms = now_ms - max(task.due_ms, task.enqueued_ms)
    task.state, task.started_ms, task.progress = State.RUNNING, now_ms, None
    task.attempt += 1
    task.fencing_token = max(now_ms, task.fencing_token + 1)
    return Attempt(
        task_id=task.task_id,
        queue=task.queue,
        number=task.attempt,
        failures=task.failures,
        losses=0,
        enqueued_at_ms=task.enqueued_ms,
        started_at_ms=now_ms,
        waited_ms=waited_ms,
        payload=task.payload,
        fencing_token=task.fencing_token,
    )
