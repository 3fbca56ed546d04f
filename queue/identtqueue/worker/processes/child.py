"""The process that runs jobs for a worker, one attempt after the other.

It opens no connection to Redis, unless a job enqueues with its app. It ends when the worker closes
its end of the pipe. It is killed when the worker has died, or when an attempt has to be cut off.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import logging
import os
import runpy
import select
import signal
import socket
import sys
import threading
import types
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from identtqueue import logs
from identtqueue.current import current_task
from identtqueue.protocol import codec
from identtqueue.retry import Kinds, asked_seconds
from identtqueue.signature import argument_types
from identtqueue.transport.inherited import inherit
from identtqueue.worker.context import Context
from identtqueue.worker.failure import describe, printable
from identtqueue.worker.processes import inside, messages
from identtqueue.worker.processes.job_loop import JobLoop
from identtqueue.worker.processes.scope import Scope
from identtqueue.worker.reference import find
from identtqueue.worker.registry import Job

logger = logging.getLogger(__name__)

BOOTSTRAP: Final = (
    "import sys; pipe, lifeline, *sys.path[:] = sys.argv[1:]; "
    "from identtqueue.worker.processes.child import main; main(int(pipe), int(lifeline))"
)
"""Code for the new interpreter. Its arguments are two file descriptors and the worker's
`sys.path`."""

_F_SETSIG: Final = 10
"""F_SETSIG of fcntl(2) on Linux: sets the signal to send instead of SIGIO. Python has no constant
for it."""

_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}


def main(pipe_descriptor: int, lifeline: int) -> None:
    """Serve the worker at the other end of the pipe, until it closes the pipe."""
    _end_with_the_worker(lifeline)
    _yield_to_the_worker()
    # Only the worker decides when this process ends, even if a whole process group or cgroup is
    # signalled. SIG_IGN would be inherited by the programs that a job starts.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    faulthandler.enable()  # prints the stack after a crash in native code
    with socket.socket(fileno=pipe_descriptor) as connection:
        inside.enter()
        Process(connection).serve()


def _end_with_the_worker(lifeline: int) -> None:
    """Have the kernel kill this process group when the worker's end of the lifeline pipe closes.

    Nothing is ever written to that pipe, so it becomes readable only when the worker closes it or
    dies. Unlike PR_SET_PDEATHSIG, this also kills the programs that the job has started, and does
    not mistake the end of one of the worker's threads for the end of the worker. Unlike a thread
    that watches the pipe, it works while the interpreter is stuck. On kernels that cannot do this,
    the process ends after its current attempt.
    """
    os.set_inheritable(lifeline, False)
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):  # a sandbox may not offer these calls
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, _F_SETSIG, signal.SIGKILL)
        flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)


def _yield_to_the_worker() -> None:
    """Mark this process as one that computes, so that it interrupts nobody when it wakes.

    It still gets its full share of a CPU. But a worker that hands out several jobs, and Redis, are
    not interrupted by the first of them, and the worker's heartbeat runs first. Programs that a job
    starts inherit this.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a sandbox may not allow it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


