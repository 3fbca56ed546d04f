"""TaskQueues that name the same workload, of which only the oldest scales it."""

from collections import defaultdict

from identtqueue_operator.kube.cache import Cluster
from identtqueue_operator.model import Key, WorkloadKey
from identtqueue_operator.workload.kind import Kind
from identtqueue_operator.workload.kinds import kind_of

Age = tuple[str, str]
"""When a TaskQueue was created, and its name; the smaller one is older."""


class SharedWorkloads:
    """The workloads of all TaskQueues.

    Args:
        cluster: keeps account of the pods of those workloads that TaskQueues name.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._by_workload: dict[WorkloadKey, dict[Key, Age]] = defaultdict(dict)
        self._named: dict[Key, WorkloadKey] = {}

    def task_queues(self, workload: WorkloadKey) -> frozenset[Key]:
        """Return the TaskQueues that name a workload."""
        return frozenset(self._by_workload.get(workload, ()))

    def has(self, kind: Kind) -> bool:
        """Return whether a TaskQueue names a workload of this kind."""
        return any(kind_of(workload) is kind for workload in self._by_workload)

    def put(self, key: Key, workload: WorkloadKey, age: Age) -> frozenset[Key]:
        """Take in which workload a TaskQueue names.

        Returns:
            The other TaskQueues to which that makes a difference.
        """
        if self._named.get(key) == workload and self._by_workload[workload][key] == age:
            return frozenset()
        concerned = self.drop(key, follows=workload)
        self._cluster.watch(workload)
        self._named[key] = workload
        self._by_workload[workload][key] = age
        return (concerned | self.task_queues(workload)) - {key}

    def drop(self, key: Key, follows: WorkloadKey | None = None) -> frozenset[Key]:
        """Forget a TaskQueue; return the same as `put`.

        Args:
            key: of the TaskQueue.
            follows: the workload that it names next, whose account is kept.
        """
        workload = self._named.pop(key, None)
        if workload is None:
            return frozenset()
        del self._by_workload[workload][key]
        if self._by_workload[workload]:
            return self.task_queues(workload)
        del self._by_workload[workload]
        if workload != follows:
            self._cluster.unwatch(workload)
        return frozenset()

    def rival(self, age: Age, workload: WorkloadKey) -> str:
        """Name the TaskQueue that scales the workload, if it is older; empty if there is none."""
        oldest = min(self._by_workload.get(workload, {}).values(), default=age)
        if oldest >= age:
            return ""
        return f"TaskQueue {oldest[1]} is older and scales {workload} too"
