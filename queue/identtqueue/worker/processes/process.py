"""One process for jobs, as the worker sees it: attempts are sent to it, and its messages are read.

`child.Process` is the same process seen from inside, and `spawned.Spawned` its start and its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any, Final

from identtqueue.errors import PayloadUndecodable, ProcessDied, ProcessNotStarted
from identtqueue.protocol import codec
from identtqueue.retry import Kinds
from identtqueue.worker.context import Context
from identtqueue.worker.counts import Counters
from identtqueue.worker.failure import RaisedElsewhere, describe
from identtqueue.worker.obstacles import CannotStart
from identtqueue.worker.processes import messages
from identtqueue.worker.processes.incoming import Incoming
from identtqueue.worker.processes.scope import TIDY_SECONDS
from identtqueue.worker.processes.spawned import Spawned
from identtqueue.worker.registry import Job

logger = logging.getLogger(__name__)

START_SECONDS: Final = 300.0
"""How long a process may take to import the jobs and run its hooks (load a model, say)."""

END_SECONDS: Final = 5.0
"""How long a process may take to end by itself (`atexit` functions), and how long to wait for a
killed one."""


class JobProcess:
    """One process for jobs: `start` it, then `run` attempts, one at a time.

    Args:
        setup: first message to the process.
        counters: count the processes that were killed or died.

    Attributes:
        gone: task that is done when the process has ended and its resources are released.
        ran: number of attempts so far.

    Raises:
        CannotStart: the operating system refuses to start a process.
    """

    def __init__(self, setup: messages.Setup, counters: Counters) -> None:
        self._setup = setup
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._what = "a process for jobs"
        self._answer: asyncio.Future[bytes] | None = None
        self._context: Context | None = None
        self._tidied: asyncio.Future[bool] | None = None  # None: the last attempt left nothing
        self._ending = False  # this side ends it, so its end is not counted as a death
        self.ran = 0
        self._process = Spawned()
        self.gone = self._loop.create_task(self._watch(), name=f"process {self.pid}")

    @property
    def pid(self) -> int:
        """Id of the process, and of its session and process group."""
        return self._process.pid

    @property
    def usable(self) -> bool:
        """Whether the process is ready for an attempt, unless it has just ended: `has_ended`."""
        if self._answer is not None or self._process.exit_code.done():
            return False
        return self._tidied is None or (self._tidied.done() and self._tidied.result())

    @property
    def tidies(self) -> bool:
        """Whether the process is tidying up after its last attempt."""
        return self._tidied is not None and not self._tidied.done()

    def has_ended(self) -> bool:
        """Ask the operating system whether the process has ended."""
        return self._process.has_ended()

    async def start(self) -> None:
        """Wait until the process is ready. After an error it is ended.

        Raises:
            ProcessDied: it ended before it was ready.
            ProcessNotStarted: it was not ready within `START_SECONDS`.
            RaisedElsewhere: an import or a hook raised an error in it.
        """
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._ask(self._setup)
        except TimeoutError:
            await self.kill()
            raise ProcessNotStarted(START_SECONDS) from None
        except Exception:
            await self.end()
            raise

    def run(self, job: Job, context: Context, payload: bytes) -> Coroutine[Any, Any, bytes]:
        """Run one attempt. If this is cancelled, the process is not usable any more.

        Args:
            job: the job to call.
            context: context of the attempt.
            payload: the encoded task.

        Returns:
            A coroutine that returns the encoded result.

        Raises:
            CannotStart: the process had ended already, so the job was not called.
            ProcessDied: the process ended before the job did.
            RaisedElsewhere: the job raised an error.
        """
        if self.has_ended():  # it may have died while a hook ran
            raise CannotStart(f"process {self.pid} has ended before its job was called")
        self.ran += 1
        self._context, self._tidied = context, None
        self._what = f"the process of job {job.name}"
        assert job.reference is not None
        return self._ask(
            messages.Run(
                number=self.ran,
                job=job.name,
                reference=job.reference,
                typed=bool(job.types),
                task_id=context.task_id,
                queue=context.queue,
                attempt=context.attempt,
                failures=context.failures,
                enqueued_at_ms=context.enqueued_at_ms,
                deadline=context.deadline,
                payload=payload,
                fencing_token=context.fencing_token,
            )
        )

    async def tidied(self) -> None:
        """Wait until the process has tidied up after its last attempt. Kill it if it does not."""
        if self._tidied is not None:
            await asyncio.wait([self._tidied], timeout=TIDY_SECONDS + END_SECONDS)
        if self.tidies:
            logger.warning("process %d does not tidy up after %s: killing it", self.pid, self._what)
            await self.kill()

    async def end(self) -> None:
        """Let the process end by itself, and kill it if it does not."""
        self._ending = True
        self._process.ask_to_end()
        await asyncio.wait([self.gone], timeout=END_SECONDS)
        await self.kill()

    async def kill(self) -> None:
        """Kill the process and all that its job has started; wait until it is gone."""
        if not self._process.exit_code.done():
            self._ending = True
            self._counters.killed_processes += 1
            self._process.kill()
        await asyncio.wait([self.gone], timeout=END_SECONDS)

    async def _ask(self, message: messages.Order) -> bytes:
        """Send an order and wait for its answer; return the result in it."""
        if self._process.exit_code.done():
            raise ProcessDied(self._what, self._process.exit_code.result())
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._answer = answer
        try:
            with contextlib.suppress(ConnectionError):  # it dies: the answer will be `ProcessDied`
                await self._loop.sock_sendall(self._process.socket, messages.pack(message))
            return await answer
        finally:
            del answer, message  # an exception refers to this frame: drop what the frame holds

    # --- messages of the process, and its end ---

    async def _watch(self) -> None:
        incoming, exit_code = (
            Incoming(self._process.socket, self._hear_one),
            self._process.exit_code,
        )
        first: list[asyncio.Future[Any]] = [incoming.ended, exit_code]
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if not exit_code.done():  # it has closed its end of the pipe, so it is about to exit
            await asyncio.wait([exit_code], timeout=END_SECONDS)
        if not exit_code.done():
            self._process.kill()
        code = await exit_code
        # Read what it had sent before its end.
        await asyncio.wait([incoming.ended], timeout=END_SECONDS)
        incoming.close()
        self._process.release()
        if not self._ending:
            self._counters.died_processes += 1
        if self._tidied is not None and not self._tidied.done():
            self._tidied.set_result(False)
        self._settle(ProcessDied(self._what, code))

    def _hear_one(self, body: bytes) -> None:
        try:
            message = messages.read_message(body)
        except messages.UNREADABLE as error:  # the length prefix tells where the next one begins
            logger.warning("process %d sent a message that can't be read: %s", self.pid, error)
            unread = PayloadUndecodable(f"the answer of {self._what} can't be read: {error}")
            self._settle(RaisedElsewhere(describe(unread), Kinds.of(unread), hopeless=True))
        else:
            self._hear(message)

    def _hear(self, message: messages.Message) -> None:
        match message:
            case messages.Done():
                self._expect_tidied(message)
                self._settle(message.data)
            case messages.Raised(failure, kinds, after_seconds, hopeless):
                self._expect_tidied(message)
                failed = codec.decode_failure(failure)
                self._settle(RaisedElsewhere(failed, kinds, after_seconds, hopeless=hopeless))
            case messages.Ready():
                self._settle(b"")
            case messages.Progressed(data, number):
                if self._context is not None and number == self.ran:
                    self._context.send_progress(data)
            case messages.Tidied(left):
                self._hear_tidied(left)
            case messages.Log():
                _pass_on(message)

    def _expect_tidied(self, answer: messages.Done | messages.Raised) -> None:
        if not answer.tidy:
            self._tidied = self._loop.create_future()

    def _hear_tidied(self, left: list[str]) -> None:
        if left:
            logger.warning(
                "process %d is replaced: %s has left something running that does not end: %s",
                self.pid,
                self._what,
                ", ".join(left),
            )
        if self._tidied is not None and not self._tidied.done():
            self._tidied.set_result(not left)

    def _settle(self, found: bytes | Exception) -> None:
        answer, self._answer, self._context = self._answer, None, None
        if answer is None or answer.done():
            return
        if isinstance(found, Exception):
            answer.set_exception(found)
        else:
            answer.set_result(found)


def _pass_on(line: messages.Log) -> None:
    """Pass a record to the worker's handlers. An error of a handler does not affect the process."""
    try:
        _handle(line)
    except Exception as error:  # noqa: BLE001 - filters of the application may raise anything
        broken = f"logging is broken ({type(error).__name__}): {line.message}"
        if logging.lastResort is not None:
            record = logging.makeLogRecord({"msg": broken, "levelno": line.level})
            logging.lastResort.handle(record)


def _handle(line: messages.Log) -> None:
    log = logging.getLogger(line.name)
    if log.isEnabledFor(line.level):
        record = logging.makeLogRecord(
            line.fields
            | {
                "name": line.name,
                "levelno": line.level,
                "levelname": logging.getLevelName(line.level),
                "msg": line.message,
                "created": line.created,
                "msecs": line.created % 1 * 1000,
                "process": line.process,
            }
        )
        log.handle(record)
