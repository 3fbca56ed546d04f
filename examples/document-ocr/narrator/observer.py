"""Watches the world, from before anything happens, and notes what changed and when.

All times are seconds since 1970 by this machine's clock, taken when the news arrived here. So a
time difference includes the way of the news, and is never too short.
"""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from narrator.world import Json, PodSeen, World

T = TypeVar("T")


class NotSeen(Exception):
    """The error of a wait: something did not happen in time."""


@dataclass(frozen=True, slots=True)
class Stamped:
    """Something that was observed, with its time."""

    at: float
    what: Json


@dataclass(slots=True, eq=False)
class Observer:
    """An observer of a world. `until` waits for what it may see.

    Attributes:
        replicas: time and value of each change of the Deployment's `spec.replicas`.
        pods: the worker pods by name, also those that are gone.
        events: events of the TaskQueue, each once.
        task_queue: the latest TaskQueue.
        producer: the events that the producer printed.
        on_event: called with each event of the TaskQueue.
    """

    world: World
    on_event: Callable[[Stamped], None]
    replicas: list[tuple[float, int]] = field(default_factory=list)
    ready_replicas: int = 0
    pods: dict[str, PodSeen] = field(default_factory=dict)
    events: list[Stamped] = field(default_factory=list)
    task_queue: Json = field(default_factory=dict)
    producer: list[Stamped] = field(default_factory=list)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _running: list[asyncio.Task[None]] = field(default_factory=list)
    _event_ids: set[tuple[str, int]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        """Open the watches, and wait until they have shown what exists already."""
        for kind, see in (
            ("deployments", self._see_deployment),
            ("taskqueues", self._see_task_queue),
            ("pods", self._see_pod),
            ("events", self._see_event),
        ):
            self._spawn(self._watch(kind, see))
        await self.until(
            lambda: bool(self.replicas and self.task_queue), 30, "the watches' first answer"
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def follow_producer(self) -> None:
        """Read the lines of the producer from now on. It must have started."""
        self._spawn(self._follow())

    async def until(self, probe: Callable[[], T], seconds: float, what: str) -> T:
        """Wait until the probe returns something true, and return that.

        Raises:
            NotSeen: it did not in time.
        """
        try:
            async with asyncio.timeout(seconds), self._changed:
                while not (found := probe()):
                    self._check()
                    await self._changed.wait()
                return found
        except TimeoutError:
            raise NotSeen(f"waited {seconds:.0f} s for {what}") from None

    def said(self, event: str) -> list[Stamped]:
        """Return the producer's events of one kind."""
        return [line for line in self.producer if line.what.get("event") == event]

    def pod_of(self, worker_id: str | None) -> PodSeen | None:
        """Return the pod of a worker incarnation, whose id begins with the pod's UID."""
        uid = (worker_id or "").partition(".")[0]
        return next((pod for pod in self.pods.values() if pod.uid == uid), None)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._running.append(asyncio.create_task(work))

    def _check(self) -> None:
        """Raise the error of a watch that broke, which would be silent otherwise."""
        for task in self._running:
            if task.done() and not task.cancelled() and task.exception():
                raise task.exception()  # type: ignore[misc]

    async def _watch(self, kind: str, see: Callable[[float, Json], None]) -> None:
        async for found in self.world.changes(kind):
            see(time.time(), found)
            await self._tell()

    async def _follow(self) -> None:
        async for line in self.world.producer_lines():
            try:
                said = json.loads(line)
            except json.JSONDecodeError:
                said = {"event": "text", "line": line}
            self.producer.append(Stamped(time.time(), said))
            await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _see_deployment(self, at: float, found: Json) -> None:
        if found["metadata"]["name"] != self.world.deployment:
            return
        wanted = found["spec"].get("replicas", 0)
        if not self.replicas or self.replicas[-1][1] != wanted:
            self.replicas.append((at, wanted))
        self.ready_replicas = found.get("status", {}).get("readyReplicas", 0)

    def _see_task_queue(self, _at: float, found: Json) -> None:
        self.task_queue = found

    def _see_pod(self, at: float, found: Json) -> None:
        meta, status = found["metadata"], found.get("status", {})
        if not meta["name"].startswith(f"{self.world.deployment}-"):
            return
        pod = self.pods.setdefault(meta["name"], PodSeen(meta["name"], meta["uid"]))
        pod.node = found["spec"].get("nodeName", "")
        for condition in status.get("conditions", ()):
            if condition["type"] == "Ready" and condition["status"] == "True":
                pod.ready_at = pod.ready_at or at
        for container in status.get("containerStatuses", ()):
            pod.restarts = container["restartCount"]
            for state in (container.get("lastState", {}), container.get("state", {})):
                if "terminated" in state:
                    pod.exit_code = state["terminated"]["exitCode"]

    def _see_event(self, at: float, found: Json) -> None:
        known = (found["metadata"]["uid"], found.get("count") or 1)
        if found["involvedObject"]["kind"] == "TaskQueue" and known not in self._event_ids:
            self._event_ids.add(known)
            self.events.append(Stamped(at, found))
            self.on_event(self.events[-1])
