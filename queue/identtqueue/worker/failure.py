"""An exception as the caller is shown it."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Final

from identtqueue.errors import (
    BadArguments,
    PayloadUndecodable,
    ProcessDied,
    ProcessNotStarted,
    TimedOut,
    UnknownJob,
)
from identtqueue.retry import class_name
from identtqueue.task import Failure

HOPELESS: Final = (UnknownJob, PayloadUndecodable, BadArguments)
"""Retrying in this worker would end the same way."""

_OUR_WORDS: Final = (*HOPELESS, TimedOut, ProcessDied, ProcessNotStarted)
"""A traceback adds nothing to them."""

_OURS: Final = str(Path(__file__).parent)


class RaisedElsewhere(Exception):
    """What was raised in the process of a job, as far as it can be told.

    Attributes:
        failure: as the caller is shown it.
        kinds: names of its class and that one's bases, for the retry policy.
        after_seconds: what a `Retry` asked for.
    """

    def __init__(
        self, failure: Failure, kinds: frozenset[str], after_seconds: float | None
    ) -> None:
        super().__init__(f"{failure.type}: {failure.message}\n\n{failure.traceback}".rstrip())
        self.failure = failure
        self.kinds = kinds
        self.after_seconds = after_seconds


def printable(text: str) -> str:
    """Without lone surrogates (from `os.fsdecode`, say), which no log or msgpack carries."""
    return text.encode("utf-8", "backslashreplace").decode()


def describe(error: BaseException) -> Failure:
    """Type, message and traceback; the worker's own frames above the job's are left out."""
    if isinstance(error, RaisedElsewhere):
        return error.failure
    try:
        message = printable(str(error))
    except Exception:  # noqa: BLE001 - a broken __str__ must not hide the failure
        message = "(its text can't be shown)"
    name = class_name(type(error))
    if isinstance(error, _OUR_WORDS):
        return Failure(name, message)
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OURS):
        frames = frames.tb_next
    lines = traceback.format_exception(type(error), error, frames)
    return Failure(name, message, printable("".join(lines)))
