"""How fast the number of replicas may change, pure: `maxStep`, and policies by pods or percent.

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

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .api.v1alpha1 import ScaleDown, ScaleUp, StepPolicy, TaskQueueSpec
from .model import Memory, Step


@dataclass(frozen=True, slots=True)
class StepLimit:
    """How far the number may go now."""

    name: str
    """As `limitedBy` has it."""
    replicas: int
    words: str


def growth_limits(
    spec: TaskQueueSpec, memory: Memory, current: int, at: float
) -> Iterable[StepLimit]:
    """The highest numbers that `scaleUp` allows now."""
    rules = spec.scaling.scale_up
    if rules.max_step is not None:
        step = _max_step(spec, rules.max_step)
        words = f"scaleUp.maxStep {step.value} per {step.period_seconds} s"
        yield StepLimit("ScaleUpMaxStep", _highest(step, memory, current, at), words)
    if rules.policies:
        found = [(_highest(each, memory, current, at), each) for each in rules.policies]
        number, policy = _by_number(found, largest=rules.select_policy == "Max")
        yield StepLimit("ScaleUpPolicy", number, f"scaleUp.policies ({_words(policy)})")


def shrinking_limits(
    spec: TaskQueueSpec, memory: Memory, current: int, at: float
) -> Iterable[StepLimit]:
    """The lowest numbers that `scaleDown` allows now."""
    rules = spec.scaling.scale_down
    if rules.max_step is not None:
        step = _max_step(spec, rules.max_step)
        words = f"scaleDown.maxStep {step.value} per {step.period_seconds} s"
        yield StepLimit("ScaleDownMaxStep", _lowest(step, memory, current, at), words)
    if rules.policies:
        found = [(_lowest(each, memory, current, at), each) for each in rules.policies]
        number, policy = _by_number(found, largest=rules.select_policy == "Min")
        yield StepLimit("ScaleDownPolicy", number, f"scaleDown.policies ({_words(policy)})")


def next_step_at(
    spec: TaskQueueSpec, rules: ScaleUp | ScaleDown, memory: Memory, at: float
) -> float:
    """When a limit that holds the number back allows more, on the monotonic clock."""
    times = [
        step.at + policy.period_seconds
        for policy in _all(spec, rules)
        for step in _within(policy, memory, at)
    ]
    if _is_forgetful(memory) and memory.scaled_at is not None:
        times += [memory.scaled_at + policy.period_seconds for policy in _all(spec, rules)]
    return min((time for time in times if time > at), default=at)


def forget_old(spec: TaskQueueSpec, memory: Memory, at: float) -> tuple[Step, ...]:
    """The changes that a limit still looks at."""
    policies = (*_all(spec, spec.scaling.scale_up), *_all(spec, spec.scaling.scale_down))
    longest = max((policy.period_seconds for policy in policies), default=0)
    return tuple(step for step in memory.steps if at - step.at < longest)


# --- one limit ------------------------------------------------------------------------------------


def _highest(policy: StepPolicy, memory: Memory, current: int, at: float) -> int:
    start = _start(policy, memory, current, at)
    if start is None:
        return current or _grown(policy, 0)
    return max(current, _grown(policy, start))


def _lowest(policy: StepPolicy, memory: Memory, current: int, at: float) -> int:
    start = _start(policy, memory, current, at)
    return current if start is None else max(0, min(current, _shrunk(policy, start)))


def _grown(policy: StepPolicy, start: int) -> int:
    if policy.type == "Pods":
        return start + policy.value
    return start + max(1, _share(start, policy.value))


def _shrunk(policy: StepPolicy, start: int) -> int:
    if policy.type == "Pods":
        return start - policy.value
    return start - max(1, _share(start, policy.value))


def _share(number: int, percent: int) -> int:
    """So many percent, rounded up."""
    return -(-number * percent // 100)


def _start(policy: StepPolicy, memory: Memory, current: int, at: float) -> int | None:
    """The number at the beginning of the period; None if that was before a restart."""
    forgotten = _is_forgetful(memory) and memory.scaled_at is not None
    if forgotten and at - (memory.scaled_at or 0.0) < policy.period_seconds:
        return None
    return max(0, current - sum(step.difference for step in _within(policy, memory, at)))


def _within(policy: StepPolicy, memory: Memory, at: float) -> Iterable[Step]:
    return (step for step in memory.steps if at - step.at < policy.period_seconds)


def _is_forgetful(memory: Memory) -> bool:
    """Whether the last change is known by its time alone."""
    if memory.scaled_at is None:
        return False
    return not memory.steps or memory.steps[-1].at < memory.scaled_at


def _all(spec: TaskQueueSpec, rules: ScaleUp | ScaleDown) -> Sequence[StepPolicy]:
    if rules.max_step is None:
        return rules.policies
    return [_max_step(spec, rules.max_step), *rules.policies]


def _max_step(spec: TaskQueueSpec, value: int) -> StepPolicy:
    return StepPolicy(type="Pods", value=value, period_seconds=spec.scaling.poll_period_seconds)


def _by_number(found: list[tuple[int, StepPolicy]], *, largest: bool) -> tuple[int, StepPolicy]:
    choose = max if largest else min
    return choose(found, key=lambda each: each[0])


def _words(policy: StepPolicy) -> str:
    unit = "%" if policy.type == "Percent" else "pods"
    return f"{policy.value} {unit} per {policy.period_seconds} s"
