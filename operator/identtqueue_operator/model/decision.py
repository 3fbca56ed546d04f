"""The decision of one round with its reasons, and what came of it."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from identtqueue_operator.model.cluster import Pod
from identtqueue_operator.model.memory import Hands
from identtqueue_operator.model.queues import Worker


class Cause(NamedTuple):
    """The reason for something that a status reports."""

    reason: str
    """In one word, for conditions, events and programs."""
    message: str
    """In one sentence, for people."""


class Problem(StrEnum):
    """A reason why a round came to no decision; the value is the reason of `Ready`."""

    INVALID_SPEC = "InvalidSpec"
    AUTOSCALERS_UNKNOWN = "AutoscalersUnknown"
    ROUND_FAILED = "RoundFailed"
    NAMESPACE_TERMINATING = "NamespaceTerminating"
    WORKLOAD_MISSING = "WorkloadMissing"
    WORKLOAD_KIND_UNKNOWN = "WorkloadKindUnknown"
    WORKLOAD_NOT_SCALABLE = "WorkloadNotScalable"
    WORKLOAD_FORBIDDEN = "WorkloadForbidden"
    WORKLOAD_IS_OPERATOR = "WorkloadIsOperator"
    WORKLOAD_TEMPLATE_NOT_ALLOWED = "WorkloadTemplateNotAllowed"
    WORKLOAD_NOT_OWNED = "WorkloadNotOwned"
    WORKLOAD_REFUSED = "WorkloadRefused"


WORKLOAD_PROBLEMS = frozenset(each for each in Problem if each.name.startswith("WORKLOAD_"))
"""Problems with the workload itself; the value is also the reason of `WorkloadFound`."""


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
    hands: Hands = field(default_factory=Hands)
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
