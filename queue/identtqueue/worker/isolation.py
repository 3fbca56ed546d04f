"""Suspects run alone: what a fetcher knows of them, and what follows from that. Pure.

A task that was running when workers were lost may be what has killed them. It is a suspect, and a
worker that runs nothing else takes it (`protocol/lua/lib/suspects.lua`), so that the next loss is
certainly its own doing. Redis knows one queue at a time; that a worker runs nothing in any of its
queues is seen to here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from identtqueue.protocol.commands import Claimed

ASK_SECONDS: Final = 1.0
"""How often a worker that knows of suspects looks whether they are still there."""


class Isolation:
    """Of one worker.

    Attributes:
        alone: an attempt runs beside which nothing may start.
    """

    def __init__(self) -> None:
        self.alone = False
        self._suspects: set[str] = set()
        self._held: dict[str, float] = {}  # queue -> until when it wants this worker to be idle
        self._others_first = False

    def note(self, queue: str, claimed: Claimed, now: float) -> None:
        """What a claim said; `now` is in seconds of any clock."""
        if claimed.suspects:
            self._suspects.add(queue)
        else:
            self._suspects.discard(queue)
        if claimed.hold_ms is None:
            self._held.pop(queue, None)
        else:
            self._held[queue] = now + claimed.hold_ms / 1000
        attempts = claimed.attempts
        self.alone = len(attempts) == 1 and attempts[0].alone  # what runs alone is claimed alone

    def released(self) -> None:
        """The attempt that ran alone has ended. Now it is the others' turn, if there are any."""
        self.alone = False
        self._others_first = True

    def forget(self) -> None:
        """Nothing is known any more."""
        self._suspects.clear()
        self._held.clear()

    @property
    def any_known(self) -> bool:
        """Whether tasks are known to wait for a worker that runs nothing."""
        return bool(self._suspects)

    def holding(self, now: float) -> str | None:
        """The queue that wants this worker to start nothing until it is idle, if one does."""
        self._held = {queue: until for queue, until in self._held.items() if until > now}
        return next(iter(self._held), None)

    def to_ask(self, queues: Sequence[str], *, others: bool) -> str | None:
        """The queue that an idle worker is to ask for a suspect, if one has some.

        Args:
            queues: of the worker, in the order in which they are asked.
            others: there are other tasks to start.
        """
        first, self._others_first = self._others_first, False
        if first and others:
            return None
        return next((queue for queue in queues if queue in self._suspects), None)
