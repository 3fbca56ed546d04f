"""What runs: the attempts of one incarnation, each from its claim to the answer to its report.

An attempt is told to end by a cancellation: at its time-out, on request, or at the stop. Its job
may clean up for a few seconds. If it goes on after that, it is told once more. If that does not
help either, it is left behind: it ends for everybody else, its slot is given back, and its task of
the event loop is counted until it ends. So whatever a job or a hook does, no attempt is without an
end and no slot is lost.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, KeysView
from typing import Final

from identtqueue.errors import TimedOut
from identtqueue.protocol.commands import Ack
from identtqueue.task import Attempt
from identtqueue.worker import attempt_log, contain
from identtqueue.worker.execute import Executor
from identtqueue.worker.finish import Finisher
from identtqueue.worker.metrics import Counters
from identtqueue.worker.outcome import Cancelled, Outcome, Succeeded
from identtqueue.worker.progress import AttemptProgress, ProgressSender
from identtqueue.worker.running import Running
from identtqueue.worker.slots import Slots

logger = logging.getLogger(__name__)

CLEAN_UP_SECONDS: Final = 5.0
"""How long an attempt that was told to end may clean up before it is told again; and as long again
before it is left behind. At the stop it is left behind after this, once."""

LEAST_MOST_LEFT: Final = 10
"""With so many attempts left behind, or as many as there are slots, no more tasks are taken."""

OBSTACLE: Final = "attempts"

LOOK_SECONDS: Final = 1.0
"""How often overdue attempts are looked for."""


class Attempts:
    """Owner of the attempts and of their slots.

    Args:
        executor: runs them.
        slots: one is given back when an attempt ends, or is left behind.
        progress: sends what they report on their way.
        finisher: records how they ended.
        counters: where they are counted.
        torn_down: whether all tasks of the event loop are being cancelled.
        on_idle: called when no attempt is left, and all reports are answered.
    """

    def __init__(
        self,
        executor: Executor,
        slots: Slots,
        progress: ProgressSender,
        counters: Counters,
        *,
        torn_down: Callable[[], bool],
        on_idle: Callable[[], None],
    ) -> None:
        self._executor = executor
        self._slots = slots
        self._progress = progress
        self._counters = counters
        self._torn_down = torn_down
        self._on_idle = on_idle
        self._most_left = max(LEAST_MOST_LEFT, slots.total)
        self._finisher: Finisher | None = None
        self._loop = asyncio.get_running_loop()
        self._all: dict[str, Running] = {}
        self._left: set[Running] = set()  # the loop itself holds its tasks weakly
        self.running = 0
        self.nothing_runs = asyncio.Event()
        self.nothing_runs.set()

    def __len__(self) -> int:
        return len(self._all)

    @property
    def ids(self) -> KeysView[str]:
        """Of all tasks that this worker owns and knows of."""
        return self._all.keys()

    @property
    def cancellable(self) -> list[str]:
        """Ids of those that run, and were not told to end."""
        return [i for i, entry in self._all.items() if not (entry.cut_off or entry.ended)]

    def of_task(self, task: asyncio.Task[object] | None) -> Running | None:
        """The attempt that a task of the event loop belongs to. May be called in any thread."""
        if task is None:
            return None
        coroutine = task.get_coro()
        if isinstance(coroutine, contain.Contained):
            return coroutine.owner
        return next((entry for entry in list(self._all.values()) if entry.runner is task), None)

    def by_queue(self, but: Running) -> dict[str, list[tuple[str, int]]]:
        """Ids and numbers of all but one, by queue. May be called in any thread."""
        found: dict[str, list[tuple[str, int]]] = {}
        for entry in list(self._all.values()):
            if entry is not but:
                pairs = found.setdefault(entry.attempt.queue, [])
                pairs.append((entry.attempt.task_id, entry.attempt.number))
        return found

    def report_to(self, finisher: Finisher) -> None:
        """Hand outcomes to this finisher, which calls `answered` in turn."""
        self._finisher = finisher

    def start(self, attempt: Attempt) -> None:
        """Start one; its slot is taken already."""
        if attempt.alone:
            logger.warning(
                "%s attempt %d runs alone: it was running when workers were lost, %d times",
                attempt.task_id,
                attempt.number,
                attempt.losses,
                extra=attempt_log.fields_of(attempt),
            )
        entry = Running(attempt, self._torn_down, self._on_exit)
        self._all[attempt.task_id] = entry
        if not self.running:
            self.nothing_runs.clear()
        self.running += 1
        self._counters.running += 1
        # Not by the loop's task factory: it is for the tasks that attempts start.
        entry.runner = asyncio.Task(self._run(entry), loop=self._loop, name=attempt.task_id)

    def answered(self, attempt: Attempt, ack: Ack) -> None:
        """Forget an attempt: Redis has answered the report of its end."""
        entry = self._all.get(attempt.task_id)
        if entry is not None and entry.attempt is attempt:
            del self._all[attempt.task_id]
        if not self._all:
            self._on_idle()
        if not ack.recorded:
            attempt_log.log_refusal(attempt, ack)

    def cancel(self, task_id: str, number: int) -> None:
        """Cancel one on request, if it is here."""
        entry = self._all.get(task_id)
        if entry is not None and entry.attempt.number == number and entry.outcome is None:
            self._tell(entry, Cancelled())

    async def cut_off(self, meaning: Outcome) -> None:
        """Tell all to end, and leave those behind that don't within `CLEAN_UP_SECONDS`."""
        rest = [entry for entry in self._all.values() if entry.runner and not entry.runner.done()]
        for entry in rest:
            self._tell(entry, meaning)
        tasks = [entry.runner for entry in rest if entry.runner is not None]
        if tasks:
            logger.warning("cutting off %d attempts", len(tasks))
            await asyncio.wait(tasks, timeout=CLEAN_UP_SECONDS)
        for entry in list(self._all.values()):
            if entry.ended or entry.left:
                continue
            if entry.runner is not None and entry.runner.done():  # cancelled before its first line
                self._free()
                self._ended(entry, meaning)
            else:
                self._leave(entry, meaning)

    async def look_after(self) -> None:
        """Tell overdue attempts again, or leave them behind; until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = time.monotonic()
            for entry in list(self._all.values()):
                if entry.end_by is not None and now > entry.end_by and not entry.ended:
                    self._look_at(entry, now - entry.end_by)

    async def _run(self, entry: Running) -> None:
        entry.begun = True
        contain.current.set(entry)
        progress = AttemptProgress(self._progress, entry.attempt)
        entry.send_progress = progress.put
        outcome: Outcome | None = None
        try:
            outcome = entry.cut_off or await self._executor.run(entry)
        except BaseException as error:  # noqa: BLE001 - an error of ours must not lose the attempt
            outcome = self._broken(entry, error)
        progress.end()
        if entry.left:
            self._left.discard(entry)
            entry.runner = None  # see below
            self._count_left()
            logger.warning(
                "%s attempt %d: has ended at last",
                *_name(entry),
                extra=attempt_log.fields_of(entry.attempt),
            )
            return
        self._free()
        self._ended(entry, outcome)
        # It holds the attempt, by its context: such a circle would wait for the garbage collector.
        entry.runner = None

    def _broken(self, entry: Running, error: BaseException) -> Outcome:
        """Give an outcome where the executor gave none: a cancellation while hooks ran, say."""
        return entry.outcome or entry.meaning or self._executor.judge(entry, error)

    def _free(self) -> None:
        self.running -= 1
        self._counters.running -= 1
        self._slots.give()
        if self.running == 0:
            self.nothing_runs.set()

    def _ended(self, entry: Running, outcome: Outcome) -> None:
        entry.ended = True
        if entry.cut_off is not None and isinstance(outcome, Succeeded):
            logger.warning(
                "%s attempt %d: was to be cut off (%s), and its job has caught the CancelledError "
                "and returned: that is taken as its result",
                *_name(entry),
                entry.cut_off.name,
                extra=attempt_log.fields_of(entry.attempt),
            )
        waited, ran = entry.attempt.waited_ms / 1000, time.monotonic() - entry.started
        self._counters.ended_one(entry.attempt.queue, outcome.name, waited, ran)
        attempt_log.log_end(entry.attempt, outcome, waited, ran)
        assert self._finisher is not None
        self._finisher.put(entry.attempt, outcome)

    # --- told to end ---

    @staticmethod
    def _tell(entry: Running, meaning: Outcome) -> None:
        if entry.cut_off is not None or entry.runner is None:
            return
        entry.cut_off = meaning
        if entry.outcome is None:  # else its job has ended, and its hooks have their own time
            entry.end_by = time.monotonic()
        # Not if it never reaches its first line: it looks there itself. Nor if the end of the event
        # loop has cancelled it already: it may clean up.
        if entry.begun and not (entry.torn_down() and entry.runner.cancelling()):
            entry.runner.cancel()

    def _look_at(self, entry: Running, overdue: float) -> None:
        """See to an attempt that should have ended so long ago."""
        in_hooks = entry.outcome is not None
        patience = 0.0 if in_hooks else CLEAN_UP_SECONDS
        if entry.reminders == 0 and overdue >= patience:
            entry.reminders = 1
            logger.warning(
                "%s attempt %d: %s",
                *_name(entry),
                "its after_task hooks do not end: cancelling them"
                if in_hooks
                else f"was told to end {overdue:.0f} s ago and goes on: telling it again",
                extra=attempt_log.fields_of(entry.attempt),
            )
            if entry.runner is not None:
                entry.runner.cancel()
        elif entry.reminders and overdue >= patience + CLEAN_UP_SECONDS:
            self._leave(entry, self._outcome_of(entry, overdue))

    def _outcome_of(self, entry: Running, overdue: float) -> Outcome:
        known = entry.outcome or entry.cut_off
        if known is not None:
            return known
        return self._executor.judge(
            entry,
            TimedOut(f"it has not ended {overdue:.0f} s after its time-out, though told to twice"),
        )

    def _leave(self, entry: Running, outcome: Outcome) -> None:
        """End it for everybody else; its task of the event loop goes on."""
        entry.left = True
        self._left.add(entry)
        self._count_left()
        self._counters.left_attempts += 1
        logger.error(
            "%s attempt %d: does not end although it was told to: it is left behind, and its slot "
            "is given to another one (%d such attempts now)",
            *_name(entry),
            len(self._left),
            extra=attempt_log.fields_of(entry.attempt),
        )
        self._free()
        self._ended(entry, entry.outcome or outcome)

    def _count_left(self) -> None:
        number = self._counters.abandoned_attempts = len(self._left)
        if number < self._most_left:
            self._executor.obstacles.remove(OBSTACLE)
        else:
            text = f"{number} attempts that were told to end have not ended"
            self._executor.obstacles.put(OBSTACLE, text)

    def _on_exit(self, entry: Running, error: BaseException) -> None:
        """Fail the attempt of which a task has raised SystemExit or KeyboardInterrupt."""
        if entry.ended or entry.left or entry.outcome:
            logger.error(
                "%s attempt %d: %s in a task that it has left in the event loop: ignored",
                *_name(entry),
                type(error).__name__,
                exc_info=error,
                extra=attempt_log.fields_of(entry.attempt),
            )
            return
        self._tell(entry, self._executor.judge(entry, error))


def _name(entry: Running) -> tuple[str, int]:
    return entry.attempt.task_id, entry.attempt.number
