"""All policy of scaling, pure: (spec, observed, memory) -> (decision, memory).

The wanted number is the largest that a trigger asks for (see `wishes`); then each clamp may
hold it back, in the order of the list below, and puts its name into `limited_by`:

1. activationThreshold   stay at zero until so many tasks wait
2. tolerancePercent      keep the number while it is nearly right
3. minReplicas, schedules, maxReplicas
4. a blind trigger       keep the number while the Redis of one trigger gives no answer
5. a pause               of growing or of shrinking
6. steps of scaleUp      at most so many more per period; none while all pods fail; see `steps`
7. stabilizationSeconds  shrink only to the highest number wanted in the window
8. idleSeconds           keep one replica until nothing was waiting or running for so long
9. initial cooldown      do not shrink before the TaskQueue is so old
10. steps of scaleDown   at most so many fewer per period; see `steps`
11. no worker registered shrink only when a worker of the workload has been seen
12. removal order        if it is unknown, shrink only while no worker is busy; see `victims`
13. a rollout            shrink only when it has ended; see `drain`
14. changes by others    after the second one, wait before the next correction; see
                         `foreign_changes`

Some cases skip the clamps. A paused TaskQueue, one whose workload another autoscaler scales, and
one whose pods run no workers keep their replicas. One that is paused at a number goes to that
number; only clamps 4 and 11 to 14 apply. While a Redis gives no data, no number is lowered.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from identtqueue_operator.api.v1alpha1 import TaskQueueSpec
from identtqueue_operator.model import (
    Decision,
    Evidence,
    Health,
    Limit,
    Memory,
    Observed,
    Problem,
    RemovalOrder,
    Target,
    Trigger,
    Wished,
)
from identtqueue_operator.policy.drain import (
    drains_since,
    has_followed,
    plan_drain,
    waits_for_idleness,
    waits_for_rollout,
)
from identtqueue_operator.policy.evidence import find_dead
from identtqueue_operator.policy.foreign_changes import watch_hands
from identtqueue_operator.policy.health import examine
from identtqueue_operator.policy.pod_startup import measure_startup
from identtqueue_operator.policy.schedules import in_force, next_boundary
from identtqueue_operator.policy.steps import (
    forget_old,
    growth_limits,
    next_step_at,
    shrinking_limits,
)
from identtqueue_operator.policy.traffic import measure_traffic
from identtqueue_operator.policy.wishes import largest, wishes
from identtqueue_operator.strategies.base import Wish
from identtqueue_operator.times import rfc3339
from identtqueue_operator.timings import DEFAULTS, Timings

HOT_SECONDS = 1.0
"""Period of looking at a queue that has work, or at a scale-down under way."""
SUSPECT_SECONDS = 0.2
"""Period of looking at a worker that is reported dead while Redis still has its connection."""
GRACE_SECONDS = 0.05
"""Delay after an awaited moment. Clocks differ by so much, and a look too early would be wasted."""
FOLLOW_SECONDS = 30.0
"""Longest time that workers do not fetch after the number was lowered, where the controller may end
any pod. They fetch again once it has ended as many pods."""


def decide(
    spec: TaskQueueSpec, seen: Observed, memory: Memory, timings: Timings = DEFAULTS
) -> tuple[Decision, Memory]:
    """Decide what to do now. The returned memory goes into the next round."""
    evidence = find_dead(seen, spec.recovery.lease_seconds)
    if seen.workload is None:
        target = Target(0, Problem.WORKLOAD_MISSING, "there is no workload to scale")
        again = _next_look(spec, seen, evidence, None)
        return Decision(target, 0, evidence=evidence, next_look_seconds=again), memory
    current = seen.workload.replicas
    memory = _remember(spec, seen, memory, current)
    hands = watch_hands(
        memory.hands,
        seen,
        paused=spec.hands_off,
        first_pause_seconds=timings.foreign_change_pause_seconds,
    )
    memory = replace(memory, hands=replace(hands, is_news=False))
    health = examine(seen, memory, timings.register_seconds)
    target, memory = choose(spec, seen, memory, current, health)
    timeout = spec.drain.timeout_seconds
    late = {uid for uid, since in memory.drains.items() if seen.steady - since >= timeout}
    goal = target.replicas if target.needed is None else min(target.needed, current)
    drain = plan_drain(goal, seen, late, lowered=memory.lowered)
    scale_to = target.replicas if target.replicas > current else drain.replicas
    if scale_to is not None and scale_to < current:
        memory = replace(memory, lowered=True)
    changes = HOT_SECONDS if target.replicas != current else _changes_in(spec, seen, memory, target)
    # Where no pod could be made, some kinds say so at once; for others, that takes patience.
    needs_pods = bool(seen.own_pods) or (current > 0 and seen.workload.refusal is None)
    if needs_pods and not health.well:
        period = float(spec.scaling.poll_period_seconds)  # its patience may end meanwhile
        changes = period if changes is None else min(changes, period)
    again = _next_look(spec, seen, evidence, changes)
    decision = Decision(target, current, scale_to, drain, evidence, again, health, hands)
    return decision, memory


def choose(
    spec: TaskQueueSpec,
    seen: Observed,
    memory: Memory,
    current: int,
    health: Health = Health(),  # noqa: B008 - it never changes
) -> tuple[Target, Memory]:
    """Choose the number of replicas, and say why."""
    if seen.conflict:
        return Target(current, "Conflicting", f"replicas are left alone: {seen.conflict}"), memory
    if spec.hands_off:
        return Target(
            current, "Paused", f"spec.paused keeps the number of replicas at {current}"
        ), memory
    if spec.paused_replicas is not None and not health.strange:
        return _at_number(spec.paused_replicas, spec, seen, memory, current)
    if seen.depth is None:
        return _without_data(spec, seen, current), memory
    if health.strange:
        # The message on the workers says why: see `status.headline`.
        message = f"the number of replicas stays at {current} until a worker registers"
        return Target(current, health.reason, message, (Limit.NO_WORKER_REGISTERED,)), memory
    clamps = _Clamps(wishes(spec, seen, memory))
    return _clamp(spec, seen, memory, current, clamps, health)


# --- the clamps -----------------------------------------------------------------------------------


class _Clamps:
    """A number on its way through the clamps, and those that changed it.

    Args:
        found: what is asked for; the largest counts.
    """

    def __init__(self, found: Sequence[Wish]) -> None:
        self.wish = largest(found)
        self.wanted = self.value = self.wish.replicas
        self.limits: list[Limit] = []
        self.sentences = [self.wish.words]
        self.needed: int | None = None
        self._wishes = tuple(Wished(wish.trigger, wish.replicas) for wish in found if wish.trigger)
        self._trigger = self.wish.trigger

    def to(self, value: int, limit: Limit, sentence: str) -> None:
        """Set the number and say why, if it changes."""
        if value != self.value:
            self.value = value
            self.limits.append(limit)
            self.sentences.append(f"{sentence} makes it {value}")

    def without_data(self, least: int, blind: Sequence[Trigger], sentence: str) -> None:
        """Hold the number up for triggers that could not be read."""
        self.needed = self.value
        if least > self.value:
            self._trigger = min(trigger.name for trigger in blind)
            self.to(least, Limit.SOURCE_ERROR, sentence)
        else:
            self.sentences.append(sentence)

    def target(self, reason: str) -> Target:
        """Return the number, with everything that was said on its way."""
        return Target(
            self.value,
            reason,
            "; ".join(self.sentences),
            tuple(self.limits),
            self._wishes,
            self._trigger,
            self.needed,
        )


def _clamp(
    spec: TaskQueueSpec,
    seen: Observed,
    memory: Memory,
    current: int,
    clamps: _Clamps,
    health: Health,
) -> tuple[Target, Memory]:
    scaling, depth = spec.scaling, seen.depth
    assert depth is not None
    threshold = scaling.activation_threshold
    if current == 0 and clamps.wanted > 0 and depth.waiting + depth.due_soon < threshold:
        clamps.to(0, Limit.ACTIVATION_THRESHOLD, f"activationThreshold {threshold}")
    _tolerate(scaling.tolerance_percent, current, clamps)
    least, limit, words = _least(spec, seen.at)
    clamps.to(max(clamps.value, least), limit, words)
    clamps.to(min(clamps.value, scaling.max_replicas), Limit.MAX_REPLICAS, "maxReplicas")
    if seen.blind:
        held, sentence = _hold(spec, seen, current)
        clamps.without_data(held, seen.blind, sentence)
    window = scaling.scale_down.stabilization_seconds
    memory = _note_wanted(memory, seen.steady, clamps.value, window)
    if clamps.value > current:
        _limit_growth(spec, seen, memory, current, clamps)
        if health.hopeless:
            sentence = f"{health.reason}, which more pods would not solve,"
            clamps.to(current, Limit.WORKERS_FAILING, sentence)
    elif clamps.value < current:
        _limit_shrinking(spec, seen, memory, current, clamps)
    _wait_for_others(seen, memory, current, clamps)
    blind = Limit.SOURCE_ERROR in clamps.limits
    return clamps.target("NoData" if blind else _reason(current, clamps)), memory


def _at_number(
    number: int, spec: TaskQueueSpec, seen: Observed, memory: Memory, current: int
) -> tuple[Target, Memory]:
    """Pause at this number. Only what protects tasks or a rollout may delay it."""
    clamps = _Clamps(
        [Wish(number, number, f"spec.pausedReplicas sets the number of replicas to {number}")]
    )
    window = spec.scaling.scale_down.stabilization_seconds
    memory = _note_wanted(memory, seen.steady, number, window)
    if number < current:
        if seen.blind:
            clamps.without_data(current, seen.blind, _no_data(seen))
        _keep_workers(seen, memory, current, clamps)
    _wait_for_others(seen, memory, current, clamps)
    return clamps.target("PausedAtReplicas"), memory


def _tolerate(percent: int, current: int, clamps: _Clamps) -> None:
    """Keep a number that is nearly right. At zero replicas no number is."""
    if percent and current and abs(clamps.wish.exact - current) * 100 <= percent * current:
        what = f"tolerancePercent {percent} ({clamps.wish.exact:.2f} replicas are needed)"
        clamps.to(current, Limit.TOLERANCE, what)


def _wait_for_others(seen: Observed, memory: Memory, current: int, clamps: _Clamps) -> None:
    wait = memory.hands.wait_until - seen.steady
    if wait > 0:
        times = f"{len(memory.hands.changes)} changes by others"
        clamps.to(
            current, Limit.REPLICAS_CHANGED_BY_OTHERS, f"a pause of {wait:.0f} s after {times}"
        )


def _least(spec: TaskQueueSpec, at: float) -> tuple[int, Limit, str]:
    """Find the minimum, by minReplicas or a schedule, with its limit in a word and in words."""
    least = spec.scaling.min_replicas
    now = in_force(spec.scaling.schedules, at)
    if now is None or now.schedule.min_replicas <= least:
        return least, Limit.MIN_REPLICAS, "minReplicas"
    until = "" if now.until is None else f" until {rfc3339(now.until)}"
    return now.schedule.min_replicas, Limit.SCHEDULE, f"schedule {now.schedule.name}{until}"


def _limit_growth(
    spec: TaskQueueSpec, seen: Observed, memory: Memory, current: int, clamps: _Clamps
) -> None:
    if spec.scaling.scale_up.paused:
        clamps.to(current, Limit.SCALE_UP_PAUSED, "scaleUp.paused")
    for limit in growth_limits(spec, memory, current, seen.steady):
        clamps.to(min(clamps.value, limit.replicas), limit.limit, limit.words)


def _limit_shrinking(
    spec: TaskQueueSpec, seen: Observed, memory: Memory, current: int, clamps: _Clamps
) -> None:
    rules = spec.scaling.scale_down
    if rules.paused:
        clamps.to(current, Limit.SCALE_DOWN_PAUSED, "scaleDown.paused")
    highest = min(current, max((number for _, number in memory.wanted), default=0))
    clamps.to(
        max(clamps.value, highest),
        Limit.STABILIZATION_WINDOW,
        f"the highest number wanted in the last {rules.stabilization_seconds} s",
    )
    idle = seen.steady - memory.active_at if memory.active_at is not None else 0.0
    if clamps.value == 0 and idle < rules.idle_seconds:
        clamps.to(
            1, Limit.IDLE_SECONDS, f"idleSeconds (idle for {idle:.0f} of {rules.idle_seconds} s)"
        )
    age = math.inf if memory.created_at is None else seen.steady - memory.created_at
    if age < rules.initial_cooldown_seconds:
        sentence = (
            f"{age:.0f} of {rules.initial_cooldown_seconds} s since the TaskQueue was created"
        )
        clamps.to(current, Limit.INITIAL_COOLDOWN, f"initialCooldownSeconds ({sentence})")
    for limit in shrinking_limits(spec, memory, current, seen.steady):
        clamps.to(max(clamps.value, limit.replicas), limit.limit, limit.words)
    _keep_workers(seen, memory, current, clamps)


def _keep_workers(seen: Observed, memory: Memory, current: int, clamps: _Clamps) -> None:
    """Hold back what would harm workers or a rollout, also in a pause at a number."""
    if memory.strange:
        sentence = "a workload that has never registered a worker"
        clamps.to(current, Limit.NO_WORKER_REGISTERED, sentence)
    if waits_for_idleness(clamps.value, seen):
        sentence = "a busy worker, while workloadRef.removalOrder is unknown,"
        clamps.to(current, Limit.REMOVAL_ORDER_UNKNOWN, sentence)
    if waits_for_rollout(clamps.value, seen):
        assert seen.workload is not None
        news = f"{seen.workload.updated} of {seen.workload.existing} pods are new"
        clamps.to(current, Limit.ROLLOUT, f"a rollout under way ({news})")


def _reason(current: int, clamps: _Clamps) -> str:
    wanted = clamps.wanted
    if clamps.value == current == wanted:
        return "Idle" if current == 0 else "AsWanted"
    if clamps.value > current and wanted <= current:
        return "BelowMinimum"
    if clamps.value < current and wanted >= current:
        return "AboveMaximum"
    if wanted > current:
        return f"{clamps.wish.strategy}AboveTarget"
    if wanted == 0:
        return "Idle"
    return f"{clamps.wish.strategy}BelowTarget" if wanted < current else "AsWanted"


def _without_data(spec: TaskQueueSpec, seen: Observed, current: int) -> Target:
    """Hold the number, or raise it by policy, while no Redis answers. Never lower it."""
    held, sentence = _hold(spec, seen, current)
    limits = [Limit.SOURCE_ERROR]
    replicas = max(current, held, _least(spec, seen.at)[0])
    if replicas > current and spec.scaling.scale_up.paused:
        replicas = current
        limits.append(Limit.SCALE_UP_PAUSED)
        sentence += "; scaleUp.paused"
    stays = replicas == current
    what = f"stays at {current}" if stays else f"is raised from {current} to {replicas}"
    message = f"{sentence}: the number of replicas {what}"
    return Target(replicas, "NoData", message, tuple(limits))


def _hold(spec: TaskQueueSpec, seen: Observed, current: int) -> tuple[int, str]:
    """Return the least number while a trigger can't be read, and why: the present one, or more."""
    scaling, policy = spec.scaling, spec.scaling.on_source_error
    outage_seconds = max(trigger.source.outage_seconds for trigger in seen.blind)
    sentence = _no_data(seen)
    patience = policy.after_failures * scaling.poll_period_seconds
    if policy.policy == "Hold" or outage_seconds < patience:
        return current, sentence
    sentence += f"; onSourceError {policy.policy} after {outage_seconds:.0f} s"
    fixed = policy.replicas if policy.policy == "Fixed" else None
    number = scaling.max_replicas if fixed is None else min(fixed, scaling.max_replicas)
    return max(current, number), sentence


