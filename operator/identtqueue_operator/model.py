"""Observations and decisions: plain frozen values that pass between the stages.

`observe` makes an `Observed`; `decide` turns it, with the spec and the `Memory` of earlier rounds,
into a `Decision`; `act` carries that out; `report` reports. Times are seconds since the epoch on
the operator's clock unless a name says otherwise. That clock may be set, forward or back, so it is
only compared with times that others wrote. What the operator itself remembers is on a monotonic
clock: `Observed.steady`, and all of `Memory`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

MAIN_TRIGGER = "main"
"""Name of the first trigger, which the fields of the specification itself make."""


class Cause(NamedTuple):
    """The reason for something that a status reports."""

    reason: str
    """In one word, for conditions, events and programs."""
    message: str
    """In one sentence, for people."""


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


# --- the cluster ----------------------------------------------------------------------------------


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
    """As a ReplicaSet does: not ready before ready, then lower deletion cost."""
    HIGHEST_ORDINAL = "HighestOrdinal"
    """As a StatefulSet does: the pod with the highest number in its name."""
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
    """How many of the queued tasks of other queues their jobs' limits hold back."""
    next_held_seconds: float | None = None
    """Time until a rate limit lets one of these start; None: only another event does."""
    oldest_wait_seconds: float | None = None
    workers: int = 0
    """Registered worker incarnations, counted once per queue."""
    next_due_seconds: float | None = None
    """Time until the next scheduled task falls due."""
    due_soon: int = 0
    """Scheduled tasks, not of a paused queue, that fall due within `due_within_seconds`."""
    due_within_seconds: float = 0.0
    """How far ahead tasks count as due soon: the time that a pod takes to start."""
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
    """The queues in which it was asked to drain."""
    connected: bool = True
    """Whether Redis has a connection of it."""
    lease_left_seconds: float = 15.0
    registered_at: float = 0.0
    """Time of registration, on its node's clock."""
    trigger: str = MAIN_TRIGGER
    """Name of the trigger through whose connection it was read, and can be reached."""

    @property
    def draining(self) -> bool:
        """Whether it drains: one queue is enough for it to stop fetching from all."""
        return bool(self.draining_in)

    @property
    def told_everywhere(self) -> bool:
        """Whether every queue refuses its claims, even before it has noticed the request."""
        return len(self.draining_in) == len(self.queues)


