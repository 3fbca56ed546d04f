"""The controller: it passes watch events on to the reconcilers of the TaskQueues they concern.

Owns the reconcilers and the background loops. Each of them is a named task; one that ends by itself
is an error that stops the operator (`run` raises), because an operator that half works looks alive.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from identtqueue.admin import Reach
from identtqueue_operator.kube import parse
from identtqueue_operator.kube.autoscalers import Autoscalers
from identtqueue_operator.kube.cache import Cluster
from identtqueue_operator.kube.client import Kube
from identtqueue_operator.kube.parse import Body
from identtqueue_operator.kube.pod_watch import PodWatch
from identtqueue_operator.metrics import Meter, Snapshot
from identtqueue_operator.model import Key, Pod, WorkloadKey
from identtqueue_operator.queues.endpoints import Endpoints
from identtqueue_operator.queues.shared import SharedQueues
from identtqueue_operator.resync import Resync
from identtqueue_operator.rights import Rights
from identtqueue_operator.rounds.reconciler import Reconciler
from identtqueue_operator.rounds.reconcilers import Reconcilers
from identtqueue_operator.rounds.tools import Tools
from identtqueue_operator.settings import Settings
from identtqueue_operator.workload.kind import Kind, WatchedKind
from identtqueue_operator.workload.lookup import Workloads
from identtqueue_operator.workload.shared import SharedWorkloads


class Controller:
    """All TaskQueues of the served namespaces.

    Args:
        settings: which namespaces, and who this is.
        kube: the API server.
        meter: counts what is done.
        clock: seconds since the epoch.
        steady: seconds, monotonic.

    Attributes:
        reconcilers: the TaskQueues that this operator looks after.
        endpoints: the Redis that they use.
        cluster: the workloads and pods, as the watches have brought them.
        rights: which watches the API server refuses.
        resync: finds what the watches have missed.
    """

    def __init__(
        self,
        settings: Settings,
        kube: Kube,
        meter: Meter,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._steady = steady
        self._timings = settings.timings
        self._selector = settings.selector
        self._namespaces: tuple[str | None, ...] = settings.namespaces or (None,)
        self._me = Key(settings.own_namespace, settings.identity)
        self._my_pod_is_seen = False
        self._seen_at: dict[Key, float] = {}
        """When news of a TaskQueue came last, on the monotonic clock."""
        reach = Reach(settings.redis_allow, loopback=not settings.in_pod)
        self.endpoints = Endpoints(kube, steady, reach, settings.timings, settings.redis_aliases)
        self.cluster = Cluster(self._look_at_workload, self._look_at_workload, steady)
        self.reconcilers = Reconcilers()
        self._shared_queues = SharedQueues()
        self._shared_workloads = SharedWorkloads(self.cluster)
        self._autoscalers = Autoscalers(
            kube, self._namespaces, self._look_at_workload, settings.timings
        )
        self.rights = Rights(
            kube,
            self._namespaces,
            self.is_named,
            on_change=lambda: self.reconcilers.look(self.reconcilers),
        )
        self.resync = Resync(
            kube, self._namespaces, self.cluster, self.reconcilers, news=self, clock=steady
        )
        self._tools = self._make_tools(settings, kube, meter, clock)

    def _make_tools(
        self, settings: Settings, kube: Kube, meter: Meter, clock: Callable[[], float]
    ) -> Tools:
        """Return what all reconcilers share."""
        return Tools(
            kube=kube,
            cluster=self.cluster,
            endpoints=self.endpoints,
            workloads=Workloads(self.cluster, kube, self._steady),
            meter=meter,
            autoscaler=self._autoscalers.scaling,
            rival=self._shared_workloads.rival,
            shared=self._shared_queues.others,
            is_self=self._is_self,
            look_for_others=self._autoscalers.look_anew,
            clock=clock,
            steady=self._steady,
            identity=settings.identity,
            operator_name=settings.operator_name,
            templates=settings.templates,
            timings=settings.timings,
            blind=self.rights.missing,
        )

    # --- life ---

    async def run(self) -> None:
        """Run the background loops without end.

        Raises:
            Exception: whatever ended one of them, or a reconciler.
        """
        loops = {
            "autoscalers": self._autoscalers.run(),
            "resync": self.resync.run(),
            "rights": self.rights.run(),
            "reconcilers": self.reconcilers.failure(),
        }
        async with asyncio.TaskGroup() as group:
            for name, loop in loops.items():
                group.create_task(_never_ends(name, loop), name=name)

    async def close(self) -> None:
        """Stop all reconcilers, then the connections to Redis."""
        await self.reconcilers.close()
        await self.endpoints.close()

    def snapshots(self) -> Iterable[Snapshot]:
        """Return the last round of each TaskQueue. Any thread may call it."""
        return self.reconcilers.snapshots()

    # --- what the watches bring ---

    def serves(self, body: Body) -> bool:
        """Return whether a TaskQueue is this operator's; another one may serve the others."""
        return self._selector.matches(body["metadata"].get("labels") or {})

    def has_seen(self, key: Key, since: float) -> bool:
        """Return whether news of a TaskQueue came at that time or later (monotonic)."""
        return self._seen_at.get(key, 0.0) >= since

    def is_named(self, kind: Kind) -> bool:
        """Return whether a TaskQueue names a workload of this kind."""
        return self._shared_workloads.has(kind)

    def task_queue_changed(self, body: Body) -> None:
        """Take in a TaskQueue that is new or has changed."""
        key = parse.key_of(body)
        if not self.serves(body) or body["metadata"].get("deletionTimestamp"):
            self.task_queue_deleted(key)
            return
        self._seen_at[key] = self._steady()
        reconciler = self.reconcilers.get(key)
        if reconciler is not None and reconciler.resource.is_of(body):
            if reconciler.update(body):
                self._index(reconciler)
            return
        if reconciler is not None:
            self.task_queue_deleted(key)  # deleted and created anew between two looks
        reconciler = Reconciler(body, self._tools, self.task_queue_deleted)
        self.reconcilers.start(reconciler)
        self._index(reconciler)

    def task_queue_deleted(self, key: Key) -> None:
        """Let go of a TaskQueue. Its workload stays, or is deleted through its owner reference."""
        self._seen_at.pop(key, None)
        if self.reconcilers.release(key):
            self.reconcilers.look(self._shared_workloads.drop(key) | self._shared_queues.drop(key))

    def workload_changed(self, body: Body, kind: WatchedKind) -> None:
        """Take in a workload that is new or has changed."""
        self.cluster.put_workload(kind.read(body))

    def workload_deleted(self, body: Body, kind: WatchedKind) -> None:
        """Drop a workload."""
        self.cluster.drop_workload(kind.key_of(body))

    def pod_changed(self, body: Body) -> None:
        """Take in a pod that is new or has changed."""
        pod = parse.pod(body)
        self._my_pod_is_seen = self._my_pod_is_seen or pod.key == self._me
        self.cluster.put_pod(pod, body["metadata"].get("labels") or {})

    def pod_deleted(self, body: Body) -> None:
        """Take in that a pod is gone; the body is its last state."""
        gone = parse.pod(body, gone_at=self._steady())
        self.cluster.drop_pod(gone, body["metadata"].get("labels") or {})

    async def watch_pods(self, kube: Kube) -> None:
        """Follow the pods of all served namespaces, without end.

        Args:
            kube: with room for one watch of each namespace.
        """
        async with asyncio.TaskGroup() as group:
            for namespace in self._namespaces:
                watch = PodWatch(
                    kube,
                    namespace,
                    on_change=self.pod_changed,
                    on_gone=self.pod_deleted,
                    on_listed=self.resync.compare_pods,
                    clock=self._steady,
                    timings=self._timings,
                )
                group.create_task(watch.run(), name=f"pods of {namespace or 'the cluster'}")

    def autoscaler_changed(self, body: Body, *, gone: bool) -> None:
        """Take in that a HorizontalPodAutoscaler came, went or changed."""
        self._autoscalers.heard(body, gone=gone)

    # --- what concerns several TaskQueues ---

    def _index(self, reconciler: Reconciler) -> None:
        """Note which workload and queues a TaskQueue names; wake others that name the same."""
        resource = reconciler.resource
        key, workload = resource.key, resource.workload
        self.reconcilers.look(
            self._shared_workloads.put(key, workload, resource.created)
            | self._shared_queues.put(key, resource.queues, workload)
        )

    def _look_at_workload(self, workload: WorkloadKey) -> None:
        self.reconcilers.look(self._shared_workloads.task_queues(workload))

    def _is_self(self, workload: WorkloadKey, pods: Iterable[Pod]) -> bool:
        """Return whether the workload runs this operator.

        Until the operator's own pod is seen, the name decides that controllers give to pods.
        """
        if self._my_pod_is_seen:
            return any(pod.key == self._me and not pod.foreign for pod in pods)
        name = self._me.name
        likely = {name.rsplit("-", 2)[0], name.rsplit("-", 1)[0]}
        return workload.namespace == self._me.namespace and workload.name in likely


async def _never_ends(name: str, loop: Coroutine[Any, Any, None]) -> None:
    await loop
    raise RuntimeError(f"the loop {name} has ended")
