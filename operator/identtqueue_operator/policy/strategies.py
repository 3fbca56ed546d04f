"""The number of replicas that the queues ask for, pure: the strategies, and what they measure.

Each trigger asks for itself, by its own strategy, and the largest number counts. Replicas are whole
pods, and each pod serves all triggers; so what is enough for the trigger that asks for most is
enough for the others too. See ADR 023.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from identtqueue_operator.api.v1alpha1 import ResolvedTrigger, TaskQueueSpec
from identtqueue_operator.model import Depth, Memory, Observed, Traffic
from identtqueue_operator.policy.pod_startup import startup_seconds

TRAFFIC_MEMORY_SECONDS = 30.0
"""Arrival rate and service time are averages that forget with this time constant."""
SILENCE = 3.0
"""After t seconds without an arrival the rate is hardly above SILENCE / t per second: with that
rate a Poisson process is silent for so long with a probability of 5 % (the "rule of three").
The average alone would keep the workers of a burst for minutes after its end."""
NEGLIGIBLE_REPLICAS = 0.05
"""Share of a replica that, without any task, is no reason to keep one: an average never quite
returns to zero."""


class Wish(NamedTuple):
    """Replicas by the strategy of one trigger alone."""

    replicas: int
    exact: float
    """The same, not rounded."""
    words: str
    """The calculation."""
    trigger: str = ""
    """Name of the trigger. Empty: the specification itself asks for it."""
    measure: str = "Backlog"
    """The quantity that the strategy uses."""


def wishes(spec: TaskQueueSpec, seen: Observed, memory: Memory) -> tuple[Wish, ...]:
    """Ask each trigger that can be read."""
    triggers = {trigger.name: trigger for trigger in spec.all_triggers}
    startup = startup_seconds(spec, memory.startup)
    found = []
    for each in seen.triggers:
        if each.depth is not None:
            traffic = memory.traffic.get(each.name)
            found.append(_wanted(triggers[each.name], each.depth, traffic, startup))
    if len(seen.triggers) > 1:
        found = [wish._replace(words=f"trigger {wish.trigger}: {wish.words}") for wish in found]
    return tuple(found)


def largest(found: Iterable[Wish]) -> Wish:
    """Choose the wish that counts. Of equal ones it is the same in whatever order they stand."""
    first, *others = sorted(found, key=lambda wish: (-wish.replicas, -wish.exact, wish.trigger))
    if not others:
        return first
    rest = ", ".join(f"{wish.trigger} {wish.replicas}" for wish in others)
    return first._replace(words=f"{first.words} (the others: {rest})")


def _wanted(
    trigger: ResolvedTrigger, depth: Depth, traffic: Traffic | None, startup: float
) -> Wish:
    """Apply the strategy."""
    paused = f" ({depth.paused} more wait in a paused queue)" if depth.paused else ""
    due = _due(depth)
    held = f" ({depth.held} more are held by the limits of their jobs)" if depth.held else ""
    counts = f"{depth.waiting} queued{paused}{held}{due} + {depth.in_flight} in flight"
    wait_time, slots = trigger.wait_time, trigger.concurrency_per_replica
    if wait_time is None:
        per_replica = trigger.tasks_per_replica
        wanted = math.ceil(depth.demand / per_replica)
        words = f"ceil(({counts}) / {per_replica} per replica) = {wanted}"
        return Wish(wanted, depth.demand / per_replica, words, trigger.name)
    if traffic is None or traffic.service_seconds is None:
        wanted = math.ceil(depth.demand / slots)
        words = (
            f"no task has ended yet, so the run time is unknown: "
            f"ceil(({counts}) / {slots} at once per replica) = {wanted}"
        )
        return Wish(wanted, depth.demand / slots, words, trigger.name, "WaitTime")
    wish = _by_wait_time(depth, traffic, wait_time.target_seconds, startup, slots)
    return wish._replace(trigger=trigger.name)


def _due(depth: Depth) -> str:
    if not depth.due_soon:
        return ""
    return f" + {depth.due_soon} due within {math.ceil(depth.due_within_seconds)} s"


def _by_wait_time(
    depth: Depth, traffic: Traffic, target_seconds: int, startup: float, slots: int
) -> Wish:
    """Apply Little's law: arrival rate x service time keeps pace; the queue comes on top.

    The queue is to be gone within the time that is left, which is counted from when a pod that is
    started now would be ready: else a burst would be ordered again and again, more of it each time,
    while its pods start. For the same reason the time left is never less than a start-up (or half
    of the target): pods that come too late only cost.
    """
    service = traffic.service_seconds or 0.0
    head = max(depth.oldest_wait_seconds or 0.0, startup)
    least = max(min(startup, target_seconds / 2), target_seconds / 10)
    left = max(target_seconds - head, least)
    waiting = depth.waiting + depth.due_soon
    busy = traffic.arrivals_per_second * service + waiting * service / left
    exact = busy / slots
    wanted = max(math.ceil(exact), 1) if depth.demand else math.ceil(exact - NEGLIGIBLE_REPLICAS)
    queue = f"{depth.waiting} queued"
    if depth.due_soon:
        queue = f"({queue}{_due(depth)})"
    words = (
        f"ceil(({traffic.arrivals_per_second:.2f}/s x {service:.2f} s + {queue} x "
        f"{service:.2f} s / {left:.1f} s left of {target_seconds} s) / {slots} at once per "
        f"replica) = {wanted} ({depth.in_flight} in flight)"
    )
    return Wish(wanted, exact, words, measure="WaitTime")


# --- what is measured -----------------------------------------------------------------------------


def measure(before: Traffic | None, depth: Depth, at: float) -> Traffic:
    """Update arrival rate and service time after one more look at the counters."""
    overall = depth.run_ms_total / depth.ended_total / 1000 if depth.ended_total else None
    now = Traffic(
        *(at, depth.enqueued_total, depth.ended_total, depth.run_ms_total),
        arrived_at=at,
        held=depth.held,
    )
    if before is None or depth.enqueued_total < before.enqueued_total or at <= before.at:
        # The first look, or the counters began anew.
        return replace(now, service_seconds=overall)
    weight = 1 - math.exp(-(at - before.at) / TRAFFIC_MEMORY_SECONDS)
    came = depth.enqueued_total - before.enqueued_total
    arrived = max(0, came - (depth.held - before.held))
    rate = before.arrivals_per_second
    rate += weight * (arrived / (at - before.at) - rate)
    if not arrived:
        now = replace(now, arrived_at=before.arrived_at)
        rate = min(rate, SILENCE / (at - before.arrived_at))
    ended = depth.ended_total - before.ended_total
    service = before.service_seconds
    if ended > 0:
        recent = (depth.run_ms_total - before.run_ms_total) / ended / 1000
        service = recent if service is None else service + weight * (recent - service)
    return replace(now, arrivals_per_second=rate, service_seconds=service)
