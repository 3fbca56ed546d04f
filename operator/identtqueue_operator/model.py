"""What was seen, what was decided: plain frozen values that pass between the stages.

`observe` makes an `Observed`; `decide` turns it, with the spec and the `Memory` of earlier rounds,
into a `Decision`; `act` carries that out; `report` tells. Times are seconds since the epoch on the
operator's clock unless a name says otherwise. That clock may be set, forward or back, so it is only
compared with times that others wrote. What the operator itself remembers is on a monotonic clock:
`Observed.steady`, and all of `Memory`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from .api.v1alpha1 import MAIN_TRIGGER


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
    group: str = "apps"
    kind: str = "Deployment"

    @classmethod
    def referred(
        cls, namespace: str, name: str, api_version: str | None, kind: str | None
    ) -> "WorkloadKey":
        """Make the key from what a reference says. Without a version or kind it is a Deployment."""
        group = (api_version or "apps/v1").rpartition("/")[0]
        return cls(namespace, name, group, kind or "Deployment")

    @property
    def is_deployment(self) -> bool:
        """Whether it is a Deployment of Kubernetes' own."""
        return (self.group, self.kind) == ("apps", "Deployment")

    @property
    def is_stateful_set(self) -> bool:
        """Whether it is a StatefulSet of Kubernetes' own: other groups have such a kind too."""
        return (self.group, self.kind) == ("apps", "StatefulSet")

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


# --- the cluster ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Selector:
    """A label selector."""

    labels: tuple[tuple[str, str], ...] = ()
    expressions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
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
    """What controls an object."""

    uid: str
    name: str
    group: str = "apps"
    kind: str = "ReplicaSet"


class RemovalOrder(StrEnum):
    """Which pods a workload's controller ends first when the number of replicas is lowered."""

    NOT_READY_FIRST = "NotReadyFirst"
    """As a ReplicaSet does: not ready before ready, then lower deletion cost."""
    HIGHEST_ORDINAL = "HighestOrdinal"
    """As a StatefulSet does: the pod with the highest number in its name."""
    UNKNOWN = "Unknown"
    """Any pod may be the one."""


class Reference(NamedTuple):
    """A workload as a TaskQueue names it."""

    key: WorkloadKey
    api_version: str = "apps/v1"
    removal: RemovalOrder | None = None
    """Which pods its controller ends first. None: that is inferred."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What the operator needs to know of a workload."""

    key: WorkloadKey
    uid: str
    resource_version: str
    selector: Selector
    replicas: int
    """What its spec asks for."""
    path: str = ""
    """Where it is in the API. Empty for the kinds that are watched."""
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
    """With which pods of the current template are labelled. Empty: it does not roll out."""
    partition: int = 0
    """So many pods, counted from the first ordinal, keep the template that they have."""
    lagging: bool = False
    """The workload's controller has not yet acted on the specification as it is now."""
    paused: bool = False
    """Its controller follows the number of replicas, and does not roll out."""
    refusal: str = ""
    """Why its controller can't create pods, in the API server's words."""
    stuck: str = ""
    """Why its rollout does not get on: the progress deadline is over."""
    replicas_by: str = ""
    """Who wrote its number of replicas last, by `managedFields`. Empty: that is unknown."""
    owner: Owner | None = None
    """What controls it."""
    template_hash: str | None = None
    """Of the template that the operator last wrote; None for a workload it did not write."""
    shape: str | None = None
    """Digest of all that somebody might have changed in a workload that the operator wrote: its
    specification without the replicas, and its labels."""

    @property
    def is_watched(self) -> bool:
        """Whether a change of it causes a look by itself."""
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
    """Of the process that runs, on the node's clock."""


@dataclass(frozen=True, slots=True)
class Pod:
    """What the operator needs to know of a pod."""

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
    """From the operator's own annotation."""
    owner: Owner | None = None
    """None: nothing controls it."""
    revision: str = ""
    """Of the template that it was made from, if its controller says so by a label."""
    unschedulable: str = ""
    """Why no node takes it, in the scheduler's words."""
    problem: tuple[str, str] | None = None
    """(the kubelet's word, where) of an init container that keeps it from starting."""
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