class SourceTrouble(StrEnum):
    """The reason why queues could not be read; the value is the condition's reason."""

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
    """Duration of the trouble."""
    trusted_seconds: float = float("inf")
    """Time for which Redis has been up, and reachable without a break."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """The observation of one trigger: queues in one Redis that ask for replicas together."""

    name: str = MAIN_TRIGGER
    queues: tuple[str, ...] = ()
    """Names of its queues."""
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
    """Another autoscaler of the workload, in words; empty if there is none."""
    rival: bool = False
    """Whether that is an older TaskQueue, which drains workers and calls them back itself."""
    shared: str = ""
    """Which other TaskQueue counts the same tasks, in words."""
    flaws: tuple[str, ...] = ()
    """The flaws of workers' entries in Redis, one text for each entry."""
    steady_at: float | None = None
    """The time on the monotonic clock. None: `at` stands for it, as in tests."""

    @property
    def steady(self) -> float:
        """The time, for what is compared with other times of this process."""
        return self.at if self.steady_at is None else self.steady_at

    @property
    def blind(self) -> tuple[Trigger, ...]:
        """The triggers that could not be read."""
        return tuple(trigger for trigger in self.triggers if trigger.depth is None)

    def blind_by_cause(self) -> list[tuple[str, str]]:
        """Name the triggers that could not be read, those with the same cause together.

        Returns:
            For each cause, the triggers in words and the cause.
        """
        names: dict[str, list[str]] = {}
        for trigger in self.blind:
            cause = trigger.source.message or str(trigger.source.trouble)
            names.setdefault(cause, []).append(trigger.name)
        return [
            (f"{'trigger' if len(found) == 1 else 'triggers'} {', '.join(found)}", cause)
            for cause, found in names.items()
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
        """Group the incarnations by the UID of the pod that they live in.

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
    """The memory of earlier rounds. Losing it only delays scaling down.

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
        steps = add_step(self.steps, Step(at, replicas - before))
        return replace(self, scaled_at=at, steps=steps, strange=False, hands=hands)

    def may_have_scaled(self, replicas: int) -> "Memory":
        """Note that a change of the number failed, perhaps only on the way back."""
        return replace(self, hands=replace(self.hands, ours=self.hands.ours | {replicas}))


class Limit(StrEnum):
    """A limit that may hold the number of replicas back; the value is its name in `limitedBy`."""

    ACTIVATION_THRESHOLD = "ActivationThreshold"
    TOLERANCE = "Tolerance"
    MIN_REPLICAS = "MinReplicas"
    SCHEDULE = "Schedule"
    MAX_REPLICAS = "MaxReplicas"
    SOURCE_ERROR = "SourceError"

    SCALE_UP_PAUSED = "ScaleUpPaused"
    SCALE_UP_MAX_STEP = "ScaleUpMaxStep"
    SCALE_UP_POLICY = "ScaleUpPolicy"
    WORKERS_FAILING = "WorkersFailing"

    SCALE_DOWN_PAUSED = "ScaleDownPaused"
    STABILIZATION_WINDOW = "StabilizationWindow"
    IDLE_SECONDS = "IdleSeconds"
    INITIAL_COOLDOWN = "InitialCooldown"
    SCALE_DOWN_MAX_STEP = "ScaleDownMaxStep"
    SCALE_DOWN_POLICY = "ScaleDownPolicy"
    NO_WORKER_REGISTERED = "NoWorkerRegistered"
    REMOVAL_ORDER_UNKNOWN = "RemovalOrderUnknown"
    ROLLOUT = "Rollout"

    REPLICAS_CHANGED_BY_OTHERS = "ReplicasChangedByOthers"


class Wished(NamedTuple):
    """The number of replicas that one trigger asks for."""

    trigger: str
    replicas: int


@dataclass(frozen=True, slots=True)
class Target:
    """The number of replicas that there should be, and why."""

    replicas: int
    reason: str
    message: str
    limited_by: tuple[Limit, ...] = ()
    """The limits that held the number back, in the order in which they did."""
    wishes: tuple[Wished, ...] = ()
    """The wish of each trigger that can be read."""
    trigger: str = ""
    """Name of the one that decides. Empty: none does."""
    needed: int | None = None
    """The number that the readable triggers need, while an unreadable one holds the number up.
    Workers beyond it that drain already keep draining."""


@dataclass(frozen=True, slots=True)
class DrainPlan:
    """The steps down to the target that end no busy worker."""

    victims: tuple[Pod, ...] = ()
    stop: tuple[Worker, ...] = ()
    """Workers to ask to drain."""
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
    """The evidence of cluster and Redis about dead workers."""

    deaths: tuple[Death, ...] = ()
    suspects: tuple[Worker, ...] = ()
    """Reported dead, while Redis still sees a connection. Worth another look very soon."""
    leases_expired: frozenset[str] = frozenset()
    """Names of the triggers in whose Redis a lease ran out, and may be acted on now."""


class WorkerState(StrEnum):
    """A state of the workers in which nothing is known to be wrong; a reason of `WorkersReady`."""

    NONE_NEEDED = "NoneNeeded"
    ALL_WORK = "AllWork"
    STARTING = "Starting"
    NOT_OBSERVED = "NotObserved"


class WorkerTrouble(StrEnum):
    """A trouble that keeps workers from working; a reason of `WorkersReady`."""

    CRASH_LOOP = "CrashLoop"
    OUT_OF_MEMORY = "OutOfMemory"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    CONTAINER_NOT_CREATED = "ContainerNotCreated"
    NOT_READY = "NotReady"
    NO_WORKER_REGISTERED = "NoWorkerRegistered"
    QUEUE_NOT_SERVED = "QueueNotServed"
    UNSCHEDULABLE = "PodsUnschedulable"
    QUOTA_EXCEEDED = "QuotaExceeded"
    POD_SECURITY_VIOLATED = "PodSecurityViolated"
    REFUSED = "PodsRefused"
    MISSING = "PodsMissing"
    ROLLOUT_STUCK = "RolloutStuck"

    @property
    def same_for_all_pods(self) -> bool:
        """Whether another pod of the same template would have it too."""
        return self in (
            WorkerTrouble.CRASH_LOOP,
            WorkerTrouble.OUT_OF_MEMORY,
            WorkerTrouble.IMAGE_PULL_FAILED,
            WorkerTrouble.CONTAINER_NOT_CREATED,
        )


@dataclass(frozen=True, slots=True)
class Health:
    """The state of the workers."""

    reason: WorkerState | WorkerTrouble = WorkerState.NONE_NEEDED
    message: str = "no replicas are wanted"
    working: int = 0
    """Pods that work."""
    hopeless: bool = False
    """Whether another pod would not work either."""
    strange: bool = False
    """Whether the workload seems to run something other than workers."""

    @property
    def trouble(self) -> bool:
        """Whether something is wrong, rather than on its way."""
        return isinstance(self.reason, WorkerTrouble)

    @property
    def well(self) -> bool:
        """Whether all that should work does."""
        return self.reason in (WorkerState.NONE_NEEDED, WorkerState.ALL_WORK)


@dataclass(frozen=True, slots=True)
class Decision:
    """The actions of this round, and their reasons."""

    target: Target
    current: int
    scale_to: int | None = None
    """Write this number of replicas. None: leave it."""
    drain: DrainPlan = field(default_factory=DrainPlan)
    evidence: Evidence = field(default_factory=Evidence)
    next_look_seconds: float | None = None
    """Look again after so long, whatever happens. None: the poll and the doorbell are enough."""
    health: Health = field(default_factory=Health)
    """Whether the workers work."""
    hands: Hands = Hands()
    """Recent changes of the number by others."""


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
    """The actions that were really carried out."""

    scaled_from: int | None = None
    scaled_to: int | None = None
    recovered: tuple[Requeued, ...] = ()
    failure: str = ""
    """Description of the failure. The next round tries again."""
