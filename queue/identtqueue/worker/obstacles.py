"""Obstacles: conditions under which a worker takes no tasks, although its queues have some.

There are four, and each is put by the part that meets it:

- Too many threads were left behind by jobs that were cut off (`threads`).
- Too many attempts were left behind (`leftovers`).
- A thread or a process can't be started (`not_started`, below).
- Too many results wait to be recorded in Redis (`finish`).

No task is charged for an obstacle. While there is one, the worker claims nothing and leaves the
tasks to other workers. The log and /readyz give the reason.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Final

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0
"""Pause between two tries to start a thread or a process. It doubles from the first value up to
this one."""

CALM_SECONDS: Final = 5.0
"""How long after such a pause the log says that tasks are taken again, unless a thread or a process
starts earlier. If another start fails before that, it never says so."""

START: Final = "start"
"""Name of the obstacle that a thread or a process can't be started."""


class CannotStart(Exception):
    """No thread or process can be started for an attempt. Its task is not charged."""


class Obstacles:
    """Obstacles of one worker.

    They are changed in its event loop only. `text` and `text_of` may be read in any thread.
    """

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._none = asyncio.Event()
        self._none.set()
        self._unsaid: dict[str, asyncio.TimerHandle] = {}
        self._failed_starts = 0
        self._said_no = False  # the last log line says that no tasks are taken
        self._calm: asyncio.TimerHandle | None = None  # will call `_say_yes`

    def __bool__(self) -> bool:
        return bool(self._texts)

    @property
    def text(self) -> str | None:
        """Why this worker takes no tasks, for the probes; None: no obstacle to report yet."""
        said = [text for name, text in list(self._texts.items()) if name not in self._unsaid]
        return "; ".join(said) or None

    def text_of(self, name: str) -> str | None:
        """Return the text of one obstacle; None: there is no such obstacle."""
        return self._texts.get(name)

    async def gone(self) -> None:
        """Wait until there is no obstacle."""
        await self._none.wait()

    def put(
        self, name: str, text: str, detail: str = "", *, quiet_for_seconds: float = 0.0
    ) -> None:
        """Take no more tasks until this obstacle is removed.

        Args:
            name: name by which `remove` finds it.
            text: description for the log and the probes.
            detail: further details for the log alone.
            quiet_for_seconds: time before it is mentioned in the log and the probes. An obstacle
                that is removed earlier is never mentioned.
        """
        if name not in self._texts and quiet_for_seconds:
            loop = asyncio.get_running_loop()
            self._unsaid[name] = loop.call_later(quiet_for_seconds, self._say, name, detail)
        elif name not in self._texts:
            self._say_no(text, detail)
        self._texts[name] = text
        self._none.clear()

    def remove(self, name: str) -> None:
        """Take tasks again, if that was the last obstacle."""
        text, unsaid = self._texts.pop(name, None), self._unsaid.pop(name, None)
        if unsaid is not None:
            unsaid.cancel()
        if text is None or self._texts:
            return
        self._none.set()
        if name != START:
            self._say_yes()
        elif self._calm is None:  # the next try may fail as well
            self._calm = asyncio.get_running_loop().call_later(CALM_SECONDS, self._say_yes)

    def _say(self, name: str, detail: str) -> None:
        del self._unsaid[name]
        self._say_no(self._texts[name], detail)

    def _say_no(self, text: str, detail: str) -> None:
        if self._calm is not None:
            self._calm.cancel()
            self._calm = None
        what = "still taking no tasks" if self._said_no else "taking no more tasks"
        logger.warning("%s: %s%s", what, text, detail and f": {detail}")
        self._said_no = True

    def _say_yes(self) -> None:
        if self._calm is not None:
            self._calm.cancel()
            self._calm = None
        if self._said_no and not self._texts:
            self._said_no = False
            logger.warning("taking tasks again")

    def not_started(self, error: CannotStart) -> None:
        """Pause because a thread or a process did not start; longer with each failure in a row."""
        if START in self._texts:  # all attempts of one claim fail together
            return
        self._failed_starts += 1
        longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (self._failed_starts - 1))
        pause = longest * random.uniform(0.5, 1.0)
        self.put(START, f"{error}; trying again in {pause:.1f} s")
        asyncio.get_running_loop().call_later(pause, self.remove, START)

    def started(self) -> None:
        """Note that a thread or a process has started."""
        if self._failed_starts:
            self._failed_starts = 0
            self._say_yes()
