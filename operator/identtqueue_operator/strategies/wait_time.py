"""Strategy `WaitTime`: a task starts within so many seconds."""

import math
from typing import Annotated, ClassVar

from pydantic import Field

from identtqueue_operator.strategies.base import Demand, ScalingStrategy, Wish

NEGLIGIBLE_REPLICAS = 0.05
"""Share of a replica that, without any task, is no reason to keep one: an average never quite
returns to zero."""


class WaitTime(ScalingStrategy):
    """A task should start within targetSeconds.

    By Little's law, arrival rate x service time is the number of tasks running at once that only
    keeps pace; clearing the queue in the time that is left of the target needs queued x service
    time / time left on top. The sum is divided by concurrencyPerReplica and rounded up. Time left
    is targetSeconds minus the oldest task's wait or a pod's start-up time, whichever is longer; and
    at least a start-up time, where that is between a tenth and a half of targetSeconds.
    """

    forgets: ClassVar[bool] = True  # its averages do

    target_seconds: Annotated[int, Field(ge=1, le=86_400)]
    """How long a task may wait before it starts, in seconds."""

    def wish(self, demand: Demand) -> Wish:
        """Apply Little's law, once a task has ended and the run time is known."""
        traffic = demand.traffic
        if traffic is not None and traffic.service_seconds is not None:
            return self._by_run_time(demand, traffic.arrivals_per_second, traffic.service_seconds)
        exact = demand.depth.demand / demand.slots
        wanted = math.ceil(exact)
        words = (
            f"no task has ended yet, so the run time is unknown: "
            f"ceil(({demand.counts}) / {demand.slots} at once per replica) = {wanted}"
        )
        return Wish(wanted, exact, words)

    def _by_run_time(self, demand: Demand, arrivals_per_second: float, run_seconds: float) -> Wish:
        """Apply Little's law: arrival rate x run time keeps pace; the queue comes on top."""
        depth, left = demand.depth, self._seconds_left(demand)
        waiting = depth.waiting + depth.due_soon
        busy = arrivals_per_second * run_seconds + waiting * run_seconds / left
        exact = busy / demand.slots
        least = math.ceil(exact - NEGLIGIBLE_REPLICAS)
        wanted = max(math.ceil(exact), 1) if depth.demand else least
        queue = f"{depth.waiting} queued"
        if depth.due_soon:
            queue = f"({queue}{demand.due})"
        words = (
            f"ceil(({arrivals_per_second:.2f}/s x {run_seconds:.2f} s + {queue} x "
            f"{run_seconds:.2f} s / {left:.1f} s left of {self.target_seconds} s) / "
            f"{demand.slots} at once per replica) = {wanted} ({depth.in_flight} in flight)"
        )
        return Wish(wanted, exact, words)

    def _seconds_left(self, demand: Demand) -> float:
        """Return the time in which the queue is to be gone.

        The oldest task's wait or a pod's start-up time is taken off, whichever is longer. With the
        wait alone, the number would grow at each look while the pods for a burst are starting. For
        the same reason the rest is never less than a start-up time (or half of the target, if that
        is less): pods that come too late only cost.
        """
        target, startup = self.target_seconds, demand.startup_seconds
        head = max(demand.depth.oldest_wait_seconds or 0.0, startup)
        least = max(min(startup, target / 2), target / 10)
        return max(target - head, least)