def _no_data(seen: Observed) -> str:
    """Say from where there is no data, and why."""
    if len(seen.triggers) == 1:
        source = seen.triggers[0].source
        return f"no data ({source.message or source.trouble})"
    found = [f"{names} ({cause})" for names, cause in seen.blind_by_cause()]
    return f"no data from {' and '.join(found)}"


# --- memory ---------------------------------------------------------------------------------------


def _remember(spec: TaskQueueSpec, seen: Observed, memory: Memory, current: int) -> Memory:
    """Remember what this look shows, before deciding."""
    if not memory.wanted:
        # After a restart, earlier wanted numbers are unknown; the present one is assumed.
        memory = replace(memory, wanted=((seen.steady, current),))
    if memory.lowered and (has_followed(seen) or _waited_for_long(seen, memory)):
        memory = replace(memory, lowered=False)
    memory = replace(
        memory,
        startup=measure_startup(memory.startup, seen.pods, seen.at),
        drains=drains_since(memory.drains, seen),
        steps=forget_old(spec, memory, seen.steady),
        short=_note_missing(memory.short, len(seen.own_pods), current, seen.steady),
    )
    if seen.depth is None:
        return memory
    workers = seen.workers_by_pod()
    if any(workers[pod.uid] for pod in seen.own_pods):
        memory = replace(memory, strange=False, registered_at=seen.steady)
    # A rate limit lets tasks start one by one, and a look falls between two of them as a rule.
    paced = seen.depth.next_held_seconds
    soon = paced is not None and paced <= spec.scaling.scale_down.idle_seconds
    if seen.depth.demand or soon or memory.active_at is None:
        memory = replace(memory, active_at=seen.steady)
    names = {each.name for each in seen.triggers}
    traffic = {name: known for name, known in memory.traffic.items() if name in names}
    for each in seen.triggers:
        if each.depth is not None:
            traffic[each.name] = measure_traffic(traffic.get(each.name), each.depth, seen.steady)
    return replace(memory, traffic=traffic)


