"""The operator in simulated time: its own `decide`, and a model of the loop around it.

`identtqueue_operator.policy.decide.decide` is imported, not copied; it is given the same
`Observed` that `observe` would make, and its `Decision` is carried out as `act` does, in the same
order. Modelled here is only when a round runs (`reconciler.Reconciler`): on the doorbell, on a
change of a pod, and when the last decision asked for another look. The safety poll is left out: it
is for a ring that was missed, and none is missed here.
"""

from __future__ import annotations

from benchmarks.scaling.fleet import Fleet, Pod
from identtqueue_operator.api.v1alpha1 import TaskQueueSpec
from identtqueue_operator.model import (
    Container,
    Depth,
    Key,
    Memory,
    Observed,
    Selector,
    Trigger,
    Worker,
    Workload,
    WorkloadKey,
)
from identtqueue_operator.model import Pod as SeenPod
from identtqueue_operator.policy.decide import decide
from identtqueue_operator.policy.drain import FIRST_COST, VICTIM_COST
from identtqueue_operator.rounds.reconciler import FOLLOW_UP_SECONDS
from identtqueue_operator.timings import DEFAULTS

ROUND_SECONDS = 0.02
"""From the doorbell to the written number: docs/measurements.md."""
WATCH_SECONDS = 0.05
"""Until the operator hears of a pod that changed."""
_WORKLOAD = WorkloadKey("simulated", "worker", "apps", "Deployment")
_SELECTOR = Selector((("app", "worker"),))


class OurScaler:
    """One TaskQueue's reconciler.

    Args:
        fleet: what it scales.
        spec: the resource's spec.
    """

    def __init__(self, fleet: Fleet, spec: TaskQueueSpec) -> None:
        self.decisions = 0
        """Rounds."""
        self._fleet, self._events, self._spec = fleet, fleet.events, spec
        self._memory = Memory()
        self._look_at: float | None = None
        self._looked_at = float("-inf")
        self._pods: dict[int, tuple[tuple[object, ...], SeenPod]] = {}
        self._workers: dict[int, tuple[tuple[object, ...], Worker]] = {}
        fleet.rang = lambda: self._hear(ROUND_SECONDS)
        fleet.pod_changed = lambda: self._hear(WATCH_SECONDS)
        self._look(0.0)

    # --- when to look ---

    def _hear(self, seconds: float) -> None:
        rest = (
            self._looked_at + DEFAULTS.rest_seconds - self._events.now
            if self._fleet.replicas
            else 0.0
        )
        self._look(max(seconds, rest))

    def _look(self, seconds: float) -> None:
        when = self._events.now + seconds
        if self._look_at is None or when < self._look_at:
            self._look_at = when
            self._events.at(when, self._round, when)

    def _round(self, planned: float) -> None:
        if planned != self._look_at:
            return  # an earlier look took its place
        self._look_at = None
        self._looked_at = self._events.now
        self.decisions += 1
        seen = self._observe()
        decision, self._memory = decide(self._spec, seen, self._memory)
        fleet, drain = self._fleet, decision.drain
        changed = bool(drain.stop or drain.call_back)
        if decision.scale_to is not None and decision.scale_to > decision.current:
            self._scale(decision.scale_to)
            changed = True
        for worker in drain.call_back:
            fleet.call_back(fleet.pods[int(worker.host)])
        for worker in drain.stop:
            fleet.drain(fleet.pods[int(worker.host)], VICTIM_COST)
        for pod in drain.advance:
            fleet.pods[int(pod.key.name)].cost = FIRST_COST
            self._look(WATCH_SECONDS)
        if decision.scale_to is not None and decision.scale_to < decision.current:
            self._scale(decision.scale_to)
            changed = True
        if changed:
            self._look(FOLLOW_UP_SECONDS)
        if decision.next_look_seconds is not None:
            self._look(decision.next_look_seconds)

    def _scale(self, replicas: int) -> None:
        self._memory = self._memory.scaled(self._events.now, self._fleet.replicas, replicas)
        self._fleet.scale(replicas)

    # --- what is seen ---

    def _observe(self) -> Observed:
        fleet = self._fleet
        if len(self._pods) > 2 * len(fleet.pods) + 8:
            self._forget()
        pods = [self._see_pod(pod) for pod in fleet.pods.values()]
        workers = [self._see_worker(pod) for pod in fleet.pods.values() if pod.ready]
        depth = Depth(
            queued=fleet.waiting,
            in_flight=fleet.in_flight,
            oldest_wait_seconds=fleet.oldest_wait_seconds,
            workers=len(workers),
            enqueued_total=fleet.arrived,
            ended_total=fleet.done,
            run_ms_total=int(fleet.ended_seconds * 1000),
        )
        return Observed(
            at=self._events.now,
            triggers=(Trigger(depth=depth),),
            depth=depth,
            workers=tuple(workers),
            workload=Workload(
                key=_WORKLOAD,
                uid="simulated",
                resource_version="1",
                selector=_SELECTOR,
                replicas=fleet.replicas,
                existing=sum(not pod.deleting for pod in fleet.pods.values()),
                ready=len(workers),
                refusal="",
            ),
            pods=tuple(pods),
        )

    def _forget(self) -> None:
        """Views of pods that are gone."""
        alive = self._fleet.pods
        self._pods = {number: view for number, view in self._pods.items() if number in alive}
        self._workers = {number: view for number, view in self._workers.items() if number in alive}

    def _see_pod(self, pod: Pod) -> SeenPod:
        """As the watch's cache has it; made anew only when something changed."""
        state = (pod.ready_at, pod.deleting, pod.draining_since, pod.cost)
        known = self._pods.get(pod.number)
        if known is None or known[0] != state:
            known = (
                state,
                SeenPod(
                    key=Key(_WORKLOAD.namespace, str(pod.number)),
                    uid=str(pod.number),
                    phase="Running" if pod.ready else "Pending",
                    ready=pod.ready,
                    created_at=pod.created_at,
                    ready_since=pod.ready_at,
                    deleting=pod.deleting,
                    containers=(Container("worker", running=pod.ready),),
                    deletion_cost=pod.cost,
                    draining_since=pod.draining_since,
                ),
            )
            self._pods[pod.number] = known
        return known[1]

    def _see_worker(self, pod: Pod) -> Worker:
        """As Redis has it: what the worker holds, and whether it was told to stop."""
        state = (len(pod.running), pod.draining_since)
        queues = ("simulated",)
        known = self._workers.get(pod.number)
        if known is None or known[0] != state:
            known = (
                state,
                Worker(
                    worker_id=str(pod.number),
                    queues=queues,
                    host=str(pod.number),
                    pod_uid=str(pod.number),
                    container="worker",
                    in_flight=len(pod.running),
                    draining_in=() if pod.draining_since is None else queues,
                ),
            )
            self._workers[pod.number] = known
        return known[1]


def spec(**scaling: object) -> TaskQueueSpec:
    """A spec; `scaling` in the resource's own words, as `minReplicas`."""
    return TaskQueueSpec.model_validate(
        {
            "workloadRef": {"name": _WORKLOAD.name},
            "queues": [{"name": "simulated"}],
            "redis": {"address": "redis:6379"},
            "scaling": scaling,
        }
    )