class Process:
    """The process for jobs, seen from inside. `JobProcess` is what the worker sees of it.

    Args:
        connection: socket that leads to the worker.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._input = connection.makefile("rb")
        self._readable = select.poll()
        self._readable.register(connection, select.POLLIN)
        self._sending = threading.Lock()
        self._pid = os.getpid()
        self._state: Any = None
        self._jobs: dict[tuple[str, str], Job] = {}
        self._max_payload_bytes = 0
        self._loop = JobLoop()
        self._hopeless = False  # whether a further run would raise the same error as this one now
        self._fields: dict[str, Any] = {}  # those of log records, while an attempt runs
        logs.add_source(lambda: self._fields)

    def serve(self) -> None:
        """Set up, then run attempts, until the worker closes the connection."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while (message := self._next()) is not None:
                goes_on = self._attempt if isinstance(message, messages.Run) else self._start
                if not goes_on(message):
                    break
                del message  # an idle process must not keep its last task's payload in memory
        self._loop.close()

    def send(self, message: msgspec.Struct) -> None:
        """Send a message to the worker. May be called in any thread.

        In a process that the job has forked this does nothing: two writers would garble the stream.
        """
        if os.getpid() == self._pid:
            data = messages.pack(message)
            with self._sending:
                self._connection.sendall(data)

    def _next(self) -> messages.Order | None:
        """Wait for the next order; return None when the worker has closed the connection.

        The worker sends an order only after the answer to the last one, so none is in the buffer.
        `poll` wakes once for each order. A blocking read would wake a second time, for nothing:
        when the worker takes an answer from the socket, the kernel wakes all threads that sleep at
        this end, readers as well as writers.
        """
        self._readable.poll()
        head = self._input.read(messages.LENGTH.size)
        if len(head) < messages.LENGTH.size:
            return None
        (length,) = messages.LENGTH.unpack(head)
        body = self._input.read(length)
        return messages.read_order(body) if len(body) == length else None

    def _start(self, setup: Any) -> bool:
        """Set this process up; return False if it can't be used."""
        try:
            self._set_up(setup)
        except BaseException as error:  # noqa: BLE001 - an import or a hook may raise anything
            self.send(_raised(error, hopeless=False))
            return False
        self.send(messages.Ready())
        return True

    def _attempt(self, run: Any) -> bool:
        """Run one attempt; return False if something that it started does not end.

        The answer is sent first, so that tidying up after the attempt does not delay it.
        """
        scope = self._loop.scope()
        self._fields = {
            "task_id": run.task_id,
            "job": run.job,
            "queue": run.queue,
            "attempt": run.attempt,
        }
        answer = self._answer(run, scope)
        left = self._loop.left(scope, failed=isinstance(answer, messages.Raised))
        answer.tidy = not left
        self.send(answer)
        if left:
            logger.warning(
                "%s attempt %d has ended, but left running: %s",
                run.task_id,
                run.attempt,
                ", ".join(left),
                extra=self._fields,
            )
            left = self._loop.tidy(scope)
            self.send(messages.Tidied(left))
        scope.close()
        self._fields = {}
        return not left

    def _answer(self, run: messages.Run, scope: Scope) -> messages.Done | messages.Raised:
        self._hopeless = False
        try:
            return self._run(run, scope)
        except BaseException as error:  # noqa: BLE001 - a job may raise anything
            return _raised(error, hopeless=self._hopeless)

    def _set_up(self, setup: messages.Setup) -> None:
        self._max_payload_bytes = setup.max_payload_bytes
        sys.argv[:] = setup.argv
        root = logging.getLogger()
        root.addHandler(_ToWorker(self.send))
        for name, level in setup.log_levels.items():
            logging.getLogger(name).setLevel(level)
        if setup.inheritance is not None:
            inherit(setup.inheritance)
        _import_main(setup)
        self._state = find(setup.state)()
        for reference in setup.hooks:
            self._loop.call(find(reference), self._state)

    def _run(self, run: messages.Run, scope: Scope) -> messages.Done:
        job = self._job(run)
        self._hopeless = True
        task = codec.decode_task(run.payload)
        args, kwargs = job.bind(task.args, task.kwargs)
        self._hopeless = False
        context = Context(
            task_id=run.task_id,
            queue=run.queue,
            function_name=run.job,
            attempt=run.attempt,
            failures=run.failures,
            enqueued_at_ms=run.enqueued_at_ms,
            deadline=run.deadline,
            state=self._state,
            logger=logging.getLogger(f"identtqueue.job.{run.job}"),
            send_progress=lambda data: self.send(messages.Progressed(data, run.number)),
            fencing_token=run.fencing_token,
        )
        scope.context.run(current_task.set, run.task_id)
        value = self._loop.run(scope, partial(job.function, context, *args, **kwargs))
        self._hopeless = True
        return messages.Done(codec.encode_value(value, self._max_payload_bytes))

    def _job(self, run: messages.Run) -> Job:
        job = self._jobs.get((run.job, run.reference))
        if job is None:
            function = find(run.reference)
            declared = argument_types(run.job, function) if run.typed else {}
            job = Job(name=run.job, function=function, types=declared)
            self._jobs[run.job, run.reference] = job
        return job


def _import_main(setup: messages.Setup) -> None:
    """Run the worker's main module under a name other than `__main__`.

    So code below `if __name__ == "__main__":` does not run here.
    """
    if setup.main_module is not None:
        names = runpy.run_module(setup.main_module, run_name="__mp_main__", alter_sys=True)
    elif setup.main_path is not None:
        names = runpy.run_path(setup.main_path, run_name="__mp_main__")
    else:
        return
    module = types.ModuleType("__mp_main__")
    module.__dict__.update(names)
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module


def _raised(error: BaseException, *, hopeless: bool) -> messages.Raised:
    failure = codec.encode_failure(describe(error))
    try:
        return messages.Raised(failure, Kinds.of(error), asked_seconds(error), hopeless)
    except BaseException as broken:  # noqa: BLE001 - its own attributes may raise: do not retry
        return messages.Raised(failure, Kinds.of(broken), None, hopeless=True)


class _ToWorker(logging.Handler):
    """Logging handler that sends records to the worker, whose handlers format and store them."""

    def __init__(self, send: Callable[[msgspec.Struct], None]) -> None:
        super().__init__()
        self._send = send
        self._formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
            if record.exc_info:
                message += "\n" + self._formatter.formatException(record.exc_info)
            own = {k: v for k, v in record.__dict__.items() if k not in _STANDARD}
            fields = logs.attempt_fields() | own
            self._send(
                messages.Log(
                    record.name,
                    record.levelno,
                    printable(message),
                    record.created,
                    os.getpid(),
                    fields,
                )
            )
        except Exception:  # noqa: BLE001 - as in `logging` itself, a log line must not fail the job
            self.handleError(record)
