"""One round as it is reported, and words for its numbers."""

from dataclasses import dataclass, field
from typing import Any

from identtqueue_operator.model import Cause, Decision, Observed, Outcome, Startup, WorkloadKey

Json = dict[str, Any]
MAX_IDS_IN_EVENT = 10


@dataclass(frozen=True, slots=True)
class Round:
    """One round, as far as it got. A field that it did not reach is None."""

    at: float
    generation: int
    workload: WorkloadKey | None
    problem: Cause | None = None
    """The trouble with the resource or its workload."""
    pause: Cause | None = None
    """The part of scaling that is paused."""
    failing: bool = False
    """Whether rounds before this one have failed too, so that `outcome.failure` is news."""
    seen: Observed | None = None
    decision: Decision | None = None
    outcome: Outcome = field(default_factory=Outcome)
    reverted: bool = False
    """Whether another's change of a template's workload was reverted."""
    warnings: tuple[str, ...] = ()
    """Warnings of the API server when that workload was written."""
    startup: Startup | None = None
    """The start-up time as measured so far."""
    original: int | None = None
    """The number of replicas to restore when the TaskQueue is deleted."""
    operator: str = ""
    """Name of the operator that reports."""
    blind: str = ""
    """Why a watch of changes is refused, in the API server's words. Empty: none is."""
    other_operator: str = ""
    """Name of another operator that serves the TaskQueue too, and was turned away."""

    @property
    def paused(self) -> bool:
        """Whether the number of replicas is left alone."""
        return self.pause is not None and self.pause.reason == "SpecPaused"


def count_of(number: int, noun: str) -> str:
    """Return the number with its noun: `1 task`, `2 tasks`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
