"""Strategy `Backlog`: so many tasks for each replica."""

import math
from typing import Annotated, ClassVar, Self

from pydantic import Field

from identtqueue_operator.strategies.base import Demand, ScalingStrategy, Wish


class Backlog(ScalingStrategy):
    """replicas = ceil((queued + in flight) / tasksPerReplica)."""

    needs_settings: ClassVar[bool] = False

    tasks_per_replica: Annotated[int, Field(ge=1, le=1_000_000)]
    """How many tasks, waiting or running, there should be for each replica."""

    @classmethod
    def without_settings(cls, slots: int) -> Self:
        """Return the strategy that fills the slots of each replica."""
        return cls(tasks_per_replica=slots)

    def wish(self, demand: Demand) -> Wish:
        """Ask for a replica for each so many tasks."""
        exact = demand.depth.demand / self.tasks_per_replica
        wanted = math.ceil(exact)
        words = f"ceil(({demand.counts}) / {self.tasks_per_replica} per replica) = {wanted}"
        return Wish(wanted, exact, words)