def _note_missing(
    before: tuple[float, int] | None, pods: int, current: int, at: float
) -> tuple[float, int] | None:
    """Note since when so many pods are missing; None if none is."""
    if pods >= current:
        return None
    return before if before is not None and before[1] == pods else (at, pods)


def _waited_for_long(seen: Observed, memory: Memory) -> bool:
    """Return whether a controller with an unknown order has not followed for long enough."""
    workload = seen.workload
    assert workload is not None
    if workload.removal is not RemovalOrder.UNKNOWN or memory.scaled_at is None:
        return False
    return seen.steady - memory.scaled_at >= FOLLOW_SECONDS


def _note_wanted(memory: Memory, at: float, number: int, window_seconds: int) -> Memory:
    """Add a wanted number to the window; drop what is too old or can no longer be the maximum."""
    kept = tuple(
        (when, value)
        for when, value in memory.wanted
        if at - when < window_seconds and value > number
    )
    return replace(memory, wanted=(*kept, (at, number)))


# --- when to look again ---------------------------------------------------------------------------


def _changes_in(
    spec: TaskQueueSpec, seen: Observed, memory: Memory, target: Target
) -> float | None:
    """Return the seconds until time alone may change the target; None if it can't."""
    if spec.hands_off or seen.conflict or seen.depth is None:
        return None
    scaling, at = spec.scaling, seen.steady
    forgets = any(trigger.strategy.forgets for trigger in spec.all_triggers)
    if forgets and target.replicas > _least(spec, seen.at)[0]:
        return HOT_SECONDS
    growth_ends = next_step_at(spec, scaling.scale_up, memory, at)
    shrinking_ends = next_step_at(spec, scaling.scale_down, memory, at)
    ends = {
        # The first number in the window is the highest.
        Limit.STABILIZATION_WINDOW: memory.wanted[0][0] + scaling.scale_down.stabilization_seconds,
        Limit.IDLE_SECONDS: (memory.active_at or at) + scaling.scale_down.idle_seconds,
        Limit.REPLICAS_CHANGED_BY_OTHERS: memory.hands.wait_until,
        Limit.SCALE_UP_MAX_STEP: growth_ends,
        Limit.SCALE_UP_POLICY: growth_ends,
        Limit.SCALE_DOWN_MAX_STEP: shrinking_ends,
        Limit.SCALE_DOWN_POLICY: shrinking_ends,
        Limit.INITIAL_COOLDOWN: (memory.created_at or at)
        + scaling.scale_down.initial_cooldown_seconds,
    }
    found = [ends[limit] - at for limit in target.limited_by if limit in ends]
    return max(min(found), 0.0) + GRACE_SECONDS if found else None


