"""TaskQueue, version v1alpha1: the resource a user writes and the status the operator answers with.

These models are the single source: `crd.py` generates the CustomResourceDefinition from them, with
the docstring below each field as its description, so `kubectl explain taskqueue.spec` shows this
text. Rules over several fields stand beside the model that they concern, as CEL for the API server
and in Python for the operator: see `schema.Rule`.

Durations are whole seconds and say so in their name. Unknown fields are ignored, so an older
operator can read a newer resource.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from identtqueue.admin import RedisSettings
from identtqueue.errors import InvalidInput
from identtqueue.schedule import CronExpression
from identtqueue_operator.model import MAIN_TRIGGER, Cause, RemovalOrder
from identtqueue_operator.schema import ApiModel, Rule, cel, repeated
from identtqueue_operator.strategies.base import ScalingStrategy
from identtqueue_operator.strategies.choice import Strategy

GROUP = "identtqueue.dev"
VERSION = "v1alpha1"
KIND = "TaskQueue"
PLURAL = "taskqueues"
API_VERSION = f"{GROUP}/{VERSION}"

QueueName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9._-]{1,63}$", max_length=63)]
ObjectName = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        min_length=1,
        max_length=253,
    ),
]
SecretKey = Annotated[
    str, StringConstraints(pattern=r"^[-._a-zA-Z0-9]+$", min_length=1, max_length=253)
]
CronText = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9A-Za-z*,/#-]+( +[0-9A-Za-z*,/#-]+){4}$", max_length=128),
]
ApiVersion = Annotated[
    str,
    StringConstraints(
        pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?v[a-z0-9]+$", min_length=1, max_length=317
    ),
]
KindName = Annotated[
    str, StringConstraints(pattern=r"^[A-Z][A-Za-z0-9]*$", min_length=1, max_length=63)
]
_HOST_AND_PORT = r"(\[[0-9A-Fa-f:.]+\]|[^\[\]\s/@,:?#]+)(:[0-9]{1,5})?"
ServerAddress = Annotated[
    str, StringConstraints(pattern=f"^{_HOST_AND_PORT}$", min_length=1, max_length=261)
]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time", "maxLength": 64})]
"""RFC 3339 in UTC, as Kubernetes writes it: `2026-01-31T12:00:00Z`."""
Word = Annotated[str, Field(json_schema_extra={"maxLength": 1_024})]
"""A reason: one word. The bound is that of `reason` in Kubernetes' own conditions."""
Sentence = Annotated[str, Field(json_schema_extra={"maxLength": 1_024})]
"""A text of the status. `status.MOST_CHARACTERS` cuts it to this length before it is written."""
LeaseName = Annotated[str, Field(json_schema_extra={"maxLength": 63 + 1 + 253})]
"""Namespace and name of a Lease: `identtqueue/identtqueue-operator`."""


MOST_TRIGGERS = 8
"""Beside the main one. Each may name five Secrets, and the admission policy checks them all."""


# --- spec: the workload ---------------------------------------------------------------------------


class WorkloadRef(ApiModel):
    """An existing workload of workers. The operator only reads and scales it."""

    api_version: ApiVersion = "apps/v1"
    """API group and version of the workload. Default: apps/v1."""
    kind: KindName = "Deployment"
    """Kind of the workload: Deployment, StatefulSet, or another one with a /scale, for which the
    operator needs a right (rbac.scaleTargets of the chart). Default: Deployment."""
    name: ObjectName
    """Name of the workload, in the TaskQueue's namespace."""
    removal_order: RemovalOrder | None = None
    """Which pods the workload's controller ends first when its replicas are lowered. NotReadyFirst:
    those that are not ready, then those with the lowest pod-deletion-cost. HighestOrdinal: the one
    with the highest number in its name. Unknown: any; then replicas are lowered only while no
    worker holds a task. Ignored for Deployments and StatefulSets, whose order is known.
    Default: the order of the kind that owns the pods, if it is known, else Unknown."""


MOST_LABELS = 256
"""Labels or annotations of a pod template. Kubernetes itself does not bound their number; templates
in use have a dozen."""
MOST_ANNOTATION_CHARACTERS = 256 * 1024
"""Kubernetes' own bound for all annotations of an object together, in bytes."""


def _string_map(most_entries: int, most_characters: int) -> dict[str, Any]:
    """Bound a map in the schema only.

    The API server refuses what is over the bounds. A TaskQueue that it stored before there were
    any is still served: what the operator keeps of a spec is bounded by its size in any case.
    """
    return {
        "maxProperties": most_entries,
        "additionalProperties": {"type": "string", "maxLength": most_characters},
    }


