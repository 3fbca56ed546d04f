"""Workloads of kinds that are not watched, by their `/scale`.

Kubernetes' discovery says whether a kind exists, what its objects are called in the API, and
whether they have a `/scale`. Nothing else of such an object is read, so the operator needs the
right to `get` and `patch` its `/scale` only. It is not watched: it is read when a round looks, and
at most once a second.
"""

from collections.abc import Callable
from typing import NamedTuple

from identtqueue_operator.kube.api import ApiError
from identtqueue_operator.kube.cache import Cluster
from identtqueue_operator.kube.client import Kube
from identtqueue_operator.model import Problem, Workload, WorkloadKey
from identtqueue_operator.workload.kind import ScaledKind, WorkloadTrouble

KNOWN_SECONDS = 600.0
"""Time for which the plural of a kind, and that it has a `/scale`, is cached."""
UNKNOWN_SECONDS = 10.0
"""Time for which it is cached that there is no such kind, or that it has no `/scale`."""
FRESH_SECONDS = 1.0
"""Time for which what was read from a `/scale` is used."""


class _Found(NamedTuple):
    """The answer of discovery about a kind."""

    plural: str
    trouble: WorkloadTrouble | None
    until: float


class Scales:
    """Reads workloads of any kind that has a `/scale`.

    Args:
        cluster: keeps what was read.
        kube: to read with.
        clock: seconds, monotonic.
    """

    def __init__(self, cluster: Cluster, kube: Kube, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._kube = kube
        self._clock = clock
        self._found: dict[tuple[str, str], _Found] = {}
        self._read_at: dict[WorkloadKey, float] = {}

    async def find(self, key: WorkloadKey, kind: ScaledKind, api_version: str) -> Workload | None:
        """Return the workload; None if there is no object of this name.

        Raises:
            WorkloadTrouble: there is no such kind, it can't be scaled, or the operator may not.
            ApiError: the API server could not be asked.
        """
        plural = await self._plural(api_version, key.kind)
        now, known = self._clock(), self._cluster.workload(key)
        if known is not None and now - self._read_at.get(key, float("-inf")) < FRESH_SECONDS:
            return known
        path = f"{_prefix(api_version)}/namespaces/{key.namespace}/{plural}/{key.name}"
        try:
            body = await self._kube.get_scale(path)
        except ApiError as error:
            if not error.forbidden:
                raise
            text = kind.forbidden(key, path, str(error))
            raise WorkloadTrouble(Problem.WORKLOAD_FORBIDDEN, text) from error
        if body is None:
            self._cluster.drop_workload(key)
            self._read_at.pop(key, None)
            # Perhaps the whole kind is gone, which is another thing to say.
            del self._found[api_version, key.kind]
            await self._plural(api_version, key.kind)
            return None
        try:
            found = kind.read(body, key, path)
        except ValueError as error:
            text = f"the /scale of {key} can't be used: {error}"
            raise WorkloadTrouble(Problem.WORKLOAD_NOT_SCALABLE, text) from error
        self._read_at[key] = now
        self._cluster.put_workload(found)
        return self._cluster.workload(key)

    async def _plural(self, api_version: str, kind: str) -> str:
        """Return what the API calls the objects of a kind with a `/scale`.

        Raises:
            WorkloadTrouble: there is no such kind, or it has no `/scale`.
        """
        known, now = self._found.get((api_version, kind)), self._clock()
        if known is None or known.until <= now:
            known = _look_up(api_version, kind, await self._kube.get_resources(api_version), now)
            self._found[api_version, kind] = known
        if known.trouble is not None:
            raise known.trouble
        return known.plural


def _look_up(
    api_version: str, kind: str, resources: list[dict[str, object]] | None, now: float
) -> _Found:
    """Find a kind in the API server's list of one group and version."""

    def trouble(reason: Problem, message: str) -> _Found:
        return _Found("", WorkloadTrouble(reason, message), now + UNKNOWN_SECONDS)

    if resources is None:
        text = f"the API server does not serve {api_version}: check workloadRef.apiVersion, and "
        return trouble(
            Problem.WORKLOAD_KIND_UNKNOWN, f"{text}that its CustomResourceDefinition is installed"
        )
    mine = [each for each in resources if each.get("kind") == kind and "/" not in str(each["name"])]
    if not mine:
        text = f"{api_version} has no kind {kind}: check workloadRef.kind"
        return trouble(Problem.WORKLOAD_KIND_UNKNOWN, text)
    plural = str(mine[0]["name"])
    if f"{plural}/scale" not in {str(each["name"]) for each in resources}:
        text = f"{api_version} {kind} has no /scale, so its number of replicas can't be set; a "
        text += "CustomResourceDefinition declares it in subresources.scale"
        return trouble(Problem.WORKLOAD_NOT_SCALABLE, text)
    return _Found(plural, None, now + KNOWN_SECONDS)


def _prefix(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
