"""Changes of the number of replicas by others, pure.

A manifest with `replicas` in it sets the number at each apply: `kubectl apply`, Argo CD, Flux and
Helm do so, each as often as it looks. Lowered while tasks run, it ends workers that hold them. The
operator corrects the first such change at once. Answering each of them would be a fight, in which
pods start and end all day. So after the second change it waits, twice as long after each further
one.
"""

from dataclasses import replace

from identtqueue_operator.model import ForeignChange, Hands, Observed

FIRST_PAUSE_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 300.0
REMEMBERED_SECONDS = 1800.0
"""Changes longer ago than this don't count."""
TOLD_SECONDS = 600.0
"""The condition stays True for so long after the last change."""
MAX_REMEMBERED = 16
"""More changes than that make no difference: the longest pause is reached with seven."""


def watch_hands(before: Hands, seen: Observed, *, paused: bool) -> Hands:
    """Compare the number that is seen now with the operator's own.

    Args:
        before: what was known before this look.
        seen: with a workload.
        paused: the TaskQueue is paused, so that others may change the number.
    """
    workload, at = seen.workload, seen.steady
    assert workload is not None
    number = workload.replicas
    changes = tuple(c for c in before.changes if at - c.at < REMEMBERED_SECONDS)
    if before.uid != workload.uid or paused or seen.conflict:
        # The first look at this workload, or a time in which others may change the number.
        return Hands(workload.uid, frozenset({number}), changes)
    if number in before.ours:
        return replace(before, changes=changes)
    change = ForeignChange(
        at=at,
        before=max(before.ours) if number < max(before.ours) else min(before.ours),
        after=number,
        by=workload.replicas_by,
        busy=bool(seen.depth and seen.depth.in_flight),
    )
    return Hands(
        workload.uid, frozenset({number}), (*changes, change)[-MAX_REMEMBERED:], is_news=True
    )


def wait_for_others(hands: Hands) -> float:
    """Return when the number may be changed again, on the monotonic clock."""
    count = len(hands.changes)
    if count < 2:
        return float("-inf")
    pause = min(FIRST_PAUSE_SECONDS * float(2 ** (count - 2)), LONGEST_PAUSE_SECONDS)
    return hands.changes[-1].at + pause


def describe_change(change: ForeignChange) -> str:
    """Put the change into a sentence without numbers that move, so that its events are counted."""
    lowered = change.after < change.before
    verb = "lowered" if lowered else "raised"
    busy = " while tasks ran" if lowered and change.busy else ""
    return (
        f"{change.by or 'somebody'} {verb} the replicas from {change.before} to {change.after}"
        f"{busy}; leave `replicas` out of the manifest, or set spec.paused to scale by hand"
    )
