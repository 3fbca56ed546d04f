"""The exit codes of all commands, and the code of each error (docs/library/commands.md)."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click

from identtqueue.errors import (
    EmbeddedServerFailed,
    IdenttqueueError,
    InvalidInput,
    RedisError,
    RedisUnavailable,
    ResultTimeout,
    TaskNotFound,
)


class Exit(enum.IntEnum):
    """How a command ended, for scripts. The numbers do not change.

    Attributes:
        DONE: it did what it was asked, or showed what there is, also if that is nothing.
        FAILED: it failed or did only a part, a task that it waited for failed, or a check found a
            fault.
        USAGE: the command line is wrong, a value breaks a rule, or `--yes` is missing.
        NOTHING: there is no such task, worker or schedule, or nothing to act on.
        UNAVAILABLE: Redis cannot be reached, or is not ready. It may help to try again.
        REFUSED: Redis answers and refuses: the login, an ACL, its version, no memory left.
        LATE: a result did not come in the time that was given for it. The task goes on.
        INTERRUPTED: Ctrl-C. What was done until then is done.
    """

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOTHING = 3
    UNAVAILABLE = 4
    REFUSED = 5
    LATE = 6
    INTERRUPTED = 130


class CommandFailed(click.ClickException):
    """The end of a command that did not do what it was asked: one line on stderr, and a code.

    Args:
        message: what is wrong, and what to do about it.
        code: the exit code.
    """

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.exit_code = int(code)  # type: ignore[misc]  # click has it per class


_CODES: Final[tuple[tuple[type[IdenttqueueError], Exit], ...]] = (
    (InvalidInput, Exit.USAGE),
    (TaskNotFound, Exit.NOTHING),
    (RedisUnavailable, Exit.UNAVAILABLE),
    (EmbeddedServerFailed, Exit.UNAVAILABLE),
    (RedisError, Exit.REFUSED),
    (ResultTimeout, Exit.LATE),
)
"""The code of each kind of error; the first kind that fits counts."""


def code_of(error: IdenttqueueError) -> Exit:
    """Return the exit code of an error of this library."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.FAILED)


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Show an error of this library as one line on stderr, without a traceback.

    Raises:
        CommandFailed: an error of this library was raised inside.
    """
    try:
        yield
    except IdenttqueueError as error:
        raise CommandFailed(str(error), code_of(error)) from error
