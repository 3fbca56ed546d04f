"""Shelves: tasks that other workers have declined, and that this one may be able to run. Pure.

During a rollout, old workers claim tasks of jobs that they do not have, or with arguments that
their version of the job does not take. They decline these tasks. A declined task waits on a shelf,
which is named after the signatures that have declined it. Only workers with another signature ask
for it (`protocol/lua/lib/shelves.lua`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from identtqueue.protocol.codec import ENVELOPE_VERSION

UNKNOWN_JOB: Final = "unknown"
"""Signature under which a worker declines tasks of a job that it does not have."""

ENVELOPE_SIGNATURE: Final = f"envelope-{ENVELOPE_VERSION}"
"""Signature under which a worker declines tasks whose envelope is newer than it can read."""


def parse_shelf(name: str) -> tuple[frozenset[str], str]:
    """Split the name of a shelf into the signatures that have declined its tasks, and the job."""
    signatures, _, job = name.partition(":")
    return frozenset(signatures.split(",")), job


class Shelves:
    """Shelves with tasks for one worker, by queue.

    Args:
        may_run: tells whether this worker may run tasks of a job that these signatures have
            declined.
    """

    def __init__(self, may_run: Callable[[str, frozenset[str]], bool]) -> None:
        self._may_run = may_run
        self._to_ask: dict[str, tuple[str, ...]] = {}

    def of(self, queue: str) -> tuple[str, ...]:
        """List the shelves of a queue that this worker asks for tasks."""
        return self._to_ask.get(queue, ())

    def note(self, queue: str, names: Iterable[str]) -> bool:
        """Note the shelves that a queue has now.

        Args:
            queue: name of the queue.
            names: names of all its shelves.

        Returns:
            Whether this worker can serve one that it did not know of before.
        """
        before = self.of(queue)
        servable = tuple(name for name in names if self.serves(name))
        if servable:
            self._to_ask[queue] = servable
        else:
            self._to_ask.pop(queue, None)
        return not set(servable) <= set(before)

    def serves(self, name: str) -> bool:
        """Return whether this worker may run the tasks on a shelf."""
        signatures, job = parse_shelf(name)
        return self._may_run(job, signatures)
