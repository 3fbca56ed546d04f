"""The TaskQueues of a Kubernetes cluster, as this library sees them: plain JSON from elsewhere.

The library knows no Kubernetes. The operator's package contributes the source, by an entry point of
the group `identtqueue.dashboard`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, Final, Protocol

GROUP: Final = "identtqueue.dashboard"
NAME: Final = "task-queues"

Json = Mapping[str, Any]


class TaskQueueSource(Protocol):
    """Reads TaskQueues from a cluster."""

    async def task_queues(self) -> Sequence[Json]:
        """Return all TaskQueues of the namespaces that are shown, as the API server has them.

        Raises:
            Exception: they can't be read; its text says why.
        """

    async def events(self, namespace: str, name: str) -> Sequence[Json]:
        """Return the latest Events about a TaskQueue, as the API server has them.

        Raises:
            Exception: they can't be read; its text says why.
        """

    async def close(self) -> None:
        """Close the connection."""


def find_source(namespaces: Sequence[str] = ()) -> TaskQueueSource | str:
    """Return the source of TaskQueues, or a sentence that says why there is none.

    Args:
        namespaces: whose TaskQueues are shown; empty: those of the pod's own namespace, or of the
            kubeconfig's context; `*`: all.
    """
    points = tuple(entry_points(group=GROUP, name=NAME))
    if not points:
        return "The package of the operator is not installed: pip install 'identtqueue[operator]'."
    try:
        make: Callable[[Sequence[str]], TaskQueueSource | str] = points[0].load()
        return make(namespaces)
    except ImportError as error:
        return f"Needs the package {error.name}: pip install 'identtqueue[operator]'."
