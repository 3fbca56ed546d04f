"""The log of a program that has set up none: lines on standard error.

A worker writes a line per attempt, thousands a second. So a line is put together with as little
work as `logging` allows.

Texts of others end up in messages: of Redis, of jobs' exceptions, of the API server. A terminal
obeys control characters, and a line break makes one line look like two. So both formatters, the
operator's too, make them visible, indent what follows a line break, and cut what is too long.
"""

from __future__ import annotations

import logging
import re
from typing import Any, Final

LINE: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"

MOST_CHARACTERS: Final = 16_384
"""Of a message; an exception may have four times as many."""
_CONTROLS: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f"  # C0 without the line break, DEL, C1
    "\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"  # separators, and what turns the direction
    "\ud800-\udfff]"
)


def clean(text: str, most: int = MOST_CHARACTERS, line_break: str = "\n    ") -> str:
    """Make a text of somebody else's harmless to print.

    Args:
        text: to be shown.
        most: characters; what is longer is cut in the middle.
        line_break: what a line break becomes.
    """
    text = _cut(text, most)
    if text.isprintable():
        return text
    lines = text.replace("\r\n", "\n").split("\n")
    return _cut(line_break.join(_CONTROLS.sub(_visible, line) for line in lines), most)


def _cut(text: str, most: int) -> str:
    half = (most - 3) // 2
    return text if len(text) <= most else f"{text[:half]} … {text[-half:]}"


def _visible(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]


class LineFormatter(logging.Formatter):
    """A formatter that reads the clock on the wall once a second: that is a third of its work."""

    def __init__(self, line: str = LINE) -> None:
        super().__init__(line)
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

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Give the line, without what follows it."""
        if not record.message.isprintable() or len(record.message) > MOST_CHARACTERS:
            record.message = clean(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """Give the traceback, indented."""
        return "    " + clean(super().formatException(ei), 4 * MOST_CHARACTERS)


def set_up(level: str | int) -> None:
    """Log to standard error from this level on, unless handlers are there already."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level, handlers=[handler])
