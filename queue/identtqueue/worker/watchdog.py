"""The watchdog: a thread that notices a blocked event loop, and handles signals meanwhile.

An async job that blocks (on a lock, in a call without a timeout, in a long computation) stops
everything in the event loop: other attempts, timeouts, cancellations, the orderly stop. The loop
cannot report that itself. So a thread asks it every second for a sign of life. With
`max_loop_block_seconds` as N:

- After N s without a sign of life, the stack of the loop's thread is logged, and /livez fails.
- After 2 N s, all attempts but the one that blocks are released, uncharged. The lease is no longer
  renewed, so the task that blocks is recovered as from a lost worker, and charged.
- A signal ends the process even though the loop is blocked: when the grace time is over, right
  after a second signal, or as soon as the loop has been blocked for N s.

The thread needs the interpreter lock now and then. Native code that never releases it also stops
this thread, the heartbeat and the probes. Then the lease runs out, and only SIGKILL ends the
process. Time in which the whole process was stopped is not counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, Final, NoReturn, Protocol

from identtqueue import logs

logger = logging.getLogger(__name__)

TICK_SECONDS: Final = 1.0
"""Interval at which the loop is asked for a sign of life."""

ASIDE_SECONDS: Final = 2.0
"""How long to wait for a log line. The blocked thread may hold the lock of a log handler."""

SECOND_SIGNAL_SECONDS: Final = 2.0
"""How long the loop may go without a sign of life after a second signal."""


class Patient(Protocol):
    """The worker that is watched. All methods are called in the watchdog's thread."""

    def is_working(self) -> bool:
        """Return whether it has a lease. Before and after that, hooks may block the loop."""

    def grace_seconds(self) -> float:
        """Return how long attempts may still run if a signal arrives now."""

    def name_of(self, task: asyncio.Task[Any] | None) -> str:
        """Describe what this asyncio task belongs to, for the log."""

    def give_back_but(self, task: asyncio.Task[Any] | None) -> int:
        """Release all attempts except that of this asyncio task; return their number."""


