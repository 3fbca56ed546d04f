"""The operator in the test's own process, and one TaskQueue for it to look after."""

from __future__ import annotations

import asyncio
import time

from redis import Redis

from identtqueue import Client
from identtqueue_operator.controller import Controller
from identtqueue_operator.kube.client import Kube
from identtqueue_operator.metrics import Meter
from identtqueue_operator.model import Selector
from identtqueue_operator.settings import Settings
from identtqueue_operator.timings import DEFAULTS, Timings
from identtqueue_operator.workload.kinds import WATCHED
from testing.api_server import ApiServer
from testing.fleet import FleetWorker
from testing.waiting import eventually

WATCHED_PLURALS = {kind.plural: kind for kind in WATCHED}


class Operator:
    """A controller that hears of every change in the API server, as kopf would tell it."""

    def __init__(
        self,
        api: ApiServer,
        kube: Kube,
        own_namespace: str = "ns",
        namespaces: tuple[str, ...] = ("ns",),
        selector: Selector = Selector(),  # noqa: B008 - it never changes
        templates: bool = True,
        timings: Timings = DEFAULTS,
        **settings: object,
    ) -> None:
        self.api = api
        self.meter = Meter()
        self.clock = time.time
        self.steady = time.monotonic
        self._kube = kube
        self.settings = Settings(
            namespaces=namespaces,
            own_namespace=own_namespace,
            identity="operator",
            selector=selector,
            **settings,
            templates=templates,
            timings=timings,
        )
        self.controller: Controller | None = None

    async def start(self) -> None:
        """Start, or start again, with the objects that are in the API server."""
        self.controller = Controller(self.settings, self._kube, self.meter, self.clock, self.steady)
        self._running = asyncio.get_running_loop().create_task(self.controller.run())
        self.api.listeners.append(self._hear)
        for (plural, _, _), body in list(self.api.objects.items()):
            self._hear("ADDED", plural, body)

    async def stop(self) -> None:
        if self.controller is not None:
            self.kill()
            await self._ending
            self.controller = None

    def kill(self) -> None:
        """End the operator at once, as SIGKILL would; `stop` waits until it is gone."""
        if self._hear in self.api.listeners:
            self.api.listeners.remove(self._hear)
            self._ending = asyncio.ensure_future(self._end())

    async def _end(self) -> None:
        assert self.controller is not None
        self._running.cancel()
        await asyncio.gather(self._running, self.controller.close(), return_exceptions=True)

    @property
    def failed_rounds(self) -> float:
        """The value of the metric that counts failed rounds."""
        lines = self.meter.exposition().decode().splitlines()
        name = "identtqueue_operator_round_failures_total "
        return float(next(line for line in lines if line.startswith(name)).removeprefix(name))

    async def looks(self) -> None:
        """Let every reconciler finish one more round, unless the operator is killed meanwhile."""
        controller = self.controller
        assert controller is not None
        for reconciler in controller.reconcilers.values():
            before = reconciler.seen
            reconciler.look()
            await eventually(
                lambda r=reconciler, b=before: r.seen is not b or self._is_gone(controller)
            )

    def _is_gone(self, controller: Controller) -> bool:
        return self.controller is not controller or self._hear not in self.api.listeners

    def _hear(self, event, plural, body) -> None:
        controller = self.controller
        if controller is None:
            return
        gone = event == "DELETED"
        match plural:
            case "taskqueues" if gone:
                controller.task_queue_deleted(
                    (body["metadata"]["namespace"], body["metadata"]["name"])
                )
            case "taskqueues":
                controller.task_queue_changed(body)
            case plural if plural in WATCHED_PLURALS:
                tell = controller.workload_deleted if gone else controller.workload_changed
                tell(body, WATCHED_PLURALS[plural])
            case "horizontalpodautoscalers":
                controller.autoscaler_changed(body, gone=gone)
            case "pods":
                (controller.pod_deleted if gone else controller.pod_changed)(body)


