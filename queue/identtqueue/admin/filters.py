"""The filter of a list of tasks, and the one parser of its words, wherever users write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from identtqueue.bounds import is_number
from identtqueue.errors import InvalidInput
from identtqueue.task import State

LONGEST_WORD: Final = 512
"""Upper bound for the characters of a condition. Redis compares it with each task."""

_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")

_NAMES: Final = {
    "job": "job",
    "id": "id_prefix",
    "tag": "tag",
    "error": "error",
    "text": "text",
    "worker": "worker",
    "state": "state",
    "older": "older_than_seconds",
    "since": "newer_than_seconds",
}
"""The words that users write, and the fields that they set."""

_ALSO: Final = {"newer": "since", "id_prefix": "id"} | {
    field: word for word, field in _NAMES.items() if field.endswith("_seconds")
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Conditions for tasks in a list. All of them must hold; without any, every task matches.

    Attributes:
        job: name of the job.
        id_prefix: beginning of the id, with the queue or without.
        tag: one of the task's tags.
        error: type of the last failure, such as `ValueError` or `httpx.ReadTimeout`. A name
            without a module matches that class of any module.
        text: text in the arguments, as it stands in the payload in UTF-8; numbers are not text.
            The arguments of jobs that hide some are not searched.
        worker: a worker incarnation, or the name of a pod or host. It matches the last owner and
            those of earlier attempts.
        state: the state, for `Place.ENDED`.
        older_than_seconds, newer_than_seconds: bounds for the age, counted from the time of the
            place (`TaskRow.since_ms`).

    Raises:
        InvalidInput: a condition is empty, too long, or of a wrong type.
    """

    job: str | None = None
    id_prefix: str | None = None
    tag: str | None = None
    error: str | None = None
    text: str | None = None
    worker: str | None = None
    state: State | None = None
    older_than_seconds: float | None = None
    newer_than_seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("job", "id_prefix", "tag", "error", "text", "worker"):
            value = getattr(self, name)
            if value is not None and not (
                isinstance(value, str) and 0 < len(value) <= LONGEST_WORD
            ):
                raise InvalidInput(f"{name}={value!r}: must be 1 to {LONGEST_WORD} characters")
        if self.state is not None and not isinstance(self.state, State):
            raise InvalidInput(f"state={self.state!r}: must be a State")
        for name in ("older_than_seconds", "newer_than_seconds"):
            value = getattr(self, name)
            if not (value is None or is_number(value)):
                raise InvalidInput(f"{name}={value!r}: must be a number, at most 100 years")

    @classmethod
    def parse(cls, words: Mapping[str, str]) -> Filter:
        """Make a filter of the words that a user wrote. Empty values count as not given.

        Args:
            words: any of `job`, `id`, `tag`, `error`, `text`, `worker`, `state`, `older` and
                `since`, with their values. The last two are durations: `90s`, `15m`, `2h30m`, `7d`,
                or a number of seconds.

        Raises:
            InvalidInput: a word or a value is not allowed; the message says what is.
        """
        found: dict[str, Any] = {}
        for given, value in words.items():
            if value == "":
                continue
            word = _ALSO.get(given, given)
            name = _NAMES.get(word)
            if name is None:
                raise InvalidInput(f"there is no filter {given!r}: give any of {', '.join(_NAMES)}")
            if name in found:
                raise InvalidInput(f"the filter {word!r} is given twice")
            found[name] = _value(word, name, value)
        return cls(**found)

    def words(self) -> dict[str, str]:
        """Return the words that `parse` makes this filter of, for a URL or a message."""
        given = ((word, getattr(self, name)) for word, name in _NAMES.items())
        return {
            word: f"{value:g}s" if isinstance(value, int | float) else str(value)
            for word, value in given
            if value is not None
        }

    def __bool__(self) -> bool:
        """Return whether there is any condition."""
        return any(getattr(self, field.name) is not None for field in fields(self))

    def __str__(self) -> str:
        """Return the conditions in one line; "everything": there are none."""
        return " ".join(f"{word}={value}" for word, value in self.words().items()) or "everything"


def _value(word: str, name: str, text: str) -> Any:
    if name == "state":
        if text not in set(State):
            raise InvalidInput(f"state={text!r}: must be one of {', '.join(State)}")
        return State(text)
    return parse_duration(word, text) if name.endswith("_seconds") else text


def parse_duration(what: str, text: str) -> float:
    """Parse a duration: `90s`, `15m`, `2h30m`, `7d`, or a number of seconds.

    Args:
        what: name of the value, for the error.
        text: the duration.

    Raises:
        InvalidInput: it is no duration.
    """
    seconds = None
    if _DURATION.fullmatch(text):
        seconds = sum(float(n) * _UNIT_SECONDS[unit] for n, unit in _DURATION_PART.findall(text))
    elif re.fullmatch(r"\d+(\.\d+)?", text):
        seconds = float(text)
    if seconds is None or not is_number(seconds):
        raise InvalidInput(
            f"{what}={text!r}: must be a duration such as 90s, 15m, 2h30m or 7d, at most 100 years"
        )
    return seconds
