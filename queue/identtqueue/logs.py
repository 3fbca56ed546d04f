"""The log of a program that has set up none: lines on standard error.

A worker writes a line per attempt, thousands a second. So a line is put together with as little
work as `logging` allows.
"""

from __future__ import annotations

import logging
from typing import Final

LINE: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class LineFormatter(logging.Formatter):
    """A formatter that reads the clock on the wall once a second: that is a third of its work."""

    def __init__(self) -> None:
        super().__init__(LINE)
        self._second: tuple[int, str] = (-1, "")

    def formatTime(  # noqa: N802 - so `logging` calls it
        self, record: logging.LogRecord, datefmt: str | None = None
    ) -> str:
        """Give the time as `logging` does by default."""
        second, text = self._second  # one value: threads may format at the same time
        if int(record.created) != second:
            text = super().formatTime(record, datefmt or self.default_time_format)
            self._second = (int(record.created), text)
        return f"{text},{int(record.msecs):03d}"


def set_up(level: str | int) -> None:
    """Log to standard error from this level on, unless handlers are there already."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level, handlers=[handler])
