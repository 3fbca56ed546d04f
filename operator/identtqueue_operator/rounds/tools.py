"""Tools of all reconcilers: the API server, caches, clocks, and questions to the controller."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from identtqueue_operator.kube.cache import Cluster
from identtqueue_operator.kube.client import Kube
from identtqueue_operator.metrics import Meter
from identtqueue_operator.model import Key, Pod, WorkloadKey
from identtqueue_operator.queues.endpoints import Endpoints
from identtqueue_operator.timings import Timings
from identtqueue_operator.workload.lookup import Workloads


@dataclass(frozen=True, slots=True)
class Tools:
    """Everything that all reconcilers share."""

    kube: Kube
    cluster: Cluster
    endpoints: Endpoints
    workloads: Workloads
    meter: Meter
    autoscaler: Callable[[WorkloadKey], str]
    """Names another autoscaler of a workload, in words; an empty text if there is none."""
    rival: Callable[[tuple[str, str], WorkloadKey], str]
    """Names a TaskQueue that scales a workload and is older than this age; else an empty text."""
    shared: Callable[[Key], str]
    """Names another TaskQueue that counts the same tasks as this one; else an empty text."""
    is_self: Callable[[WorkloadKey, Sequence[Pod]], bool]
    """Returns whether a workload, which has these pods, runs this operator."""
    look_for_others: Callable[[], Awaitable[str]]
    """Brings `autoscaler` up to date; returns why that fails, else an empty text."""
    clock: Callable[[], float]
    """Seconds since the epoch."""
    steady: Callable[[], float]
    """Seconds, monotonic."""
    identity: str
    """Name of this process's pod."""
    operator_name: str
    """The same for all processes that share a Lease, and another one for each Lease."""
    timings: Timings
    templates: bool = True
    """Whether TaskQueues may have a `template`."""
    blind: Callable[[WorkloadKey], str] = lambda _: ""
    """Says why the watches of a workload's changes are refused; an empty text if they are not."""
    first_looks: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(32))
    """Limits how many reconcilers have their first look at once."""