# --- the queues -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Depth:
    """Several queues, summed."""

    queued: int = 0
    in_flight: int = 0
    scheduled: int = 0
    dead: int = 0
    paused: int = 0
    """How many of the queued tasks wait in a queue that is paused; no worker may take them."""
    held: int = 0
    """How many of the queued tasks of other queues wait for their jobs' limits; likewise."""
    next_held_seconds: float | None = None
    """Until a rate limit lets one of these start; None: not by the passing of time."""
    oldest_wait_seconds: float | None = None
    workers: int = 0
    """Registered worker incarnations, counted once per queue."""
    next_due_seconds: float | None = None
    """Until the next scheduled task falls due."""
    due_soon: int = 0
    """Scheduled tasks, not of a paused queue, that fall due within `due_within_seconds`."""
    due_within_seconds: float = 0.0
    """How far ahead was looked: so long a pod takes to start."""
    enqueued_total: int = 0
    ended_total: int = 0
    run_ms_total: int = 0

    @property
    def waiting(self) -> int:
        """Tasks that a worker could take now."""
        return self.queued - self.paused - self.held

    @property
    def demand(self) -> int:
        """Tasks that need a worker: waiting, running, or due before a new pod would be ready."""
        return self.waiting + self.due_soon + self.in_flight


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker incarnation, over all queues it serves in the Redis of one trigger.

    Two triggers at one Redis may each have a row of it, with different queues.
    """

    worker_id: str
    queues: tuple[str, ...]
    host: str
    pod_uid: str | None = None
    container: str | None = None
    in_flight: int = 0
    draining_in: tuple[str, ...] = ()
    """The queues in which it was told to stop fetching."""
    connected: bool = True
    """Whether Redis has a connection of it."""
    lease_left_seconds: float = 15.0
    registered_at: float = 0.0
    """On its node's clock."""
    trigger: str = MAIN_TRIGGER
    """Through whose connection it was read, and can be reached."""

    @property
    def draining(self) -> bool:
        """Whether it was told to stop: one queue is enough for it to fetch from none."""
        return bool(self.draining_in)

    @property
    def told_everywhere(self) -> bool:
        """Whether every queue refuses its claims, also while it has not heard of it yet."""
        return len(self.draining_in) == len(self.queues)


class SourceTrouble(StrEnum):
    """Why the queues could not be read; the value is the reason in the condition."""

    UNREACHABLE = "RedisUnreachable"
    AUTH_FAILED = "RedisAuthFailed"
    TLS_FAILED = "RedisTlsFailed"
    PROTOCOL_ERROR = "RedisProtocolError"
    ADDRESS_REFUSED = "RedisAddressRefused"
    TOPOLOGY_MISMATCH = "RedisTopologyMismatch"
    FULL = "RedisFull"
    INCOMPATIBLE = "RedisIncompatible"
    SECRET_MISSING = "SecretMissing"  # noqa: S105 - the name of a condition


