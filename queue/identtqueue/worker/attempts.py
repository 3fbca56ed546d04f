"""The attempts of one incarnation, each from its claim until Redis has answered its report.

An attempt is cancelled at its timeout, on request, or when the worker stops. Its job may clean up
for a few seconds. If it is still running after that, it is cancelled once more. If that does not
help either, it is left behind: its outcome is reported, its slot is freed, and its asyncio task is
counted until it ends. So whatever a job or a hook does, every attempt gets an outcome and no slot
is lost.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, KeysView
from typing import Final, Protocol

from identtqueue.errors import TimedOut
from identtqueue.protocol import codec
from identtqueue.protocol.answers import Ack
from identtqueue.task import Attempt
from identtqueue.worker import contain
from identtqueue.worker.attempt_log import log_about, log_end, log_refusal
from identtqueue.worker.counts import Counters
from identtqueue.worker.execute import Executor
from identtqueue.worker.leftovers import Leftovers
from identtqueue.worker.outcome import Aborted, Outcome, Succeeded
from identtqueue.worker.running import ProgressSink, Running
from identtqueue.worker.slots import Slots

logger = logging.getLogger(__name__)

CLEAN_UP_SECONDS: Final = 5.0
"""How long a cancelled attempt may clean up before it is cancelled again. After the second
cancellation it has as long again before it is left behind. When the worker stops, there is no
second cancellation."""

LOOK_SECONDS: Final = 1.0
"""Interval at which overdue attempts are looked for."""


class Reports(Protocol):
    """A recorder of the outcomes of attempts. Then it calls `Attempts.answered`."""

    def put(self, attempt: Attempt, outcome: Outcome) -> None:
        """Take an outcome to record. Returns at once."""


class Attempts:
    """Owner of the attempts that run now, and so of the slots.

    Every other part of the worker that needs to know what runs asks here. While Redis has not
    answered the report of an attempt that has ended, the worker still owns its task, but the
    attempt does not run.

    Args:
        concurrency: number of slots.
        executor: runs each attempt.
        leftovers: takes the attempts that are left behind.
        progress: makes what sends the progress of an attempt.
        counters: count the attempts that have ended.
        torn_down: tells whether all tasks of the event loop are being cancelled.
        on_idle: called when no attempt is left and Redis has answered every report.

    Attributes:
        slots: the slots that the attempts run in.
    """

    def __init__(
        self,
        concurrency: int,
        executor: Executor,
        leftovers: Leftovers,
        progress: Callable[[Attempt], ProgressSink],
        counters: Counters,
        *,
        torn_down: Callable[[], bool],
        on_idle: Callable[[], None],
    ) -> None:
        self._executor = executor
        self._leftovers = leftovers
        self._progress = progress
        self._counters = counters
        self._torn_down = torn_down
        self._on_idle = on_idle
        self._reports: Reports | None = None
        self._loop = asyncio.get_running_loop()
        self._owned: dict[str, Running] = {}  # by task id, until Redis has answered the report
        # Those of them that occupy a slot, in the order of their claims: if they are cut off, they
        # go back to their queue in this order.
        self._running: dict[Running, None] = {}
        self._none_runs = asyncio.Event()
        self._none_runs.set()
        self.slots = Slots(concurrency, self._running)

    @property
    def running(self) -> int:
        """Number of attempts that run now. May be read in any thread."""
        return len(self._running)

    async def none_runs(self) -> None:
        """Wait until no attempt runs."""
        await self._none_runs.wait()

    @property
    def ids(self) -> KeysView[str]:
        """Ids of all tasks that this worker knows it owns."""
        return self._owned.keys()

    @property
    def cancellable(self) -> list[str]:
        """Ids of the tasks that are running and have not been cancelled."""
        return [entry.attempt.task_id for entry in self._running if not entry.cut_off]

    def of_task(self, task: asyncio.Task[object] | None) -> Running | None:
        """Find the attempt that an asyncio task belongs to. May be called in any thread."""
        if task is None:
            return None
        coroutine = task.get_coro()
        if isinstance(coroutine, contain.Contained):
            return coroutine.owner
        return next((entry for entry in list(self._owned.values()) if entry.runner is task), None)

    def by_queue(self, but: Running) -> dict[str, list[tuple[str, int]]]:
        """List task ids and attempt numbers by queue, except one. May be called in any thread."""
        found: dict[str, list[tuple[str, int]]] = {}
        for entry in list(self._owned.values()):
            if entry is not but:
                pairs = found.setdefault(entry.attempt.queue, [])
                pairs.append((entry.attempt.task_id, entry.attempt.number))
        return found

    def report_to(self, reports: Reports) -> None:
        """Hand over all outcomes. `answered` is called when Redis has answered."""
        self._reports = reports

    def start(self, attempt: Attempt) -> None:
        """Start an attempt. The caller has reserved its slot."""
        if attempt.alone:
            text = "runs alone: its task was running when workers were lost, %d times"
            log_about(logger, logging.WARNING, attempt, text, attempt.losses)
        entry = Running(attempt, self._torn_down, self._on_exit, self._progress)
        self._owned[attempt.task_id] = entry
        if not self._running:
            self._none_runs.clear()
        self._running[entry] = None
        # Bypasses the loop's task factory, which is for the tasks that attempts start.
        entry.runner = asyncio.Task(self._run(entry), loop=self._loop, name=attempt.task_id)

    def answered(self, attempt: Attempt, ack: Ack) -> None:
        """Forget an attempt, because Redis has answered its report."""
        entry = self._owned.get(attempt.task_id)
        if entry is not None and entry.attempt is attempt:
            del self._owned[attempt.task_id]
        if not self._owned:
            self._on_idle()
        if not ack.recorded:
            log_refusal(attempt, ack)

    def cancel(self, task_id: str, number: int) -> None:
        """Cancel an attempt on request, if it runs here."""
        entry = self._owned.get(task_id)
        if entry is not None and entry.attempt.number == number and entry.outcome is None:
            self._cancel(entry, Aborted(), "on request")

    async def cut_off(self, meaning: Outcome, why: str) -> None:
        """Cancel all attempts, and leave behind those that do not end in `CLEAN_UP_SECONDS`.

        Args:
            meaning: outcome of each attempt that ends by this.
            why: the reason, for the log: `because …`.
        """
        rest = [entry for entry in self._running if entry.runner and not entry.runner.done()]
        for entry in rest:
            self._cancel(entry, meaning, why)
        tasks = [entry.runner for entry in rest if entry.runner is not None]
        if tasks:
            number = len(tasks)
            what = "the attempt that is" if number == 1 else f"the {number} attempts that are"
            logger.warning("cutting off %s still running, %s", what, why)
            await asyncio.wait(tasks, timeout=CLEAN_UP_SECONDS)
        for entry in list(self._running):
            if entry.runner is not None and entry.runner.done():  # cancelled before its first line
                self._free(entry)
                self._ended(entry, meaning)
            else:
                self._leave(entry, meaning)

    async def look_after(self) -> None:
        """Cancel overdue attempts a second time, and then leave them behind.

        This runs until it is cancelled.
        """
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = time.monotonic()
            for entry in list(self._running):
                if entry.end_by is not None and now > entry.end_by:
                    self._look_at(entry, now - entry.end_by)

    async def _run(self, entry: Running) -> None:
        entry.begun = True
        contain.current.set(entry)
        outcome: Outcome | None = None
        try:
            outcome = entry.cut_off or await self._executor.run(entry)
        except BaseException as error:  # noqa: BLE001 - our own bug must not lose the attempt
            # It also comes here if it is cancelled while its hooks run.
            outcome = entry.outcome or entry.meaning or self._executor.judge(entry, error)
        entry.end_progress()
        if entry.left:
            self._leftovers.discard(entry)
            entry.runner = entry.context = None  # see below
            text = "has ended, after it was left behind"
            log_about(logger, logging.WARNING, entry.attempt, text)
            return
        self._free(entry)
        self._ended(entry, outcome)
        # Both refer to the attempt: the context of the asyncio task, and that of the job, which
        # sends progress. Break the cycles, so that nothing waits for the garbage collector.
        entry.runner = entry.context = None

    def _free(self, entry: Running) -> None:
        """Free the slot of an attempt."""
        self._running.pop(entry, None)
        self.slots.freed()
        if not self._running:
            self._none_runs.set()

    def _ended(self, entry: Running, outcome: Outcome) -> None:
        """Count and log the end of an attempt, and hand its outcome to the finisher."""
        entry.ended = True
        if entry.cut_off is not None and isinstance(outcome, Succeeded):
            text = "was cancelled %s, but its job caught the CancelledError and returned: the "
            text += "returned value is its result"
            log_about(logger, logging.WARNING, entry.attempt, text, entry.cut_off_why)
        attempt, ran = entry.attempt, time.monotonic() - entry.started
        counts = entry.counts
        if counts is None:  # its task was not decoded
            counts = self._counters.start(attempt.queue, codec.function_name_of(attempt.payload))
        counts.end(outcome, attempt.waited_ms, ran)
        log_end(attempt, outcome, ran)
        assert self._reports is not None
        self._reports.put(attempt, outcome)

    # --- cancelling ---

    @staticmethod
    def _cancel(entry: Running, meaning: Outcome, why: str) -> None:
        if entry.cut_off is not None or entry.runner is None:
            return
        entry.cut_off, entry.cut_off_why = meaning, why
        if entry.outcome is None:  # otherwise its job has ended, and its hooks have a deadline
            entry.end_by = time.monotonic()
        # An attempt that has not begun checks `cut_off` itself. One that the shutdown of the event
        # loop has already cancelled is not cancelled again, because it may clean up.
        if entry.begun and not (entry.torn_down() and entry.runner.cancelling()):
            entry.runner.cancel()

    def _look_at(self, entry: Running, overdue: float) -> None:
        """Cancel an attempt again, or leave it behind, depending on how long it is overdue."""
        in_hooks = entry.outcome is not None
        patience = 0.0 if in_hooks else CLEAN_UP_SECONDS
        if entry.reminders == 0 and overdue >= patience:
            entry.reminders = 1
            if in_hooks:
                text = "its after_task hooks do not end: cancelling them"
            else:
                text = f"was cancelled {overdue:.0f} s ago and is still running: cancelling again"
            log_about(logger, logging.WARNING, entry.attempt, text)
            if entry.runner is not None:
                entry.runner.cancel()
        elif entry.reminders and overdue >= patience + CLEAN_UP_SECONDS:
            self._leave(entry, self._outcome_of(entry, overdue))

    def _outcome_of(self, entry: Running, overdue: float) -> Outcome:
        """Decide the outcome of an attempt that is left behind."""
        known = entry.outcome or entry.cut_off
        if known is not None:
            return known
        return self._executor.judge(
            entry,
            TimedOut(f"still running {overdue:.0f} s after its timeout, though cancelled twice"),
        )

    def _leave(self, entry: Running, outcome: Outcome) -> None:
        """Report the attempt and free its slot, although its asyncio task is still running."""
        self._leftovers.add(entry)
        self._counters.left_attempts += 1
        text = "does not end although it was cancelled: it is left behind, and its slot is free "
        text += "again (%d such attempts now)"
        log_about(logger, logging.ERROR, entry.attempt, text, len(self._leftovers))
        self._free(entry)
        self._ended(entry, entry.outcome or outcome)

    def _on_exit(self, entry: Running, error: BaseException) -> None:
        """Fail an attempt, because one of its tasks raised SystemExit or KeyboardInterrupt."""
        if entry.ended or entry.left or entry.outcome:
            text = "ignoring %s in a task that the ended attempt left in the event loop"
            kind = type(error).__name__
            log_about(logger, logging.ERROR, entry.attempt, text, kind, error=error)
            return
        why = f"because one of its tasks raised {type(error).__name__}"
        self._cancel(entry, self._executor.judge(entry, error), why)
