"""The log of a program that has set up no logging: lines on standard error.

A worker writes a line per attempt, thousands per second. So a line is formatted with as little
work as `logging` allows.

Messages contain texts from outside: from Redis, from exceptions of jobs, from the API server. A
terminal obeys control characters, and a line break makes one entry look like two. So this formatter
and the operator's make control characters visible, indent the text after a line break, and cut
texts that are too long.
"""

from __future__ import annotations

import logging
import re
from typing import Any, Final

LINE: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"

MOST_CHARACTERS: Final = 16_384
"""Upper bound for a message; a traceback may be four times as long."""
_CONTROLS: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f"  # C0 without the line break, DEL, C1
    "\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"  # separators and changes of text direction
    "\ud800-\udfff]"
)


def clean(text: str, most: int = MOST_CHARACTERS, line_break: str = "\n    ") -> str:
    """Make a text from outside harmless to print.

    Args:
        text: the text to show.
        most: maximum number of characters; a longer text is cut in the middle.
        line_break: replacement for each line break.
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
    """A formatter that formats the time once per second, which saves a third of its work."""

    def __init__(self, line: str = LINE) -> None:
        super().__init__(line)
        self._second: tuple[int, str] = (-1, "")

    def formatTime(  # noqa: N802 - the name that `logging` calls
        self, record: logging.LogRecord, datefmt: str | None = None
    ) -> str:
        """Return the time in the default form of `logging`."""
        second, text = self._second  # one value: threads may format at the same time
        if int(record.created) != second:
            text = super().formatTime(record, datefmt or self.default_time_format)
            self._second = (int(record.created), text)
        return f"{text},{int(record.msecs):03d}"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return the line of a record, without its traceback."""
        if not record.message.isprintable() or len(record.message) > MOST_CHARACTERS:
            record.message = clean(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """Return the traceback, indented."""
        return "    " + clean(super().formatException(ei), 4 * MOST_CHARACTERS)


def set_up(level: str | int) -> None:
    """Log to standard error from this level on, unless handlers exist already.

    Args:
        level: name or number of the lowest level to log.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level, handlers=[handler])
