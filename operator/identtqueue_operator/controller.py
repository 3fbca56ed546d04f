"""The controller: it passes watch events on to the reconcilers of the TaskQueues they concern.

Owns the reconcilers and the background loops. Each of them is a named task; one that ends by itself
is an error that stops the operator (`run` raises), because an operator that half works looks alive.
"""

import asyncio
import contextvars
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from identtqueue.admin import Reach
from identtqueue_operator.kube import parse
from identtqueue_operator.kube.autoscalers import Autoscalers
from identtqueue_operator.kube.cache import Cluster
from identtqueue_operator.kube.client import PODS, TASK_QUEUES, ApiError, ApiResource, Kube
from identtqueue_operator.kube.pod_watch import PodWatch
from identtqueue_operator.metrics import Meter, Snapshot
from identtqueue_operator.model import Key, Pod, WorkloadKey
from identtqueue_operator.queues.endpoints import Endpoints
from identtqueue_operator.queues.shared import SharedQueues
from identtqueue_operator.rounds.reconciler import Reconciler
from identtqueue_operator.rounds.tools import Tools
from identtqueue_operator.settings import Settings
from identtqueue_operator.workload.kind import Kind, WatchedKind
from identtqueue_operator.workload.kinds import WATCHED, kind_of
from identtqueue_operator.workload.lookup import Workloads

logger = logging.getLogger(__name__)

RESYNC_SECONDS = 300.0
"""Period of comparing the caches with full lists; see `cache`."""

RIGHTS_SECONDS = 60.0
"""Period of checking whether the operator may still list what it watches."""

Body = Mapping[str, Any]


