"""The errors that the library raises, in one tree.

::

    IdenttqueueError
    ├── InvalidInput (ValueError)       the caller's argument breaks a rule; nothing was written
    │   ├── InvalidQueueName
    │   ├── InvalidTaskId
    │   ├── UnknownOption (TypeError)   a keyword argument that the call does not take
    │   ├── NotSerializable             an argument has no msgpack form
    │   └── PayloadTooLarge
    ├── RedisError                      Redis cannot be reached or has refused a command
    │   ├── RedisUnavailable            unreachable, loading, read-only; worth retrying
    │   │   └── RedisProtocolError      the reply is not Redis' protocol, or is too large
    │   ├── RedisAuthFailed             wrong user or password, or an ACL that forbids a command
    │   ├── RedisTlsFailed              a certificate was refused, by us or by the server
    │   ├── RedisAddressRefused         the settings do not let us connect to that address
    │   ├── RedisTopologyMismatch       the address means another kind of server than answers
    │   ├── EmbeddedServerFailed        the server of the address `embedded` can't be started
    │   ├── RedisFull                   maxmemory reached under `noeviction`; nothing was written
    │   ├── RedisTooOld                 older than 6.2
    │   ├── ReplyUnreadable             a reply of unexpected form, perhaps from foreign data
    │   └── ProtocolMismatch            the queue was written by an incompatible major version
    ├── ResultTimeout (TimeoutError)    the result did not come in time; the task goes on
    ├── TaskNotFound (LookupError)      never enqueued, or its result has expired
    ├── TaskExists                      an id enqueued with `on_existing="raise"` is taken
    ├── TaskError                       the task ended without a result; raised in the waiting call
    │   ├── TaskFailed                  it is a dead letter; remote type, message and traceback
    │   └── TaskCancelled
    │       └── TaskExpired             it did not start before `expires_seconds`
    ├── BadResult                       it doesn't fit the type that the job declares to return
    ├── PayloadUndecodable              unreadable bytes; in a worker the task is a dead letter
    ├── TimedOut (TimeoutError)         an attempt ran longer than its timeout_seconds
    ├── ProcessDied                     a job's process crashed, exited or was killed
    ├── ProcessNotStarted               a process for jobs took too long to start
    ├── NotConnected                    an App is used before `connect`
    ├── UnknownJob                      the worker has no job of that name: it declines the task
    ├── BadArguments                    they don't fit the worker's job: it declines the task
    └── Retry                           raised *by* a job: run the task again

A declined task is left to a worker that can run it. It becomes a dead letter if there is none for
`unrunnable_seconds`. A payload that a newer version of the library wrote is declined, too.
"""

from __future__ import annotations

import signal
from typing import Any

from identtqueue.bounds import is_number


class IdenttqueueError(Exception):
    """Base of all errors of this library.

    Each error survives `pickle` and `copy` with its text, attributes and notes, so that a process
    pool can pass it to the process that waits for it.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        """Describe how to rebuild the error without `__init__`.

        `BaseException` would call `__init__` with the finished text, but the classes below make
        their text from other arguments.
        """
        state = self.__dict__.copy()
        if "__notes__" in state:  # a list: a copy must not share it
            state["__notes__"] = list(state["__notes__"])
        return _rebuild, (type(self), self.args), state


def _rebuild(kind: type[IdenttqueueError], args: tuple[Any, ...]) -> IdenttqueueError:
    error = kind.__new__(kind, *args)
    error.args = args  # a subclass of OSError (TimeoutError is one) sets them only in `__init__`
    return error


class InvalidInput(IdenttqueueError, ValueError):
    """An argument breaks a rule. Nothing was written."""


class InvalidQueueName(InvalidInput):
    """The queue name is not `[a-z0-9._-]{1,63}`."""

    def __init__(self, name: object) -> None:
        super().__init__(
            f"queue name {name!r} is not valid: use 1 to 63 of a-z, 0-9, '.', '_' and '-'"
        )


class InvalidTaskId(InvalidInput):
    """The task id is not `<queue>:<unique part>`."""

    def __init__(self, task_id: object, why: str) -> None:
        super().__init__(
            f"task id {task_id!r} is not valid: {why}. A task id is '<queue>:<unique part>', "
            "the unique part 1 to 255 characters without control characters and line breaks"
        )


class UnknownOption(InvalidInput, TypeError):
    """A keyword argument has a name that the call does not take."""

    def __init__(self, call: str, name: str, known: list[str]) -> None:
        from difflib import get_close_matches  # noqa: PLC0415 - only needed for this error

        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"it takes {', '.join(sorted(known))}"
        super().__init__(f"{call} takes no option {name!r}: {hint}")


class NotSerializable(InvalidInput):
    """An argument or a result has no msgpack form, or would arrive as another value."""


class PayloadTooLarge(InvalidInput):
    """The encoded arguments (or the result) exceed the limit."""

    def __init__(self, what: str, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"{what} takes {size_bytes:,} bytes, the limit is {limit_bytes:,}: store the data "
            "elsewhere (an object store) and pass a reference, or raise max_payload_bytes"
        )


class RedisError(IdenttqueueError):
    """Redis cannot be reached or has refused a command."""


class RedisUnavailable(RedisError):
    """Redis can't be reached, is loading its data, or is a read-only replica."""


