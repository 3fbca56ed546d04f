"""Observations and decisions: plain frozen values that pass between the stages.

`observe` makes an `Observed`; `decide` turns it, with the spec and the `Memory` of earlier rounds,
into a `Decision`; `act` carries that out; `report` reports. Times are seconds since the epoch on
the operator's clock unless a name says otherwise. That clock may be set, forward or back, so it is
only compared with times that others wrote. What the operator itself remembers is on a monotonic
clock: `Observed.steady`, and all of `Memory`.

The other rooms import from here: which module holds a value is of no concern to them.
"""

from identtqueue_operator.model.cluster import (
    Container,
    Hindrance,
    Key,
    Owner,
    Pod,
    Reference,
    RemovalOrder,
    Selector,
    Workload,
    WorkloadKey,
)
from identtqueue_operator.model.decision import (
    WORKLOAD_PROBLEMS,
    Cause,
    Death,
    Decision,
    DrainPlan,
    Evidence,
    Health,
    Limit,
    Outcome,
    Problem,
    Requeued,
    Target,
    Wished,
    WorkerState,
    WorkerTrouble,
)
from identtqueue_operator.model.memory import (
    ForeignChange,
    Hands,
    Memory,
    Startup,
    Step,
    Traffic,
)
from identtqueue_operator.model.observed import Observed
from identtqueue_operator.model.queues import (
    MAIN_TRIGGER,
    Depth,
    Source,
    SourceTrouble,
    Trigger,
    Worker,
)

__all__ = [
    "MAIN_TRIGGER",
    "WORKLOAD_PROBLEMS",
    "Cause",
    "Container",
    "Death",
    "Decision",
    "Depth",
    "DrainPlan",
    "Evidence",
    "ForeignChange",
    "Hands",
    "Health",
    "Hindrance",
    "Key",
    "Limit",
    "Memory",
    "Observed",
    "Outcome",
    "Owner",
    "Pod",
    "Problem",
    "Reference",
    "RemovalOrder",
    "Requeued",
    "Selector",
    "Source",
    "SourceTrouble",
    "Startup",
    "Step",
    "Target",
    "Traffic",
    "Trigger",
    "Wished",
    "Worker",
    "WorkerState",
    "WorkerTrouble",
    "Workload",
    "WorkloadKey",
]