class TemplateMetadata(ApiModel):
    """Labels and annotations of the worker pods."""

    labels: Annotated[
        dict[str, str],
        Field(default_factory=dict, json_schema_extra=_string_map(MOST_LABELS, 63)),
    ]
    """Added to the labels by which the operator selects the pods. At most 256."""
    annotations: Annotated[
        dict[str, str],
        Field(
            default_factory=dict,
            json_schema_extra=_string_map(MOST_LABELS, MOST_ANNOTATION_CHARACTERS),
        ),
    ]
    """Annotations of the worker pods, at most 256. A change rolls the pods out."""


class Template(ApiModel):
    """A pod template, from which the operator makes a Deployment named like the TaskQueue.

    Into the container named `worker` (else the first one) it puts the environment that the worker
    reads: identity, Redis address and credentials, queues, concurrency, lease, grace period; and,
    unless given, the probes on port 8080 and terminationGracePeriodSeconds = drain.timeoutSeconds
    + 10, so that the worker's own drain ends before its pod is killed. The pods get no token of
    their ServiceAccount, unless the template says automountServiceAccountToken: true.
    """

    metadata: Annotated[TemplateMetadata, Field(default_factory=TemplateMetadata)]
    spec: Annotated[
        dict[str, Any],
        Field(
            json_schema_extra={
                "x-kubernetes-preserve-unknown-fields": True,
                "required": ["containers"],
                "properties": {
                    "containers": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": 32,
                        "description": "The pod's containers, as in a Deployment.",
                        "items": {
                            "type": "object",
                            "description": (
                                "A container. The one named worker, else the first, is the worker."
                            ),
                            "x-kubernetes-preserve-unknown-fields": True,
                            "properties": {
                                "name": {
                                    "type": "string",
                                    "maxLength": 63,
                                    "description": (
                                        "Name of the container. One that is named like a trigger "
                                        "is that trigger's worker."
                                    ),
                                }
                            },
                        },
                    }
                },
            }
        ),
    ]
    """The pod's specification, as in a Deployment (checked when the Deployment is written)."""

    @property
    def container_names(self) -> tuple[str, ...]:
        """The names of its containers, as far as they have any."""
        return tuple(str(each.get("name")) for each in self.spec.get("containers") or ())


# --- spec: where the tasks are --------------------------------------------------------------------


class Queue(ApiModel):
    """One queue that the workload serves."""

    name: QueueName
    """Name of the queue, as producers write it."""
    weight: Annotated[int, Field(ge=1, le=1_000)] | None = None
    """Share of this queue while several queues have tasks. Default: 1. With
    `template` the operator sets it in the workers' environment; with `workloadRef`, set it there
    (`IDENTTQUEUE_QUEUES=mrz:3,default`)."""


Queues = Annotated[
    list[Queue],
    Field(
        min_length=1,
        max_length=64,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
    ),
]
"""Queue names, each once."""


class CredentialsSecretRef(ApiModel):
    """A Secret in the TaskQueue's namespace with the Redis password, and a user name for ACLs."""

    name: ObjectName
    """Name of the Secret. If the operator reads it, rbac.secretNames of the chart must list it."""
    username_key: SecretKey | None = None
    """Key of the user name in the Secret. Without it, the default Redis user logs in."""
    password_key: SecretKey = "password"  # noqa: S105 - the name of a key
    """Key of the password in the Secret. Default: password."""


class SecretKeyRef(ApiModel):
    """One key of a Secret in the TaskQueue's namespace."""

    name: ObjectName
    """Name of the Secret. If the operator reads it, rbac.secretNames of the chart must list it."""
    key: SecretKey = "ca.crt"
    """Key of the PEM certificates in the Secret. Default: ca.crt."""


class ClientCertSecretRef(ApiModel):
    """A Secret with a client certificate, in the form of type kubernetes.io/tls."""

    name: ObjectName
    """Name of the Secret. If the operator reads it, rbac.secretNames of the chart must list it."""
    cert_key: SecretKey = "tls.crt"
    """Key of the PEM certificate (with its chain) in the Secret. Default: tls.crt."""
    key_key: SecretKey = "tls.key"
    """Key of the PEM private key, not encrypted, in the Secret. Default: tls.key."""


class Tls(ApiModel):
    """TLS to Redis, and to its Sentinels."""

    rules = (
        Rule(
            "self.enabled || !has(self.caSecretRef)",
            "caSecretRef needs tls.enabled",
            lambda tls: not tls.enabled and tls.ca_secret_ref is not None,
        ),
        Rule(
            "self.enabled || !has(self.clientCertSecretRef)",
            "clientCertSecretRef needs tls.enabled",
            lambda tls: not tls.enabled and tls.client_cert_secret_ref is not None,
        ),
    )

    enabled: bool = True
    """Whether connections use TLS. Default: true, if `tls` is given at all."""
    ca_secret_ref: SecretKeyRef | None = None
    """PEM bundle of the authority that signed the server's certificate. Without it the system's
    authorities are trusted."""
    client_cert_secret_ref: ClientCertSecretRef | None = None
    """Client certificate, for a server that requires one."""


