"""The choice among several operators that serve one TaskQueue, pure.

`status.operator.name` names the one that manages it. Another operator that comes upon the
TaskQueue (a second release that serves the whole cluster, say) only asks: it writes its own name
into `status.operator.challengedBy`. A live operator sees that in its watch and removes the name,
and the other one leaves the TaskQueue alone. Without an answer, the one that asked takes over: the
operator before it was removed, or it does not serve this TaskQueue any more. So no Lease has to be
renewed for each TaskQueue, and no right in another namespace is needed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

ASK_AGAIN_SECONDS = 600.0
"""Time from an answer until the other operator is asked again."""


class Stance(StrEnum):
    """An operator's part in a TaskQueue."""

    OWN = "own"
    """Manage it."""
    ANSWER = "answer"
    """Manage it, and answer the operator that asks."""
    ASK = "ask"
    WAIT = "wait"
    """Leave it alone for now."""
    TAKE_OVER = "take over"


@dataclass(frozen=True, slots=True)
class Claim:
    """The claim of an operator, as the status records it."""

    name: str = ""
    challenged_by: str = ""

    @classmethod
    def read(cls, status: Mapping[str, Any] | None) -> "Claim":
        """Read it from a TaskQueue's status."""
        operator = (status or {}).get("operator") or {}
        return cls(str(operator.get("name") or ""), str(operator.get("challengedBy") or ""))


def choose_stance(
    me: str, claim: Claim, asked_at: float | None, at: float, answer_seconds: float
) -> tuple[Stance, float]:
    """Choose what to do about a TaskQueue now, and for how many seconds that applies.

    Args:
        me: this operator's name.
        claim: as it is recorded.
        asked_at: when this operator last asked, on the monotonic clock.
        at: the time now.
        answer_seconds: a live operator answers within this time.
    """
    if claim.name in ("", me):
        asked_by_other = claim.challenged_by not in ("", me)
        return (Stance.ANSWER if asked_by_other else Stance.OWN), float("inf")
    if asked_at is None:
        return Stance.ASK, answer_seconds
    elapsed = at - asked_at
    if claim.challenged_by == me:
        if elapsed >= answer_seconds:
            return Stance.TAKE_OVER, 0.0
        return Stance.WAIT, answer_seconds - elapsed
    if elapsed >= ASK_AGAIN_SECONDS:
        return Stance.ASK, answer_seconds
    return Stance.WAIT, ASK_AGAIN_SECONDS - elapsed
