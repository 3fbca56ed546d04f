"""The number of replicas that the triggers ask for, pure.

Each trigger asks for itself, by its own strategy, and the largest number counts. Replicas are whole
pods, and each pod serves all triggers; so what is enough for the trigger that asks for most is
enough for the others too. See ADR 23.
"""

from collections.abc import Iterable

from identtqueue_operator.api.v1alpha1 import TaskQueueSpec
from identtqueue_operator.model import Memory, Observed
from identtqueue_operator.policy.pod_startup import startup_seconds
from identtqueue_operator.strategies.base import Demand, Wish


def wishes(spec: TaskQueueSpec, seen: Observed, memory: Memory) -> tuple[Wish, ...]:
    """Ask each trigger that can be read."""
    triggers = {trigger.name: trigger for trigger in spec.all_triggers}
    startup = startup_seconds(spec, memory.startup)
    found = []
    for each in seen.triggers:
        if each.depth is None:
            continue
        trigger = triggers[each.name]
        strategy, slots = trigger.strategy, trigger.concurrency_per_replica
        demand = Demand(each.depth, memory.traffic.get(each.name), startup, slots)
        wish = strategy.wish(demand)
        if len(seen.triggers) > 1:
            wish = wish._replace(words=f"trigger {each.name}: {wish.words}")
        found.append(wish._replace(trigger=each.name, strategy=strategy.type_name()))
    return tuple(found)


def largest(found: Iterable[Wish]) -> Wish:
    """Choose the wish that counts. Of equal ones it is the same in whatever order they stand."""
    first, *others = sorted(found, key=lambda wish: (-wish.replicas, -wish.exact, wish.trigger))
    if not others:
        return first
    rest = ", ".join(f"{wish.trigger} {wish.replicas}" for wish in others)
    return first._replace(words=f"{first.words} (the others: {rest})")
