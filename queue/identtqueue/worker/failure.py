"""An exception as the caller is shown it."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

from identtqueue.errors import (
    BadArguments,
    PayloadUndecodable,
    ProcessDied,
    ProcessNotStarted,
    TimedOut,
    UnknownJob,
)
from identtqueue.retry import Kinds, class_name
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
        kinds: its classes, for the retry policy.
        after_seconds: what a `Retry` asked for.
        hopeless: another run would end the same way.
    """

    def __init__(
        self,
        failure: Failure,
        kinds: Kinds,
        after_seconds: float | None = None,
        *,
        hopeless: bool = False,
    ) -> None:
        super().__init__(f"{failure.type}: {failure.message}\n\n{failure.traceback}".rstrip())
        self.failure = failure
        self.kinds = kinds
        self.after_seconds = after_seconds
        self.hopeless = hopeless


def printable(text: str) -> str:
    """Escape lone surrogates (from `os.fsdecode`, say), which no log or msgpack carries."""
    return str.encode(text, "utf-8", "backslashreplace").decode()  # a subclass may have its own


def describe(error: BaseException) -> Failure:
    """Make of an error what its caller is shown; the worker's own frames are left out.

    Whatever the error's own methods do, this returns: they are a job's, and an attempt must end.
    Nothing here awaits, so no cancellation of ours can be mistaken for theirs.
    """
    kind = type(error)  # `isinstance` would ask its `__class__`
    if kind is RaisedElsewhere:
        return cast("RaisedElsewhere", error).failure
    name = _or_else(lambda: class_name(kind), "an exception")
    message = _or_else(lambda: str(error), "(its text can't be shown)")
    if issubclass(kind, _OUR_WORDS):
        return Failure(name, message)
    return Failure(name, message, _or_else(lambda: _traceback(error), ""))


def _or_else(make: Callable[[], str], otherwise: str) -> str:
    try:
        return printable(make())
    except BaseException:  # noqa: BLE001 - a `__str__` may raise anything, a CancelledError too
        return otherwise


def _traceback(error: BaseException) -> str:
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OURS):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames))
