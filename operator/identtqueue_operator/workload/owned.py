"""The Deployment of a TaskQueue with `template`: made, changed with the template, and kept so.

A change by somebody else is noticed by the shape of the Deployment: a digest of what the API server
answered to the operator's last apply, defaults and admission included. If the shape differs, the
operator applies the template again. That reverts the operator's own fields and no others. What
others added stays, and is part of the new shape. So there is no fight, except with a writer that
changes the operator's own fields again and again; that costs one write per `MEND_SECONDS`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from identtqueue_operator.api.v1alpha1 import TaskQueueSpec
from identtqueue_operator.kube.api import ApiError
from identtqueue_operator.kube.cache import Cluster
from identtqueue_operator.kube.client import Kube
from identtqueue_operator.model import Cause, Key, Problem, WorkloadKey
from identtqueue_operator.workload import template
from identtqueue_operator.workload.deployment import DEPLOYMENT
from identtqueue_operator.workload.lookup import find_watched

NOT_ALLOWED = Cause(
    Problem.WORKLOAD_TEMPLATE_NOT_ALLOWED,
    (
        "this operator makes no Deployments (rbac.templates of the chart is false): create the "
        "Deployment yourself, and name it in workloadRef"
    ),
)
"""Reason and message where the operator may not make workloads of templates."""
MEND_SECONDS = 10.0
"""Shortest time between two corrections of others' changes."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The result of one look."""

    problem: Cause | None = None
    """The obstacle to the Deployment."""
    warnings: tuple[str, ...] = ()
    """Warnings of the API server when the Deployment was written."""
    reverted: bool = False
    """Whether another's change was reverted to what the template says."""
    again_in: float | None = None
    """Seconds until a change that was seen may be reverted."""


def owned_key(key: Key) -> WorkloadKey:
    """Return the key of the Deployment that belongs to a TaskQueue with `template`."""
    return WorkloadKey(*key, *DEPLOYMENT.id)


class OwnedWorkload:
    """The Deployment of one TaskQueue.

    Args:
        key: of the TaskQueue, and so of the Deployment.
        uid: of the TaskQueue.
        cluster: the watches' cache.
        kube: to write with.
        clock: seconds, monotonic.
    """

    def __init__(
        self, key: Key, uid: str, cluster: Cluster, kube: Kube, clock: Callable[[], float]
    ) -> None:
        self._key = key
        self._uid = uid
        self._cluster = cluster
        self._kube = kube
        self._clock = clock
        self._shape: str | None = None
        self._applied_hash: str | None = None
        """Hash of the template that was applied last."""
        self._mended_at = float("-inf")

    async def keep(self, spec: TaskQueueSpec) -> Kept:
        """Create the Deployment, or correct it, unless it is as the template says.

        Raises:
            ApiError: the API server could not be asked, or the Deployment changed in between.
        """
        known = await find_watched(DEPLOYMENT, owned_key(self._key), self._cluster, self._kube)
        if known is not None and (known.owner is None or known.owner.uid != self._uid):
            message = (
                f"Deployment {self._key.name} exists and does not belong to this TaskQueue: "
                "delete it, or refer to it by workloadRef"
            )
            return Kept(Cause(Problem.WORKLOAD_NOT_OWNED, message))
        replicas = known.replicas if known else spec.first_replicas
        wanted = template.render(self._key, self._uid, spec, replicas)
        wanted_hash = template.template_hash(wanted)
        if known is not None and known.template_hash == wanted_hash and known.shape == self._shape:
            return Kept()
        # Applied before, and different now: another's change, which may even be the deletion of the
        # Deployment, or a mark that another operator has overwritten.
        edited = self._shape is not None and wanted_hash == self._applied_hash
        wait = self._mended_at + MEND_SECONDS - self._clock()
        if edited and wait > 0:
            return Kept(again_in=wait)
        try:
            path = DEPLOYMENT.path(owned_key(self._key))
            version = None if known is None else known.resource_version
            body, warnings = await self._kube.apply(path, wanted, version)
        except ApiError as error:
            if error.terminating:
                return Kept(Cause(Problem.NAMESPACE_TERMINATING, "the namespace is being deleted"))
            if error.status in (400, 403, 422):
                text = f"the API server refuses the Deployment: {error}"
                return Kept(Cause(Problem.WORKLOAD_REFUSED, text))
            raise
        applied = DEPLOYMENT.read(body)
        self._cluster.put_workload(applied)
        reverted = edited and applied.shape == self._shape
        self._shape, self._applied_hash = applied.shape, wanted_hash
        if edited:
            self._mended_at = self._clock()
        return Kept(warnings=warnings, reverted=reverted)
