"""The process of jobs: started by the worker, runs one attempt after the other, until it is told.

It knows no Redis and opens no connection. It ends when the worker closes its end of the pipe, and
it is killed when the worker has gone, or an attempt is to be cut off.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import logging
import os
import runpy
import signal
import socket
import sys
import threading
import types
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from identtqueue.protocol import codec
from identtqueue.retry import Kinds, asked_seconds
from identtqueue.signature import argument_types
from identtqueue.worker import pipe
from identtqueue.worker.context import Context
from identtqueue.worker.failure import describe, printable
from identtqueue.worker.job_loop import JobLoop, Scope
from identtqueue.worker.reference import find
from identtqueue.worker.registry import Job

logger = logging.getLogger(__name__)

BOOTSTRAP: Final = (
    "import sys; pipe, lifeline, *sys.path[:] = sys.argv[1:]; "
    "from identtqueue.worker.child import main; main(int(pipe), int(lifeline))"
)
"""What the new interpreter runs; its arguments are two descriptors and the worker's `sys.path`."""

_F_SETSIG: Final = 10
"""fcntl(2), Linux: the signal that is sent in the place of SIGIO. Python has no name for it."""

_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}

_process: Process | None = None


def is_child() -> bool:
    """Whether this is the process of a job."""
    return _process is not None


def main(pipe_descriptor: int, lifeline: int) -> None:
    """Serve the worker at the other end of the pipe."""
    global _process  # noqa: PLW0603 - there is one, and it is the process
    _end_with_the_worker(lifeline)
    # The worker decides when this ends, also if a whole process group or cgroup is signalled. Not
    # SIG_IGN: programs that a job starts would inherit that.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    faulthandler.enable()  # a crash in native code says where
    with socket.socket(fileno=pipe_descriptor) as connection:
        _process = Process(connection)
        _process.serve()


def _end_with_the_worker(lifeline: int) -> None:
    """Have the kernel kill this whole process group when the worker's end of the pipe closes.

    Nobody writes to it, so it becomes readable only then. Unlike PR_SET_PDEATHSIG this kills
    what the job has started too, and does not mistake the end of a thread for that of the worker;
    unlike a watching thread it needs no interpreter that may be stuck. Where the kernel can't, a
    process ends when its attempt has.
    """
    os.set_inheritable(lifeline, False)
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):  # a sandbox that does without
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, _F_SETSIG, signal.SIGKILL)
        flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)