class Controller:
    """All TaskQueues of the served namespaces.

    Args:
        settings: which namespaces, and who this is.
        kube: the API server.
        meter: counts what is done.
        clock: seconds since the epoch.
        steady: seconds, monotonic.
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
        self._kube = kube
        self._timings = settings.timings
        self._selector = settings.selector
        self._namespaces: tuple[str | None, ...] = settings.namespaces or (None,)
        self._reconcilers: dict[Key, Reconciler] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._ending: dict[asyncio.Task[None], Reconciler] = {}
        """Those whose TaskQueue is gone."""
        self._by_workload: dict[WorkloadKey, set[Key]] = defaultdict(set)
        self._workload_of: dict[Key, WorkloadKey] = {}
        self._shared = SharedQueues()
        self._me = Key(settings.own_namespace, settings.identity)
        self._my_pod_is_seen = False
        self._seen_at: dict[Key, float] = {}
        self._blind: dict[tuple[str | None, Kind | None], str] = {}
        """Refused watches: (served namespace, kind) and what the API server says. Without a kind
        it is a watch that every TaskQueue needs."""
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closing = False
        self._context = contextvars.copy_context()
        reach = Reach(settings.redis_allow, loopback=not settings.in_pod)
        self.endpoints = Endpoints(kube, steady, reach, settings.timings)
        self._autoscalers = Autoscalers(
            kube, self._namespaces, self._look_at_workload, settings.timings
        )
        self.cluster = Cluster(self._look_at_workload, self._look_at_workload, steady)
        self._tools = Tools(
            kube=kube,
            cluster=self.cluster,
            endpoints=self.endpoints,
            workloads=Workloads(self.cluster, kube, steady),
            meter=meter,
            autoscaler=self._autoscalers.scaling,
            rival=self._rival,
            shared=self._shared.others,
            is_self=self._is_self,
            look_for_others=self._autoscalers.look_anew,
            clock=clock,
            steady=steady,
            identity=settings.identity,
            operator_name=settings.operator_name,
            templates=settings.templates,
            timings=settings.timings,
            blind=self._is_blind,
        )

    @property
    def reconcilers(self) -> Mapping[Key, Reconciler]:
        """The reconcilers of all TaskQueues that this operator looks after."""
        return MappingProxyType(self._reconcilers)

    @property
    def releasing(self) -> int:
        """How many TaskQueues are gone and still call their workers back."""
        return len(self._ending)

    # --- life ---

    async def run(self) -> None:
        """Run the background loops without end.

        Raises:
            Exception: whatever ended one of them, or a reconciler.
        """
        loops = {
            "autoscalers": self._autoscalers.run(),
            "resync": self._resync(),
            "rights": self._check_rights(),
            "reconcilers": self._wait_for_failure(),
        }
        async with asyncio.TaskGroup() as group:
            for name, loop in loops.items():
                group.create_task(_never_ends(name, loop), name=name)

    async def close(self) -> None:
        """Stop every reconciler (each where it stands: any round can be repeated), then Redis."""
        self._closing = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        for reconciler in self._ending.values():
            reconciler.hurry()
        await asyncio.gather(*tasks, *self._ending, return_exceptions=True)
        await self.endpoints.close()

    async def _wait_for_failure(self) -> None:
        await self._failed

    def snapshots(self) -> Iterable[Snapshot]:
        """Return the last round of each TaskQueue. Any thread may call it: rounds are immutable."""
        for key, reconciler in list(self._reconcilers.items()):
            verdict = reconciler.verdict
            if verdict is not None:
                yield Snapshot(key, *verdict, reconciler.seen, reconciler.decision)

    # --- what the watches bring ---

    def task_queue_changed(self, body: Body) -> None:
        """Take in a TaskQueue that is new or has changed."""
        key = parse.key_of(body)
        if not self._selector.matches(body["metadata"].get("labels") or {}):
            self.task_queue_deleted(key)  # for this operator; another one may serve it
            return
        self._seen_at[key] = self._steady()
        reconciler = self._reconcilers.get(key)
        if body["metadata"].get("deletionTimestamp"):
            self.task_queue_deleted(key)
        elif reconciler is None:
            self._begin(key, Reconciler(body, self._tools, self.task_queue_deleted))
        elif not reconciler.resource.is_of(body):
            self.task_queue_deleted(key)  # deleted and created anew between two looks
            self._begin(key, Reconciler(body, self._tools, self.task_queue_deleted))
        elif reconciler.update(body):
            self._index(key, reconciler.resource.workload)
            self._note_queues(key, reconciler)

    def task_queue_deleted(self, key: Key) -> None:
        """Let go of a TaskQueue. Its workload stays, or is deleted through its owner reference."""
        self._seen_at.pop(key, None)
        reconciler = self._reconcilers.pop(key, None)
        if reconciler is None:
            return
        self._index(key, None)
        for other in self._shared.drop(key):
            self._reconcilers[other].look()
        reconciler.gone = True
        task = self._tasks.pop(key)
        self._ending[task] = reconciler
        task.add_done_callback(lambda ended: self._ending.pop(ended, None))
        task.cancel()

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
                    on_listed=self._compare_pods,
                    clock=self._steady,
                    timings=self._timings,
                )
                group.create_task(watch.run(), name=f"pods of {namespace or 'the cluster'}")

    def autoscaler_changed(self, body: Body, *, gone: bool) -> None:
        """Take in that a HorizontalPodAutoscaler came, went or changed."""
        self._autoscalers.heard(body, gone=gone)

    # --- reconcilers ---

    def _begin(self, key: Key, reconciler: Reconciler) -> None:
        self._reconcilers[key] = reconciler
        self._index(key, reconciler.resource.workload)
        self._note_queues(key, reconciler)
        # Not in the watch's context: kopf keeps the whole resource in it, and a task (and each of
        # its callbacks) keeps its context for life.
        task = asyncio.get_running_loop().create_task(
            reconciler.run(), name=f"reconcile {key}", context=self._context.copy()
        )
        task.add_done_callback(self._ended, context=self._context)
        self._tasks[key] = task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._closing or self._failed.done():
            return
        error = task.exception()
        if error is not None:
            self._failed.set_exception(error)

    def _index(self, key: Key, workload: WorkloadKey | None) -> None:
        """Note which workload the TaskQueue names (now)."""
        before = self._workload_of.pop(key, None)
        if before is not None and before != workload:
            self._by_workload[before].discard(key)
            if not self._by_workload[before]:
                del self._by_workload[before]
                self.cluster.unwatch(before)
            else:
                self._look_at_workload(before)  # perhaps no longer contested
        if workload is not None:
            self.cluster.watch(workload)
            self._workload_of[key] = workload
            self._by_workload[workload].add(key)
            if len(self._by_workload[workload]) > 1:
                self._look_at_workload(workload)

    def _note_queues(self, key: Key, reconciler: Reconciler) -> None:
        resource = reconciler.resource
        for other in self._shared.put(key, resource.queues, resource.workload):
            self._reconcilers[other].look()

    def _is_self(self, workload: WorkloadKey, pods: Iterable[Pod]) -> bool:
        """Return whether the workload runs this operator.

        Until the operator's own pod is seen, the name decides that controllers give to pods.
        """
        if self._my_pod_is_seen:
            return any(pod.key == self._me and not pod.foreign for pod in pods)
        name = self._me.name
        likely = {name.rsplit("-", 2)[0], name.rsplit("-", 1)[0]}
        return workload.namespace == self._me.namespace and workload.name in likely

    def _look_at_workload(self, workload: WorkloadKey) -> None:
        for key in self._by_workload.get(workload, ()):
            self._reconcilers[key].look()

    def _rival(self, created: tuple[str, str], workload: WorkloadKey) -> str:
        """Name the older TaskQueue that scales the workload; empty if there is none."""
        others = (self._reconcilers[key] for key in self._by_workload.get(workload, ()))
        oldest = min((other.resource.created for other in others), default=created)
        if oldest >= created:
            return ""
        return f"TaskQueue {oldest[1]} is older and scales {workload} too"

    # --- rights ---

    def _is_blind(self, workload: WorkloadKey) -> str:
        """Say why changes in the workload's namespace are not seen; empty if they are."""
        for namespace in (workload.namespace, None):
            for kind in (None, kind_of(workload)):
                if text := self._blind.get((namespace, kind)):
                    return text
        return ""

    async def _check_rights(self) -> None:
        """Find out when a right is lost: a watch that is refused is merely silent."""
        while True:
            for namespace in self._namespaces:
                await self.check_rights(namespace)
            await asyncio.sleep(RIGHTS_SECONDS)

    async def check_rights(self, namespace: str | None) -> None:
        """Try whether what is watched in a namespace may be listed."""
        required = (kind.resource for kind in WATCHED if kind.required)
        await self._try(namespace, None, TASK_QUEUES, PODS, *required)
        for kind in WATCHED:
            if not kind.required and self._is_named(kind):
                await self._try(namespace, kind, kind.resource)

    def _is_named(self, kind: Kind) -> bool:
        """Return whether a TaskQueue names a workload of this kind."""
        return any(kind_of(workload) is kind for workload in self._by_workload)

    async def _try(self, namespace: str | None, kind: Kind | None, *resources: ApiResource) -> None:
        """Note whether a listing is refused. Without a kind it concerns all TaskQueues."""
        try:
            await self._kube.try_to_list(namespace, *resources)
            text = ""
        except ApiError as error:
            if error.status not in (401, 403):
                return  # the API server has other troubles, which other rounds tell
            text = str(error)
        if text == self._blind.get((namespace, kind), ""):
            return
        self._blind[namespace, kind] = text
        for reconciler in self._reconcilers.values():
            reconciler.look()

    # --- resync ---

    async def _resync(self) -> None:
        """Find what vanished without a word from the watches."""
        while True:
            await asyncio.sleep(RESYNC_SECONDS)
            for namespace in self._namespaces:
                try:
                    await self.resync(namespace)
                except ApiError as error:
                    logger.warning("resync: %s", error)
                except Exception:
                    # One object of an unforeseen form must not stop the service for all.
                    logger.exception("resync failed; the next one is in %g s", RESYNC_SECONDS)

    async def resync(self, namespace: str | None) -> None:
        """Compare everything known of a namespace with full lists, and ask for what differs.

        A list may be older or newer than what the watches have reported. So nothing
        is dropped or added on its word alone.
        """
        listed_at = self._steady()
        for kind in WATCHED:
            if kind.required or self._is_named(kind):
                await self._settle_doubts(namespace, kind, listed_at)
        await self._compare_pods(namespace, await self._kube.list_pods(namespace), listed_at)
        bodies = await self._kube.list_task_queues(namespace)
        for key in self._doubtful_task_queues(namespace, bodies, listed_at):
            await self._ask_for_task_queue(key)
        for reconciler in self._reconcilers.values():
            if namespace in (None, reconciler.resource.key.namespace):
                reconciler.look()

    async def _settle_doubts(
        self, namespace: str | None, kind: WatchedKind, listed_at: float
    ) -> None:
        bodies = await self._kube.list_headings(namespace, kind.resource)
        present = {kind.key_of(body) for body in bodies}
        for key in self.cluster.doubtful_workloads(namespace, kind.id, present, listed_at):
            await self._ask_for_workload(kind, key)

    async def _compare_pods(
        self, namespace: str | None, bodies: Iterable[Body], listed_at: float
    ) -> None:
        for key in self.cluster.doubtful_pods(namespace, bodies, listed_at):
            await self._ask_for_pod(key)

    def _doubtful_task_queues(
        self, namespace: str | None, bodies: Iterable[Body], listed_at: float
    ) -> set[Key]:
        """Find TaskQueues on which a list and the watch differ, and changes that were missed."""
        present = {parse.key_of(body): body for body in bodies}
        doubtful = set()
        for key, reconciler in self._reconcilers.items():
            if namespace not in (None, key.namespace):
                continue
            body = present.pop(key, None)
            if body is None:
                if self._seen_at.get(key, 0.0) < listed_at:
                    doubtful.add(key)
            elif reconciler.resource.differs_from(body):
                doubtful.add(key)
        return doubtful | {
            key
            for key, body in present.items()
            if self._selector.matches(body["metadata"].get("labels") or {})
        }

    async def _ask_for_task_queue(self, key: Key) -> None:
        asked_at = self._steady()
        body = await self._kube.get_task_queue(key)
        if body is not None:
            self.task_queue_changed(body)
        elif self._seen_at.get(key, 0.0) < asked_at:
            self.task_queue_deleted(key)

    async def _ask_for_workload(self, kind: WatchedKind, key: WorkloadKey) -> None:
        found = await kind.get(key, self._kube)
        if found is None:
            self.cluster.drop_workload(key)
        else:
            self.cluster.put_workload(found)

    async def _ask_for_pod(self, key: Key) -> None:
        body = await self._kube.get_pod(key)
        self.cluster.drop_pods_called(key, other_than=body["metadata"]["uid"] if body else "")
        if body is not None:
            self.pod_changed(body)


async def _never_ends(name: str, loop: Coroutine[Any, Any, None]) -> None:
    await loop
    raise RuntimeError(f"the loop {name} has ended")
