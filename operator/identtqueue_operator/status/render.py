"""The report of one round, pure: as the status of a TaskQueue, and as events.

The status has two speeds. Words (reason, conditions, the decision) change when something happens
and are written at once. Numbers change all the time; they are written along with words, else at
most every 30 s. `Told.fingerprint` is what makes a status worth writing at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from identtqueue.logs import clean
from identtqueue_operator.model import SourceTrouble
from identtqueue_operator.status.conditions import render_conditions
from identtqueue_operator.status.events import Event, render_events
from identtqueue_operator.status.headline import headline
from identtqueue_operator.status.numbers import render_numbers
from identtqueue_operator.status.round import Json, Round

MOST_CHARACTERS = 1_024
"""Longest text in a status or an event; the API server's own limit for events."""


@dataclass(frozen=True, slots=True)
class Told:
    """A status to write, and the events that go with it."""

    status: Json
    events: tuple[Event, ...]
    fingerprint: tuple[Any, ...]


def render_status(now: Round, previous: Mapping[str, Any]) -> Told:
    """Make status and events after a round.

    Args:
        now: the round.
        previous: the status before it, as stored.
    """
    reason, message = headline(now, previous)
    status: Json = {
        "brief": f"{reason}: {message}",
        "operator": {"name": now.operator} if now.operator else previous.get("operator"),
        "observedGeneration": now.generation,
        "workload": now.workload.name if now.workload else None,
        "reason": reason,
        "message": message,
        **render_numbers(now, previous),
        "conditions": render_conditions(now, previous, reason, message),
    }
    status = _tidy(status)
    found = render_events(now, previous, status)
    events = tuple(replace(each, message=_tidy(each.message)) for each in found)
    return Told(status, events, _fingerprint(status))


def _tidy(value: Any) -> Any:
    """Make a status as the API server stores it, and as a terminal may show it.

    Fields without a value are left out. Texts may quote others: the API server, a container.
    """
    if isinstance(value, dict):
        return {key: _tidy(child) for key, child in value.items() if child is not None}
    if isinstance(value, list):
        return [_tidy(child) for child in value]
    return clean(str(value), MOST_CHARACTERS, line_break=" ") if isinstance(value, str) else value


def _fingerprint(status: Json) -> tuple[Any, ...]:
    """Return what is worth a write at once: words, and numbers that came to rest."""
    replicas, tasks = status.get("replicas", {}), status.get("tasks", {})
    decision = status.get("lastDecision", {})
    return (
        status.get("operator"),
        status["observedGeneration"],
        status["reason"],
        tuple(_words_of(condition) for condition in status["conditions"]),
        (replicas.get("desired"), replicas.get("current"), replicas.get("draining")),
        replicas.get("ready", 0) >= replicas.get("current", 0),
        bool(tasks.get("queued") or tasks.get("inFlight")),
        tuple((each["name"], each["reachable"]) for each in status.get("triggers", ())),
        status.get("decidedBy"),
        (decision.get("to"), decision.get("reason"), decision.get("limitedBy")),
        status.get("recovered", {}).get("total"),
    )


def _words_of(condition: Json) -> tuple[str, ...]:
    """Return what of a condition is news: its message only where it says what to mend.

    "Can't be reached" is enough; which node of a cluster was tried last is chance.
    """
    broken = (
        condition["type"] in ("RedisReachable", "WorkloadFound")
        and condition["status"] == "False"
        and condition["reason"] != SourceTrouble.UNREACHABLE
    )
    return (
        condition["type"],
        condition["status"],
        condition["reason"],
        condition["message"] if broken else "",
    )
