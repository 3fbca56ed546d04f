"""The resync: it finds what the watches have missed, by comparing with full lists.

A list may be older or newer than what the watches have reported. So nothing is dropped or added on
its word alone: the API server is asked for each object on which the two differ.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from identtqueue_operator.kube import parse
from identtqueue_operator.kube.api import ApiError
from identtqueue_operator.kube.cache import Cluster
from identtqueue_operator.kube.client import Kube
from identtqueue_operator.kube.parse import Body
from identtqueue_operator.model import Key, WorkloadKey
from identtqueue_operator.rounds.reconcilers import Reconcilers
from identtqueue_operator.workload.kind import Kind, WatchedKind
from identtqueue_operator.workload.kinds import WATCHED

logger = logging.getLogger(__name__)

PERIOD_SECONDS = 300.0
"""Period of comparing with full lists."""


class News(Protocol):
    """The receiver of what watches bring, and of what they have missed: the controller."""

    def serves(self, body: Body) -> bool:
        """Return whether a TaskQueue is this operator's to look after."""

    def has_seen(self, key: Key, since: float) -> bool:
        """Return whether news of a TaskQueue came at that time or later (monotonic)."""

    def is_named(self, kind: Kind) -> bool:
        """Return whether a TaskQueue names a workload of this kind."""

    def task_queue_changed(self, body: Body) -> None:
        """Take in a TaskQueue that is new or has changed."""

    def task_queue_deleted(self, key: Key) -> None:
        """Take in that a TaskQueue is gone."""

    def pod_changed(self, body: Body) -> None:
        """Take in a pod that is new or has changed."""


class Resync:
    """The comparison of all that is known with full lists.

    Args:
        kube: the API server.
        namespaces: those that are served; None: the whole cluster.
        cluster: what is known of workloads and pods.
        reconcilers: what is known of TaskQueues.
        news: takes in what was missed.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        kube: Kube,
        namespaces: tuple[str | None, ...],
        cluster: Cluster,
        reconcilers: Reconcilers,
        news: News,
        clock: Callable[[], float],
    ) -> None:
        self._kube = kube
        self._namespaces = namespaces
        self._cluster = cluster
        self._reconcilers = reconcilers
        self._news = news
        self._clock = clock

    async def run(self) -> None:
        """Compare periodically, without end."""
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            for namespace in self._namespaces:
                try:
                    await self.compare(namespace)
                except ApiError as error:
                    logger.warning("resync: %s", error)
                except Exception:
                    # One object of an unforeseen form must not stop the service for all.
                    logger.exception("resync failed; the next one is in %g s", PERIOD_SECONDS)

    async def compare(self, namespace: str | None) -> None:
        """Compare everything known of a namespace with full lists, then have a look at it.

        Raises:
            ApiError: the API server could not be asked.
        """
        listed_at = self._clock()
        for kind in WATCHED:
            if kind.required or self._news.is_named(kind):
                await self._compare_workloads(namespace, kind, listed_at)
        await self.compare_pods(namespace, await self._kube.list_pods(namespace), listed_at)
        await self._compare_task_queues(namespace, listed_at)
        self._reconcilers.look(
            key for key in self._reconcilers if namespace in (None, key.namespace)
        )

    async def _compare_workloads(
        self, namespace: str | None, kind: WatchedKind, listed_at: float
    ) -> None:
        bodies = await self._kube.list_headings(namespace, kind.resource)
        present = {kind.key_of(body) for body in bodies}
        for key in self._cluster.doubtful_workloads(namespace, kind.id, present, listed_at):
            await self._ask_for_workload(kind, key)

    async def compare_pods(
        self, namespace: str | None, bodies: Iterable[Body], listed_at: float
    ) -> None:
        """Compare the known pods of a namespace with a full list.

        Args:
            namespace: None: the whole cluster.
            bodies: the list; metadata is enough.
            listed_at: when the list was begun, on the monotonic clock.
        """
        for key in self._cluster.doubtful_pods(namespace, bodies, listed_at):
            await self._ask_for_pod(key)

    async def _compare_task_queues(self, namespace: str | None, listed_at: float) -> None:
        bodies = await self._kube.list_task_queues(namespace)
        for key in self._doubtful_task_queues(namespace, bodies, listed_at):
            await self._ask_for_task_queue(key)

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
                if not self._news.has_seen(key, since=listed_at):
                    doubtful.add(key)
            elif reconciler.resource.differs_from(body):
                doubtful.add(key)
        return doubtful | {key for key, body in present.items() if self._news.serves(body)}

    async def _ask_for_task_queue(self, key: Key) -> None:
        asked_at = self._clock()
        body = await self._kube.get_task_queue(key)
        if body is not None:
            self._news.task_queue_changed(body)
        elif not self._news.has_seen(key, since=asked_at):
            self._news.task_queue_deleted(key)

    async def _ask_for_workload(self, kind: WatchedKind, key: WorkloadKey) -> None:
        found = await kind.get(key, self._kube)
        if found is None:
            self._cluster.drop_workload(key)
        else:
            self._cluster.put_workload(found)

    async def _ask_for_pod(self, key: Key) -> None:
        body = await self._kube.get_pod(key)
        self._cluster.drop_pods_called(key, other_than=body["metadata"]["uid"] if body else "")
        if body is not None:
            self._news.pod_changed(body)
