"""A process for jobs as the operating system knows it: how it starts, ends and is killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading

from identtqueue.worker.obstacles import CannotStart
from identtqueue.worker.processes.child import BOOTSTRAP


class Spawned:
    """A fresh interpreter in a session and process group of its own, and a socket to it.

    Attributes:
        pid: id of the process, and of its session and process group.
        socket: our end of the connection to it, non-blocking.
        exit_code: future of its exit code.

    Raises:
        CannotStart: the operating system refuses to start a process.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.exit_code: asyncio.Future[int] = self._loop.create_future()
        try:
            self.pid = self._start()
        except (OSError, RuntimeError, MemoryError) as error:  # no memory, descriptor, thread
            raise CannotStart(f"a process for jobs can't be started: {error}") from error

    def has_ended(self) -> bool:
        """Check whether the process has ended, even before the waiting thread has reported it.

        Otherwise an attempt could get a process that was killed a moment ago, and be charged for
        its death.
        """
        if self.exit_code.done():
            return True
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # the waiting thread was faster
            return True

    def ask_to_end(self) -> None:
        """Close our direction of the connection, which makes the process end by itself."""
        with contextlib.suppress(OSError):  # it has ended
            self.socket.shutdown(socket.SHUT_WR)

    def kill(self) -> None:
        """Kill the process and all that its job has started. Returns at once."""
        _kill_group(self.pid)

    def release(self) -> None:
        """Close our ends of the connection and of the lifeline, after the process has ended."""
        self.socket.close()
        os.close(self._lifeline)

    def _start(self) -> int:
        """Start the process and the thread that waits for its end, and return the process's id.

        The process's ends of socket and pipe are closed here in any case, ours only on failure.
        """
        with contextlib.ExitStack() as always, contextlib.ExitStack() as on_failure:
            self.socket, theirs = socket.socketpair()
            on_failure.callback(self.socket.close)
            always.callback(theirs.close)
            self.socket.setblocking(False)
            lifeline, self._lifeline = os.pipe()
            on_failure.callback(os.close, self._lifeline)
            always.callback(os.close, lifeline)
            process = subprocess.Popen(  # noqa: S603 - this very interpreter
                [
                    *(sys.executable, "-P", "-c", BOOTSTRAP),
                    *(str(theirs.fileno()), str(lifeline), *sys.path),
                ],
                pass_fds=(theirs.fileno(), lifeline),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            on_failure.callback(process.wait)
            on_failure.callback(_kill_group, process.pid)
            threading.Thread(
                target=self._wait, args=(process,), daemon=True, name="identtqueue process"
            ).start()
            on_failure.pop_all()
            return process.pid

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the end of the process, in a thread of its own.

        This is the only way that works on every system and with every event loop.
        """
        code = process.wait()
        # Kill what its job has left running. While the group has a member, its id is not reused.
        # If it has none, this call comes long before process ids wrap around.
        _kill_group(process.pid)
        with contextlib.suppress(RuntimeError):  # the loop has closed
            self._loop.call_soon_threadsafe(self.exit_code.set_result, code)
        # If the worker is the first process of its container, the orphans are its children now.
        # They stay zombies until they are waited for.
        with contextlib.suppress(ChildProcessError):  # there is none, or none is left
            while True:
                os.waitpid(-process.pid, 0)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
