"""What keeps a worker from taking tasks while its queues have some.

Three things do: too many threads or attempts that were cut off and left behind, a thread or a
process that can't be started, and too many results that Redis has not got yet. No task is to blame
for them, so none is charged. While there is an obstacle, the worker claims nothing, says so in the
log and in /readyz, and leaves the tasks to others.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Final

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0
"""Between two tries to start a thread or a process: doubled from the one up to the other."""


class CannotStart(Exception):
    """There is no thread or no process for an attempt, for a reason that is not its task's."""


class Obstacles:
    """The obstacles of one worker. Changed in its event loop; `text` may be read in any thread."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._none = asyncio.Event()
        self._none.set()
        self._unsaid: dict[str, asyncio.TimerHandle] = {}
        self._failed_starts = 0

    def __bool__(self) -> bool:
        return bool(self._texts)

    @property
    def text(self) -> str | None:
        """What keeps this worker from taking tasks; None: nothing that would have to be said."""
        said = [text for name, text in list(self._texts.items()) if name not in self._unsaid]
        return "; ".join(said) or None

    def text_of(self, name: str) -> str | None:
        """The text of one obstacle; None: it is not there."""
        return self._texts.get(name)

    async def gone(self) -> None:
        """Return when there is none."""
        await self._none.wait()

    def put(
        self, name: str, text: str, detail: str = "", *, quiet_for_seconds: float = 0.0
    ) -> None:
        """Take no more tasks until this obstacle is removed.

        Args:
            name: for `remove`.
            text: for the log and the probes.
            detail: for the log alone.
            quiet_for_seconds: an obstacle that is gone by then is not mentioned anywhere.
        """
        if name not in self._texts and quiet_for_seconds:
            loop = asyncio.get_running_loop()
            self._unsaid[name] = loop.call_later(quiet_for_seconds, self._say, name, detail)
        elif name not in self._texts:
            self._log(text, detail)
        self._texts[name] = text
        self._none.clear()

    def remove(self, name: str) -> None:
        """Take tasks again, if that was the last obstacle."""
        text, unsaid = self._texts.pop(name, None), self._unsaid.pop(name, None)
        if unsaid is not None:
            unsaid.cancel()
        if text is not None and not self._texts:
            if unsaid is None:
                logger.warning("taking tasks again")
            self._none.set()

    def _say(self, name: str, detail: str) -> None:
        del self._unsaid[name]
        self._log(self._texts[name], detail)

    @staticmethod
    def _log(text: str, detail: str) -> None:
        logger.warning("taking no more tasks: %s%s", text, detail and f": {detail}")

    def not_started(self, error: CannotStart) -> None:
        """Pause, longer with each failure in a row, because a thread or a process did not start."""
        if "start" in self._texts:  # attempts of one claim fail together
            return
        self._failed_starts += 1
        longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (self._failed_starts - 1))
        pause = longest * random.uniform(0.5, 1.0)
        self.put("start", f"{error}; trying again in {pause:.1f} s")
        asyncio.get_running_loop().call_later(pause, self.remove, "start")

    def started(self) -> None:
        """Note that a thread or a process has started."""
        self._failed_starts = 0
