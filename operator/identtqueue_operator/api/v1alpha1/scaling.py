"""How to scale, as a user writes it: bounds, limits, schedules."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from identtqueue.errors import InvalidInput
from identtqueue.schedule import CronExpression
from identtqueue_operator.api.v1alpha1.types import CronText, QueueName
from identtqueue_operator.schema import ApiModel, Rule, repeated
from identtqueue_operator.strategies.choice import Strategy


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