def _next_look(
    spec: TaskQueueSpec, seen: Observed, evidence: Evidence, changes: float | None
) -> float | None:
    """Return the seconds until a look that no event would cause; None if polls are enough."""
    looks: list[float] = []
    if evidence.suspects:
        looks.append(SUSPECT_SECONDS)
    if seen.workers:
        # A lease that is not renewed ends; the tasks of a lost worker are then taken back at once.
        soonest = min(worker.lease_left_seconds for worker in seen.workers)
        looks.append(max(soonest + 0.1, HOT_SECONDS))
    if seen.depth is not None and seen.depth.next_due_seconds is not None:
        # Once when a pod must be started for it (or it is counted already), once when it is due.
        ahead = seen.depth.next_due_seconds - seen.depth.due_within_seconds
        looks.append(max(ahead if ahead > 0 else seen.depth.next_due_seconds, 0) + GRACE_SECONDS)
    if seen.depth is not None and seen.depth.next_held_seconds is not None and not seen.workers:
        looks.append(seen.depth.next_held_seconds + GRACE_SECONDS)  # no worker will look
    boundary = next_boundary(spec.scaling.schedules, seen.at)
    if boundary is not None:
        looks.append(boundary - seen.at + GRACE_SECONDS)
    if changes is not None:
        looks.append(changes)
    if seen.depth is not None and seen.depth.demand:
        looks.append(HOT_SECONDS)
    if seen.source.trouble or seen.workload is None or not seen.workload.is_watched:
        looks.append(float(spec.scaling.poll_period_seconds))
    return min(looks) if looks else None