class Watchdog:
    """Watchdog over one event loop. It is made in that loop.

    Args:
        patient: the worker that runs in the loop.
        most_seconds: how long the loop may be blocked before that is logged and /livez fails.
    """

    def __init__(self, patient: Patient, most_seconds: float) -> None:
        self._patient = patient
        self._most = most_seconds
        self._grace = 0.0  # how long after the first signal the loop may be blocked
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self.blocked_seconds = 0.0
        self.total_blocked_seconds = 0.0  # only grows
        self._asked = False  # the loop owes a sign of life
        self._logged = self._gave_back = False
        self._on_signal: Callable[[int], None] = lambda _: None
        self._signalled: list[tuple[int, float]] = []
        # A byte wakes the thread: the number of a signal, or 0.
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.settimeout(TICK_SECONDS)
        self._wake_writer.setblocking(False)
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True, name="identtqueue watchdog")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread. Returns at once."""
        self._ended = True
        self._wake(0)

    @property
    def problem(self) -> str | None:
        """Description of what is wrong with the event loop, for /livez; None: nothing is."""
        seconds = self.blocked_seconds
        if seconds < self._most or not self._patient.is_working():
            return None
        return f"the event loop has been blocked for {seconds:.0f} s"

    def may_renew(self) -> bool:
        """Return whether this worker should renew its lease."""
        return self.blocked_seconds < 2 * self._most

    # --- signals; in the main thread, which runs the loop ---

    @contextlib.contextmanager
    def hearing(self, numbers: tuple[int, ...], on_signal: Callable[[int], None]) -> Any:
        """Handle signals in the event loop, and in this thread while the loop is blocked.

        Python runs signal handlers only when the main thread returns from native code. So the
        interpreter also notifies this thread of each signal (`set_wakeup_fd`).

        Args:
            numbers: the signals to handle.
            on_signal: called in the event loop with the number of each signal.
        """
        self._on_signal = on_signal
        before = signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, self._forward)
            signal.siginterrupt(number, False)
        try:
            yield
        finally:
            for number in numbers:
                signal.signal(number, signal.SIG_IGN)  # the worker has stopped already
            ours = signal.set_wakeup_fd(before)
            if ours not in (-1, self._wake_writer.fileno()):  # other code has set its own meanwhile
                signal.set_wakeup_fd(ours)

    def _forward(self, number: int, _frame: object) -> None:
        """Pass a signal to the thread, if other code (an event loop) has set its own wake-up fd."""
        now = signal.set_wakeup_fd(-1)
        if now != -1:
            signal.set_wakeup_fd(now, warn_on_full_buffer=False)
        if now != self._wake_writer.fileno():
            self._wake(number)

    def _wake(self, number: int) -> None:
        """Wake the thread, with the number of a signal or 0."""
        with contextlib.suppress(OSError):
            self._wake_writer.send(bytes([number]))

    # --- in the thread ---

    def _run(self) -> None:
        last = time.monotonic()
        while not self._ended:
            for number in self._wait():
                self._hear(number)
            now = time.monotonic()
            if self._asked:
                # Do not count time in which this thread stood still: the loop's thread may have
                # stood still as well.
                blocked = min(now - last, 2 * TICK_SECONDS)
                self.blocked_seconds += blocked
                self.total_blocked_seconds += blocked
            else:
                self._ask()
            last = now
            self._judge(now)
        self._wake_reader.close()
        self._wake_writer.close()

    def _wait(self) -> bytes:
        try:
            return self._wake_reader.recv(64)
        except TimeoutError:
            return b""

    def _ask(self) -> None:
        self._asked = True
        with contextlib.suppress(RuntimeError):  # the loop has closed
            self._loop.call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        """Give a sign of life. Called in the event loop."""
        seconds, self.blocked_seconds = self.blocked_seconds, 0.0
        self._asked = False
        if self._logged:
            self._logged = self._gave_back = False
            logger.warning("the event loop runs again, after it was blocked for %.0f s", seconds)

    def _hear(self, number: int) -> None:
        """Pass a signal to the event loop, and remember it in case the loop is blocked."""
        with contextlib.suppress(RuntimeError):  # the loop has closed
            # For other signals too, because their handlers run when the loop wakes up.
            self._loop.call_soon_threadsafe(self._handle_signal, number)
        if number and signal.getsignal(number) == self._forward:
            if not self._signalled:
                self._grace = self._patient.grace_seconds()
            self._signalled.append((number, time.monotonic()))

    def _handle_signal(self, number: int) -> None:
        """Call the worker's handler, in the event loop."""
        if number and signal.getsignal(number) == self._forward:
            self._on_signal(number)

    def _judge(self, now: float) -> None:
        """Act on a blocked loop: log it, release the other attempts, or end the process."""
        if self._asked and self.blocked_seconds:  # the loop can't write what waits in the log
            _aside(logs.write_waiting)
        if self._signalled and self._asked and self._is_hopeless(now):
            self._end_the_process()
        if not self._patient.is_working():
            return
        if self.blocked_seconds >= self._most and not self._logged:
            self._logged = True
            self._log_block()
        if self.blocked_seconds >= 2 * self._most and not self._gave_back:
            self._gave_back = True
            self._give_back()

    def _is_hopeless(self, now: float) -> bool:
        """Return whether an orderly stop after a signal has become impossible."""
        if self.blocked_seconds < TICK_SECONDS:
            return False
        if len(self._signalled) > 1 and now - self._signalled[-1][1] >= SECOND_SIGNAL_SECONDS:
            return True
        return self.blocked_seconds >= self._most or now - self._signalled[0][1] > self._grace

    def _log_block(self) -> None:
        where, stack = self._where()
        _aside(
            lambda: logger.error(
                "the event loop has been blocked for %.0f s by %s. Nothing else runs in it, and no "
                "timeout is applied. After %g s the other attempts are released, and the lease is "
                "no longer renewed. The loop's thread is at:\n%s",
                self.blocked_seconds,
                where,
                2 * self._most,
                stack,
            )
        )

    def _give_back(self) -> None:
        task = self._task()
        number = self._patient.give_back_but(task)
        _aside(
            lambda: logger.error(
                "the event loop has been blocked for %.0f s by %s: the other attempts (%d) were "
                "released, and the lease is no longer renewed",
                self.blocked_seconds,
                self._patient.name_of(task),
                number,
            )
        )

    def _end_the_process(self) -> NoReturn:
        number = self._signalled[-1][0]
        given_back = self._patient.give_back_but(self._task())
        where, stack = self._where()
        _aside(
            lambda: logger.error(
                "%s: exiting, although the event loop is blocked by %s. The other attempts (%d) "
                "were released. The loop's thread is at:\n%s",
                signal.Signals(number).name,
                where,
                given_back,
                stack,
            )
        )
        _aside(logging.shutdown)
        os._exit(1)

    def _where(self) -> tuple[str, str]:
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 - documented
        stack = "".join(traceback.format_stack(frame)) if frame is not None else "(not known)\n"
        return self._patient.name_of(self._task()), stack.rstrip()

    def _task(self) -> asyncio.Task[Any] | None:
        return asyncio.current_task(self._loop)


def _aside(function: Callable[[], object]) -> None:
    """Call a function in another thread, and wait at most `ASIDE_SECONDS` for its end.

    It may need a lock that the blocked thread holds.
    """
    with contextlib.suppress(RuntimeError):  # no thread can be started
        thread = threading.Thread(target=function, daemon=True, name="identtqueue aside")
        thread.start()
        thread.join(ASIDE_SECONDS)
