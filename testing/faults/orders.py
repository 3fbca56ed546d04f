"""Orders that the producers enqueue. The same seed gives the same orders.

A producer that was killed starts its list again from the first order that may not be accepted. So
an order may be sent several times, always under its own id.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from identtqueue.protocol.submission import Submission
from identtqueue.task import State, TaskOptions

RESULT_TTL_SECONDS = 86_400
"""Results outlast the run, because its books are made from them."""

MAX_DELIVERIES = 10
"""Number of workers that a task may lose, as few as in production."""

FLAKY_FAILURES = 2
DOOMED_RETRIES = 1

WEIGHTS = {
    "batch": 8.0,  # of up to 60 quick ones
    "quick": 30.0,
    "flaky": 8.0,
    "slow": 7.0,
    "thread": 7.0,
    "process": 2.0,
    "delayed": 8.0,
    "unique": 6.0,
    "cancelled": 6.0,
    "expiring": 3.0,
    "doomed": 3.0,
    "novel": 4.0,
    "bulky": 0.6,
}

MAY_END = {
    "flaky": {State.SUCCEEDED},
    "doomed": {State.FAILED},
    "poison": {State.FAILED},
    "cancelled": {State.SUCCEEDED, State.CANCELLED},
    "expiring": {State.SUCCEEDED, State.CANCELLED},
}
"""Allowed ends by kind of task. Tasks of other kinds succeed."""


@dataclass(frozen=True, slots=True)
class Order:
    """One task to be enqueued."""

    task_id: str
    queue: str
    kind: str
    function: str
    args: tuple[Any, ...] = ()
    delay_seconds: float | None = None
    expires_seconds: float | None = None
    unique_key: str | None = None
    awaited: bool = False
    cancel_after_seconds: float | None = None

    @property
    def may_end(self) -> set[State]:
        """Ends that are allowed for this order."""
        return MAY_END.get(self.kind, {State.SUCCEEDED})

    def submission(self) -> Submission:
        """Make the submission that the client sends."""
        options = TaskOptions(
            task_id=self.task_id,
            delay_seconds=self.delay_seconds,
            expires_seconds=self.expires_seconds,
            unique_key=self.unique_key,
            result_ttl_seconds=RESULT_TTL_SECONDS,
        )
        return Submission(self.queue, self.function, self.args, options=options)


class _Maker:
    """Makes one producer's orders.

    Args:
        seed, producer: which.
        queues: they are spread over these.
    """

    def __init__(self, seed: int, producer: int, queues: list[str]) -> None:
        self._rng = random.Random(f"orders {seed} {producer}")
        self._producer = producer
        self._queues = queues
        self._made = 0

    def group(self, most: int) -> list[Order]:
        """Make the orders of one call: mostly one, sometimes a batch, with a maximum."""
        (kind,) = self._rng.choices(list(WEIGHTS), list(WEIGHTS.values()))
        if kind == "batch":
            return [self._order("quick") for _ in range(min(most, self._rng.randint(2, 60)))]
        return [self._order(kind)]

    def _order(self, kind: str) -> Order:
        rng = self._rng
        queue = rng.choice(self._queues)
        self._made += 1
        details: dict[str, Any] = {}
        match kind:
            case "flaky":
                details["args"] = (rng.randint(1, FLAKY_FAILURES),)
            case "slow":
                details["args"] = (round(rng.uniform(0.1, 1.5), 2),)
            case "thread" | "process":
                details["args"] = (round(rng.uniform(0.01, 0.3), 2),)
            case "delayed":
                details["delay_seconds"] = round(rng.uniform(0.2, 8.0), 1)
            case "unique":
                details["unique_key"] = f"key-{rng.randrange(6)}"
                details["args"] = (round(rng.uniform(0.05, 0.5), 2),)
            case "cancelled":
                details["args"] = (round(rng.uniform(0.5, 3.0), 1),)
                details["delay_seconds"] = rng.choice([None, 1.0])
                details["cancel_after_seconds"] = round(rng.uniform(0.0, 2.0), 2)
            case "expiring":
                details["expires_seconds"] = round(rng.uniform(0.05, 2.0), 2)
        slow = kind in ("slow", "unique", "cancelled")
        function = "slow" if slow else {"delayed": "quick", "expiring": "quick"}.get(kind, kind)
        return Order(
            task_id=f"{queue}:p{self._producer}-{self._made}",
            queue=queue,
            kind=kind,
            function=function,
            awaited=rng.random() < 0.05,
            **details,
        )


def orders_of(seed: int, producer: int, queues: list[str], number: int) -> Iterator[list[Order]]:
    """Return the producer's orders, in the groups that it sends."""
    maker = _Maker(seed, producer, queues)
    while number > 0:
        group = maker.group(number)
        number -= len(group)
        yield group
