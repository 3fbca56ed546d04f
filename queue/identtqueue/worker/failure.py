"""An exception as the caller is shown it."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Final

from identtqueue.errors import BadArguments, PayloadUndecodable, ProcessDied, TimedOut, UnknownJob
from identtqueue.task import Failure

HOPELESS: Final = (UnknownJob, PayloadUndecodable, BadArguments)
"""Retrying in this worker would end the same way."""

_OURS: Final = str(Path(__file__).parent)


def describe(error: BaseException) -> Failure:
    """Type, message and traceback; the worker's own frames above the job's are left out."""
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - a broken __str__ must not hide the failure
        message = "(its text can't be shown)"
    kind = type(error)
    if isinstance(error, (*HOPELESS, TimedOut, ProcessDied)):
        return Failure(full_name(kind), message)  # our own words; a traceback adds nothing
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OURS):
        frames = frames.tb_next
    text = "".join(traceback.format_exception(kind, error, frames))
    return Failure(full_name(kind), message, text)


def full_name(kind: type) -> str:
    """`module.Class`, the builtins' without their module."""
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"
