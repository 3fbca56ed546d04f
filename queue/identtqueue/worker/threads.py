"""Threads for jobs that are plain functions: reused if the job returns, left behind if it hangs.

`concurrent.futures` does not fit here, because a thread whose job is cut off can't be stopped. Such
a thread must neither occupy a place in the pool nor keep the process from exiting.

Each hand-over between the event loop and a thread costs two switches of the interpreter lock, which
is more than a short job costs. So the calls of one turn of the loop go to one thread, which runs
them one after the other, and their results come back together. Calls that have not begun after a
millisecond get threads of their own. Calls that end later than that come back at once.
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

from identtqueue.worker.obstacles import CannotStart, Obstacles

LOOK_SECONDS: Final = 0.001
"""How long a call may wait for the calls before it, and how long a result may wait to come back
together with others. An event loop cannot sleep for a shorter time."""

OBSTACLE: Final = "threads"
"""Name of the obstacle that too many threads were left behind."""


class _ThreadCall:
    """A call that runs in a thread, and the future that waits for it.

    An exception refers to the frames that it has passed through, and they refer to their local
    variables. Those of a job may be large. So nothing that such a frame can reach may refer to the
    exception. Otherwise the cycle would stay in memory until Python's garbage collector runs, and
    that depends on the number of objects, not on their size.
    """

    __slots__ = (
        *("abandoned", "context", "ended", "error", "function", "future", "left", "name"),
        *("thread", "value"),
    )

    def __init__(self, name: str, function: Callable[[], Any], future: asyncio.Future[Any]) -> None:
        self.name = name
        self.function = function
        self.future: asyncio.Future[Any] | None = future
        self.context = contextvars.copy_context()  # with variables set by hooks, such as a trace
        self.value: Any = None
        self.error: BaseException | None = None
        self.thread: int | None = None  # id of the thread that runs it
        self.ended = False  # the loop has taken note of its end
        self.abandoned = False  # no coroutine waits for it any more
        self.left = False  # its thread was abandoned, and ends with it

    def run(self) -> None:
        self.thread = threading.get_ident()
        try:
            self.value = self.context.run(self.function)
        except (StopIteration, GeneratorExit) as stop:  # these have a meaning of their own in await
            kind = "StopIteration" if issubclass(type(stop), StopIteration) else "GeneratorExit"
            self.error = RuntimeError(f"the job raised {kind}")
            self.error.__cause__ = stop
        except BaseException as raised:  # noqa: BLE001 - a job may raise anything
            self.error = raised

    def settle(self) -> None:
        """Hand the outcome to the coroutine that waits, and keep no reference to it."""
        future, error, value = self.future, self.error, self.value
        self.future = self.error = self.value = None
        if future is None or future.done():  # cancelled in this turn of the loop
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)


class Threads:
    """The threads of one worker: as many as calls have run at the same time, and abandoned ones.

    Args:
        most_abandoned: with this many abandoned threads the worker takes no more tasks.
        obstacles: gets an obstacle while there are so many.
    """

    def __init__(self, most_abandoned: int, obstacles: Obstacles) -> None:
        self._most_abandoned = most_abandoned
        self._obstacles = obstacles
        self._loop = asyncio.get_running_loop()
        self._calls: deque[_ThreadCall] = deque()
        self._ended: deque[_ThreadCall] = deque()
        self._wakeups: SimpleQueue[bool] = SimpleQueue()  # each wakes a thread; False: to end
        self._threads = 0  # changed in the event loop only, like the next three
        self._running = 0  # calls that a coroutine waits for: never more than threads
        self._abandoned: set[_ThreadCall] = set()
        self._wake_is_due = False  # a thread will be woken in the next turn of the loop
        self._settle_is_due = False  # a thread has woken the loop, which will call `_settle`
        self._looking: asyncio.TimerHandle | None = None

    async def run(self, name: str, function: Callable[[], Any]) -> Any:
        """Call a function in a thread; return its value, or raise its error.

        If this is cancelled, the thread is abandoned: it runs on until the function returns.

        Args:
            name: name of the job, for the log.
            function: called without arguments.

        Returns:
            What the function returns.

        Raises:
            CannotStart: another thread is needed, and the operating system refuses to start one.
        """
        if self._running == self._threads:
            self._start_one()
        future = self._loop.create_future()
        call = _ThreadCall(name, function, future)
        self._running += 1
        self._calls.append(call)
        if not self._wake_is_due:
            self._wake_is_due = True
            self._loop.call_soon(self._wake_one)
        try:
            return await future
        except asyncio.CancelledError:
            if not call.ended:
                self._abandon(call)
            raise
        finally:
            del call, future  # see `_ThreadCall`: the future refers to the exception

    @property
    def abandoned(self) -> int:
        """Number of abandoned threads. May be read in any thread."""
        return len(self._abandoned)

    def close(self) -> None:
        """End the idle threads. A thread that runs a job ends after it."""
        for _ in range(self._threads):
            self._wakeups.put(False)
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

    def _wake_one(self) -> None:
        """Wake one thread for all calls of this turn of the loop. `_look` wakes more if need be."""
        self._wake_is_due = False
        self._wakeups.put(True)
        self._look_later()

    def _look_later(self) -> None:
        if self._looking is None:
            self._looking = self._loop.call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        """Wake one thread for each waiting call, and hand out the results of ended calls."""
        for _ in range(len(self._calls)):
            self._wakeups.put(True)
        self._settle()

    def _abandon(self, call: _ThreadCall) -> None:
        call.abandoned = True
        self._running -= 1
        try:
            self._calls.remove(call)
        except ValueError:  # a thread is running it already
            self._threads -= 1
            self._abandoned.add(call)
            self._see_to_obstacle()

    def _see_to_obstacle(self) -> None:
        if self.abandoned < self._most_abandoned:
            self._obstacles.remove(OBSTACLE)
            return
        self._obstacles.put(
            OBSTACLE,
            f"threads left behind by cut-off attempts: {self.abandoned} "
            f"(max_abandoned_threads={self._most_abandoned})",
            self._places(),
        )

    def _places(self) -> str:
        """List the places in the code where abandoned threads are, each place once."""
        frames, found = sys._current_frames(), dict[str, int]()  # noqa: SLF001 - documented
        for call in self._abandoned:
            frame = frames.get(call.thread or 0)
            where = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "ending"
            place = f"job {call.name} in {where}"
            found[place] = found.get(place, 0) + 1
        del frames
        return ", ".join(f"{place} ({number})" for place, number in found.items())

    def _settle(self) -> None:
        """Hand out the results of ended calls, at a look or when a thread wakes the loop."""
        if self._looking is not None:
            self._looking.cancel()
        # Before anything else, so that a call that ends from now on wakes the loop again.
        self._looking, self._settle_is_due = None, False
        some = bool(self._ended)
        while self._ended:
            self._settle_one(self._ended.popleft())
        if self._calls or (some and self._running):
            self._look_later()

    def _settle_one(self, call: _ThreadCall) -> None:
        call.ended = True
        if call.abandoned:
            self._threads += not call.left
            self._abandoned.discard(call)
            self._see_to_obstacle()
        else:
            self._running -= 1
        call.settle()

    # --- in the threads ---

    def _serve(self) -> None:
        """Run waiting calls whenever this thread is woken, until `close` or it is abandoned."""
        while self._wakeups.get():
            while self._calls:
                try:
                    call = self._calls.popleft()
                except IndexError:  # another thread was faster
                    break
                call.run()
                call.left = call.abandoned
                goes_on = self._hand_back(call) and not call.left
                del call  # an idle thread must not keep the data of its last call in memory
                if not goes_on:
                    return

    def _hand_back(self, call: _ThreadCall) -> bool:
        """Return the call to the event loop; False if the loop is closed already."""
        self._ended.append(call)
        comes = self._settle_is_due or self._looking is not None
        if not comes or len(self._ended) == self._running:  # no look is due, or all have ended
            self._settle_is_due = True
            try:
                self._loop.call_soon_threadsafe(self._settle)
            except RuntimeError:
                return False
        return True
