"""The findings of checks."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class Level(enum.StrEnum):
    """How bad a finding is.

    Attributes:
        OK: it is as it should be.
        UNKNOWN: it could not be checked; the finding says why.
        WARNING: nothing is lost yet, but somebody should look at it.
        ERROR: tasks are lost, stand still, or will be lost.
    """

    OK = "ok"
    UNKNOWN = "unknown"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of a check.

    Attributes:
        check: name of the check.
        level: how bad it is.
        found: what was found.
        mend: the command, the setting or the page that mends it; empty if nothing has to be done.
        subject: the server, queue or worker that it is about; empty: the installation.
    """

    check: str
    level: Level
    found: str
    mend: str = ""
    subject: str = ""

    @property
    def is_bad(self) -> bool:
        """Whether somebody should do something about it."""
        return self.level in (Level.WARNING, Level.ERROR)


def many(number: int, noun: str) -> str:
    """Return a number with its noun, as in `1 task` and `2,000 tasks`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def bad_or_well(check: str, bad: Iterable[Finding], well: str) -> list[Finding]:
    """Return the bad findings of a check; if there are none, one that says that all is well.

    Args:
        check: name of the check.
        bad: the bad findings.
        well: what was found if there are none.
    """
    found = list(bad)
    return found or [Finding(check, Level.OK, well)]
