"""Exceptions of jobs as plain data, in the form that callers see."""

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
"""Errors that a retry in this worker would only repeat."""

_OUR_WORDS: Final = (*HOPELESS, TimedOut, ProcessDied, ProcessNotStarted)
"""Errors of this library whose message is enough: their traceback is left out."""

_HERE: Final = Path(__file__).parent
_OURS: Final = (str(_HERE), str(_HERE.parent / "django"))
"""The folders whose frames say nothing about an error of a job."""


class RaisedElsewhere(Exception):
    """An exception that was raised in a process for jobs, in the worker's process.

    The exception itself does not cross the process boundary, only a description of it.

    Attributes:
        failure: type, message and traceback, in the form that the caller sees.
        kinds: its classes, for the retry policy.
        after_seconds: delay that a `Retry` asked for; None: none.
        hopeless: whether another run would end the same way.
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
    """Escape lone surrogates (from `os.fsdecode`, say), which logs and msgpack cannot encode."""
    # `str.encode`, because a subclass may override the method.
    return str.encode(text, "utf-8", "backslashreplace").decode()


def describe(error: BaseException) -> Failure:
    """Describe an error in the form that the caller sees, without the worker's own frames.

    The error's methods are user code and may raise anything. This function returns nevertheless,
    because the attempt must get an outcome. Nothing here awaits, so a CancelledError caught here
    comes from the error's methods and never from the worker.
    """
    kind = type(error)  # `isinstance` would use the error's own `__class__`
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
    except BaseException:  # noqa: BLE001 - `__str__` may raise anything, even a CancelledError
        return otherwise


def _traceback(error: BaseException) -> str:
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OURS):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames))