class Sentinel(ApiModel):
    """Sentinels, which are asked for the master each time a connection is made."""

    addresses: Annotated[list[ServerAddress], Field(min_length=1, max_length=16)]
    """`host:port` of each Sentinel; without a port, 26379."""
    master_name: Annotated[
        str, StringConstraints(pattern=r"^[-._a-zA-Z0-9]+$", min_length=1, max_length=253)
    ]
    """Name by which the Sentinels know the master."""
    database: Annotated[int, Field(ge=0, le=999)] = 0
    """Number of the Redis database. Default: 0."""
    credentials_secret_ref: CredentialsSecretRef | None = None
    """Login for the Sentinels, if they require one."""


class RedisCluster(ApiModel):
    """A Redis Cluster, which spreads the queues over its nodes."""

    addresses: Annotated[list[ServerAddress], Field(min_length=1, max_length=64)]
    """`host:port` of some of its nodes, which name the others; without a port, 6379."""


class Redis(ApiModel):
    """The Redis that holds the queues: one server, a master behind Sentinels, or a cluster."""

    rules = (
        Rule(
            "[has(self.address), has(self.sentinel), has(self.cluster)].filter(x, x).size() == 1",
            "exactly one of address, sentinel and cluster must be given",
            lambda redis: not redis.is_one,
        ),
    )

    address: (
        Annotated[
            str,
            StringConstraints(
                pattern=f"^(rediss?://)?{_HOST_AND_PORT}(/[0-9]{{1,3}})?/?$", max_length=512
            ),
        ]
        | None
    ) = None
    """`host:port`, or a URL `redis://host:port/db`. Credentials do not belong here (they would be
    readable by everyone who can read the resource): use credentialsSecretRef."""
    sentinel: Sentinel | None = None
    """A master behind Sentinels, in place of `address`."""
    cluster: RedisCluster | None = None
    """A Redis Cluster, in place of `address`."""
    credentials_secret_ref: CredentialsSecretRef | None = None
    """Login for Redis. Without it the operator and the template's workers connect without one."""
    worker_credentials_secret_ref: CredentialsSecretRef | None = None
    """Login for the template's workers, if it differs from the operator's: a user with the rules
    of `identtqueue acl worker`. The operator never reads this Secret. Without it, workers use
    credentialsSecretRef, whose user then needs the rules of both roles."""
    tls: Tls | None = None
    """TLS to Redis. Without it a `rediss://` address uses TLS with the system's authorities."""

    @property
    def is_one(self) -> bool:
        """Whether exactly one address is given."""
        return sum(each is not None for each in (self.address, self.sentinel, self.cluster)) == 1

    def other_problems(self) -> Iterable[str]:
        """Return what is wrong with the address, such as a port beyond 65535."""
        try:
            if self.is_one:
                RedisSettings(address=self.url)
        except InvalidInput as error:
            return [str(error)]
        return []

    @property
    def url(self) -> str:
        """The address as the library wants it, `rediss://` where TLS is on."""
        address = self.address or ""
        tls = self.tls.enabled if self.tls else address.startswith("rediss://")
        scheme = "rediss" if tls else "redis"
        if self.sentinel:
            hosts, name = ",".join(self.sentinel.addresses), self.sentinel.master_name
            return f"{scheme}+sentinel://{hosts}/{name}/{self.sentinel.database}"
        if self.cluster:
            return f"{scheme}+cluster://{','.join(self.cluster.addresses)}"
        return f"{scheme}://{address.removeprefix('redis://').removeprefix('rediss://')}"


# --- spec: how to scale ---------------------------------------------------------------------------


class StepPolicy(ApiModel):
    """A limit on how far the number of replicas may move within a period."""

    type: Literal["Pods", "Percent"]
    """Pods counts replicas. Percent is a share of the replicas at the beginning of the period,
    rounded up, and at least one replica."""
    value: Annotated[int, Field(ge=1, le=100_000)]
    """How many replicas or percent. At most 10000 % for growing and 100 % for shrinking."""
    period_seconds: Annotated[int, Field(ge=1, le=1_800)]
    """Length of the period in seconds. It slides: at each moment the last periodSeconds count."""


StepPolicies = Annotated[
    list[StepPolicy],
    Field(
        default_factory=list, max_length=8, json_schema_extra={"x-kubernetes-list-type": "atomic"}
    ),
]
SelectPolicy = Literal["Max", "Min"]


def _percent_rule(field: str, most: int) -> Rule:
    return Rule(
        f"!has(self.policies) || self.policies.all(p, p.type != 'Percent' || p.value <= {most})",
        f"a Percent policy of {field} takes at most {most}",
        lambda step: any(each.type == "Percent" and each.value > most for each in step.policies),
    )


