"""Checks of the queues: does somebody work on them, and does something stand still?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from identtqueue.cli.display.times import duration
from identtqueue.cli.doctor.facts import Facts
from identtqueue.cli.doctor.finding import Finding, Level, bad_or_well, many
from identtqueue.protocol.call import PROTOCOL_VERSION

DAY_MS: Final = 86_400_000

FORGOTTEN_MS: Final = DAY_MS
"""A pause that lasts longer may have been forgotten."""

HELD_MS: Final = 3_600_000
"""A job that can't start any task for longer than this is probably stuck at its limit."""


def unreadable(facts: Facts) -> list[Finding]:
    """Find queues that Redis lets nobody read, or whose keys hold something foreign."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in facts.unread.items():
        by_reason.setdefault(reason, []).append(name)

    def unread() -> Iterator[Finding]:
        for reason, names in by_reason.items():
            some = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if names[5:] else "")
            mend = "the message says what; docs/redis.md"
            subject = f"queue{'s' * (len(names) > 1)} {some}"
            yield Finding("readable", Level.ERROR, f"can't be read: {reason}", mend, subject)

    return bad_or_well("readable", unread(), "all queues can be read")


def unserved(facts: Facts) -> list[Finding]:
    """Find queues with tasks and without workers."""

    def alone() -> Iterator[Finding]:
        for queue in facts.queues:
            waiting = queue.depth.queued + queue.depth.in_flight
            if not queue.workers and (waiting or queue.depth.scheduled):
                found = f"no worker; pending or running: {waiting:,}, scheduled: "
                found += f"{queue.depth.scheduled:,}"
                mend = f"identtqueue worker MODULE:APP --queue {queue.name}"
                level = Level.ERROR if waiting else Level.WARNING
                yield Finding("queues", level, found, mend, f"queue {queue.name}")

    return bad_or_well("queues", alone(), "each queue with tasks has workers")


def unrunnable(facts: Facts) -> list[Finding]:
    """Find jobs whose tasks no worker can run."""

    def missing() -> Iterator[Finding]:
        for queue in facts.queues:
            where = f"queue {queue.name}"
            declined = set()
            for shelf in queue.shelves:
                declined.add(shelf.job)
                found = f"workers have declined {many(shelf.tasks, 'task')} of job {shelf.job}: "
                found += "the job is missing there, or takes other arguments"
                mend = "deploy workers that have it (docs/library/deploying.md); `identtqueue task "
                yield Finding("jobs", Level.ERROR, found, f"{mend}ID` says why", where)
            for job in queue.jobs if queue.workers else ():
                lately = (job.last_enqueued_at_ms or 0) > facts.now_ms - DAY_MS
                if job.declared_at_ms is None and lately and job.name not in declined:
                    found = f"job {job.name} was enqueued today, and no worker has declared it"
                    mend = "deploy workers that have it, or correct the name where it is enqueued"
                    yield Finding("jobs", Level.WARNING, found, mend, where)

    return bad_or_well("jobs", missing(), "no task waits for a worker that has its job")


def held_back(facts: Facts) -> list[Finding]:
    """Find jobs at a limit that nothing makes free."""

    def stuck() -> Iterator[Finding]:
        for queue in facts.queues:
            for each in queue.limits:
                most = each.limits.max_running
                at_limit = (
                    most is not None and each.running >= most and each.next_start_in_ms is None
                )
                longest = max((r.ran_ms for r in queue.running if r.job == each.job), default=0)
                if each.held and at_limit and longest > HELD_MS:
                    found = f"job {each.job} is at its limit of {most}, the oldest task for "
                    found += f"{duration(longest)}, and holds {many(each.held, 'task')} back"
                    mend = f"identtqueue tasks {queue.name} --state running --job {each.job}"
                    yield Finding("limits", Level.WARNING, found, mend, f"queue {queue.name}")

    return bad_or_well("limits", stuck(), "no job is held at its limit for long")


def suspected(facts: Facts) -> list[Finding]:
    """Find tasks that may have killed their workers and wait to run alone."""

    def waiting() -> Iterator[Finding]:
        for queue in facts.queues:
            if queue.suspects:
                found = f"{many(queue.suspects, 'task')} lost several workers, and may have killed "
                found += "them: to be run alone"
                mend = "look at the memory of the workers, and at docs/library/execution.md"
                yield Finding("suspects", Level.WARNING, found, mend, f"queue {queue.name}")

    return bad_or_well("suspects", waiting(), "no task is suspected to kill its workers")


def dead_letters(facts: Facts) -> list[Finding]:
    """Find queues where tasks have failed for good within the last hour."""

    def growing() -> Iterator[Finding]:
        for queue in facts.queues:
            if queue.dead_lately:
                found = (
                    f"{many(queue.depth.dead, 'dead letter')}, {queue.dead_lately:,} of them from "
                )
                found += "the last hour"
                mend = f"identtqueue dead groups {queue.name}"
                yield Finding("dead letters", Level.WARNING, found, mend, f"queue {queue.name}")

    total = sum(queue.depth.dead for queue in facts.queues)
    well = f"{total:,}, none of them from the last hour" if total else "none"
    return bad_or_well("dead letters", growing(), well)


def paused(facts: Facts) -> list[Finding]:
    """Find pauses of queues and jobs that may have been forgotten."""

    def forgotten() -> Iterator[Finding]:
        for queue in facts.queues:
            where = f"queue {queue.name}"
            if queue.paused_at_ms is not None and _is_old(facts, queue.paused_at_ms):
                since = "it is not known since when"
                if queue.paused_at_ms:
                    since = f"for {duration(facts.now_ms - queue.paused_at_ms)}"
                found = f"the queue is paused, {since}; waiting: {queue.depth.queued:,}"
                mend = f"identtqueue resume {queue.name}"
                yield Finding("pauses", Level.WARNING, found, mend, where)
            for job, at_ms in queue.paused_jobs.items():
                if _is_old(facts, at_ms):
                    found = f"job {job} is paused, for {duration(facts.now_ms - at_ms)}"
                    mend = f"identtqueue resume {queue.name} --job {job}; `identtqueue audit "
                    mend += f"{queue.name}` says who has paused it"
                    yield Finding("pauses", Level.WARNING, found, mend, where)

    now = sum((q.paused_at_ms is not None) + len(q.paused_jobs) for q in facts.queues)
    well = f"{now} paused within a day" if now else "nothing is paused"
    return bad_or_well("pauses", forgotten(), well)


def _is_old(facts: Facts, at_ms: int) -> bool:
    return facts.now_ms - at_ms > FORGOTTEN_MS


def versions_of_protocol(facts: Facts) -> list[Finding]:
    """Find queues that another major version of the protocol has written."""

    def foreign() -> Iterator[Finding]:
        for queue in facts.queues:
            if queue.protocol not in (None, PROTOCOL_VERSION):
                found = f"it was written by protocol version {queue.protocol}, and this release "
                found += f"speaks {PROTOCOL_VERSION}"
                mend = "use the release that has written it"
                yield Finding("protocol", Level.ERROR, found, mend, f"queue {queue.name}")

    return bad_or_well("protocol", foreign(), f"version {PROTOCOL_VERSION} everywhere")