class Process:
    """This process.

    Args:
        connection: to the worker.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._input = connection.makefile("rb")
        self._sending = threading.Lock()
        self._pid = os.getpid()
        self._state: dict[str, Any] = {}
        self._jobs: dict[tuple[str, str], Job] = {}
        self._max_payload_bytes = 0
        self._loop = JobLoop()
        self._hopeless = False  # what is raised now would be raised by another run too

    def serve(self) -> None:
        """Start, then run what comes, until the worker has nothing more to say."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while (message := self._next()) is not None:
                goes_on = self._attempt if isinstance(message, pipe.Run) else self._start
                if not goes_on(message):
                    break
                del message  # an idle process must not keep what its last task was about
        self._loop.close()

    def send(self, message: msgspec.Struct) -> None:
        """From any thread. Not from what the job forks: that would garble the worker's reading."""
        if os.getpid() == self._pid:
            data = pipe.pack(message)
            with self._sending:
                self._connection.sendall(data)

    def _next(self) -> pipe.Order | None:
        head = self._input.read(pipe.LENGTH.size)
        if len(head) < pipe.LENGTH.size:
            return None
        (length,) = pipe.LENGTH.unpack(head)
        body = self._input.read(length)
        return pipe.read_order(body) if len(body) == length else None

    def _start(self, setup: Any) -> bool:
        """Set this process up; False if it can't be used."""
        try:
            self._set_up(setup)
        except BaseException as error:  # noqa: BLE001 - whatever an import or a hook raises
            self.send(_raised(error, hopeless=False))
            return False
        self.send(pipe.Ready())
        return True

    def _attempt(self, run: Any) -> bool:
        """Run one attempt; False if something of it is left that does not end.

        The answer goes out first: what an attempt has left behind does not delay it.
        """
        scope = self._loop.scope()
        answer = self._answer(run, scope)
        left = self._loop.left(scope)
        answer.tidy = not left
        self.send(answer)
        if left:
            logger.warning(
                "%s attempt %d has left behind: %s",
                run.task_id,
                run.attempt,
                ", ".join(left),
                extra={
                    "task_id": run.task_id,
                    "job": run.job,
                    "queue": run.queue,
                    "attempt": run.attempt,
                },
            )
            left = self._loop.tidy(scope)
            self.send(pipe.Tidied(left))
        scope.close()
        return not left

    def _answer(self, run: pipe.Run, scope: Scope) -> pipe.Done | pipe.Raised:
        self._hopeless = False
        try:
            return self._run(run, scope)
        except BaseException as error:  # noqa: BLE001 - whatever a job raises
            return _raised(error, hopeless=self._hopeless)

    def _set_up(self, setup: pipe.Setup) -> None:
        self._max_payload_bytes = setup.max_payload_bytes
        sys.argv[:] = setup.argv
        root = logging.getLogger()
        root.addHandler(_ToWorker(self.send))
        for name, level in setup.log_levels.items():
            logging.getLogger(name).setLevel(level)
        _import_main(setup)
        for reference in setup.hooks:
            self._loop.call(find(reference), self._state)

    def _run(self, run: pipe.Run, scope: Scope) -> pipe.Done:
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
            send_progress=lambda data: self.send(pipe.Progress(data, run.number)),
            fencing_token=run.fencing_token,
        )
        value = self._loop.run(scope, partial(job.function, context, *args, **kwargs))
        self._hopeless = True
        return pipe.Done(codec.encode_value(value, self._max_payload_bytes))

    def _job(self, run: pipe.Run) -> Job:
        job = self._jobs.get((run.job, run.reference))
        if job is None:
            function = find(run.reference)
            types = argument_types(run.job, function) if run.typed else {}
            job = Job(name=run.job, function=function, types=types)
            self._jobs[run.job, run.reference] = job
        return job


def _import_main(setup: pipe.Setup) -> None:
    """Run the worker's main module under another name, so that `if __name__ == …` guards it."""
    if setup.main_module is not None:
        names = runpy.run_module(setup.main_module, run_name="__mp_main__", alter_sys=True)
    elif setup.main_path is not None:
        names = runpy.run_path(setup.main_path, run_name="__mp_main__")
    else:
        return
    module = types.ModuleType("__mp_main__")
    module.__dict__.update(names)
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module


def _raised(error: BaseException, *, hopeless: bool) -> pipe.Raised:
    failure = codec.encode_failure(describe(error))
    try:
        return pipe.Raised(failure, Kinds.of(error), asked_seconds(error), hopeless)
    except BaseException as broken:  # noqa: BLE001 - its class has strange ways: it is not retried
        return pipe.Raised(failure, Kinds.of(broken), None, hopeless=True)


class _ToWorker(logging.Handler):
    """Hands records to the worker's handlers, which have the format and the place."""

    def __init__(self, send: Callable[[msgspec.Struct], None]) -> None:
        super().__init__()
        self._send = send
        self._formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
            if record.exc_info:
                message += "\n" + self._formatter.formatException(record.exc_info)
            fields = {k: v for k, v in record.__dict__.items() if k not in _STANDARD}
            self._send(
                pipe.Log(
                    record.name,
                    record.levelno,
                    printable(message),
                    record.created,
                    os.getpid(),
                    fields,
                )
            )
        except Exception:  # noqa: BLE001 - as logging itself: a log line must not fail the job
            self.handleError(record)
