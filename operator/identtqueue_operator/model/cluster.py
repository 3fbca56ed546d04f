"""Workloads and pods, as far as the operator needs to know them."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Key(NamedTuple):
    """Namespace and name of an object."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class WorkloadKey(NamedTuple):
    """Namespace, name and kind of what is scaled. The version of its API makes no difference."""

    namespace: str
    name: str
    group: str
    kind: str

    @classmethod
    def referred(cls, namespace: str, name: str, api_version: str, kind: str) -> "WorkloadKey":
        """Make the key from what a reference says."""
        return cls(namespace, name, api_version.rpartition("/")[0], kind)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Selector:
    """A label selector."""

    labels: tuple[tuple[str, str], ...] = ()
    expressions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether an object with these labels is selected."""
        return all(labels.get(key) == value for key, value in self.labels) and all(
            _holds(labels, *expression) for expression in self.expressions
        )


def _holds(labels: Mapping[str, str], key: str, operator: str, values: tuple[str, ...]) -> bool:
    match operator:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return False


class Owner(NamedTuple):
    """The owner that controls an object."""

    uid: str
    name: str
    group: str
    kind: str


class RemovalOrder(StrEnum):
    """The order in which a controller ends pods when the number of replicas is lowered."""

    NOT_READY_FIRST = "NotReadyFirst"
    """Like a ReplicaSet, end pods that are not ready first, then those of lower deletion cost."""
    HIGHEST_ORDINAL = "HighestOrdinal"
    """Like a StatefulSet, end the pod with the highest number in its name first."""
    UNKNOWN = "Unknown"
    """Any pod may be ended first."""


class Reference(NamedTuple):
    """A workload as a TaskQueue names it."""

    key: WorkloadKey
    api_version: str = "apps/v1"
    removal: RemovalOrder | None = None
    """Which pods its controller ends first. None: that is inferred."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload, as far as the operator needs to know it."""

    key: WorkloadKey
    uid: str
    resource_version: str
    selector: Selector
    replicas: int
    """Number that its spec asks for."""
    path: str = ""
    """Its path in the API. Empty for the kinds that are watched."""
    existing: int = 0
    """Pods that are there and not on their way out, as the workload's controller counted."""
    counts_ending: bool = False
    """That number has the pods in it that are on their way out; `members` takes them away."""
    ready: int = 0
    updated: int | None = None
    """How many of the existing ones have the current template. None: all of them."""
    removal: RemovalOrder = RemovalOrder.NOT_READY_FIRST
    one_by_one: bool = False
    """Its controller ends one pod after the other, and only while all others are ready."""
    first_ordinal: int = 0
    revision: str = ""
    """Label value of pods with the current template. Empty: it does not roll out."""
    partition: int = 0
    """So many pods, counted from the first ordinal, keep the template that they have."""
    lagging: bool = False
    """The workload's controller has not yet acted on the specification as it is now."""
    paused: bool = False
    """Its controller follows the number of replicas, and does not roll out."""
    refusal: str | None = None
    """Why its controller can't create pods, in the API server's words; empty if it can. None: its
    kind never says."""
    stuck: str = ""
    """Why its rollout makes no progress: the deadline has passed."""
    replicas_by: str = ""
    """Field manager that wrote its number of replicas last. Empty: unknown."""
    owner: Owner | None = None
    """The owner that controls it."""
    template_hash: str | None = None
    """Hash of the template that the operator last wrote; None if it wrote none."""
    shape: str | None = None
    """Digest of all that others may change in a workload that the operator wrote: its
    specification without the replicas, and its labels."""

    @property
    def is_watched(self) -> bool:
        """Whether a watch reports its changes."""
        return not self.path

    @property
    def rolling(self) -> bool:
        """Whether pods of an older template are still there."""
        return self.updated is not None and self.updated < self.existing


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a pod, by the kubelet's report."""

    name: str
    running: bool
    ended_at: float | None = None
    """When its last process ended, on the node's clock, in whole seconds. None: no end was seen."""
    how: str = ""
    """How it ended: `OOMKilled, exit code 137`."""
    waiting: str = ""
    """Why it does not run, in the kubelet's word: `ImagePullBackOff`."""
    restarts: int = 0
    started_at: float | None = None
    """Start of the process that runs, on the node's clock."""


class Hindrance(NamedTuple):
    """An init container that keeps its pod from starting."""

    waiting: str
    """Why it does not run, in the kubelet's word: `ImagePullBackOff`."""
    where: str
    """`init container fetch`."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod, as far as the operator needs to know it."""

    key: Key
    uid: str
    phase: str = "Running"
    ready: bool = False
    assigned: bool = True
    created_at: float = 0.0
    deleting: bool = False
    ready_since: float | None = None
    """When it last became ready, by its kubelet, in whole seconds; None while it is not."""
    containers: tuple[Container, ...] = ()
    deletion_cost: int = 0
    draining_since: float | None = None
    """Since when it drains, by the operator's own annotation."""
    drains_by_hand: bool = False
    """Whether a person has asked for it to drain, by an annotation."""
    owner: Owner | None = None
    """None: nothing controls it."""
    revision: str = ""
    """Revision of the template that it was made from, if a label says so."""
    unschedulable: str = ""
    """Why no node takes it, in the scheduler's words."""
    hindrance: Hindrance | None = None
    """The init container that keeps it from starting."""
    foreign: bool = False
    """It has the workload's labels, and does not belong to it."""
    gone_at: float | None = None
    """When the object vanished from the API server, on the monotonic clock; the rest is how it was
    last seen."""

    @property
    def ordinal(self) -> int:
        """The number at the end of its name; -1 if there is none."""
        tail = self.key.name.rpartition("-")[2]
        return int(tail) if tail.isascii() and tail.isdigit() else -1

    @property
    def active(self) -> bool:
        """Whether its controller counts it."""
        return (
            self.gone_at is None and not self.deleting and self.phase not in ("Succeeded", "Failed")
        )
