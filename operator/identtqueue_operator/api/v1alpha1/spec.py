"""The spec of a TaskQueue: the desired state, as a user writes it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field, StringConstraints

from identtqueue_operator.api.v1alpha1.redis import Queue, Queues, Redis
from identtqueue_operator.api.v1alpha1.scaling import Scaling
from identtqueue_operator.api.v1alpha1.workload import Template, WorkloadRef
from identtqueue_operator.model import MAIN_TRIGGER, Cause
from identtqueue_operator.schema import ApiModel, Rule, cel, repeated
from identtqueue_operator.strategies.base import ScalingStrategy
from identtqueue_operator.strategies.choice import Strategy

MOST_TRIGGERS = 8
"""Beside the main one. Each may name five Secrets, and the admission policy checks them all."""
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
    Default: 5."""


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

        The first trigger belongs to the container `worker`, or else to the first container that is
        not named like a trigger. Each other one belongs to the container that has its name.
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
