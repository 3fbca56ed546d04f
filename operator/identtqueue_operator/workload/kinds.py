"""Workloads of other kinds than Deployments and StatefulSets, by their `/scale`.

Kubernetes' discovery says whether a kind exists, what its objects are called in the API, and
whether they have a `/scale`. Nothing else of such an object is read, so the operator needs the
right to `get` and `patch` its `/scale` only. It is not watched: it is read when a round looks, and
at most once a second.
"""

from collections.abc import Callable
from typing import NamedTuple

from identtqueue_operator.kube import parse
from identtqueue_operator.kube.cache import Cluster
from identtqueue_operator.kube.client import ApiError, Kube
from identtqueue_operator.model import Workload, WorkloadKey

KNOWN_SECONDS = 600.0
"""Time for which the plural of a kind, and that it has a `/scale`, is cached."""
UNKNOWN_SECONDS = 10.0
"""Time for which it is cached that there is no such kind, or that it has no `/scale`."""
FRESH_SECONDS = 1.0
"""Time for which what was read from a `/scale` is used."""
FORBIDDEN = 403


class WorkloadTrouble(Exception):
    """The workload can't be read or scaled, and it is known what to do about it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class _Kind(NamedTuple):
    plural: str
    trouble: WorkloadTrouble | None
    until: float


class Kinds:
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
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self._read_at: dict[WorkloadKey, float] = {}

    async def find(self, key: WorkloadKey, api_version: str) -> Workload | None:
        """Return the workload; None if there is no object of this name.

        Raises:
            WorkloadTrouble: there is no such kind, it can't be scaled, or the operator may not.
            ApiError: the API server could not be asked.
        """
        kind = await self._kind(api_version, key.kind)
        if kind.trouble is not None:
            raise kind.trouble
        now, known = self._clock(), self._cluster.workload(key)
        if known is not None and now - self._read_at.get(key, float("-inf")) < FRESH_SECONDS:
            return known
        path = f"{_prefix(api_version)}/namespaces/{key.namespace}/{kind.plural}/{key.name}"
        try:
            body = await self._kube.get_scale(path)
        except ApiError as error:
            if error.status != FORBIDDEN:
                raise
            text = advise_rights(key, path, str(error))
            raise WorkloadTrouble("WorkloadForbidden", text) from error
        if body is None:
            self._cluster.drop_workload(key)
            self._read_at.pop(key, None)
            # Perhaps the whole kind is gone, which is another thing to say.
            del self._kinds[api_version, key.kind]
            kind = await self._kind(api_version, key.kind)
            if kind.trouble is not None:
                raise kind.trouble
            return None
        try:
            found = parse.scale(body, key, path)
        except ValueError as error:
            text = f"the /scale of {key} can't be used: {error}"
            raise WorkloadTrouble("WorkloadNotScalable", text) from error
        self._read_at[key] = now
        self._cluster.put_workload(found)
        return self._cluster.workload(key)

    async def _kind(self, api_version: str, kind: str) -> _Kind:
        known, now = self._kinds.get((api_version, kind)), self._clock()
        if known is None or known.until <= now:
            known = _look_up(api_version, kind, await self._kube.get_resources(api_version), now)
            self._kinds[api_version, kind] = known
        return known


def _look_up(
    api_version: str, kind: str, resources: list[dict[str, object]] | None, now: float
) -> _Kind:
    """Find a kind in the API server's list of one group and version."""

    def trouble(reason: str, message: str) -> _Kind:
        return _Kind("", WorkloadTrouble(reason, message), now + UNKNOWN_SECONDS)

    if resources is None:
        text = f"the API server does not serve {api_version}: check workloadRef.apiVersion, and "
        return trouble(
            "WorkloadKindUnknown", f"{text}that its CustomResourceDefinition is installed"
        )
    mine = [each for each in resources if each.get("kind") == kind and "/" not in str(each["name"])]
    if not mine:
        text = f"{api_version} has no kind {kind}: check workloadRef.kind"
        return trouble("WorkloadKindUnknown", text)
    plural = str(mine[0]["name"])
    if f"{plural}/scale" not in {str(each["name"]) for each in resources}:
        text = f"{api_version} {kind} has no /scale, so its number of replicas can't be set; a "
        text += "CustomResourceDefinition declares it in subresources.scale"
        return trouble("WorkloadNotScalable", text)
    return _Kind(plural, None, now + KNOWN_SECONDS)


def advise_rights(key: WorkloadKey, path: str, error: str) -> str:
    """Say what to do about a workload that the operator may not read or scale.

    Args:
        key: of the workload.
        path: where it is in the API; its last step but one is what its kind is called there.
        error: what the API server says.
    """
    if key.is_deployment or key.is_stateful_set:
        what = "upgrade the chart, whose Role grants it"
    else:
        rule = f"{{apiGroup: {key.group!r}, resource: {path.split('/')[-2]}}}"
        what = f"add {rule} to the chart's rbac.scaleTargets"
    return f"the operator lacks a right to scale {key}; {what} ({error})"


def _prefix(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