class ScaleUp(ApiModel):
    """Limits on raising the number of replicas."""

    rules = (_percent_rule("scaleUp", 10_000),)

    paused: bool = False
    """Never raise the number of replicas, not even to minReplicas. It may still be lowered.
    Default: false."""
    max_step: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Largest increase per pollPeriodSeconds. Without it, growing from 0 to N is one step."""
    policies: StepPolicies
    """More limits, by pods or percent, each with its own period. Default: none."""
    select_policy: SelectPolicy = "Max"
    """Which of several policies counts: Max is the one that allows the largest change, Min the one
    that allows the smallest. maxStep applies in any case. Default: Max."""


class ScaleDown(ApiModel):
    """Limits on lowering the number of replicas. A busy worker is always drained first."""

    rules = (_percent_rule("scaleDown", 100),)

    paused: bool = False
    """Never lower the number of replicas, not even to maxReplicas. It may still be raised.
    Default: false."""
    stabilization_seconds: Annotated[int, Field(ge=0, le=3_600)] = 60
    """Lower the number only to the highest that was wanted within the last so many seconds.
    Default: 60."""
    idle_seconds: Annotated[int, Field(ge=0, le=86_400)] = 60
    """Scale to zero only after no task was queued or running for so many seconds. Default: 60."""
    initial_cooldown_seconds: Annotated[int, Field(ge=0, le=86_400)] = 0
    """Never lower the number until the TaskQueue is so many seconds old, so that workers deployed
    together with it stay until the first tasks arrive. Default: 0."""
    max_step: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Largest decrease per pollPeriodSeconds. Without it, there is no such limit."""
    policies: StepPolicies
    """More limits, by pods or percent, each with its own period. Default: none."""
    select_policy: SelectPolicy = "Max"
    """Which of several policies counts: Max is the one that allows the largest change, Min the one
    that allows the smallest. maxStep applies in any case. Default: Max."""


class OnSourceError(ApiModel):
    """How to scale while Redis does not answer. The number of replicas is never lowered."""

    rules = (
        Rule(
            "(self.policy == 'Fixed') == has(self.replicas)",
            "policy Fixed needs replicas, and only it may have them",
            lambda given: (given.policy == "Fixed") != (given.replicas is not None),
        ),
    )

    policy: Literal["Hold", "Fixed", "Max"] = "Hold"
    """Hold keeps the replicas; Fixed and Max raise them, to `replicas` or maxReplicas. Default:
    Hold."""
    after_failures: Annotated[int, Field(ge=1, le=1_000)] = 3
    """Fixed and Max act once Redis has not answered for so many poll periods. Default: 3."""
    replicas: Annotated[int, Field(ge=0, le=100_000)] | None = None
    """Number of replicas for policy Fixed (at most maxReplicas)."""


class Schedule(ApiModel):
    """A recurring time with a larger minReplicas.

    It begins at each firing of `start`, and lasts until the next firing of `end` or for
    durationSeconds. If several are in force, the largest number counts, scaling.minReplicas
    included.
    """

    rules = (
        Rule(
            "has(self.end) != has(self.durationSeconds)",
            "a schedule needs exactly one of end and durationSeconds",
            lambda schedule: (schedule.end is None) == (schedule.duration_seconds is None),
        ),
    )

    name: QueueName
    """Name of the schedule, unique in this TaskQueue; messages name it."""
    start: CronText
    """Cron expression of five fields: minute, hour, day of month, month, day of week. A local time
    that is skipped when clocks go forward fires after the gap; one that occurs twice fires once."""
    end: CronText | None = None
    """Cron expression of five fields, like `start`, in place of durationSeconds."""
    duration_seconds: Annotated[int, Field(ge=1, le=31_622_400)] | None = None
    """How many seconds it lasts, in place of `end`."""
    time_zone: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9_+/-]+$", min_length=1, max_length=64)
    ] = "UTC"
    """IANA time zone of `start` and `end`, such as Europe/Berlin. Default: UTC."""
    min_replicas: Annotated[int, Field(ge=1, le=100_000)]
    """Minimum number of replicas during that time (at most maxReplicas)."""

    @property
    def place(self) -> str:
        """Which schedule it is."""
        return f"schedule {self.name}: "

    def other_problems(self) -> Iterable[str]:
        """Return what is wrong with the times, at the first of them that is wrong."""
        if self.start == self.end:
            yield "start and end are the same"
        try:
            for text in (self.start, self.end):
                if text is not None:
                    CronExpression(text, self.time_zone)
        except InvalidInput as error:
            yield str(error)


