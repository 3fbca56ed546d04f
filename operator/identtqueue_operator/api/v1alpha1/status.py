"""The status of a TaskQueue: the observed state, as the operator writes it."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from identtqueue_operator.api.v1alpha1.spec import MOST_TRIGGERS
from identtqueue_operator.api.v1alpha1.types import LeaseName, Sentence, Time, Word
from identtqueue_operator.schema import ApiModel

MOST_PAST_DECISIONS = 10
"""How many decisions `status.history` keeps."""


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


class PastDecision(ApiModel):
    """One of the last decisions, as it was made."""

    time: Time
    """When it was decided, in UTC."""
    from_: Annotated[int, Field(alias="from")]
    """How many replicas there were before."""
    to: int
    """How many replicas there were to be; the same number if a limit held it back."""
    reason: Word
    """Why, in one word, such as BacklogAboveTarget."""
    limited_by: Sentence
    """The limits that held the number back, separated by commas; None if nothing did."""
    message: Sentence
    """The calculation with its numbers, cut off if it is long."""


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
    """The observations and acts of the operator, and their reasons."""

    brief: Sentence | None = None
    """Reason and message in one, where `kubectl describe` shows them before the conditions."""
    operator: OperatorName | None = None
    """Which of several operators manages the TaskQueue."""
    observed_generation: int | None = None
    """The metadata.generation that this status describes."""
    workload: Annotated[str, Field(json_schema_extra={"maxLength": 253})] | None = None
    """Name of the workload that is scaled."""
    reason: Word | None = None
    """The present state in one word, such as Idle or ScalingUp; docs/operator.md lists them."""
    message: Sentence | None = None
    """The present state in one sentence."""
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
    history: Annotated[
        list[PastDecision] | None,
        Field(
            max_length=MOST_PAST_DECISIONS, json_schema_extra={"x-kubernetes-list-type": "atomic"}
        ),
    ] = None
    """The last decisions, the newest first; `kubectl tq explain` puts them into words. Between two
    changes of the number, only the last decision that a limit held back is kept."""
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
