"""The TaskQueues that the library's dashboard shows, as the API server has them.

The dashboard finds `task_queue_source` by an entry point. It only reads: TaskQueues and Events.
"""

import asyncio
from collections.abc import Sequence

from identtqueue_operator.kube.api import Json
from identtqueue_operator.kube.client import EVENTS, TASK_QUEUES
from identtqueue_operator.kube.requests import Requests, connect, own_namespace

ALL = "*"
"""In place of namespaces: those of the whole cluster."""
CONNECTIONS = 4
MOST_TASK_QUEUES = 2_000
"""TaskQueues that are shown at most."""
MOST_EVENTS = 200
"""Events that are read about one TaskQueue; the API server does not sort them."""


def task_queue_source(namespaces: Sequence[str] = ()) -> "TaskQueueReader | str":
    """Return a reader of TaskQueues; if no cluster is known, say in words why.

    Args:
        namespaces: where to look; empty: the pod's own namespace, or that of the kubeconfig's
            context; `*`: everywhere.
    """
    found = list(namespaces)
    if not found and (own := own_namespace()) is not None:
        found = [own]
    if not found:
        return (
            "This process runs in no pod, and there is no kubeconfig with a current context. So no "
            "cluster is known whose TaskQueues could be shown."
        )
    return TaskQueueReader(found)


class TaskQueueReader:
    """Reader of TaskQueues and Events. It connects when it is first asked.

    Args:
        namespaces: where to look; `*`: everywhere.
        kubeconfig: file that says how to connect. Default: as the pod may, or `$KUBECONFIG`.
    """

    def __init__(self, namespaces: Sequence[str], kubeconfig: str | None = None) -> None:
        self._kubeconfig = kubeconfig
        self._namespaces = [None] if ALL in namespaces else list(dict.fromkeys(namespaces))
        self._requests: Requests | None = None
        self._connecting = asyncio.Lock()

    async def task_queues(self) -> list[Json]:
        """List the TaskQueues.

        Raises:
            ApiError: the API server refuses, or cannot be reached.
        """
        requests = await self._connected()
        found: list[Json] = []
        for namespace in self._namespaces:
            async for page, _ in requests.pages(TASK_QUEUES, namespace):
                found += page
                if len(found) >= MOST_TASK_QUEUES:
                    return found[:MOST_TASK_QUEUES]
        return found

    async def events(self, namespace: str, name: str) -> list[Json]:
        """List Events about one TaskQueue.

        Raises:
            ApiError: the API server refuses, or cannot be reached.
        """
        requests = await self._connected()
        selector = f"involvedObject.kind=TaskQueue,involvedObject.name={name}"
        query = [("fieldSelector", selector), ("limit", str(MOST_EVENTS))]
        answer = await requests.call("GET", EVENTS.listing(namespace), query=query)
        return list(answer.get("items") or ())

    async def close(self) -> None:
        """Close the connections."""
        if self._requests is not None:
            await self._requests.close()
            self._requests = None

    async def _connected(self) -> Requests:
        async with self._connecting:
            if self._requests is None:
                self._requests = Requests(await connect(self._kubeconfig, CONNECTIONS))
            return self._requests