class RedisProtocolError(RedisUnavailable):
    """The reply is not in Redis' protocol or is larger than allowed. This may pass."""


class RedisAuthFailed(RedisError):
    """The user or password is wrong, or the ACL user lacks a permission."""


class RedisTlsFailed(RedisError):
    """TLS failed: a certificate was refused, by us or by the server, or a TLS file is bad."""


class RedisAddressRefused(RedisError):
    """A rule of the settings forbids the address; nothing was sent to it."""

    def __init__(self, host: str) -> None:
        super().__init__(f"{host} is not among the addresses that may be connected to")


class RedisTopologyMismatch(RedisError):
    """The server is of another kind than the address says, or a Sentinel does not know the master.

    The kinds are a single server, a Sentinel and a node of a cluster.
    """


class EmbeddedServerFailed(RedisError):
    """The embedded server can't be started: it is not installed, or can't use its folder."""


class RedisFull(RedisError):
    """Redis has reached `maxmemory` and evicts nothing. The command wrote nothing."""


class RedisTooOld(RedisError):
    """The server is older than the oldest supported version."""

    def __init__(self, version: str, oldest: str) -> None:
        super().__init__(
            f"this Redis is version {version}, idenTTqueue needs {oldest} or newer: "
            "upgrade the server or point redis_address at another one"
        )


class ReplyUnreadable(RedisError):
    """A reply has an unexpected form, because something else wrote to these keys."""

    def __init__(self, command: str, key: str, why: str) -> None:
        where = f" on {key}" if key else ""
        super().__init__(
            f"the reply to `{command}`{where} can't be read ({why}): a proxy has changed it, or "
            "something other than idenTTqueue wrote to the keys of this queue"
        )


class ProtocolMismatch(RedisError):
    """The queue's data was written by an incompatible major version of the protocol."""

    def __init__(self, found: str, ours: str) -> None:
        super().__init__(
            f"this queue uses protocol version {found}, this library speaks {ours}: "
            "run the library version that matches, or use another queue name or database"
        )


class ResultTimeout(IdenttqueueError, TimeoutError):
    """The result did not come in time. The task itself goes on."""

    def __init__(self, task_id: str, timeout_seconds: float) -> None:
        super().__init__(f"no result of task {task_id} after {timeout_seconds:g} s; it goes on")
        self.task_id = task_id


class TaskNotFound(IdenttqueueError, LookupError):
    """The id was never enqueued, or its result has expired."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"no task {task_id}: never enqueued, or its result has expired")
        self.task_id = task_id


class TaskExists(IdenttqueueError):
    """A task of that id, enqueued with `on_existing="raise"`, exists already."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"task {task_id} exists already: it was left as it is")
        self.task_id = task_id


class TaskError(IdenttqueueError):
    """Base of the errors that report how a task ended without a result."""

    def __init__(self, task_id: str, message: str) -> None:
        super().__init__(message)
        self.task_id = task_id


class TaskFailed(TaskError):
    """The task is a dead letter.

    The job failed for good, the task lost too many workers, or no worker could run it.

    The text may be shown to a user: it does not contain the traceback, which names files and
    source lines of the worker. The traceback is added as a note (`add_note`), so Python and
    `logging` print it below the local one.

    Attributes:
        remote_type: qualified name of the exception raised in the worker; `WorkerLost` if too many
            workers were lost.
        remote_message: its text.
        remote_traceback: its formatted traceback; empty where it would say nothing, as when the
            worker was lost.
    """

    def __init__(
        self, task_id: str, remote_type: str, remote_message: str, remote_traceback: str
    ) -> None:
        super().__init__(task_id, f"task {task_id} failed: {remote_type}: {remote_message}")
        self.remote_type = remote_type
        self.remote_message = remote_message
        self.remote_traceback = remote_traceback
        if remote_traceback:
            self.add_note(f"\nIn the worker:\n{remote_traceback}")


