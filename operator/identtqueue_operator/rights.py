"""Whether the operator may still list what it watches. A watch that is refused is merely silent."""

import asyncio
from collections.abc import Callable

from identtqueue_operator.kube.api import ApiError, ApiResource
from identtqueue_operator.kube.client import PODS, TASK_QUEUES, Kube
from identtqueue_operator.model import WorkloadKey
from identtqueue_operator.workload.kind import Kind
from identtqueue_operator.workload.kinds import WATCHED, kind_of

PERIOD_SECONDS = 60.0
"""Period of the checks."""


class Rights:
    """The rights to list what is watched, in each namespace.

    Args:
        kube: is asked for short lists.
        namespaces: those that are served; None: the whole cluster.
        is_named: whether any TaskQueue names a workload of a kind. Without one, a right to list
            that kind is not needed.
        on_change: called when a right was lost or has come back.
    """

    def __init__(
        self,
        kube: Kube,
        namespaces: tuple[str | None, ...],
        is_named: Callable[[Kind], bool],
        on_change: Callable[[], None],
    ) -> None:
        self._kube = kube
        self._namespaces = namespaces
        self._is_named = is_named
        self._on_change = on_change
        self._refused: dict[tuple[str | None, Kind | None], str] = {}
        """(served namespace, kind) and what the API server says. Without a kind it is a list that
        every TaskQueue needs."""

    def missing(self, workload: WorkloadKey) -> str:
        """Say why changes in a workload's namespace are not seen; empty if they are."""
        for namespace in (workload.namespace, None):
            for kind in (None, kind_of(workload)):
                if text := self._refused.get((namespace, kind)):
                    return text
        return ""

    async def run(self) -> None:
        """Check periodically, without end."""
        while True:
            for namespace in self._namespaces:
                await self.check(namespace)
            await asyncio.sleep(PERIOD_SECONDS)

    async def check(self, namespace: str | None) -> None:
        """Try whether what is watched in a namespace may be listed."""
        required = (kind.resource for kind in WATCHED if kind.required)
        await self._try(namespace, None, TASK_QUEUES, PODS, *required)
        for kind in WATCHED:
            if not kind.required and self._is_named(kind):
                await self._try(namespace, kind, kind.resource)

    async def _try(self, namespace: str | None, kind: Kind | None, *resources: ApiResource) -> None:
        """Note whether a listing is refused. Without a kind it concerns all TaskQueues."""
        try:
            await self._kube.try_to_list(namespace, *resources)
            text = ""
        except ApiError as error:
            if error.status not in (401, 403):
                return  # the API server has other troubles, which the rounds report
            text = str(error)
        if text != self._refused.get((namespace, kind), ""):
            self._refused[namespace, kind] = text
            self._on_change()
