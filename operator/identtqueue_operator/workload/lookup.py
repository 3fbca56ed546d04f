"""Looking at one workload: what it is, and which pods are its own; and writing its number.

Workloads of watched kinds come from the watches' cache, those of other kinds from their `/scale`. A
workload that the cache does not have is asked for before it counts as missing.
"""

from collections.abc import Callable

from identtqueue_operator.kube.api import ApiError
from identtqueue_operator.kube.cache import Cluster
from identtqueue_operator.kube.client import Kube
from identtqueue_operator.model import Pod, Problem, Reference, Workload, WorkloadKey
from identtqueue_operator.workload.kind import ScaledKind, WatchedKind, WorkloadTrouble
from identtqueue_operator.workload.kinds import kind_of
from identtqueue_operator.workload.members import complete
from identtqueue_operator.workload.owners import Owners
from identtqueue_operator.workload.scales import Scales


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
        self._scales = Scales(cluster, kube, clock)

    async def look(self, at: Reference) -> tuple[Workload | None, tuple[Pod, ...]]:
        """Return the workload and the pods with its labels; None if there is no such workload.

        Raises:
            WorkloadTrouble: it can't be read, and it is known what to do about it.
            ApiError: the API server could not be asked.
        """
        match kind_of(at.key):
            case WatchedKind() as kind:
                found = await find_watched(kind, at.key, self._cluster, self._kube)
            case ScaledKind() as kind:
                found = await self._scales.find(at.key, kind, at.api_version)
        if found is None:
            return None, ()
        members = await self._owners.tell_apart(self._cluster.pods(found), found)
        return complete(found, members, at.removal), members.pods


async def find_watched(
    kind: WatchedKind, key: WorkloadKey, cluster: Cluster, kube: Kube
) -> Workload | None:
    """Find a workload of a watched kind, in the cache or by asking the API server.

    Raises:
        WorkloadTrouble: the operator may not read this kind.
        ApiError: the API server could not be asked.
    """
    known = cluster.workload(key)
    if known is None and not cluster.is_missing(key):
        try:
            known = await kind.get(key, kube)
        except ApiError as error:
            if not error.forbidden or kind.required:
                raise
            text = kind.forbidden(key, kind.path(key), str(error))
            raise WorkloadTrouble(Problem.WORKLOAD_FORBIDDEN, text) from error
        if known is None:
            cluster.note_missing(key)
        else:
            cluster.put_workload(known)
    return known


async def read_again(seen: Workload, cluster: Cluster, kube: Kube) -> Workload | None:
    """Read a workload from the API server again, because the cache was behind; None if it is gone.

    Raises:
        ApiError: the API server could not be asked.
    """
    fresh = await kind_of(seen.key).read_again(seen, kube)
    if fresh is None:
        cluster.drop_workload(seen.key)
    else:
        cluster.put_workload(fresh)
    return fresh


async def write_replicas(seen: Workload, replicas: int, kube: Kube) -> str:
    """Write the number of replicas, if the workload is still the one that was seen.

    Returns:
        The workload's new resource version.

    Raises:
        ApiError: with `conflict`, when it has changed since; if it is forbidden, the message says
            what to do about it.
    """
    kind = kind_of(seen.key)
    path = kind.path_of(seen)
    try:
        return await kube.scale(path, seen.resource_version, replicas)
    except ApiError as error:
        if not error.forbidden or error.terminating:
            raise
        text = kind.forbidden(seen.key, path, str(error))
        raise ApiError(error.status, error.reason, text) from error