class TaskCancelled(TaskError):
    """The task was cancelled before it had a result."""

    def __init__(self, task_id: str, message: str | None = None) -> None:
        super().__init__(task_id, message or f"task {task_id} was cancelled")


class TaskExpired(TaskCancelled):
    """The task did not start before its `expires_seconds` and was dropped."""

    def __init__(self, task_id: str) -> None:
        super().__init__(task_id, f"task {task_id} expired before a worker took it")


class BadResult(IdenttqueueError):
    """The task succeeded, but its result doesn't fit the type that the job declares here."""

    def __init__(self, task_id: str, target: object, why: str) -> None:
        super().__init__(
            f"the result of task {task_id} is not a {target}: {why}. The worker's job returned "
            "something else than this program declares. `Client.wait_for_result` returns it "
            "unconverted"
        )
        self.task_id = task_id


class PayloadUndecodable(IdenttqueueError):
    """The stored bytes are not an envelope or a result that this version can read.

    In a worker the task becomes a dead letter at once, because every other worker of this version
    would read the same. If a newer version wrote the envelope, the worker declines the task.
    """


class TimedOut(IdenttqueueError, TimeoutError):
    """The attempt ran longer than its `timeout_seconds`.

    It is a `TimeoutError` and therefore an `OSError`, so `retry_on=(TimeoutError,)` covers it.
    """


class ProcessDied(IdenttqueueError):
    """The process that ran the job ended before the job did: it crashed, exited or was killed.

    The attempt has failed, and the retry policy applies as to any failure.

    Attributes:
        exit_code: as in `subprocess`: negative if a signal ended the process.
    """

    def __init__(self, what: str, exit_code: int) -> None:
        super().__init__(f"{what} {_how_it_ended(exit_code)}")
        self.exit_code = exit_code


def _how_it_ended(exit_code: int) -> str:
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    hint = {"SIGKILL": " (out of memory?)", "SIGSEGV": " (a crash in native code)"}
    return f"was killed by {name}{hint.get(name, '')}"


class ProcessNotStarted(IdenttqueueError):
    """A process for jobs took too long to start."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"a process for jobs was not ready after {seconds:g} s: look at what the jobs' modules "
            "and on_process_startup do"
        )


class NotConnected(IdenttqueueError):
    """The app has no connection yet."""

    def __init__(self) -> None:
        super().__init__(
            "connect first: `async with app:` or `await app.connect()`. (Jobs in the app's own "
            "worker need not. An app that another one includes needs that one to be connected. "
            "Code without an event loop uses `enqueue_sync`.)"
        )


class UnknownJob(IdenttqueueError):
    """The worker has no job of that name.

    It declines the task. If no worker has the job for `unrunnable_seconds`, the task becomes a dead
    letter with this error.
    """

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(
            f"this worker has no job named {name!r}; it has: {', '.join(sorted(known)) or 'none'}. "
            "Register the job, or correct function_name, then replay the dead letter"
        )


class BadArguments(IdenttqueueError):
    """The arguments don't fit what the job declares in this worker.

    The worker declines the task, because another release of the job may take them. If no worker
    does for `unrunnable_seconds`, the task becomes a dead letter with this error.
    """

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"job {name}: {why}")


class Retry(IdenttqueueError):
    """A request by a job to run its task again later: raise it inside the job.

    It counts against `max_retries` like any failure, but `retry_on` and `give_up_on` are not
    consulted.

    Args:
        message: the reason; it becomes the message of the task's failure.
        after_seconds: time until the next run; None: the back-off of the retry policy.

    Raises:
        InvalidInput: `after_seconds` is not a number from 0 to 100 years.
    """

    after_seconds: float | None = None  # the default of subclasses that do not call our __init__

    def __init__(
        self, message: str = "retry requested", after_seconds: float | None = None
    ) -> None:
        super().__init__(message)
        if not (after_seconds is None or is_number(after_seconds)):
            raise InvalidInput(f"Retry(after_seconds={after_seconds!r}): must be 0 to 100 years")
        self.after_seconds = after_seconds