class Setup:
    """One TaskQueue, its Deployment and its queue."""

    def __init__(self, api, fleet, client, queue, address) -> None:
        self.api = api
        self.fleet = fleet
        self.client = client
        self.queue = queue
        self.address = address
        self.name = fleet.name

    def create(self, scaling=None, name=None, **spec) -> None:
        """Create the TaskQueue. Unless `scaling` says otherwise, it scales down at once."""
        quick = {"scaleDown": {"stabilizationSeconds": 0, "idleSeconds": 0}}
        self.api.put(
            "taskqueues",
            name or self.name,
            {
                "spec": {
                    "workloadRef": {"name": self.fleet.name},
                    "queues": [{"name": self.queue}],
                    "redis": {"address": self.address},
                    "scaling": {"concurrencyPerReplica": 1} | quick | (scaling or {}),
                    **spec,
                }
            },
        )

    async def enqueue(self, count=1) -> list[str]:
        return [
            await self.client.enqueue_job(queue_name=self.queue, function_name="job")
            for _ in range(count)
        ]

    async def enqueue_unheard(self, raw, count=1) -> None:
        """Add tasks without a ring, by way of another database of the same Redis."""
        async with Client(f"{self.address}/1") as elsewhere:
            for _ in range(count):
                await elsewhere.enqueue_job(self.queue, "job")
        with Redis(port=raw.get_connection_kwargs()["port"], db=1) as other_database:
            moves = other_database.pipeline(transaction=True)
            for key in other_database.scan_iter(f"*{{{self.queue}}}*"):
                moves.move(key, 0)
            assert all(moves.execute())

    async def with_a_busy_worker(self, tasks: int) -> tuple[FleetWorker, list[str]]:
        """Create the TaskQueue with one worker, which runs the first of these tasks."""
        self.fleet.create(1)
        worker = await self.fleet.add_pod(60)
        self.fleet.count()
        ids = await self.enqueue(tasks)
        await worker.claim()
        self.create({"pollPeriodSeconds": 1, "maxReplicas": 1})
        await self.reason("AtMaxReplicas")
        return worker, ids

    async def is_heard(self, raw) -> None:
        """Wait until the operator has subscribed to the doorbell of the queue."""
        await eventually(lambda: raw.pubsub_channels(f"*{{{self.queue}}}*"))

    # --- what the operator reports ---

    @property
    def status(self):
        return self.api.get("taskqueues", self.name).get("status") or {}

    def condition(self, kind):
        for condition in self.status.get("conditions") or ():
            if condition["type"] == kind:
                return condition["status"], condition["reason"]
        return None

    def events(self, reason=None):
        found = [
            body for body in self.api.all("events") if body["involvedObject"]["name"] == self.name
        ]
        return [e["message"] for e in found if reason in (None, e["reason"])]

    async def replicas(self, count) -> None:
        await eventually(
            lambda: self.fleet.replicas == count,
            lambda: f"{count} replicas, there are {self.fleet.replicas}: {self.status}",
        )

    async def reason(self, text) -> None:
        await eventually(
            lambda: self.status.get("reason") == text, lambda: f"{text}; {self.status}"
        )

    async def told(self, reason) -> str:
        """Wait for an event with this reason; return its message."""
        return (await eventually(lambda: self.events(reason), f"event {reason}"))[0]


def put(api, name, address) -> None:
    """Create a TaskQueue with a Deployment of its own."""
    selector = {"matchLabels": {"app": name}}
    api.put("deployments", name, {"spec": {"replicas": 0, "selector": selector}, "status": {}})
    queue = {"workloadRef": {"name": name}, "queues": [{"name": name}]}
    api.put("taskqueues", name, {"spec": {**queue, "redis": {"address": address}}})


def status(api, name):
    """Return the status of a TaskQueue."""
    return api.get("taskqueues", name).get("status") or {}
