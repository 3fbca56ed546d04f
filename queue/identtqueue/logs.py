"""Log lines of a program that has set up no logging: text, JSON or logfmt on standard error.

A worker writes a line per attempt, thousands per second. So a line is formatted with as little
work as `logging` allows.

Messages contain texts from outside: from Redis, from exceptions of jobs, from the API server. A
terminal obeys control characters, and a line break makes one entry look like two. So these
formatters make control characters visible and cut texts that are too long.

The names of the fields are part of the interface. docs/logs.md lists them.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Callable, Collection, Mapping
from types import FunctionType
from typing import Any, Final, Literal

import msgspec

from identtqueue.log_stream import LineStream

LogFormat = Literal["text", "json", "logfmt"]
FORMATS: Final[tuple[LogFormat, ...]] = ("text", "json", "logfmt")

BASIC_FIELDS: Final = ("time", "level", "logger", "message", "exception")
"""Fields of each structured line, in this order; `exception` only if there is one."""

ATTEMPT_FIELDS: Final = ("task_id", "job", "queue", "attempt")
"""Fields of a record about an attempt, and of all records that the code of its job logs."""

END_FIELDS: Final = ("outcome", "waited_seconds", "ran_seconds", "error")
"""Further fields of the last record about an attempt; `error` only if it failed."""

LINE: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"

MOST_CHARACTERS: Final = 16_384
"""Upper bound for a message; a traceback may be four times as long."""
_CONTROLS: Final = (
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
    return _cut(line_break.join(re.sub(_CONTROLS, _visible, line) for line in lines), most)


def _cut(text: str, most: int) -> str:
    half = (most - 3) // 2
    return text if len(text) <= most else f"{text[:half]} … {text[-half:]}"


def _visible(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]


class LineFormatter(logging.Formatter):
    """A formatter that keeps the text of the last time, which saves a third of its work."""

    def __init__(self, line: str = LINE) -> None:
        super().__init__(line)
        self.is_default = line == LINE
        self._second: tuple[int, str] = (-1, "")
        self._ms: tuple[int, str] = (-1, "")

    def line(self, level: str, name: str, message: str, foreign: str | None = None) -> str:
        """Return the default line of a record of now, with its line break.

        It is what `format` makes of a record without traceback. Making the record would cost more
        than the line.

        Args:
            level: name of the level.
            name: name of the logger.
            message: the message.
            foreign: the part of the message that comes from outside, and so may have characters
                that can't be printed; None: all of it.
        """
        now_ms = int(time.time() * 1000)
        ms, text = self._ms  # one value: threads may format at the same time
        if now_ms != ms:
            text = self._time(now_ms)
            self._ms = (now_ms, text)
        doubtful = message if foreign is None else foreign
        if not doubtful.isprintable() or len(message) > MOST_CHARACTERS:
            message = clean(message)
        return f"{text} {level} {name}: {message}\n"

    def _time(self, ms: int) -> str:
        """Return a time in the default form of `logging`."""
        seconds, rest = divmod(ms, 1000)
        second, text = self._second
        if seconds != second:
            text = time.strftime(self.default_time_format, self.converter(seconds))
            self._second = (seconds, text)
        return f"{text},{rest:03d}"

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


_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}
"""Attributes that every record has. The others are fields that the caller has added (`extra`)."""

_sources: Final[list[Callable[[], Mapping[str, Any]]]] = []


def add_source(source: Callable[[], Mapping[str, Any]]) -> None:
    """Add a function that tells the fields of the attempt whose code is running.

    Args:
        source: returns the fields; empty outside an attempt.
    """
    _sources.append(source)


def attempt_fields() -> dict[str, Any]:
    """Return the fields of the attempt whose code calls this; empty outside an attempt.

    They are `task_id`, `job`, `queue` and `attempt`. Use this to add them to lines of another
    logging library, or to traces.
    """
    found: dict[str, Any] = {}
    for source in _sources:
        found.update(source())
    return found


class AttemptFields(logging.Filter):
    """A filter that adds the fields of the attempt to records which its job logs.

    For handlers of an application that sets up logging itself::

        "filters": {"attempt": {"()": "identtqueue.logs.AttemptFields"}}

    Outside an attempt the fields are empty, so that a format may name them.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields that the record does not have; let every record pass."""
        fields = dict.fromkeys(ATTEMPT_FIELDS, "") | attempt_fields()
        for name, value in fields.items():
            record.__dict__.setdefault(name, value)
        return True


class StructuredFormatter(logging.Formatter):
    """The base of the formatters that write a record as fields.

    Args:
        only: names of the fields of `extra` to write; None: all.
    """

    def __init__(self, only: Collection[str] | None = None) -> None:
        super().__init__()
        self._only = only
        self._second: tuple[int, str] = (-1, "")

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return the fields of a record: the basic ones, the attempt's, and those of `extra`."""
        message, exception = record.getMessage(), ""
        if hasattr(record, "outcome"):  # the worker puts the traceback of a job below the line
            message, _, exception = message.partition("\n")
        if record.exc_info:
            exception = self.formatException(record.exc_info)
        fields: dict[str, Any] = {
            "time": self._time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": clean(message, line_break="\n"),
        }
        fields |= attempt_fields()
        for name, value in record.__dict__.items():
            if name not in _STANDARD and (self._only is None or name in self._only):
                key = f"{name}_" if name in BASIC_FIELDS else name
                fields[key] = clean(value, line_break="\n") if isinstance(value, str) else value
        if exception:
            fields["exception"] = clean(exception, 4 * MOST_CHARACTERS, line_break="\n")
        return fields

    def _time(self, record: logging.LogRecord) -> str:
        """Return the time in UTC, as RFC 3339 has it, in ms."""
        second, text = self._second  # one value: threads may format at the same time
        if int(record.created) != second:
            second = int(record.created)
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = (second, text)
        return f"{text}.{int(record.msecs):03d}+00:00"


