"""Checks of what the user of Redis may do."""

from __future__ import annotations

from collections.abc import Iterator

from identtqueue.cli.doctor.facts import Facts
from identtqueue.cli.doctor.finding import Finding, Level, bad_or_well


def rights(facts: Facts) -> list[Finding]:
    """Check that the ACL allows each command that the user's role needs, on each queue."""
    role = facts.role.value

    def lacking() -> Iterator[Finding]:
        for queue in facts.queues:
            if queue.refused:
                found = f"the ACL of this user lacks {', '.join(queue.refused)} for role {role}"
                mend = f"ACL SETUSER … with what `identtqueue acl {role}` prints"
                yield Finding("rights", Level.ERROR, found, mend, f"queue {queue.name}")

    if not facts.queues:
        return [Finding("rights", Level.UNKNOWN, "no queue is known on which to check them")]
    if any(queue.refused is None for queue in facts.queues):
        found = "Redis can be asked for them from version 7.0 on"
        return [Finding("rights", Level.UNKNOWN, found, f"compare with `identtqueue acl {role}`")]
    return bad_or_well("rights", lacking(), f"this user may do all that the role {role} needs")


def registry(facts: Facts) -> list[Finding]:
    """Check that the list of queues can be read."""
    if facts.registry_refused:
        mend = f"ACL SETUSER … with what `identtqueue acl {facts.role.value}` prints"
        return [Finding("registry", Level.WARNING, facts.registry_refused, mend)]
    number = len(facts.queues)
    if not number:
        mend = "enqueue a task or start a worker; or name queues by --queue"
        return [Finding("registry", Level.OK, "no queue is known yet", mend)]
    return [Finding("registry", Level.OK, f"{number} queue{'s' * (number > 1)} looked at")]
