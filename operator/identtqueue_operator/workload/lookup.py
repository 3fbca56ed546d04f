"""Looking at one workload: what it is, and which pods are its own.

Deployments and StatefulSets come from the watches' cache, other kinds from their `/scale`. A
workload that the cache does not have is asked for before it counts as missing.
"""

from collections.abc import Callable

from identtqueue_operator.kube.cache import Cluster
from identtqueue_operator.kube.client import ApiError, Kube
from identtqueue_operator.model import Pod, Reference, Workload, WorkloadKey
from identtqueue_operator.workload.kinds import FORBIDDEN, Kinds, WorkloadTrouble, advise_rights
from identtqueue_operator.workload.members import complete
from identtqueue_operator.workload.owners import WATCHED, Owners


class Workloads:
    """All workloads that TaskQueues name.

    Args:
        cluster: the watches' cache.
        kube: for what the cache does not have.
        clock: seconds, monotonic.
    """

    def __init__(self, cluster: Cluster, kube: Kube, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._kube = kube
        self._owners = Owners(cluster, kube, clock)
        self._kinds = Kinds(cluster, kube, clock)

    async def look(self, at: Reference) -> tuple[Workload | None, tuple[Pod, ...]]:
        """Return the workload and the pods with its labels; None if there is no such workload.

        Raises:
            WorkloadTrouble: it can't be read, and it is known what to do about it.
            ApiError: the API server could not be asked.
        """
        if (at.key.group, at.key.kind) in WATCHED:
            found = await find_watched(at.key, self._cluster, self._kube)
        else:
            found = await self._kinds.find(at.key, at.api_version)
        if found is None:
            return None, ()
        members = await self._owners.tell_apart(self._cluster.pods(found), found)
        return complete(found, members, at.removal), members.pods


async def find_watched(key: WorkloadKey, cluster: Cluster, kube: Kube) -> Workload | None:
    """Find a Deployment or a StatefulSet, in the cache or by asking the API server."""
    known = cluster.workload(key)
    if known is None and not cluster.is_missing(key):
        try:
            known = await kube.get_workload(key)
        except ApiError as error:
            if error.status != FORBIDDEN or key.is_deployment:
                raise
            text = advise_rights(key, "", str(error))
            raise WorkloadTrouble("WorkloadForbidden", text) from error
        if known is None:
            cluster.note_missing(key)
        else:
            cluster.put_workload(known)
    return known