@dataclass(frozen=True, slots=True)
class Source:
    """The state of the connection to Redis."""

    trouble: SourceTrouble | None = None
    message: str = ""
    outage_seconds: float = 0.0
    """For how long there has been trouble."""
    trusted_seconds: float = float("inf")
    """For how long Redis was reachable without a break, by the operator's and its own account."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """What was seen of one trigger: the queues in one Redis that ask for replicas together."""

    name: str = MAIN_TRIGGER
    queues: tuple[str, ...] = ()
    """That it names."""
    redis: str = ""
    """Address of the Redis, without credentials. Empty: that is not known."""
    source: Source = field(default_factory=Source)
    depth: Depth | None = None
    """None: not known, because of `source.trouble`."""


# --- one round ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Observed:
    """All that one decision rests on."""

    at: float
    triggers: tuple[Trigger, ...] = (Trigger(),)
    """In the order of the specification; the first one is `main`."""
    depth: Depth | None = None
    """The queues of all triggers that can be read, each counted once. None: none can be read."""
    workers: tuple[Worker, ...] = ()
    workload: Workload | None = None
    pods: tuple[Pod, ...] = ()
    """All pods with the workload's labels, and those that vanished a short while ago."""
    conflict: str = ""
    """Who else scales the same workload, in words."""
    rival: bool = False
    """It is an older TaskQueue, which tells workers to go, and calls them back, by itself."""
    shared: str = ""
    """Which other TaskQueue counts the same tasks, in words."""
    flaws: tuple[str, ...] = ()
    """What of the workers' entries in Redis can't be read, one text for each entry."""
    steady_at: float | None = None
    """The time on the monotonic clock. None: on the other clock, which nobody sets."""

    @property
    def steady(self) -> float:
        """The time, for what is compared with other times of this process."""
        return self.at if self.steady_at is None else self.steady_at

    @property
    def blind(self) -> tuple[Trigger, ...]:
        """The triggers that could not be read."""
        return tuple(trigger for trigger in self.triggers if trigger.depth is None)

    def blind_in_words(self) -> list[str]:
        """Say which triggers could not be read, and why: those with the same reason together."""
        names: dict[str, list[str]] = {}
        for trigger in self.blind:
            why = trigger.source.message or str(trigger.source.trouble)
            names.setdefault(why, []).append(trigger.name)
        return [
            f"{'trigger' if len(found) == 1 else 'triggers'} {', '.join(found)}: {why}"
            for why, found in names.items()
        ]

    @property
    def source(self) -> Source:
        """The connection that has trouble, the first of several; else the first trigger's."""
        troubled = (each.source for each in self.triggers if each.source.trouble is not None)
        return next(troubled, self.triggers[0].source)

    @property
    def own_pods(self) -> tuple[Pod, ...]:
        """The pods that the workload's controller counts."""
        return tuple(pod for pod in self.pods if pod.active and not pod.foreign)

    def workers_by_pod(self) -> dict[str, tuple[Worker, ...]]:
        """The incarnations that live in each of the pods, by the pod's UID.

        They know it from the Downward API; one that does not know it is found by its host name,
        which is the pod's name unless the pod is on the host network. One pass over each side: a
        look at a thousand pods must not cost a million comparisons.
        """
        by_uid: dict[str, list[Worker]] = {}
        by_host: dict[str, list[Worker]] = {}
        for worker in self.workers:
            if worker.pod_uid:
                by_uid.setdefault(worker.pod_uid, []).append(worker)
            else:
                by_host.setdefault(worker.host, []).append(worker)
        return {
            pod.uid: (*by_uid.get(pod.uid, ()), *by_host.get(pod.key.name, ())) for pod in self.pods
        }


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
    """When the number of tasks that ever came was last seen to grow."""
    held: int = 0
    """Of those that came, how many may not start yet: they count as arriving when they may."""


@dataclass(frozen=True, slots=True)
class Startup:
    """How long a pod takes from its creation until it is ready."""

    begun_at: float
    """When measuring began. What became ready before is no measure, if there is another."""
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
    """Who has changed the number of replicas of late."""

    uid: str = ""
    """Of the workload."""
    ours: frozenset[int] = frozenset()
    """The numbers that it may have by the operator's own doing: the last one that was written or
    seen, and those whose write failed. A request without an answer may have been carried out."""
    changes: tuple[ForeignChange, ...] = ()
    is_news: bool = False
    """The last one of them was seen in this round."""


class Step(NamedTuple):
    """A change of the number of replicas by the operator."""

    at: float
    """On the monotonic clock."""
    difference: int


KEEP_APART_SECONDS = 1.0
"""Changes in the same direction that are closer together are kept as one."""


def add_step(steps: tuple[Step, ...], new: Step) -> tuple[Step, ...]:
    """Add a change. What is close together becomes one, at the later time."""
    if steps:
        last = steps[-1]
        same_way = (last.difference > 0) == (new.difference > 0)
        if same_way and new.at - last.at < KEEP_APART_SECONDS:
            return (*steps[:-1], Step(new.at, last.difference + new.difference))
    return (*steps, new)


@dataclass(frozen=True, slots=True)
class Memory:
    """What one round must know of earlier ones. Losing it only delays shrinking.

    Times are on the monotonic clock, but for those in `startup`, which are compared with the
    kubelets'.
    """

    wanted: tuple[tuple[float, int], ...] = ()
    """(time, replicas): the numbers wanted in the stabilisation window, later and lower ones only
    as far as they can still matter (a queue of maxima)."""
    active_at: float | None = None
    """When a task was last waiting or running."""
    scaled_at: float | None = None
    steps: tuple[Step, ...] = ()
    """The operator's own changes in the periods that limits look at."""
    created_at: float | None = None
    """Of the TaskQueue."""
    traffic: Mapping[str, Traffic] = field(default_factory=dict)
    """Of each trigger, by its name."""
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
        """After the number was changed."""
        hands = replace(self.hands, ours=frozenset({replicas}))
        steps = add_step(self.steps, Step(at, replicas - before))
        return replace(self, scaled_at=at, steps=steps, strange=False, hands=hands)

    def may_have_scaled(self, replicas: int) -> "Memory":
        """After a change of the number failed, perhaps only on the way back."""
        return replace(self, hands=replace(self.hands, ours=self.hands.ours | {replicas}))


