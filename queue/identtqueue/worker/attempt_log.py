"""The worker's log records about attempts.

Every record about an attempt carries the same fields (`extra` of the logging module), so that logs
can be searched by field. The names of the fields are part of the interface: see docs/logs.md.
"""

from __future__ import annotations

import asyncio
import logging
from functools import lru_cache
from typing import Any, Final

from identtqueue import logs
from identtqueue.log_stream import LineStream
from identtqueue.protocol import codec
from identtqueue.protocol.answers import Ack
from identtqueue.task import Attempt, Failure
from identtqueue.worker import contain
from identtqueue.worker.context import Context
from identtqueue.worker.outcome import Outcome

logger = logging.getLogger("identtqueue.worker")

LONGEST_TRACEBACK: Final = 16_000
"""Longest traceback in a log record, in characters. A longer one loses its middle. The task's
failure keeps more of it."""


def fields_of(attempt: Attempt) -> dict[str, Any]:
    """Return the fields of a log record about an attempt."""
    return {
        "task_id": attempt.task_id,
        "job": codec.function_name_of(attempt.payload),
        "queue": attempt.queue,
        "attempt": attempt.number,
    }


def fields_of_context(context: Context) -> dict[str, Any]:
    """Return the same fields, from the context that the attempt's job was handed."""
    return {
        "task_id": context.task_id,
        "job": context.function_name,
        "queue": context.queue,
        "attempt": context.attempt,
    }


def _fields_of_running_code() -> dict[str, Any]:
    running = contain.current.get()
    return {} if running is None else fields_of(running.attempt)


logs.add_source(_fields_of_running_code)  # for what a job logs itself


def log_about(
    where: logging.Logger,
    level: int,
    attempt: Attempt,
    text: str,
    *arguments: object,
    error: BaseException | None = None,
) -> None:
    """Log a line about an attempt, with its fields.

    Args:
        where: logger of the calling module.
        level: level of the record.
        attempt: the attempt.
        text: rest of the message after `<task id> attempt <number>: `, with placeholders.
        arguments: values of the placeholders.
        error: exception whose traceback is logged too.
    """
    where.log(
        level,
        "%s attempt %d: " + text,
        *(attempt.task_id, attempt.number, *arguments),
        exc_info=error,
        extra=fields_of(attempt),
        stacklevel=2,
    )


def log_end(attempt: Attempt, outcome: Outcome, ran_seconds: float) -> None:
    """Log how an attempt ended: INFO, or WARNING if it may run again, or ERROR if it is dead.

    This is called once per attempt, in the event loop. With the default log, the line joins the
    others of this turn of the loop, and no record is made. Any other set-up gets a record.
    """
    level = outcome.log_level
    if not logger.isEnabledFor(level):
        return  # building the record costs as much as a short job
    failure = outcome.failure
    waited, ran = _seconds(attempt.waited_ms), _seconds(round(ran_seconds * 1000))
    text = (
        f"{attempt.task_id} attempt {attempt.number} {outcome.name}: waited {waited} s, ran {ran} s"
    )
    stream = logs.only_stream(logger, level) if failure is None else None
    if stream is not None and (formatter := logs.default_formatter(stream)) is not None:
        name = logging.getLevelName(level)
        _put(stream, formatter.line(name, logger.name, text, foreign=attempt.task_id))
        return
    fields = fields_of(attempt) | {
        "outcome": outcome.name,
        "waited_seconds": attempt.waited_ms / 1000,
        "ran_seconds": round(ran_seconds, 3),
    }
    if failure is not None:
        fields["error"] = failure.type
    _log(level, text + _reason(failure), fields)


@lru_cache(maxsize=1024)
def _seconds(ms: int) -> str:
    """Return milliseconds as a number of seconds. Attempts of one turn often share it."""
    return f"{ms / 1000:.3f}"


def log_refusal(attempt: Attempt, ack: Ack) -> None:
    """Log that Redis refused the report of an attempt, because this worker lost the task."""
    _log(
        logging.WARNING,
        f"{attempt.task_id} attempt {attempt.number}: the report was refused "
        f"({ack.name.lower()}): the task no longer belongs to this worker",
        fields_of(attempt),
    )


def _record(level: int, text: str, fields: dict[str, Any]) -> logging.LogRecord:
    """Make a record as `Logger.log` does, in half the time.

    The caller is not looked up, because it is always this module. If the application's record
    factory has already set one of the fields, it is overwritten. `logging` would raise instead.
    """
    make = logging.getLogRecordFactory()
    record = make(logger.name, level, __file__, 0, text, (), None, "log_end")
    record.__dict__.update(fields)
    return record


def _reason(failure: Failure | None) -> str:
    """Format the failure as one line, followed by the lines of its traceback."""
    if failure is None:
        return ""
    message = " ".join(failure.message[:500].split())
    line = f": {failure.type}: {message}" if message else f": {failure.type}"
    text = failure.traceback.rstrip()
    if len(text) > LONGEST_TRACEBACK:
        half = LONGEST_TRACEBACK // 2  # keep the outermost frames and the exception itself
        text = f"{text[:half]}\n…\n{text[-half:]}"
    return f"{line}\n{text}" if text else line


def _put(stream: LineStream, line: str) -> None:
    """Let a line wait for the others of this turn of the event loop.

    The flush comes before the finisher wakes up and sends the reports of these attempts.
    """
    if stream.put(line):
        asyncio.get_running_loop().call_soon(stream.flush)


def _log(level: int, text: str, fields: dict[str, Any]) -> None:
    """Log a record, and survive an error in the application's logging.

    A filter or a record factory of the application may raise. The attempt must still be reported.
    """
    try:
        if not logger.isEnabledFor(level):
            return
        record, stream = _record(level, text, fields), logs.only_stream(logger, level)
        if stream is None:
            logger.handle(record)
        else:
            _put(stream, stream.format(record) + stream.terminator)
    except Exception as error:  # noqa: BLE001 - see above
        if logging.lastResort is not None:
            broken = f"logging is broken ({type(error).__name__}): {text}"
            logging.lastResort.handle(logging.makeLogRecord({"msg": broken, "levelno": level}))
