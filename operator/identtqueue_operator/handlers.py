"""kopf's part: the watches. Decorators and settings only; what happens is the controller's.

Only `on.event` handlers are used. kopf then writes nothing to the watched objects: no finalizer
(which would block deletion while the operator is down), no annotation, no progress; and it keeps no
timers or daemons. Handlers return at once: they note what they were told and mark it as dirty.
They are coroutines although they await nothing: kopf runs plain functions in threads.
"""

from collections.abc import Iterator
from typing import Any

import kopf

from .api.v1alpha1 import GROUP, PLURAL, VERSION
from .controller import Controller
from .kube import in_cluster
from .views import key_of

ANNOTATION_PREFIX = "operator.identtqueue.dev"


def registry(controller: Controller) -> kopf.OperatorRegistry:
    """The handlers, bound to a controller."""
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

    @kopf.on.event("apps", "v1", "deployments", registry=handlers)
    async def deployment(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002
        if type == "DELETED":
            controller.deployment_deleted(body)
        else:
            controller.deployment_changed(body)

    @kopf.on.event("", "v1", "pods", registry=handlers)
    async def pod(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002
        if type == "DELETED":
            controller.pod_deleted(body)
        else:
            controller.pod_changed(body)

    return handlers


def settings(*, cluster_wide: bool) -> kopf.OperatorSettings:
    """Kopf's settings: quiet, patient, and without traces on what it watches."""
    chosen = kopf.OperatorSettings()
    # The events are ours (see `report`), not kopf's log lines.
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
    # Lists come in pieces, so that two thousand objects are never in memory at once.
    chosen.watching.chunk_size = 100
    # One task per object that changed; a limit would make two thousand objects wait for the idle
    # time-outs of each other at start.
    chosen.queueing.worker_limit = None
    chosen.queueing.idle_timeout = 1.0
    # Unused, as no handler of ours persists anything; but should one ever, under our own name.
    chosen.persistence.finalizer = f"{ANNOTATION_PREFIX}/finalizer"
    chosen.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=ANNOTATION_PREFIX)
    chosen.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=ANNOTATION_PREFIX)
    return chosen


class _Backoffs:
    """Pauses between attempts to list or watch, without an end.

    kopf stops the operator when they are used up; an API server that is away for a minute (an
    upgrade of the control plane) is no reason to stop.
    """

    def __iter__(self) -> Iterator[float]:
        yield from (0.2, 0.5, 1, 2, 5)
        while True:
            yield 10
