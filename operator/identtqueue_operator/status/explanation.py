"""Why a TaskQueue has its number of replicas, in words, pure.

All of it is read from the resource as the API server stores it. So an explanation needs no access
to the operator or to Redis: who may read the TaskQueue may ask.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from identtqueue_operator.model import Limit
from identtqueue_operator.status.round import count_of
from identtqueue_operator.times import timestamp

Body = Mapping[str, Any]

UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


class Meaning(NamedTuple):
    """The part of the specification that sets a limit, and what the limit does."""

    field: str
    """Empty: no field sets it."""
    words: str


MEANINGS: Final[Mapping[Limit, Meaning]] = {
    Limit.ACTIVATION_THRESHOLD: Meaning(
        "spec.scaling.activationThreshold", "too few tasks wait to start the first replica"
    ),
    Limit.TOLERANCE: Meaning(
        "spec.scaling.tolerancePercent", "the number is so nearly right that it stays"
    ),
    Limit.MIN_REPLICAS: Meaning("spec.scaling.minReplicas", "there are never fewer replicas"),
    Limit.SCHEDULE: Meaning(
        "spec.scaling.schedules", "a schedule asks for more replicas at this time"
    ),
    Limit.MAX_REPLICAS: Meaning("spec.scaling.maxReplicas", "there are never more replicas"),
    Limit.SOURCE_ERROR: Meaning(
        "spec.scaling.onSourceError", "a Redis can't be read, so the number is not lowered"
    ),
    Limit.SCALE_UP_PAUSED: Meaning("spec.scaling.scaleUp.paused", "growing is paused"),
    Limit.SCALE_UP_MAX_STEP: Meaning(
        "spec.scaling.scaleUp.maxStep", "at most so many replicas are added in one period"
    ),
    Limit.SCALE_UP_POLICY: Meaning(
        "spec.scaling.scaleUp.policies", "at most so many replicas are added in one period"
    ),
    Limit.WORKERS_FAILING: Meaning(
        "", "all pods fail, and more of the same would fail too: see condition WorkersReady"
    ),
    Limit.SCALE_DOWN_PAUSED: Meaning("spec.scaling.scaleDown.paused", "shrinking is paused"),
    Limit.STABILIZATION_WINDOW: Meaning(
        "spec.scaling.scaleDown.stabilizationSeconds",
        "the highest number that was wanted lately still counts",
    ),
    Limit.IDLE_SECONDS: Meaning(
        "spec.scaling.scaleDown.idleSeconds", "the last replica stays until all is idle for long"
    ),
    Limit.INITIAL_COOLDOWN: Meaning(
        "spec.scaling.scaleDown.initialCooldownSeconds", "the TaskQueue is too young to shrink"
    ),
    Limit.SCALE_DOWN_MAX_STEP: Meaning(
        "spec.scaling.scaleDown.maxStep", "at most so many replicas are removed in one period"
    ),
    Limit.SCALE_DOWN_POLICY: Meaning(
        "spec.scaling.scaleDown.policies", "at most so many replicas are removed in one period"
    ),
    Limit.NO_WORKER_REGISTERED: Meaning(
        "", "no worker of the workload was ever seen, so it may be something else"
    ),
    Limit.REMOVAL_ORDER_UNKNOWN: Meaning(
        "spec.workloadRef.removalOrder",
        "a busy worker might be ended, so nothing is until all rest",
    ),
    Limit.ROLLOUT: Meaning("", "a rollout is under way, and ends first"),
    Limit.REPLICAS_CHANGED_BY_OTHERS: Meaning(
        "", "somebody else changes the number, so the operator waits before it does"
    ),
}
"""The meaning of each limit in `limitedBy`."""


@dataclass(frozen=True, slots=True)
class Account:
    """One decision, taken apart."""

    time: str
    before: int
    after: int
    reason: str
    steps: tuple[str, ...]
    """The calculation with its inputs, then each limit that changed the number, in their order."""
    limits: tuple[str, ...]
    """Names of these limits."""

    @classmethod
    def of(cls, decision: Body) -> "Account":
        """Take `status.lastDecision`, or one of `status.history`, apart."""
        limits = decision["limitedBy"]
        return cls(
            decision["time"],
            decision["from"],
            decision["to"],
            decision["reason"],
            tuple(decision["message"].split("; ")),
            () if limits == "None" else tuple(limits.split(", ")),
        )

    @property
    def meanings(self) -> list[tuple[str, Meaning]]:
        """The meaning of its limits. One that this version does not know has none."""
        known = {str(limit): meaning for limit, meaning in MEANINGS.items()}
        return [(name, known.get(name, Meaning("", ""))) for name in self.limits]

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "time": self.time,
            "from": self.before,
            "to": self.after,
            "reason": self.reason,
            "steps": list(self.steps),
            "limits": [
                {"name": name, "field": meaning.field or None, "meaning": meaning.words or None}
                for name, meaning in self.meanings
            ],
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """The present number of a TaskQueue's replicas, and the decisions that led to it."""

    namespace: str
    name: str
    replicas: Body
    """`status.replicas`; empty if the operator has not looked yet."""
    reason: str
    message: str
    latest: Account | None
    earlier: tuple[Account, ...]
    """The decisions before it, the newest first."""

    @classmethod
    def of(cls, body: Body) -> "Explanation":
        """Read a TaskQueue."""
        status = body.get("status") or {}
        last = status.get("lastDecision")
        latest = Account.of(last) if last else None
        past = [Account.of(each) for each in status.get("history") or ()]
        if past and latest and (past[0].time, past[0].after) == (latest.time, latest.after):
            past = past[1:]  # the same one, as it was at first
        return cls(
            body["metadata"].get("namespace", ""),
            body["metadata"]["name"],
            status.get("replicas") or {},
            status.get("reason") or "NotSeen",
            status.get("message") or "no operator has looked at it yet",
            latest,
            tuple(past),
        )

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "namespace": self.namespace,
            "name": self.name,
            "replicas": dict(self.replicas),
            "reason": self.reason,
            "message": self.message,
            "decision": self.latest.as_json() if self.latest else None,
            "history": [account.as_json() for account in self.earlier],
        }

    def lines(self, now: float) -> Iterator[str]:
        """Put it into words.

        Args:
            now: the present time, in seconds since the epoch.
        """
        yield f"{self.namespace}/{self.name}: {self._count()}"
        yield f"  now: {self.reason}: {self.message}"
        if self.latest is None:
            return
        yield f"  last decision, {ago(self.latest.time, now)}: {_change(self.latest)}"
        for number, step in enumerate(self.latest.steps):
            yield f"    {step}" if number == 0 else f"    then {step}"
        for name, meaning in self.latest.meanings:
            where = f" ({meaning.field})" if meaning.field else ""
            yield f"    {name}{where}: {meaning.words}" if meaning.words else f"    {name}"
        if self.earlier:
            yield "  before:"
        for account in self.earlier:
            yield f"    {ago(account.time, now)}: {_change(account)}"
            yield f"      {'; '.join(account.steps)}"

    def _count(self) -> str:
        if not self.replicas:
            return "the operator has not looked yet"
        seen = self.replicas
        words = f"{count_of(seen['current'], 'replica')}, {seen['ready']} ready"
        if seen["desired"] != seen["current"]:
            words += f", {seen['desired']} wanted"
        return f"{words}, {seen['draining']} draining" if seen.get("draining") else words


def _change(account: Account) -> str:
    held = f", held back by {', '.join(account.limits)}" if account.limits else ""
    if account.before == account.after:
        return f"stay at {account.after}, {account.reason}{held}"
    return f"{account.before} -> {account.after}, {account.reason}{held}"


def ago(text: str | None, now: float) -> str:
    """Say how long ago a time was, in one unit: `3 min ago`.

    Args:
        text: the time as RFC 3339.
        now: the present time, in seconds since the epoch.
    """
    at = timestamp(text)
    return "at an unknown time" if at is None else f"{span(now - at)} ago"


def span(seconds: float) -> str:
    """Say how long something takes or took, in one unit: `3 min`."""
    seconds = max(0.0, seconds)
    size, unit = next((each for each in UNITS if seconds >= 2 * each[0]), UNITS[-1])
    return f"{int(seconds / size)} {unit}"
