"""Changes of the number of replicas by others, pure.

A manifest with `replicas` in it sets the number at each apply: `kubectl apply`, Argo CD, Flux and
Helm do so, each as often as it looks. Lowered while tasks run, it ends workers that hold them. The
operator corrects the first such change at once. Answering each of them would be a fight, in which
pods start and end all day. So after the second change it waits, twice as long after each further
one.
"""

from dataclasses import replace

from identtqueue_operator.model import ForeignChange, Hands, Observed

LONGEST_PAUSE_SECONDS = 300.0
REMEMBERED_SECONDS = 1800.0
"""Changes longer ago than this don't count."""
TOLD_SECONDS = 600.0
"""The condition stays True for so long after the last change."""
MAX_REMEMBERED = 16
"""More changes than that make no difference: the longest pause is reached with seven."""


def watch_hands(
    before: Hands, seen: Observed, *, paused: bool, first_pause_seconds: float
) -> Hands:
    """Compare the number that is seen now with the operator's own.

    Args:
        before: what was known before this look.
        seen: with a workload.
        paused: the TaskQueue is paused, so that others may change the number.
        first_pause_seconds: how long the number stays after the second change.
    """
    workload, at = seen.workload, seen.steady
    assert workload is not None
    number = workload.replicas
    changes = tuple(c for c in before.changes if at - c.at < REMEMBERED_SECONDS)
    if before.uid != workload.uid or paused or seen.conflict:
        # The first look at this workload, or a time in which others may change the number.
        return Hands(workload.uid, frozenset({number}), changes, before.wait_until)
    if number in before.ours:
        return replace(before, changes=changes)
    change = ForeignChange(
        at=at,
        before=max(before.ours) if number < max(before.ours) else min(before.ours),
        after=number,
        by=workload.replicas_by,
        busy=bool(seen.depth and seen.depth.in_flight),
    )
    changes = (*changes, change)[-MAX_REMEMBERED:]
    wait_until = at + _pause_after(len(changes), first_pause_seconds)
    return Hands(workload.uid, frozenset({number}), changes, wait_until, is_news=True)


def _pause_after(changes: int, first_seconds: float) -> float:
    """Return for how many seconds the number stays after so many changes by others."""
    if changes < 2:
        return 0.0
    return min(first_seconds * float(2 ** (changes - 2)), LONGEST_PAUSE_SECONDS)


def describe_change(change: ForeignChange) -> str:
    """Put the change into a sentence without numbers that move, so that its events are counted."""
    lowered = change.after < change.before
    verb = "lowered" if lowered else "raised"
    busy = " while tasks ran" if lowered and change.busy else ""
    return (
        f"{change.by or 'somebody'} {verb} the replicas from {change.before} to {change.after}"
        f"{busy}; leave `replicas` out of the manifest, or set spec.paused to scale by hand"
    )
