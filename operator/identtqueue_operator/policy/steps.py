"""Limits on the pace of scaling, pure: `maxStep`, and policies by pods or percent.

Each limit looks at a period that ends now. The number at its beginning is the present one without
the operator's own changes since; what others have changed counts as if it had always been so. From
there the number may move by so many replicas or percent. A percentage is rounded up, and is at
least one replica, so no number is a dead end.

A scale-down is several small changes, since workers go when they have finished. Within its period
they add up to one step, and the number that it leads to stays the same.

After a restart only the time of the last change is known (`status.lastScaleTime`). A period with
that time in it counts as used up. Growth from zero does not wait for that: the last change was then
a scale-down.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter

from identtqueue_operator.api.v1alpha1 import ScaleDown, ScaleUp, StepPolicy, TaskQueueSpec
from identtqueue_operator.model import Limit, Memory, Step


@dataclass(frozen=True, slots=True)
class StepLimit:
    """A limit on the number of replicas, as it is now."""

    limit: Limit
    replicas: int
    words: str


def growth_limits(
    spec: TaskQueueSpec, memory: Memory, current: int, at: float
) -> Iterable[StepLimit]:
    """Return the highest numbers that `scaleUp` allows now."""
    rules = spec.scaling.scale_up

    def reach(policy: StepPolicy) -> int:
        return _highest(policy, memory, current, at)

    select = max if rules.select_policy == "Max" else min
    return _limits(spec, "scaleUp", rules, reach, select)


def shrinking_limits(
    spec: TaskQueueSpec, memory: Memory, current: int, at: float
) -> Iterable[StepLimit]:
    """Return the lowest numbers that `scaleDown` allows now."""
    rules = spec.scaling.scale_down

    def reach(policy: StepPolicy) -> int:
        return _lowest(policy, memory, current, at)

    # The policy that allows most is the one with the lowest number.
    select = min if rules.select_policy == "Max" else max
    return _limits(spec, "scaleDown", rules, reach, select)


def next_step_at(
    spec: TaskQueueSpec, rules: ScaleUp | ScaleDown, memory: Memory, at: float
) -> float:
    """Return when a limit that holds the number back allows more, on the monotonic clock."""
    times = [
        step.at + policy.period_seconds
        for policy in _all(spec, rules)
        for step in _within(policy, memory, at)
    ]
    forgotten_at = _forgotten_at(memory)
    if forgotten_at is not None:
        times += [forgotten_at + policy.period_seconds for policy in _all(spec, rules)]
    return min((time for time in times if time > at), default=at)


def forget_old(spec: TaskQueueSpec, memory: Memory, at: float) -> tuple[Step, ...]:
    """Keep the changes that a limit still looks at."""
    policies = (*_all(spec, spec.scaling.scale_up), *_all(spec, spec.scaling.scale_down))
    longest = max((policy.period_seconds for policy in policies), default=0)
    return tuple(step for step in memory.steps if at - step.at < longest)


# --- one limit ------------------------------------------------------------------------------------


def _limits(
    spec: TaskQueueSpec,
    field: str,
    rules: ScaleUp | ScaleDown,
    reach: Callable[[StepPolicy], int],
    select: Callable[..., tuple[int, StepPolicy]],
) -> Iterable[StepLimit]:
    """Apply the rules of one direction.

    Args:
        spec: whose rules they are.
        field: of the specification that has them.
        rules: of this direction.
        reach: how far a policy lets the number go.
        select: `max` or `min`: of several policies the one whose number counts.
    """
    grows = isinstance(rules, ScaleUp)
    if rules.max_step is not None:
        step = _max_step(spec, rules.max_step)
        words = f"{field}.maxStep {step.value} per {step.period_seconds} s"
        limit = Limit.SCALE_UP_MAX_STEP if grows else Limit.SCALE_DOWN_MAX_STEP
        yield StepLimit(limit, reach(step), words)
    if rules.policies:
        found = ((reach(policy), policy) for policy in rules.policies)
        number, policy = select(found, key=itemgetter(0))
        limit = Limit.SCALE_UP_POLICY if grows else Limit.SCALE_DOWN_POLICY
        yield StepLimit(limit, number, f"{field}.policies ({_words(policy)})")


def _highest(policy: StepPolicy, memory: Memory, current: int, at: float) -> int:
    start = _start(policy, memory, current, at)
    if start is None:
        return current or _step(policy, 0)
    return max(current, start + _step(policy, start))


def _lowest(policy: StepPolicy, memory: Memory, current: int, at: float) -> int:
    start = _start(policy, memory, current, at)
    return current if start is None else max(0, min(current, start - _step(policy, start)))


def _step(policy: StepPolicy, start: int) -> int:
    """Return how many replicas the number may move from its beginning."""
    if policy.type == "Pods":
        return policy.value
    return max(1, -(-start * policy.value // 100))  # rounded up


def _start(policy: StepPolicy, memory: Memory, current: int, at: float) -> int | None:
    """Return the number at the beginning of the period; None if that was before a restart."""
    forgotten_at = _forgotten_at(memory)
    if forgotten_at is not None and at - forgotten_at < policy.period_seconds:
        return None
    return max(0, current - sum(step.difference for step in _within(policy, memory, at)))


def _within(policy: StepPolicy, memory: Memory, at: float) -> Iterable[Step]:
    return (step for step in memory.steps if at - step.at < policy.period_seconds)


def _forgotten_at(memory: Memory) -> float | None:
    """Return when the last change was, if only its time is known."""
    if memory.scaled_at is None or (memory.steps and memory.steps[-1].at >= memory.scaled_at):
        return None
    return memory.scaled_at


def _all(spec: TaskQueueSpec, rules: ScaleUp | ScaleDown) -> Sequence[StepPolicy]:
    if rules.max_step is None:
        return rules.policies
    return [_max_step(spec, rules.max_step), *rules.policies]


def _max_step(spec: TaskQueueSpec, value: int) -> StepPolicy:
    return StepPolicy(type="Pods", value=value, period_seconds=spec.scaling.poll_period_seconds)


def _words(policy: StepPolicy) -> str:
    unit = "%" if policy.type == "Percent" else "pods"
    return f"{policy.value} {unit} per {policy.period_seconds} s"
