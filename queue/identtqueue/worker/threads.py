"""Threads for jobs that are plain functions: reused while they return, left behind when they don't.

Not `concurrent.futures`: a job that is cut off can't be stopped, and must hold neither a place of
the pool nor the process at its end. And each hand-over between the event loop and a thread costs
two switches of the interpreter lock, which is more than a short job costs. So calls go to one
thread, one after the other, and come back together; those that have not begun after a millisecond
get threads of their own, and those that end later come back at once.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final

from identtqueue.worker.metrics import Counters
from identtqueue.worker.obstacles import CannotStart, Obstacles

LOOK_SECONDS: Final = 0.001
"""How long a call may wait to begin behind others, and to come back together with others. The
shortest time that an event loop sleeps."""

OBSTACLE: Final = "threads"


class _Call:
    """A call on its way through a thread, and who waits for it.

    An exception holds the frames that it went through, and they hold their local variables: those
    of a job may be large. So nothing that such a frame can reach may hold the exception. Otherwise
    they keep each other until Python's collector finds them, which counts objects, not bytes.
    """

    __slots__ = (
        *("abandoned", "context", "ended", "error", "function", "future", "left", "name"),
        *("thread", "value"),
    )

    def __init__(self, name: str, function: Callable[[], Any], future: asyncio.Future[Any]) -> None:
        self.name = name
        self.function = function
        self.future: asyncio.Future[Any] | None = future
        self.context = contextvars.copy_context()  # what a hook has set, a trace for instance
        self.value: Any = None
        self.error: BaseException | None = None
        self.thread: int | None = None  # that runs it
        self.ended = False  # the loop knows
        self.abandoned = False  # nobody waits any more
        self.left = False  # its thread has ended with it

    def run(self) -> None:
        self.thread = threading.get_ident()
        try:
            self.value = self.context.run(self.function)
        except (StopIteration, GeneratorExit) as stop:  # these mean something to `await`
            kind = "StopIteration" if issubclass(type(stop), StopIteration) else "GeneratorExit"
            self.error = RuntimeError(f"the job raised {kind}")
            self.error.__cause__ = stop
        except BaseException as raised:  # noqa: BLE001 - whatever a job raises
            self.error = raised

    def settle(self) -> None:
        """Hand the outcome to the one who waits, and keep nothing of it."""
        future, error, value = self.future, self.error, self.value
        self.future = self.error = self.value = None
        if future is None or future.done():  # cancelled in this turn of the loop
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)


class Threads:
    """The threads of one worker: as many as calls have run at once, and those left behind.

    Args:
        counters: where abandoned threads are counted.
        most_abandoned: with so many of them the worker takes no more tasks.
        obstacles: where that is said.
    """

    def __init__(self, counters: Counters, most_abandoned: int, obstacles: Obstacles) -> None:
        self._counters = counters
        self._most_abandoned = most_abandoned
        self._obstacles = obstacles
        self._loop = asyncio.get_running_loop()
        self._calls: deque[_Call] = deque()
        self._ended: deque[_Call] = deque()
        self._bell: SimpleQueue[bool] = SimpleQueue()  # True: look for calls; False: end
        self._threads = 0  # the loop's own, as the next three
        self._running = 0  # calls that somebody waits for: never more than threads
        self._abandoned: set[_Call] = set()
        self._ringing = False
        self._waking = False
        self._looking: asyncio.TimerHandle | None = None

    async def run(self, name: str, function: Callable[[], Any]) -> Any:
        """Call the function in a thread; give what it returns, or raise what it raises.

        Cancelled, it leaves the function behind.

        Args:
            name: of the job, for the log.
            function: is called.

        Raises:
            CannotStart: it takes one more thread, and the system refuses it.
        """
        if self._running == self._threads:
            self._start_one()
        future = self._loop.create_future()
        call = _Call(name, function, future)
        self._running += 1
        self._calls.append(call)
        if not self._ringing:
            self._ringing = True
            self._loop.call_soon(self._ring)
        try:
            return await future
        except asyncio.CancelledError:
            if not call.ended:
                self._abandon(call)
            raise
        finally:
            del call, future  # see `_Call`: the future has the exception

    def close(self) -> None:
        """Let idle threads end; one that runs a job ends with it."""
        for _ in range(self._threads):
            self._bell.put(False)
        self._threads = 0
        if self._looking is not None:
            self._looking.cancel()

    def _start_one(self) -> None:
        thread = threading.Thread(target=self._serve, daemon=True, name="identtqueue job")
        try:
            thread.start()
        except (RuntimeError, MemoryError) as error:  # "can't start new thread"
            raise CannotStart(f"a thread for jobs can't be started: {error}") from error
        self._threads += 1
        self._obstacles.started()

    def _ring(self) -> None:
        self._ringing = False
        self._bell.put(True)
        self._look_later()

    def _look_later(self) -> None:
        if self._looking is None:
            self._looking = self._loop.call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        """Give threads to the calls that wait behind others, and hand out what has ended."""
        for _ in range(len(self._calls)):
            self._bell.put(True)
        self._settle()

    def _abandon(self, call: _Call) -> None:
        call.abandoned = True
        self._running -= 1
        try:
            self._calls.remove(call)
        except ValueError:  # a thread has it
            self._threads -= 1
            self._abandoned.add(call)
            self._count_abandoned()

    def _count_abandoned(self) -> None:
        number = self._counters.abandoned_threads = len(self._abandoned)
        if number < self._most_abandoned:
            self._obstacles.remove(OBSTACLE)
            return
        self._obstacles.put(
            OBSTACLE,
            f"threads left behind by cut-off attempts: {number} "
            f"(max_abandoned_threads={self._most_abandoned})",
            self._places(),
        )

    def _places(self) -> str:
        """Say where the abandoned threads are, each place once."""
        frames, found = sys._current_frames(), dict[str, int]()  # noqa: SLF001 - documented
        for call in self._abandoned:
            frame = frames.get(call.thread or 0)
            where = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "ending"
            place = f"job {call.name} in {where}"
            found[place] = found.get(place, 0) + 1
        del frames
        return ", ".join(f"{place} ({number})" for place, number in found.items())

    def _settle(self) -> None:
        """Hand out what has ended. Called by a look, or because a thread has woken the loop."""
        if self._looking is not None:
            self._looking.cancel()
        self._looking, self._waking = None, False  # first: what ends from now on wakes the loop
        some = bool(self._ended)
        while self._ended:
            self._settle_one(self._ended.popleft())
        if self._calls or (some and self._running):
            self._look_later()

    def _settle_one(self, call: _Call) -> None:
        call.ended = True
        if call.abandoned:
            self._threads += not call.left
            self._abandoned.discard(call)
            self._count_abandoned()
        else:
            self._running -= 1
        call.settle()

    # --- in the threads ---

    def _serve(self) -> None:
        """Wait for the bell, run what there is; until told to end, or left behind."""
        while self._bell.get():
            while self._calls:
                try:
                    call = self._calls.popleft()
                except IndexError:  # another thread was faster
                    break
                call.run()
                call.left = call.abandoned
                goes_on = self._hand_back(call) and not call.left
                del call  # an idle thread must not keep what its last call was about
                if not goes_on:
                    return

    def _hand_back(self, call: _Call) -> bool:
        """False: the loop has closed, the worker stopped without us."""
        self._ended.append(call)
        comes = self._waking or self._looking is not None
        if not comes or len(self._ended) == self._running:  # there is nothing to wait for
            self._waking = True
            try:
                self._loop.call_soon_threadsafe(self._settle)
            except RuntimeError:
                return False
        return True
