"""The knowledge for the next instance, saved soon after each change."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence

from identtqueue_operator.kube.parse import key_of
from identtqueue_operator.local.leftovers import identify
from identtqueue_operator.local.objects import Json, Objects
from identtqueue_operator.local.state import StateFolder

PAUSE_SECONDS = 0.1
"""Changes within that time are saved together."""
KEPT_METADATA = ("uid", "creationTimestamp")


class Memory:
    """The memory of this instance.

    Args:
        folder: keeps it.
        objects: the store.
        processes: returns the process ids of each pod, by UID.

    Attributes:
        leftovers: pods of an earlier instance that are still evidence, and pods whose processes did
            not end in order while this one stops.
    """

    def __init__(
        self,
        folder: StateFolder,
        objects: Objects,
        processes: Callable[[], Mapping[str, Sequence[int]]],
    ) -> None:
        self._folder = folder
        self._objects = objects
        self._processes = processes
        self.leftovers: list[Json] = []
        self._stops = False
        self._alarm = asyncio.Event()
        objects.listen(self._hear)

    async def run(self) -> None:
        """Save after each change, without end."""
        while True:
            await self._alarm.wait()
            await asyncio.sleep(PAUSE_SECONDS)
            self._alarm.clear()
            self.save()

    def stop(self) -> None:
        """Keep the pods that do not end in order from now on, because no round sees their end."""
        self._stops = True

    def save(self) -> None:
        """Save the TaskQueues' statuses, and the pods with their processes."""
        task_queues = {
            str(key_of(body)): {
                "metadata": {name: body["metadata"][name] for name in KEPT_METADATA},
                "status": body.get("status") or {},
            }
            for body in self._objects.all("taskqueues")
        }
        pods = [*self.leftovers, *self._running()]
        self._folder.save({"taskqueues": task_queues, "pods": pods})

    def _running(self) -> Iterator[Json]:
        """List the pods that have processes, or are about to."""
        processes = self._processes()
        for body in self._objects.all("pods"):
            if (pids := processes.get(body["metadata"]["uid"])) is not None:
                yield {"body": body, "processes": [each for each in map(identify, pids) if each]}

    def _hear(self, event: str, plural: str, body: Json) -> None:
        if plural in ("taskqueues", "pods"):
            self._alarm.set()
        if self._stops and plural == "pods" and event == "DELETED" and not _ended_in_order(body):
            self.leftovers.append({"body": body, "processes": []})


def _ended_in_order(pod: Json) -> bool:
    """Return whether all processes of a pod ended with exit code 0, as a drained worker does."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    ends = [each["state"].get("terminated") or {} for each in statuses]
    return all(end.get("exitCode") == 0 for end in ends)
