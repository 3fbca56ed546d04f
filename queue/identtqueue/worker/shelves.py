"""Tasks that other workers have declined, and that this one may be able to run: pure.

While a new version is rolled out, old workers meet tasks of jobs that they do not know, or with
arguments that they do not take. They decline them. Such a task waits on a shelf, named after those
that have declined it, and only workers ask for it that have not (`protocol/lua/lib/shelves.lua`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from identtqueue.protocol.codec import ENVELOPE_VERSION

UNKNOWN_JOB: Final = "unknown"
"""Signature of a worker that has no job of that name."""

ENVELOPE_SIGNATURE: Final = f"envelope-{ENVELOPE_VERSION}"
"""Signature of a worker that reads envelopes up to this version."""


def parse_shelf(name: str) -> tuple[frozenset[str], str]:
    """The signatures that have declined what is on a shelf, and its job."""
    signatures, _, job = name.partition(":")
    return frozenset(signatures.split(",")), job


class Shelves:
    """What one worker knows of shelves, by queue.

    Args:
        may_run: whether this worker may run a job's tasks that these signatures have declined.
    """

    def __init__(self, may_run: Callable[[str, frozenset[str]], bool]) -> None:
        self._may_run = may_run
        self._to_ask: dict[str, tuple[str, ...]] = {}

    def of(self, queue: str) -> tuple[str, ...]:
        """The shelves of the queue that this worker asks for tasks."""
        return self._to_ask.get(queue, ())

    def note(self, queue: str, names: Iterable[str]) -> bool:
        """All shelves that the queue has now; gives whether there is a new one to ask."""
        before = self.of(queue)
        servable = tuple(name for name in names if self.serves(name))
        if servable:
            self._to_ask[queue] = servable
        else:
            self._to_ask.pop(queue, None)
        return not set(servable) <= set(before)

    def serves(self, name: str) -> bool:
        """Whether this worker may run what is on that shelf."""
        signatures, job = parse_shelf(name)
        return self._may_run(job, signatures)
