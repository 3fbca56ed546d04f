"""The watches that kopf runs: TaskQueues, workloads and HPAs. Pods have a watch of their own.

Here are only handlers and kopf's settings. Each handler passes its event on to the `Controller`,
which stores the change and wakes the reconcilers that it concerns. See `kube.pod_watch` for pods.

Only `on.event` handlers are used. With these, kopf writes nothing to the watched objects: no
finalizer (which would block deletion while the operator is down), no annotation, no progress. It
keeps no timers or daemons either. Handlers return at once. They are coroutines although they await
nothing, because kopf runs plain functions in threads.
"""

from collections.abc import Iterator
from typing import Any

import kopf

from identtqueue_operator.api.v1alpha1 import GROUP, PLURAL, VERSION
from identtqueue_operator.controller import Controller
from identtqueue_operator.kube.parse import key_of
from identtqueue_operator.kube.requests import in_cluster
from identtqueue_operator.workload.kind import WatchedKind
from identtqueue_operator.workload.kinds import WATCHED

FINALIZER = "operator.identtqueue.dev/unused"


def registry(controller: Controller) -> kopf.OperatorRegistry:
    """Bind the handlers to a controller."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    async def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        # Not kopf's default: that one would load the blocking Kubernetes client as well.
        if in_cluster():
            return kopf.login_with_service_account(**kwargs)
        return kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=handlers)
    async def task_queue(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name
        if type == "DELETED":
            controller.task_queue_deleted(key_of(body))
        else:
            controller.task_queue_changed(body)

    for kind in WATCHED:
        _watch_workloads(handlers, controller, kind)

    @kopf.on.event("autoscaling", "v2", "horizontalpodautoscalers", registry=handlers)
    async def autoscaler(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002
        controller.autoscaler_changed(body, gone=type == "DELETED")

    return handlers


def _watch_workloads(
    handlers: kopf.OperatorRegistry, controller: Controller, kind: WatchedKind
) -> None:
    @kopf.on.event(kind.group, kind.version, kind.plural, registry=handlers, id=kind.plural)
    async def workload(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002
        if type == "DELETED":
            controller.workload_deleted(body, kind)
        else:
            controller.workload_changed(body, kind)


def settings(*, cluster_wide: bool) -> kopf.OperatorSettings:
    """Make kopf's settings: quiet, patient, and without traces on what it watches."""
    chosen = kopf.OperatorSettings()
    # Events come from `status.writer`; kopf would make one of each of its log lines.
    chosen.posting.enabled = False
    # No dynamic watching of namespaces and CRDs: it needs permissions on the whole cluster.
    chosen.scanning.disabled = True
    chosen.peering.standalone = True
    chosen.peering.clusterwide = cluster_wide
    chosen.networking.request_timeout = 30
    chosen.networking.connect_timeout = 5
    chosen.networking.error_backoffs = _Backoffs()
    # A half-open watch is noticed by the missing bookmarks (one a minute).
    chosen.watching.inactivity_timeout = 70
    # Lists come in pieces, so that few objects are in memory at once. Each may take 1.5 MiB, as
    # TaskQueues and workloads of strangers do, and eight times as much once it is parsed.
    chosen.watching.chunk_size = 10
    # kopf makes a task for each object that has changed, which keeps the object until the idle
    # time-out. At start there are thousands, so few live at once, and each of them ends soon.
    chosen.queueing.worker_limit = 20
    chosen.queueing.idle_timeout = 0.01
    # It is never added. Under kopf's own name, kopf would remove it from other operators' objects.
    chosen.persistence.finalizer = FINALIZER
    chosen.persistence.progress_storage = _NoProgress()
    chosen.persistence.diffbase_storage = _NoDifferences()
    return chosen


class _NoProgress(kopf.ProgressStorage):
    """A storage of nothing: event handlers have no progress to keep in the objects."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        pass

    def purge(self, **_: Any) -> None:
        pass

    def touch(self, **_: Any) -> None:
        pass

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


class _NoDifferences(kopf.DiffBaseStorage):
    """A comparison of nothing: kopf would copy each object deeply, at each event."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        pass


class _Backoffs:
    """Pauses between attempts to list or watch, without an end.

    kopf stops the operator when they are used up; an API server that is away for a minute (an
    upgrade of the control plane) is no reason to stop.
    """

    def __iter__(self) -> Iterator[float]:
        yield from (0.2, 0.5, 1, 2, 5)
        while True:
            yield 10