class Scaling(ApiModel):
    """Bounds of the number of replicas, and how it changes."""

    rules = (
        Rule(
            "self.minReplicas <= self.maxReplicas",
            "minReplicas must not exceed maxReplicas",
            lambda scaling: scaling.min_replicas > scaling.max_replicas,
        ),
        Rule(
            "!has(self.schedules) || self.schedules.all(s, s.minReplicas <= self.maxReplicas)",
            "minReplicas of a schedule must not exceed maxReplicas",
            lambda scaling: any(s.min_replicas > scaling.max_replicas for s in scaling.schedules),
        ),
    )

    min_replicas: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Minimum number of replicas. Default: 0, so an idle workload scales to zero."""
    max_replicas: Annotated[int, Field(ge=1, le=100_000)] = 10
    """Maximum number of replicas, however many tasks wait. Default: 10."""
    concurrency_per_replica: Annotated[int, Field(ge=1, le=100_000)] = 10
    """How many tasks one replica runs at once. With `template` the operator sets it in the workers'
    environment; with `workloadRef`, give the number that the workers use. Default: 10."""
    strategy: Annotated[Strategy, Field(default_factory=Strategy)]
    """How the wanted number of replicas is calculated. Default: type Backlog."""
    tolerance_percent: Annotated[int, Field(ge=0, le=50)] = 0
    """Keep the number of replicas while the number needed, not rounded, differs from it by at most
    so many percent. A queue with tasks still leaves zero, and an idle one still reaches it.
    Default: 0."""
    activation_threshold: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """Scale up from zero only when at least so many tasks wait. Default: 1."""
    poll_period_seconds: Annotated[int, Field(ge=1, le=300)] = 5
    """How many seconds pass between two polls of an idle queue. A poll finds the first task if its
    notification was missed. Default: 5."""
    startup_seconds: Annotated[int, Field(ge=0, le=3_600)] | None = None
    """How many seconds a pod takes from its creation until it is ready. Scheduled tasks that fall
    due within that time count as waiting. Without it, the operator measures the pods, and
    assumes 5 s until one has started."""
    schedules: Annotated[
        list[Schedule],
        Field(
            default_factory=list,
            max_length=32,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
    ]
    """Larger minReplicas at certain times."""
    scale_up: Annotated[ScaleUp, Field(default_factory=ScaleUp)]
    """Limits on raising the number of replicas. Default: none."""
    scale_down: Annotated[ScaleDown, Field(default_factory=ScaleDown)]
    """Limits on lowering the number of replicas. A busy worker is always drained first."""
    on_source_error: Annotated[OnSourceError, Field(default_factory=OnSourceError)]
    """How to scale while Redis does not answer. The number of replicas is never lowered."""

    def other_problems(self) -> Iterable[str]:
        """Return whether two schedules have the same name."""
        return repeated((each.name for each in self.schedules), "schedules")


RESERVED_NAME = "a trigger can't be named main or worker: these belong to the first one"


class Trigger(ApiModel):
    """More queues that ask for replicas, perhaps in another Redis.

    Each trigger asks for a number of replicas, as the main fields do, and the largest number
    counts. With `template`, a container that has the trigger's name gets the environment of a
    worker for it. Without such a container the worker of the first trigger serves these queues too,
    if they are in the same Redis.
    """

    rules = (
        Rule(
            "self.name != 'main' && self.name != 'worker'",
            RESERVED_NAME,
            lambda trigger: trigger.name in (MAIN_TRIGGER, "worker"),
        ),
    )

    name: Annotated[
        str,
        StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", min_length=1, max_length=63),
    ]
    """Name of the trigger, unique in this TaskQueue. Messages, the status and metrics use it. The
    main fields form the trigger `main`."""
    queues: Queues
    """The queues whose tasks count."""
    redis: Redis | None = None
    """The Redis that holds them. Without it, spec.redis applies."""
    strategy: Strategy | None = None
    """How the number for these queues is calculated. Without it, scaling.strategy applies."""
    concurrency_per_replica: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """How many tasks of these queues one replica runs at once. Without it,
    scaling.concurrencyPerReplica applies."""

    @property
    def place(self) -> str:
        """Which trigger it is."""
        return f"trigger {self.name}: "

    def other_problems(self) -> Iterable[str]:
        """Return whether two queues have the same name."""
        return repeated((queue.name for queue in self.queues), "queues")


class RecoverySettings(ApiModel):
    """How tasks of dead workers are recovered."""

    lease_seconds: Annotated[int, Field(ge=5, le=3_600)] = 15
    """How many seconds a worker keeps its tasks after its last sign of life. With `template` the
    operator sets it in the workers' environment; with `workloadRef`, give the number that the
    workers use. Default: 15."""
    max_deliveries: Annotated[int, Field(ge=1, le=1_000)] = 5
    """A task becomes a dead letter after so many of its workers have died. The last of them must
    have run nothing else: a task that was lost beside others runs once more, alone, even with 1.
    A job that must never run twice has to check `ctx.attempt`. Default: 5."""


class Drain(ApiModel):
    """How long a draining worker has to finish its tasks."""

    timeout_seconds: Annotated[int, Field(ge=0, le=86_400)] = 600
    """How many seconds a worker has to finish its tasks once it is told to drain. Then it is
    stopped anyway, and its tasks return to the queue. With `template`, the pod is gone at most
    10 s later; with `workloadRef`, see docs/operator.md. Default: 600."""


@dataclass(frozen=True, slots=True)
class ResolvedTrigger:
    """Queues in one Redis, and how the wanted number of replicas follows from them."""

    name: str
    queues: tuple[Queue, ...]
    redis: Redis
    choice: Strategy
    concurrency_per_replica: int

    @property
    def queue_names(self) -> tuple[str, ...]:
        """The queues in the order given."""
        return tuple(queue.name for queue in self.queues)

    @property
    def strategy(self) -> ScalingStrategy:
        """How the number for these queues is calculated."""
        return self.choice.chosen(self.concurrency_per_replica)


WORKER_LOGIN_NEEDS_TEMPLATE = (
    "redis.workerCredentialsSecretRef needs template: with workloadRef, the login of the workers "
    "is in your own manifest"
)
SHARED_SLOTS = (
    "concurrencyPerReplica of a trigger needs redis, or a container with the trigger's name: "
    "in the worker of the first trigger its tasks share that worker's slots"
)
_WORKER_LOGINS = (
    "has(self.template) || (!has(self.redis.workerCredentialsSecretRef) && "
    "(!has(self.triggers) || !self.triggers.exists(t, "
    "has(t.redis) && has(t.redis.workerCredentialsSecretRef))))"
)
_OWN_SLOTS = (
    "!has(self.template) || !has(self.triggers) || self.triggers.all(t, "
    "!has(t.concurrencyPerReplica) || has(t.redis) || "
    "self.template.spec.containers.exists(c, has(c.name) && c.name == t.name))"
)


class TaskQueueSpec(ApiModel):
    """The desired state: a workload, its queues, their Redis, and how to scale."""

    rules = (
        Rule(
            "has(self.workloadRef) != has(self.template)",
            "exactly one of workloadRef and template must be given",
            lambda spec: (spec.workload_ref is None) == (spec.template is None),
        ),
        Rule(
            "has(self.workloadRef) == has(oldSelf.workloadRef)",
            "a TaskQueue cannot change between workloadRef and template: create a new one",
        ),
        Rule(
            _WORKER_LOGINS,
            WORKER_LOGIN_NEEDS_TEMPLATE,
            lambda spec: (
                spec.template is None
                and any(each.redis.worker_credentials_secret_ref for each in spec.all_triggers)
            ),
        ),
        Rule(_OWN_SLOTS, SHARED_SLOTS, lambda spec: spec.sharing_triggers),
        Rule(
            "!has(self.restoreReplicas) || !self.restoreReplicas || has(self.workloadRef)",
            "restoreReplicas needs workloadRef",
            lambda spec: spec.restore_replicas and spec.workload_ref is None,
        ),
    )

    workload_ref: Annotated[
        WorkloadRef | None,
        Field(
            json_schema_extra=cel(
                Rule("self == oldSelf", "workloadRef is immutable: create a new TaskQueue")
            )
        ),
    ] = None
    """An existing Deployment, StatefulSet or other workload of workers, in place of `template`. It
    can't be changed afterwards."""
    template: Template | None = None
    """A pod template, in place of `workloadRef`. The operator makes a Deployment of it, named like
    the TaskQueue, and reverts changes that others make. Into the container named `worker` (else the
    first one) it puts the environment that the worker reads and, unless given, probes on port 8080
    and terminationGracePeriodSeconds = drain.timeoutSeconds + 10."""
    queues: Queues
    """The queues whose tasks the workload runs."""
    redis: Redis
    """The Redis that holds the queues: exactly one of address, sentinel and cluster."""
    triggers: Annotated[
        list[Trigger],
        Field(
            default_factory=list,
            max_length=MOST_TRIGGERS,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
    ]
    """More queues that ask for replicas, perhaps in other Redis. The largest number counts. While
    the Redis of one of them does not answer, replicas are not lowered. Default: none."""
    scaling: Annotated[Scaling, Field(default_factory=Scaling)]
    """Bounds of the number of replicas, and how it changes."""
    recovery: Annotated[RecoverySettings, Field(default_factory=RecoverySettings)]
    """How tasks of dead workers are recovered."""
    drain: Annotated[Drain, Field(default_factory=Drain)]
    """How long a draining worker has to finish its tasks."""
    paused: bool = False
    """Leave the number of replicas as it is. Tasks of dead pods are still recovered. Default:
    false."""
    paused_replicas: Annotated[int, Field(ge=0, le=100_000)] | None = None
    """Scale to this number and stay there, however many tasks wait, even outside minReplicas and
    maxReplicas, and whether or not `paused` is set. Workers that are to end finish their tasks
    first. Without it, there is no such pause."""

    restore_replicas: bool = False
    """When the TaskQueue is deleted, restore the number of replicas that the workload of
    workloadRef had when the operator first saw this field set. Workers finish their tasks first.
    The operator must run at that time, because it does not block the deletion. Default: false,
    the number stays."""

    @property
    def first_replicas(self) -> int:
        """Number of replicas that a new Deployment gets."""
        return self.scaling.min_replicas if self.paused_replicas is None else self.paused_replicas

    @property
    def hands_off(self) -> bool:
        """Whether others may change the number of replicas."""
        return self.paused and self.paused_replicas is None

    @property
    def pause(self) -> Cause | None:
        """Say what of scaling is paused; None if nothing is."""
        number = self.paused_replicas
        if number is not None:
            sentence = f"spec.pausedReplicas is {number}: replicas go there and stay"
            return Cause("PausedAtReplicas", sentence)
        if self.paused:
            return Cause("SpecPaused", "spec.paused is true: replicas are left alone")
        up, down = self.scaling.scale_up.paused, self.scaling.scale_down.paused
        if up and down:
            sentence = "scaleUp.paused and scaleDown.paused: replicas are not changed"
            return Cause("ScalingPaused", sentence)
        if up:
            return Cause("ScaleUpPaused", "scaleUp.paused is true: replicas are not raised")
        if down:
            return Cause("ScaleDownPaused", "scaleDown.paused is true: replicas are not lowered")
        return None

    @property
    def worker_triggers(self) -> tuple[ResolvedTrigger, ...]:
        """The triggers of each worker of `template`: its own, and those without a worker.

        The first one is of the container `worker`, or of the first that is not named like a
        trigger; each of the others is of the container that has its name.
        """
        names = self.template.container_names if self.template else ()
        main, *others = self.all_triggers
        queues = {queue.name: queue for queue in main.queues}
        for trigger, given in zip(others, self.triggers, strict=True):
            if trigger.name not in names and given.redis is None:
                for queue in trigger.queues:
                    queues.setdefault(queue.name, queue)
        main = replace(main, queues=tuple(queues.values()))
        return (main, *(each for each in others if each.name in names))

    @property
    def all_triggers(self) -> tuple[ResolvedTrigger, ...]:
        """All triggers, with everything filled in; the first one is `main`."""
        scaling = self.scaling
        return (
            ResolvedTrigger(
                MAIN_TRIGGER,
                tuple(self.queues),
                self.redis,
                scaling.strategy,
                scaling.concurrency_per_replica,
            ),
            *(
                ResolvedTrigger(
                    each.name,
                    tuple(each.queues),
                    each.redis or self.redis,
                    each.strategy or scaling.strategy,
                    each.concurrency_per_replica or scaling.concurrency_per_replica,
                )
                for each in self.triggers
            ),
        )

    @property
    def sharing_triggers(self) -> list[Trigger]:
        """The triggers with slots of their own, but without a worker that could have them."""
        if self.template is None:
            return []
        names = self.template.container_names
        return [
            each
            for each in self.triggers
            if each.concurrency_per_replica and each.redis is None and each.name not in names
        ]

    def other_problems(self) -> Iterable[str]:
        """Return whether names stand twice, or no container is left for the first trigger."""
        yield from repeated((queue.name for queue in self.queues), "queues")
        names = [each.name for each in self.triggers]
        yield from repeated(names, "triggers")
        containers = self.template.container_names if self.template else ()
        if containers and set(names).issuperset(containers):
            yield (
                "template has no container for the first trigger: all are named like other triggers"
            )


# --- status ---------------------------------------------------------------------------------------


class Replicas(ApiModel):
    """The workload's replicas as last seen."""

    desired: int
    """How many replicas the operator wants."""
    current: int
    """How many replicas the workload asks for."""
    ready: int
    """How many of the workload's pods are ready."""
    draining: int
    """How many pods drain: their workers finish their tasks and fetch no more."""


class Tasks(ApiModel):
    """The queues in numbers, summed; refreshed on a decision, else at most every 30 s."""

    queued: int
    """How many tasks wait, held ones included."""
    held: int = 0
    """How many of the queued tasks their jobs' limits hold back for now."""
    in_flight: int
    """How many tasks run now."""
    scheduled: int
    """How many tasks are scheduled for later: delays, retries and cron."""
    dead: int
    """How many dead letters there are: tasks that failed for good."""
    oldest_wait_seconds: int | None = None
    """How long the oldest waiting task has waited, in seconds; absent if none waits."""


class TriggerStatus(ApiModel):
    """One of several triggers as last seen."""

    name: Annotated[str, Field(json_schema_extra={"maxLength": 63})]
    """Name of the trigger; `main` is made by the main fields."""
    reachable: bool
    """Whether its queues can be read."""
    desired: int | None = None
    """How many replicas it asks for; absent while it can't be read."""
    queued: int | None = None
    """How many of its tasks wait; absent while it can't be read."""
    in_flight: int | None = None
    """How many of its tasks run now; absent while it can't be read."""
    oldest_wait_seconds: int | None = None
    """How long its oldest waiting task has waited, in seconds; absent if none waits."""
    message: Sentence | None = None
    """Why it can't be read."""


class LastDecision(ApiModel):
    """The last change of replicas, or why there was none."""

    time: Time
    """When it was decided, in UTC."""
    from_: Annotated[int, Field(alias="from")]
    """How many replicas there were before."""
    to: int
    """How many replicas there are to be."""
    reason: Word
    """Why, in one word, such as BacklogAboveTarget."""
    limited_by: Sentence
    """The limits that held the number back, separated by commas; None if nothing did."""
    message: Sentence
    """The whole calculation, with its numbers."""


class Recovered(ApiModel):
    """Tasks returned to their queues from dead workers since the TaskQueue was created."""

    total: int = 0
    """How many tasks were returned so far."""
    last_time: Time | None = None
    """When tasks were last returned, in UTC."""


class Condition(ApiModel):
    """A condition by the Kubernetes API conventions."""

    type: Annotated[str, StringConstraints(max_length=316)]
    """Name of the condition, such as Ready or WorkersReady."""
    status: Literal["True", "False", "Unknown"]
    """True, False, or Unknown if it could not be observed."""
    observed_generation: int
    """The metadata.generation that the condition describes."""
    last_transition_time: Time
    """When the status last changed, in UTC."""
    reason: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
    """Why it is so, in one word; docs/operator.md lists them."""
    message: Annotated[str, StringConstraints(max_length=32_768)]
    """Why it is so, in one sentence."""


class OperatorName(ApiModel):
    """Which of several operators manages the TaskQueue."""

    name: LeaseName
    """Namespace and name of the Lease by which the operator's pods agree on a leader."""
    challenged_by: LeaseName | None = None
    """Another operator that serves the TaskQueue too, and takes over if the first one is gone."""


class TaskQueueStatus(ApiModel):
    """What the operator saw and did, and why."""

    brief: Sentence | None = None
    """Reason and message in one, where `kubectl describe` shows them before the conditions."""
    operator: OperatorName | None = None
    """Which of several operators manages the TaskQueue."""
    observed_generation: int | None = None
    """The metadata.generation that this status describes."""
    workload: Annotated[str, Field(json_schema_extra={"maxLength": 253})] | None = None
    """Name of the workload that is scaled."""
    reason: Word | None = None
    """What is going on, in one word."""
    message: Sentence | None = None
    """What is going on, in one sentence."""
    original_replicas: int | None = None
    """The number of replicas that restoreReplicas gives back."""
    replicas: Replicas | None = None
    """The workload's replicas as last seen."""
    tasks: Tasks | None = None
    """The queues in numbers, summed; refreshed on a decision, else at most every 30 s."""
    decided_by: Annotated[str, Field(json_schema_extra={"maxLength": 63})] | None = None
    """With several triggers, the name of the one whose number counts, or of one that can't be read
    and therefore keeps the replicas from being lowered."""
    triggers_reachable: Annotated[str, Field(json_schema_extra={"maxLength": 16})] | None = None
    """How many of several triggers can be read, as in 1/2."""
    triggers: Annotated[
        list[TriggerStatus] | None,
        Field(
            max_length=1 + MOST_TRIGGERS,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
    ] = None
    """Each of several triggers. Absent if the main fields are the only one."""
    last_decision: LastDecision | None = None
    """The last change of replicas, or why there was none."""
    last_scale_time: Time | None = None
    """When the operator last changed the number of replicas, in UTC."""
    last_active_time: Time | None = None
    """When something was last queued or running; idleSeconds counts from here."""
    startup_seconds: int | None = None
    """How many seconds a pod takes from its creation until it is ready, as measured, rounded up."""
    recovered: Recovered | None = None
    """Tasks returned to their queues from dead workers since the TaskQueue was created."""
    conditions: Annotated[
        list[Condition],
        Field(
            default_factory=list,
            max_length=32,  # there are 13 types
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
            },
        ),
    ]
    """Conditions of the TaskQueue, by the Kubernetes API conventions."""


class TaskQueue(ApiModel):
    """A task queue and the workers that serve it.

    The operator scales the workload by the length of the queues' Redis lists, lets workers finish
    before their pods end, and returns the tasks of dead pods to their queue.
    """

    spec: TaskQueueSpec
    """The desired state: a workload, its queues, their Redis, and how to scale."""
    status: Annotated[TaskQueueStatus, Field(default_factory=TaskQueueStatus)]
    """The observed state: what the operator saw and did, and why. The operator writes it."""