class JsonFormatter(StructuredFormatter):
    """A formatter that writes one JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        fields = self.fields(record)
        try:
            line = _encode(fields).decode()
        except (TypeError, ValueError, OverflowError, RecursionError):
            line = json.dumps({name: _plain(value) for name, value in fields.items()})
        # What is left stands in strings of the JSON text, so its escapes may stand there as well.
        return line if line.isprintable() else re.sub(_CONTROLS, _json_escape, line)


class LogfmtFormatter(StructuredFormatter):
    """A formatter that writes `name=value` pairs, with quotes where a value needs them."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        fields = self.fields(record)
        return " ".join(f"{_logfmt_key(name)}={_logfmt(value)}" for name, value in fields.items())


_encode: Final = msgspec.json.Encoder(enc_hook=str).encode
_BARE: Final = re.compile(r"[^\s\"=\\]+")


def _plain(value: Any) -> Any:
    """Return a value that JSON has, for one that has no JSON form: its text."""
    return value if isinstance(value, int | float | bool | None) else str(value)


def _json_escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _logfmt_key(name: str) -> str:
    return name if _BARE.fullmatch(name) and name.isprintable() else re.sub(r"[^\w.-]", "_", name)


def _logfmt(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = value if isinstance(value, str) else str(value)
    if _BARE.fullmatch(text) and text.isprintable():
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return quoted if quoted.isprintable() else re.sub(_CONTROLS, _json_escape, quoted)


def formatter(
    log_format: LogFormat, line: str = LINE, only: Collection[str] | None = None
) -> logging.Formatter:
    """Make the formatter of a format.

    Args:
        log_format: the format.
        line: line of the format `text`, in the style of `logging`.
        only: names of the fields of `extra` that the other formats write; None: all.
    """
    if log_format == "json":
        return JsonFormatter(only)
    return LogfmtFormatter(only) if log_format == "logfmt" else LineFormatter(line)


def is_configured() -> bool:
    """Return whether the application has set up logging: the root or this library has handlers."""
    return any(logging.getLogger(name).handlers for name in (None, "identtqueue"))


def set_up(level: str | int, log_format: LogFormat = "text") -> bool:
    """Log to standard error, unless the application has set up logging itself.

    Args:
        level: name or number of the lowest level to log.
        log_format: format of the lines.

    Returns:
        False if nothing was changed, since the application has set up logging.
    """
    if is_configured():
        return False
    handler = LineStream()
    handler.setFormatter(formatter(log_format))
    logging.basicConfig(level=level, handlers=[handler])
    return True


def only_stream(logger: logging.Logger, level: int) -> LineStream | None:
    """Return the default handler, if nothing else would see or change a record of this logger.

    Then a line may go there without a record. As soon as the application adds a handler, a filter
    or a record factory, or a tool replaces what calls the handlers (Sentry does), it may not.

    Args:
        logger: the logger, which is enabled for the level.
        level: level of the record.
    """
    root = logging.root
    if len(root.handlers) != 1:
        return None
    stream = root.handlers[0]
    if type(stream) is not LineStream or stream.filters or stream.level > level:
        return None
    if logging.getLogRecordFactory() is not logging.LogRecord:
        return None
    call = logging.Logger.callHandlers
    if type(call) is not FunctionType or call.__code__.co_filename != _CALLERS_FILE:
        return None
    place: logging.Logger | None = logger
    while place is not None and place is not root:
        if place.handlers or place.filters or not place.propagate:
            return None
        place = place.parent
    return stream


def default_formatter(stream: LineStream) -> LineFormatter | None:
    """Return the handler's formatter, if it writes the default line of the format `text`."""
    found = stream.formatter
    return found if type(found) is LineFormatter and found.is_default else None


_CALLERS_FILE: Final = logging.Logger.handle.__code__.co_filename
"""The file of the standard library that calls the handlers."""


def write_waiting() -> None:
    """Write the lines that wait in the default handler, unless another thread is writing."""
    for handler in logging.root.handlers:
        if isinstance(handler, LineStream):
            handler.flush_unless_busy()


if hasattr(os, "register_at_fork"):  # else the child would write the lines once more
    os.register_at_fork(before=write_waiting)
