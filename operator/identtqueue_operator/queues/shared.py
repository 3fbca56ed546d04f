"""TaskQueues that count the same tasks, because they name the same queue at the same Redis.

Each of them starts workers for all of the queue's tasks: six tasks become six replicas here and six
there. That may be on purpose (two kinds of nodes), but more often a name was copied. So it is
reported, and scaling goes on.
"""

from collections import defaultdict

from identtqueue_operator.model import Key, WorkloadKey

Queue = tuple[str, str]
"""Address of a Redis and name of a queue."""


class SharedQueues:
    """The queues of all TaskQueues.

    Two TaskQueues with the same workload do not count as sharing: only one of them scales.
    """

    def __init__(self) -> None:
        self._by_queue: dict[Queue, set[Key]] = defaultdict(set)
        self._named: dict[Key, tuple[frozenset[Queue], WorkloadKey]] = {}

    def put(self, key: Key, queues: frozenset[Queue], workload: WorkloadKey) -> set[Key]:
        """Take in what a TaskQueue names.

        Returns:
            The other TaskQueues to which that makes a difference.
        """
        if self._named.get(key) == (queues, workload):
            return set()
        concerned = self.drop(key)
        self._named[key] = queues, workload
        for queue in queues:
            self._by_queue[queue].add(key)
            concerned |= self._by_queue[queue]
        return concerned - {key}

    def drop(self, key: Key) -> set[Key]:
        """Forget a TaskQueue; return the same as `put`."""
        queues, _ = self._named.pop(key, (frozenset(), None))
        concerned: set[Key] = set()
        for queue in queues:
            self._by_queue[queue].discard(key)
            concerned |= self._by_queue[queue]
            if not self._by_queue[queue]:
                del self._by_queue[queue]
        return concerned

    def others(self, key: Key) -> str:
        """Name another TaskQueue that counts the same tasks, in words; empty if there is none."""
        queues, workload = self._named.get(key, (frozenset(), None))
        for queue in sorted(queues):
            for other in sorted(self._by_queue[queue] - {key}):
                if self._named[other][1] != workload:
                    return f"queue {queue[1]} is also named by {_name(other, key.namespace)}"
        return ""


def _name(other: Key, namespace: str) -> str:
    """Name a TaskQueue; one in another namespace, which may be another team's, stays unnamed."""
    if other.namespace != namespace:
        return "a TaskQueue in another namespace"
    return f"TaskQueue {other.name}"
