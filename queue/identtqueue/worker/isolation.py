"""A fetcher's knowledge of suspects, and its steps to run each alone. Pure.

A task that was running when several workers were lost may have killed them. It is a suspect. A
worker that runs nothing else takes it (`protocol/lua/lib/suspects.lua`). If that worker is lost
too, the task is certainly the cause. A script in Redis sees only one queue. This module makes sure
that the worker runs nothing in any of its queues.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from identtqueue.protocol.answers import Claimed

ASK_SECONDS: Final = 1.0
"""Interval at which a worker that knows of suspects checks whether they are still waiting."""


class Isolation:
    """Knowledge of one worker about the suspects in its queues.

    Attributes:
        alone: whether an attempt is running alone, so that nothing else may start.
    """

    def __init__(self) -> None:
        self.alone = False
        self._suspects: set[str] = set()
        self._held: dict[str, float] = {}  # queue -> until when it wants this worker to be idle
        self._others_first = False

    def note(self, queue: str, claimed: Claimed, now: float) -> None:
        """Note what a claim said of suspects.

        Args:
            queue: the queue that was claimed from.
            claimed: the reply of the claim.
            now: time in seconds, on any monotonic clock.
        """
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
        """Note that the attempt which ran alone has ended. Other tasks, if any, come next."""
        self.alone = False
        self._others_first = True

    def forget(self) -> None:
        """Forget all that is known, because it may be outdated."""
        self._suspects.clear()
        self._held.clear()

    @property
    def any_known(self) -> bool:
        """Whether a queue is known to have suspects, which wait for an idle worker."""
        return bool(self._suspects)

    @property
    def is_needed(self) -> bool:
        """Whether an attempt runs alone, or suspects are known, or a queue wants an idle worker."""
        return self.alone or bool(self._suspects) or bool(self._held)

    def holding(self, now: float) -> str | None:
        """Find a queue that wants this worker to start nothing until it is idle; None: no queue."""
        self._held = {queue: until for queue, until in self._held.items() if until > now}
        return next(iter(self._held), None)

    def to_ask(self, queues: Sequence[str], *, others: bool) -> str | None:
        """Choose the queue from which an idle worker claims a suspect.

        Args:
            queues: queues of the worker, in the order in which they are asked.
            others: whether there are other tasks to start.

        Returns:
            The queue; None if none has suspects, or if other tasks come first.
        """
        first, self._others_first = self._others_first, False
        if first and others:
            return None
        return next((queue for queue in queues if queue in self._suspects), None)