@dataclass(frozen=True, slots=True)
class Target:
    """How many replicas, and why."""

    replicas: int
    reason: str
    message: str
    limited_by: tuple[str, ...] = ()
    wishes: tuple[tuple[str, int], ...] = ()
    """What each trigger that can be read asks for by itself, by its name."""
    trigger: str = ""
    """Name of the one that decides. Empty: none does."""
    needed: int | None = None
    """What the others need, where the number is held because a trigger can't be read: the workers
    that are beyond it and have been told to go stay told."""


@dataclass(frozen=True, slots=True)
class Drain:
    """How to get down to the target without ending a busy worker."""

    victims: tuple[Pod, ...] = ()
    stop: tuple[Worker, ...] = ()
    """Workers to tell to stop fetching."""
    call_back: tuple[Worker, ...] = ()
    mark: tuple[Pod, ...] = ()
    """Pods to annotate as the next to go."""
    unmark: tuple[Pod, ...] = ()
    advance: tuple[Pod, ...] = ()
    """Pods to annotate as the first to go, before victims that are still busy."""
    timed_out: tuple[Pod, ...] = ()
    """Victims that still hold tasks although their time is over."""
    replicas: int | None = None
    """How far down the workload can go now. None: not at all."""


@dataclass(frozen=True, slots=True)
class Death:
    """A worker incarnation that is known to be dead, and how that is known."""

    worker: Worker
    pod: str
    cause: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the cluster and Redis together say about dead workers."""

    deaths: tuple[Death, ...] = ()
    suspects: tuple[Worker, ...] = ()
    """Reported dead, while Redis still sees a connection. Worth another look very soon."""
    leases_expired: frozenset[str] = frozenset()
    """Names of the triggers in whose Redis a lease ran out, and may be acted on now."""


SAME_FOR_ALL_PODS = {"CrashLoop", "OutOfMemory", "ImagePullFailed", "ContainerNotCreated"}
"""Reasons that another pod of the same template would give too."""
TROUBLES = {
    *SAME_FOR_ALL_PODS,
    *("QuotaExceeded", "PodSecurityViolated", "PodsRefused"),
    *("PodsUnschedulable", "PodsMissing", "NotReady", "RolloutStuck"),
    *("NoWorkerRegistered", "QueueNotServed"),
}
"""Reasons that say that something is wrong, rather than on its way."""


@dataclass(frozen=True, slots=True)
class Health:
    """What was found."""

    reason: str = "NoneNeeded"
    message: str = "no replica is asked for"
    working: int = 0
    """Pods that work."""
    hopeless: bool = False
    """Another pod would not work either."""
    strange: bool = False
    """Nothing says that the workload is one of workers, and something says that it is not."""

    @property
    def trouble(self) -> bool:
        """Whether something is wrong, rather than on its way."""
        return self.reason in TROUBLES

    @property
    def well(self) -> bool:
        """Whether all that should work does."""
        return self.reason in ("NoneNeeded", "AllWork")


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do in this round."""

    target: Target
    current: int
    scale_to: int | None = None
    """Write this number of replicas. None: leave it."""
    drain: Drain = field(default_factory=Drain)
    evidence: Evidence = field(default_factory=Evidence)
    next_look_seconds: float | None = None
    """Look again after so long, whatever happens. None: the poll and the doorbell are enough."""
    health: Health = field(default_factory=Health)
    """Whether the workers work."""
    hands: Hands = Hands()
    """Who else has changed the number of late."""


@dataclass(frozen=True, slots=True)
class Requeued:
    """The tasks that were taken back from one dead worker, or from those whose lease ran out."""

    queue: str
    requeued: tuple[str, ...]
    dead: tuple[str, ...]
    pod: str
    cause: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was really done."""

    scaled_from: int | None = None
    scaled_to: int | None = None
    recovered: tuple[Requeued, ...] = ()
    failure: str = ""
    """What did not work, in words; the next round tries again."""
