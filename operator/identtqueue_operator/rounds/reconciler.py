"""One coroutine per TaskQueue: wake -> observe -> decide -> act -> report, and again.

Level-based: events, the doorbell and timers only say that it is worth looking. What to do follows
from what is seen, so a round may run at any time, may be cut off anywhere, and may be repeated.

A round that fails is repeated after a growing pause. The coroutine itself ends only when the
TaskQueue is gone or the operator stops.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

from identtqueue_operator.api.v1alpha1 import TaskQueueSpec
from identtqueue_operator.backoff import pause_after
from identtqueue_operator.kube.api import ApiError
from identtqueue_operator.logs import about
from identtqueue_operator.model import Cause, Decision, Key, Observed, Outcome, Problem
from identtqueue_operator.policy.claims import Stance
from identtqueue_operator.queues.connections import Connection, Connections
from identtqueue_operator.rounds.alarm import Alarm
from identtqueue_operator.rounds.ownership import Ownership
from identtqueue_operator.rounds.release import Release
from identtqueue_operator.rounds.reporter import Reporter
from identtqueue_operator.rounds.resource import Resource
from identtqueue_operator.rounds.scaler import Scaler
from identtqueue_operator.rounds.tools import Tools
from identtqueue_operator.status.round import Round
from identtqueue_operator.workload.kind import WorkloadTrouble
from identtqueue_operator.workload.owned import NOT_ALLOWED, Kept, OwnedWorkload

logger = logging.getLogger(__name__)

BACKOFF_SECONDS = (0.05, 30.0)
"""First and longest pause after a failed round. Most failures are conflicts with another write."""
REST_AFTER_FAILURE_SECONDS = 5.0
"""Longest time after a failed round for which events cause no other one. A working fleet rings all
the time and must not cause a retry each time; a repair should be noticed soon."""
FAILURES_TO_REPORT = 4
"""How many rounds in a row must fail before the status says so."""
FOLLOW_UP_SECONDS = 0.05
"""Pause after a round that changed something, before its result is looked at."""

_IT_IS_ME = Cause(
    Problem.WORKLOAD_IS_OPERATOR, "the workload runs this operator, which never scales itself"
)


class RoundFailed(Exception):
    """A decision could not be carried out; the status reports it."""


class Reconciler:
    """The loop of one TaskQueue.

    Args:
        body: the resource as the watch brought it.
        tools: shared.
        on_gone: called when a write shows that the TaskQueue does not exist any more.

    Attributes:
        resource: the TaskQueue, as it was last read.
        gone: whether the TaskQueue was deleted; set before `run` is cancelled.
        failures: how many rounds in a row have failed.
    """

    def __init__(
        self, body: Mapping[str, Any], tools: Tools, on_gone: Callable[[Key], None]
    ) -> None:
        status = body.get("status") or {}
        original = status.get("originalReplicas")
        self.resource = resource = Resource(body)
        self.gone = False
        self.failures = 0
        self._tools = tools
        self._alarm = Alarm()
        self._ownership = Ownership(resource.key, status, tools)
        self._reporter = Reporter(resource, status, self._ownership, tools, on_gone)
        self._connections = Connections(
            resource.uid, resource.key.namespace, tools.endpoints, self._alarm.ring, tools.steady
        )
        self._owned = OwnedWorkload(
            resource.key, resource.uid, tools.cluster, tools.kube, tools.steady
        )
        self._scaler = Scaler(resource, body, tools)
        self._release = Release(
            resource, original, self._scaler, self._connections, self._alarm, tools
        )

    # --- what comes from outside ---

    @property
    def seen(self) -> Observed | None:
        """The last observation; None if none was made that still holds."""
        return self._scaler.seen

    @property
    def decision(self) -> Decision | None:
        """The last decision, which rests on `seen`."""
        return self._scaler.decision

    @property
    def connections(self) -> Sequence[Connection]:
        """The connections to the Redis of its triggers, as the last round found them."""
        return self._connections.current()

    @property
    def verdict(self) -> tuple[bool, str] | None:
        """Whether the TaskQueue is Ready, and why; None if that is not this operator's to say."""
        return self._reporter.verdict

    def update(self, body: Mapping[str, Any]) -> bool:
        """Read a new state of the resource; return whether the spec is another one."""
        if self._ownership.read(body.get("status") or {}):
            self.look()
        if body["metadata"]["generation"] == self.resource.generation:
            return False  # only the status changed, which operators write
        self.resource.read(body)
        self.look()
        return True

    def look(self) -> None:
        """Look soon, because something may have changed."""
        self._alarm.set()

    def ring(self) -> None:
        """Look now, because the doorbell rang, and measure how long that takes."""
        self._alarm.ring()

    def hurry(self) -> None:
        """End soon, because the operator stops and cannot wait for workers to finish."""
        self._release.hurry()

    # --- the loop ---

    async def run(self) -> None:
        """Run round after round, until cancelled or the TaskQueue is gone."""
        try:
            await self._know_the_autoscalers()
            await self._know_redis()
            async with self._tools.first_looks:
                self._alarm.clear()
                pause = await self._round_or_backoff()
                await self._reporter.wait_at_first()
            while True:
                await self._alarm.wait(pause, self._rest_seconds(pause))
                pause = await self._round_or_backoff()
        finally:
            await self._reporter.close()
            if self.gone and not self._ownership.is_anothers:
                await self._release.release()
            await self._connections.close()

    async def _know_the_autoscalers(self) -> None:
        """Wait until it is known which other autoscalers there are; report what prevents that."""
        while failure := await self._tools.look_for_others():
            self._report_problem(self._tools.clock(), Cause(Problem.AUTOSCALERS_UNKNOWN, failure))

    async def _know_redis(self) -> None:
        """Wait until it is known whether Redis answers.

        A first look would wait for the same and delay the first looks of others: a silent server
        takes its full time-out.
        """
        spec = self.resource.spec
        if spec is None or self.resource.problem is not None or self._ownership.is_anothers:
            return
        try:
            connections = await self._connections.find(spec)
        except Exception:  # noqa: BLE001 - the first look meets it too, and reports it
            return
        for connection in connections:
            await connection.tried()

    def _rest_seconds(self, pause: float | None) -> float | None:
        """Return for how long events cause no round; None: they cause one at once."""
        if self.failures and pause is not None:
            return min(pause, REST_AFTER_FAILURE_SECONDS)
        return self._tools.timings.rest_seconds if self._scaler.has_workers else None

    async def _round_or_backoff(self) -> float | None:
        """Run one round; return the seconds until the next one that no event would cause."""
        key = self.resource.key
        try:
            pause = await self._round()
        except RoundFailed as failure:
            logger.info("%s: %s", key, failure, extra=about(key))
        except ApiError as error:
            logger.warning("%s: %s", key, error, extra=about(key))
            self._report_failure(str(error))
        except Exception as error:
            logger.exception("%s: a reconcile round failed", key, extra=about(key))
            self._report_failure(f"{type(error).__name__}; the operator's log has the details")
        else:
            self.failures = 0
            return pause
        self.failures += 1
        self._tools.meter.round_failed()
        return pause_after(self.failures, BACKOFF_SECONDS)

    # --- one round ---

    async def _round(self) -> float | None:
        """Run one round; return the seconds until the next one that no event would cause.

        Raises:
            RoundFailed: the decision was not carried out.
            ApiError: the API server refused a request, or did not answer.
        """
        stance, seconds = await self._ownership.settle()
        if stance in (Stance.ASK, Stance.WAIT):
            self._scaler.forget()  # the other operator reports the numbers
            return seconds
        if stance is Stance.TAKE_OVER:
            self._take_over()
        started, rung_at, at = perf_counter(), self._alarm.take_ring(), self._tools.clock()
        spec = self.resource.spec
        if self.resource.problem is not None:
            return self._report_problem(at, self.resource.problem)
        assert spec is not None
        kept = await self._keep_workload(spec)
        if kept.problem is not None:
            return self._report_workload_problem(spec, at, kept.problem)
        connections = await self._connections.find(spec)
        try:
            seen = await self._scaler.observe(spec, connections, at)
        except WorkloadTrouble as trouble:
            return self._report_workload_problem(spec, at, Cause(trouble.reason, str(trouble)))
        if self._tools.is_self(self.resource.workload, seen.pods):
            return self._report_workload_problem(spec, at, _IT_IS_ME)
        await self._release.record_original(spec, seen)
        decision, outcome = await self._scaler.decide_and_act(spec, seen, connections, rung_at)
        await self._release.leave_dropped(seen)
        report_in = self._reporter.report(self._describe(spec, kept, seen, decision, outcome))
        self._tools.meter.round_done(decision, outcome, perf_counter() - started)
        if outcome.failure:
            raise RoundFailed(outcome.failure)
        looks = [decision.next_look_seconds, report_in, kept.again_in]
        if decision.drain.stop or decision.drain.call_back or outcome.scaled_to is not None:
            looks.append(FOLLOW_UP_SECONDS)
        return min((look for look in looks if look is not None), default=None)

    def _take_over(self) -> None:
        """Go on from the status that another operator has written."""
        status = self._ownership.take_over_status()
        self._reporter.begin_after(status)
        self._release.original = status.get("originalReplicas")

    async def _keep_workload(self, spec: TaskQueueSpec) -> Kept:
        """Make the workload of a template what it should be."""
        if spec.template is None:
            return Kept()
        if not self._tools.templates:
            return Kept(NOT_ALLOWED)
        return await self._owned.keep(spec)

    # --- what is reported ---

    def _describe(
        self,
        spec: TaskQueueSpec,
        kept: Kept,
        seen: Observed,
        decision: Decision,
        outcome: Outcome,
    ) -> Round:
        """Describe a round that came to a decision."""
        return Round(
            seen.at,
            self.resource.generation,
            self.resource.workload,
            pause=spec.pause,
            failing=self.failures + 1 >= FAILURES_TO_REPORT,
            seen=seen,
            decision=decision,
            outcome=outcome,
            startup=self._scaler.startup,
            original=self._release.original,
            reverted=kept.reverted,
            warnings=kept.warnings,
        )

    def _report_workload_problem(self, spec: TaskQueueSpec, at: float, problem: Cause) -> float:
        """Report what is wrong with the workload, and look again with the next poll."""
        self._report_problem(at, problem, spec.pause)
        return float(spec.scaling.poll_period_seconds)

    def _report_problem(
        self, at: float, problem: Cause, pause: Cause | None = None
    ) -> float | None:
        """Report a round that came to no decision; return when to write numbers, as `report`."""
        self._scaler.forget()  # what was seen before this trouble may have changed
        return self._reporter.report_problem(at, problem, pause)

    def _report_failure(self, text: str) -> None:
        """Report that rounds fail, if it was not only once or twice."""
        if self.failures + 1 < FAILURES_TO_REPORT:
            return
        try:
            self._report_problem(self._tools.clock(), Cause(Problem.ROUND_FAILED, text))
        except Exception:  # reporting itself may have caused the failure
            key = self.resource.key
            logger.exception("%s: reporting the status failed", key, extra=about(key))
