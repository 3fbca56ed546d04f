"""The memory of earlier rounds, in which averages and time windows are kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Traffic:
    """Arrival rate and service time, smoothed, from the queues' counters."""

    at: float
    enqueued_total: int
    ended_total: int
    run_ms_total: int
    arrivals_per_second: float = 0.0
    service_seconds: float | None = None
    """Mean run time of a task; None until one has ended."""
    arrived_at: float = 0.0
    """When `enqueued_total` was last seen to grow."""
    held: int = 0
    """How many of the arrived tasks may not start yet: they count as arriving when they may."""


@dataclass(frozen=True, slots=True)
class Startup:
    """How long a pod takes from its creation until it is ready."""

    begun_at: float
    """When measuring began. Pods that became ready before count only if there are no others."""
    seconds: float | None = None
    """Smoothed; None until a pod was seen to have started."""
    measured: frozenset[str] = frozenset()
    """UIDs of the pods that are in it."""


@dataclass(frozen=True, slots=True)
class ForeignChange:
    """A change of the number of replicas that was not the operator's."""

    at: float
    """When it was seen, on the monotonic clock."""
    before: int
    after: int
    by: str = ""
    """The field manager that wrote it; empty if that is unknown."""
    busy: bool = False
    """Tasks ran at that time."""


@dataclass(frozen=True, slots=True)
class Hands:
    """Recent changes of the number of replicas, by others and by the operator."""

    uid: str = ""
    """UID of the workload."""
    ours: frozenset[int] = frozenset()
    """The numbers that it may have by the operator's own doing: the last one that was written or
    seen, and those whose write failed. A request without an answer may have been carried out."""
    changes: tuple[ForeignChange, ...] = ()
    wait_until: float = float("-inf")
    """When the operator may change the number again, on the monotonic clock."""
    is_news: bool = False
    """The last one of them was seen in this round."""


class Step(NamedTuple):
    """A change of the number of replicas by the operator."""

    at: float
    """On the monotonic clock."""
    difference: int


KEEP_APART_SECONDS = 1.0
"""Changes in the same direction that are closer together are kept as one."""


def _add_step(steps: tuple[Step, ...], new: Step) -> tuple[Step, ...]:
    """Add a change. What is close together becomes one, at the later time."""
    if steps:
        last = steps[-1]
        same_way = (last.difference > 0) == (new.difference > 0)
        if same_way and new.at - last.at < KEEP_APART_SECONDS:
            return (*steps[:-1], Step(new.at, last.difference + new.difference))
    return (*steps, new)


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of earlier rounds. Losing it only delays scaling down.

    Times are on the monotonic clock, but for those in `startup`, which are compared with the
    kubelets'.
    """

    wanted: tuple[tuple[float, int], ...] = ()
    """(time, replicas): the numbers wanted in the stabilization window, in order of time. One is
    dropped when a later one is as high, so the first is the highest (a queue of maxima)."""
    active_at: float | None = None
    """When a task was last waiting or running."""
    scaled_at: float | None = None
    steps: tuple[Step, ...] = ()
    """The operator's own changes in the periods that limits look at."""
    created_at: float | None = None
    """When the TaskQueue was created."""
    traffic: Mapping[str, Traffic] = field(default_factory=dict)
    """Traffic of each trigger, by its name."""
    startup: Startup | None = None
    lowered: bool = False
    """The number was lowered, and the controller has not yet been seen to have followed."""
    registered_at: float | None = None
    """When a worker was last registered from a pod of the workload."""
    drains: Mapping[str, float] = field(default_factory=dict)
    """Since when a pod drains, by its UID."""
    short: tuple[float, int] | None = None
    """(time, pods): since when there are so few. None: there are as many as asked for."""
    strange: bool = False
    """No worker was ever seen in a pod of the workload, and the number was never changed."""
    hands: Hands = Hands()

    def scaled(self, at: float, before: int, replicas: int) -> "Memory":
        """Note that the number was changed."""
        hands = replace(self.hands, ours=frozenset({replicas}))
        steps = _add_step(self.steps, Step(at, replicas - before))
        return replace(self, scaled_at=at, steps=steps, strange=False, hands=hands)

    def may_have_scaled(self, replicas: int) -> "Memory":
        """Note that a change of the number failed, perhaps only on the way back."""
        return replace(self, hands=replace(self.hands, ours=self.hands.ours | {replicas}))
