"""Accounts of a queue: every accepted task has ended exactly once, and nothing is left over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import redis

from identtqueue import Client, State
from identtqueue.admin import Admin
from identtqueue.task import Result
from testing.waiting import LONG_SECONDS

KEPT = (
    *("stats", "meta", "dead", "task", "limits", "rates", "answer"),
    *("jobs", "enqueued", "minute", "hour", "ended", "audit", "promoted"),
)
"""Keys that a queue without tasks and workers may have. Kept answers serve repeated calls."""


async def balance(
    client: Client,
    admin: Admin,
    queue: str,
    task_ids: Sequence[str],
    *,
    seconds: float = LONG_SECONDS,
) -> dict[str, Result]:
    """Wait until all tasks have ended, check that each did so once, and return the results."""
    results = {r.task_id: r for r in await client.wait_many(task_ids, seconds)}
    depth = (await admin.depths([queue]))[queue]
    told = Counter(result.state.value for result in results.values())
    recorded = {
        state: depth.counters.get(state, 0) for state in ("succeeded", "failed", "cancelled")
    }
    replayed = depth.counters.get("replayed", 0)
    assert depth.counters["enqueued"] == len(set(task_ids)) == len(results), depth
    assert sum(recorded.values()) - replayed == len(results), (recorded, told)
    assert recorded["succeeded"] == told["succeeded"], (recorded, told)
    assert depth.dead == told[State.FAILED.value], (depth, told)
    assert (depth.queued, depth.in_flight, depth.scheduled) == (0, 0, 0), depth
    return results


def left_over(raw: redis.Redis, queue: str) -> list[str]:
    """List keys of the queue that should not be there once its workers have stopped.

    The packed tasks are not listed if `pending` is: they wait there.
    """
    prefix = f"idtq:{{{queue}}}:"
    names = {key.decode() for key in raw.scan_iter(match=prefix + "*", count=1000)}
    if f"{prefix}pending" in names:
        names.discard(f"{prefix}packed_tasks")
    return sorted(n for n in names if n.removeprefix(prefix).partition(":")[0] not in KEPT)
