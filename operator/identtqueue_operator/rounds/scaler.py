"""Observe, decide, act: the steps of a round, and what later rounds need to remember of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

from identtqueue_operator.api.v1alpha1 import TaskQueueSpec
from identtqueue_operator.model import Decision, Memory, Observed, Outcome, Startup
from identtqueue_operator.policy.decide import decide
from identtqueue_operator.policy.pod_startup import startup_seconds
from identtqueue_operator.queues.connections import Connection
from identtqueue_operator.rounds.act import act
from identtqueue_operator.rounds.observe import observe
from identtqueue_operator.rounds.resource import Resource
from identtqueue_operator.rounds.tools import Tools
from identtqueue_operator.times import timestamp


class Scaler:
    """Scales the workload of one TaskQueue.

    Args:
        resource: the TaskQueue.
        body: the same, as the operator first saw it: earlier operators have left times in it.
        tools: shared.

    Attributes:
        seen: the last observation; None: there is none that still holds.
        decision: the last decision, which rests on it.
    """

    def __init__(self, resource: Resource, body: Mapping[str, Any], tools: Tools) -> None:
        self.seen: Observed | None = None
        self.decision: Decision | None = None
        self._resource = resource
        self._tools = tools
        self._memory = self._recall(body)

    def _recall(self, body: Mapping[str, Any]) -> Memory:
        """Recover from the resource what an earlier operator knew."""
        status = body.get("status") or {}
        return Memory(
            active_at=self._steadily(status.get("lastActiveTime")),
            scaled_at=self._steadily(status.get("lastScaleTime")),
            created_at=self._steadily(body["metadata"].get("creationTimestamp")),
            startup=Startup(self._tools.clock(), status.get("startupSeconds")),
            strange="lastScaleTime" not in status and "template" not in (body.get("spec") or {}),
        )

    def _steadily(self, stored: str | None) -> float | None:
        """Convert a time of the status to the monotonic clock.

        A time in the future was written before the clock was set back, and counts as now.
        """
        at = timestamp(stored)
        if at is None:
            return None
        return self._tools.steady() - max(0.0, self._tools.clock() - at)

    @property
    def startup(self) -> Startup | None:
        """The start-up time of a pod, as measured so far."""
        return self._memory.startup

    @property
    def has_workers(self) -> bool:
        """Whether the workload asked for pods when it was last seen."""
        return bool(self.seen and self.seen.workload and self.seen.workload.replicas)

    def forget(self) -> None:
        """Forget the last observation, because it may not hold any more."""
        self.seen = self.decision = None

    async def observe(
        self, spec: TaskQueueSpec, connections: Sequence[Connection], at: float
    ) -> Observed:
        """Observe the workload, the queues, and who else scales or counts them.

        Raises:
            WorkloadTrouble: the workload can't be read, and it is known what to do about it.
            ApiError: the API server could not be asked.
        """
        tools, resource = self._tools, self._resource
        rival = tools.rival(resource.created, resource.workload)
        conflict, shared = tools.autoscaler(resource.workload) or rival, tools.shared(resource.key)
        seen = await observe(
            resource.reference,
            connections,
            workloads=tools.workloads,
            at=at,
            steady_at=tools.steady(),
            due_within_seconds=startup_seconds(spec, self._memory.startup),
        )
        return replace(seen, conflict=conflict, rival=bool(rival), shared=shared)

    async def decide_and_act(
        self,
        spec: TaskQueueSpec,
        seen: Observed,
        connections: Sequence[Connection],
        rung_at: float | None = None,
    ) -> tuple[Decision, Outcome]:
        """Decide on what was seen, carry it out, and remember it.

        Args:
            spec: what the TaskQueue asks for.
            seen: the observation.
            connections: those that it was made through.
            rung_at: when the doorbell rang for this round (`perf_counter`), if it did.
        """
        decision, self._memory = decide(spec, seen, self._memory, self._tools.timings)
        self.seen, self.decision = seen, decision
        outcome = await self.act(decision, seen, connections, spec)
        if outcome.scaled_to is not None:
            self._memory = self._memory.scaled(seen.steady, decision.current, outcome.scaled_to)
            if rung_at is not None and outcome.scaled_to > decision.current:
                self._tools.meter.rung_to_patched(perf_counter() - rung_at)
        elif decision.scale_to is not None:
            self._memory = self._memory.may_have_scaled(decision.scale_to)
        return decision, outcome

    async def act(
        self,
        decision: Decision,
        seen: Observed,
        connections: Sequence[Connection],
        spec: TaskQueueSpec,
    ) -> Outcome:
        """Carry out a decision. See `act`."""
        return await act(
            decision,
            seen,
            connections,
            cluster=self._tools.cluster,
            kube=self._tools.kube,
            max_deliveries=spec.recovery.max_deliveries,
        )
