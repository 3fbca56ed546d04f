"""The plan of an operator: an act and its tasks, as a form says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

from identtqueue.admin import Act, Filter, Place
from identtqueue.admin.acts import PLACES
from identtqueue.admin.filters import parse_duration
from identtqueue.errors import InvalidInput
from identtqueue.task import check_queue_name, queue_of

WORDS: Final = ("job", "error", "tag", "text", "id", "worker", "state", "since", "older")
"""The conditions of a filter, in the order in which a form shows them."""
TASK: Final = "task"
"""Name of the field with a task that was selected."""
MOST_IDS: Final = 1_000
"""Tasks that a form can name by their ids."""


@dataclass(frozen=True, slots=True)
class Choice:
    """An act that can be chosen for tasks.

    Attributes:
        act: the act.
        title: what a button says: "Replay".
        done: what was done to the tasks: "replayed".
        destroys: whether something is lost by it.
        text: what happens to the tasks, in a sentence.
    """

    act: Act
    title: str
    done: str
    text: str
    destroys: bool = False

    @property
    def name(self) -> str:
        """The act, as a form sends it."""
        return self.act.value


CHOICES: Final = (
    Choice(
        Act.REPLAY,
        "Replay",
        "replayed",
        "Each gets to the tail of its queue again, with all its retries.",
    ),
    Choice(
        Act.START_NOW,
        "Start now",
        "made due",
        "Each gets to the tail of its queue, as if its time had come.",
    ),
    Choice(
        Act.RESCHEDULE,
        "Reschedule",
        "rescheduled",
        "Each starts at the new time or later.",
    ),
    Choice(
        Act.MOVE,
        "Move",
        "moved",
        "Each gets to the tail of the other queue, with a new id that begins with its name.",
    ),
    Choice(
        Act.CANCEL,
        "Cancel",
        "cancelled",
        "Those that wait never start; the workers of those that run are asked to cut them off. "
        "Callers that wait for a result get TaskCancelled.",
        destroys=True,
    ),
    Choice(
        Act.DISCARD,
        "Discard",
        "discarded",
        "They are deleted, with their arguments and errors. This can't be undone.",
        destroys=True,
    ),
)


def acts_in(place: Place | None) -> list[Choice]:
    """Return what can be done to the tasks of a place."""
    return [choice for choice in CHOICES if place in PLACES[choice.act]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """An act, and the tasks that it is meant for.

    Attributes:
        queue: name of the queue.
        choice: the act.
        place: where the tasks are.
        filter: conditions that they meet, if they are not named.
        ids: the tasks, if they are named.
        at: the new time, of a reschedule.
        to_queue: the other queue, of a move.
    """

    queue: str
    choice: Choice
    place: Place
    filter: Filter = field(default_factory=Filter)
    ids: tuple[str, ...] = ()
    at: datetime | None = None
    to_queue: str | None = None

    @classmethod
    def of(cls, queue: str, form: Mapping[str, Sequence[str]], *, final: bool) -> Self:
        """Read a plan from the fields of a form.

        Args:
            queue: name of the queue.
            form: the fields.
            final: True: everything must be there. False: the form still asks for it.

        Raises:
            InvalidInput: a field is missing or breaks a rule.
        """
        check_queue_name(queue)
        place = place_of(_one(form, "place"))
        choice = _choice(_one(form, "act"), place)
        named = _one(form, "by") == TASK  # not by what is there: nothing selected is not everything
        ids = tuple(dict.fromkeys(form.get(TASK, ()))) if named else ()
        _check_ids(queue, ids, named=named)
        words = {} if named else {word: _one(form, word).strip() for word in WORDS}
        return cls(
            queue=queue,
            choice=choice,
            place=place,
            filter=Filter.parse(words),
            ids=ids,
            at=_time(_one(form, "in")) if final and choice.act is Act.RESCHEDULE else None,
            to_queue=_other_queue(queue, form) if final and choice.act is Act.MOVE else None,
        )

    @property
    def words(self) -> dict[str, str]:
        """The conditions, as they stand in an address."""
        return self.filter.words()

    @property
    def options(self) -> dict[str, Any]:
        """The arguments that only this act has."""
        given = {"at": self.at, "to_queue": self.to_queue}
        return {name: value for name, value in given.items() if value is not None}


def _one(form: Mapping[str, Sequence[str]], name: str) -> str:
    values = form.get(name, ())
    return values[0] if values else ""


def place_of(text: str) -> Place:
    """Read the name of a place.

    Raises:
        InvalidInput: there is none of that name.
    """
    if text not in set(Place):
        raise InvalidInput(f"place={text!r}: must be one of {', '.join(Place)}")
    return Place(text)


def _choice(name: str, place: Place) -> Choice:
    for choice in acts_in(place):
        if choice.name == name:
            return choice
    allowed = ", ".join(choice.name for choice in acts_in(place)) or "nothing"
    raise InvalidInput(f"act={name!r}: with {place} tasks one can {allowed}")


def _check_ids(queue: str, ids: tuple[str, ...], *, named: bool) -> None:
    if named and not 1 <= len(ids) <= MOST_IDS:
        raise InvalidInput(f"select 1 to {MOST_IDS:,} tasks")
    for task_id in ids:
        if queue_of(task_id) != queue:
            raise InvalidInput(f"task={task_id!r}: is of another queue than {queue!r}")


def _time(text: str) -> datetime:
    """Read a new time: a duration from now, or a moment in UTC."""
    text = text.strip()
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        seconds = parse_duration("in", text)
        return datetime.now(UTC) + timedelta(seconds=seconds)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _other_queue(queue: str, form: Mapping[str, Sequence[str]]) -> str:
    other = check_queue_name(_one(form, "to_queue").strip())
    if other == queue:
        raise InvalidInput("to_queue: the tasks are in that queue already")
    return other
