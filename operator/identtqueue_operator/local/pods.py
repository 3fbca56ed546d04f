"""Pods as groups of processes: the part of the kubelet.

A pod that appears in the store is started; one that is marked for deletion is ended, and leaves the
store when its last process has ended. Its status is written whenever something has changed.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from identtqueue_operator.kube.api import ApiError
from identtqueue_operator.kube.parse import key_of
from identtqueue_operator.local.command import Surroundings, command_of
from identtqueue_operator.local.container import Container
from identtqueue_operator.local.guard import Guard
from identtqueue_operator.local.objects import Json, Objects, now
from identtqueue_operator.model import Key

logger = logging.getLogger(__name__)

GRACE_SECONDS = 30
"""Kubernetes' default of terminationGracePeriodSeconds."""

Say = Callable[[str, str], None]
"""Called with the name of a pod and a line of its output."""


def is_worker(container: Json) -> bool:
    """Return whether a container becomes a process. One without a command is only an image."""
    return bool(container.get("command"))


def mark_deleted(body: Json) -> Json:
    """Make the patch that asks for a pod's end."""
    grace_seconds = grace_of(body)
    at = datetime.now(UTC) + timedelta(seconds=grace_seconds)
    return {
        "metadata": {
            "deletionTimestamp": at.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "deletionGracePeriodSeconds": grace_seconds,
        }
    }


def grace_of(body: Json) -> int:
    """Return how many seconds a pod has between SIGTERM and SIGKILL."""
    given = body["spec"].get("terminationGracePeriodSeconds")
    return GRACE_SECONDS if given is None else int(given)


class Pods:
    """All pods of this instance.

    Args:
        objects: the store.
        guard: knows their processes.
        around: what their environment is made of.
        say: called with each line of their output.
    """

    def __init__(self, objects: Objects, guard: Guard, around: Surroundings, say: Say) -> None:
        self._objects = objects
        self._guard = guard
        self._around = around
        self._say = say
        self._pods: dict[str, _Pod] = {}
        objects.listen(self._hear)

    def __len__(self) -> int:
        """Count the pods that have processes, or are about to."""
        return len(self._pods)

    def processes(self) -> dict[str, list[int]]:
        """Return the process ids of each pod, by UID."""
        return {uid: pod.pids for uid, pod in self._pods.items()}

    def end_all(self) -> None:
        """Ask all pods to end."""
        for body in self._objects.all("pods"):
            self._objects.merge("pods", key_of(body), mark_deleted(body))

    def send(self, number: signal.Signals) -> None:
        """Send a signal to all processes."""
        for pod in list(self._pods.values()):
            pod.send(number)

    async def ended(self) -> None:
        """Wait until no pod is left."""
        while self._pods:
            await asyncio.wait([pod.task for pod in self._pods.values()])

    def _hear(self, event: str, plural: str, body: Json) -> None:
        if plural != "pods":
            return
        uid, ends = body["metadata"]["uid"], bool(body["metadata"].get("deletionTimestamp"))
        known = self._pods.get(uid)
        if known is None and event == "ADDED" and not ends:
            pod = self._pods[uid] = _Pod(body, self._objects, self._guard, self._around, self._say)
            pod.task.add_done_callback(lambda task: self._ended(uid, key_of(body), task))
        elif known is not None and (ends or event == "DELETED"):
            known.end()

    def _ended(self, uid: str, key: Key, task: asyncio.Task[None]) -> None:
        """Forget a pod that has ended, and remove what a failure has left of it."""
        del self._pods[uid]
        if not task.cancelled() and task.exception() is not None:
            logger.error("pod %s failed", key.name, exc_info=task.exception())
        self._objects.remove("pods", key)


class _Pod:
    """One pod."""

    def __init__(
        self, body: Json, objects: Objects, guard: Guard, around: Surroundings, say: Say
    ) -> None:
        self._key = key_of(body)
        self._body = body
        self._objects = objects
        self._ready_since: str | None = None
        self._containers = [
            self._container(spec, guard, around, say)
            for spec in body["spec"]["containers"]
            if is_worker(spec)
        ]
        name = f"pod {self._key.name}"
        self.task = asyncio.get_running_loop().create_task(self._run(), name=name)

    def _container(self, spec: Json, guard: Guard, around: Surroundings, say: Say) -> Container:
        pod, name = self._key.name, spec.get("name")
        return Container(
            spec,
            guard,
            command=lambda: command_of(spec, self._body, around),
            say=lambda line: say(pod, line),
            note=lambda text: logger.info("pod %s: container %s %s", pod, name, text),
            changed=self._write,
        )

    @property
    def pids(self) -> list[int]:
        """The ids of its processes."""
        return [each.pid for each in self._containers if each.pid is not None]

    def end(self) -> None:
        """Ask all containers to end."""
        for each in self._containers:
            each.end()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to all containers."""
        for each in self._containers:
            each.send(number)

    async def _run(self) -> None:
        self._write()
        grace_seconds = grace_of(self._body)
        async with asyncio.TaskGroup() as group:
            for each in self._containers:
                group.create_task(each.run(grace_seconds))

    def _write(self) -> None:
        """Write the pod's status."""
        ready = all(each.is_ready for each in self._containers)
        if ready is not (self._ready_since is not None):
            self._ready_since = now() if ready else None
        begun = any("waiting" not in each.status["state"] for each in self._containers)
        condition = {
            "type": "Ready",
            "status": str(ready),
            "lastTransitionTime": self._ready_since or now(),
        }
        status = {
            "phase": "Running" if begun else "Pending",
            "conditions": [condition],
            "containerStatuses": [
                {**each.status, "ready": each.is_ready} for each in self._containers
            ],
            "hostIP": "127.0.0.1",
        }
        with contextlib.suppress(ApiError):  # it was removed meanwhile
            self._objects.merge("pods", self._key, {"status": status})
