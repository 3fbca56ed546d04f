"""One coroutine per TaskQueue: dirty -> observe -> decide -> act, and again; beside it, reporting.

Level-based: events, the doorbell and timers only say that it is worth looking. What to do follows
from what is seen, so a round may run at any time, may be cut off anywhere, and may be repeated.

A round that fails is repeated after a growing pause. The coroutine itself ends only when the
TaskQueue is gone or the operator stops.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

from pydantic import ValidationError

from identtqueue.errors import IdenttqueueError, RedisUnavailable
from identtqueue_operator.api.v1alpha1 import TaskQueueSpec
from identtqueue_operator.backoff import pause_after
from identtqueue_operator.kube import parse
from identtqueue_operator.kube.cache import Cluster
from identtqueue_operator.kube.client import ApiError, Kube
from identtqueue_operator.logs import about
from identtqueue_operator.metrics import Meter
from identtqueue_operator.model import (
    Cause,
    Decision,
    Key,
    Memory,
    Observed,
    Outcome,
    Pod,
    Reference,
    Startup,
    Target,
    WorkloadKey,
)
from identtqueue_operator.policy.claims import ASK_AGAIN_SECONDS, Claim, Stance, choose_stance
from identtqueue_operator.policy.decide import decide
from identtqueue_operator.policy.drain import call_all_back
from identtqueue_operator.policy.pod_startup import startup_seconds
from identtqueue_operator.queues.connections import Connection, Connections, Dropped
from identtqueue_operator.queues.endpoints import Endpoints
from identtqueue_operator.rounds.act import act, call_back
from identtqueue_operator.rounds.observe import observe, read_workers
from identtqueue_operator.status.render import Round
from identtqueue_operator.status.writer import StatusWriter, TaskQueueGone
from identtqueue_operator.times import timestamp
from identtqueue_operator.workload.kinds import WorkloadTrouble
from identtqueue_operator.workload.lookup import Workloads
from identtqueue_operator.workload.owned import Kept, OwnedDeployment

logger = logging.getLogger(__name__)

BACKOFF_SECONDS = (0.05, 30.0)
"""First and longest pause after a failed round. Most failures are conflicts with another write."""
REST_AFTER_FAILURE_SECONDS = 5.0
"""Longest time after a failed round for which events are ignored. A working fleet rings all the
time and must not cause a retry each time; a repair should be noticed soon."""
FAILURES_TO_TELL = 4
"""How many rounds in a row must fail before the status says so."""
REST_SECONDS = 0.1
"""Shortest time between rounds that events cause, while there are workers. A fleet with free slots
empties its queue all the time, and then each task rings. At zero replicas, the first task causes
a round at once."""
RELEASE_SECONDS = 10.0
"""Time for calling workers back after the TaskQueue is gone."""
RESTORE_SECONDS = 60.0
"""Time for restoring the number of replicas, beyond what workers get to finish."""
YOUNGEST = ("\uffff", "")
"""An age younger than that of any TaskQueue."""
RELEASE_RETRY_SECONDS = 1.0
"""Pause between two attempts at either, if nothing rings."""
FIRST_TELLING_SECONDS = 1.0
"""At start-up, wait at most this long for a first status write before the next reconciler begins;
this bounds memory."""
MOST_SPEC_BYTES = 256 * 1024
"""A larger spec is refused, and not kept. A pod template takes a few kilobytes; it stays in memory
several times its size, for each TaskQueue."""
FOLLOW_UP_SECONDS = 0.05
"""Pause after a round that changed something, before its result is looked at."""


_IT_IS_ME = Cause(
    "WorkloadIsOperator", "the workload runs this operator, which never scales itself"
)
_NO_TEMPLATES = Cause(
    "WorkloadTemplateNotAllowed",
    (
        "this operator makes no Deployments (rbac.templates of the chart is false): create the "
        "Deployment yourself, and name it in workloadRef"
    ),
)


class RoundFailed(Exception):
    """A decision could not be carried out; the status reports it."""


@dataclass(frozen=True, slots=True)
class Tools:
    """Everything that all reconcilers share."""

    kube: Kube
    cluster: Cluster
    endpoints: Endpoints
    workloads: Workloads
    meter: Meter
    autoscaler: Callable[[WorkloadKey], str]
    """(workload): another autoscaler of it, in words; empty if there is none."""
    rival: Callable[[tuple[str, str], WorkloadKey], str]
    """(age of a TaskQueue, workload): an older TaskQueue that scales it, in words."""
    shared: Callable[[Key], str]
    """(TaskQueue): another one that counts the same tasks, in words."""
    is_self: Callable[[WorkloadKey, Sequence[Pod]], bool]
    """(workload, its pods): whether it runs this operator."""
    look_for_others: Callable[[], Awaitable[str]]
    """Brings `autoscaler` up to date; returns why that fails, else an empty text."""
    clock: Callable[[], float]
    """Seconds since the epoch."""
    steady: Callable[[], float]
    """Seconds, monotonic."""
    identity: str
    """Name of this process's pod."""
    operator_name: str
    """The same for all processes that share a Lease, and another one for each Lease."""
    templates: bool = True
    """Whether TaskQueues may have a `template`."""
    blind: Callable[[WorkloadKey], str] = lambda _: ""
    """(workload): why its changes are not seen; empty if they are."""
    first_looks: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(32))
    """Limits how many reconcilers have their first look at once."""


class Reconciler:
    """Looks after one TaskQueue.

    Args:
        body: the resource as the watch brought it.
        tools: shared.
        on_gone: called when a write shows that the TaskQueue does not exist any more.
    """

    def __init__(
        self, body: Mapping[str, Any], tools: Tools, on_gone: Callable[[Key], None]
    ) -> None:
        metadata = body["metadata"]
        self.key = parse.key_of(body)
        self.created = (str(metadata.get("creationTimestamp")), self.key.name)
        """Age, then name: of two TaskQueues with one workload, the older one scales it."""
        self.seen: Observed | None = None
        self.decision: Decision | None = None
        self.gone = False
        """The TaskQueue was deleted; set before `run` is cancelled."""
        self._uid: str = metadata["uid"]
        self._tools = tools
        self._on_gone = on_gone
        self._dirty = asyncio.Event()
        self._rung_at: float | None = None
        self._connections = Connections(
            self._uid, self.key.namespace, tools.endpoints, self.ring, tools.steady
        )
        status = body.get("status") or {}
        self._reporter = StatusWriter(self.key, self._uid, status, tools.kube, tools.identity)
        self._memory = Memory(
            active_at=self._steadily(status.get("lastActiveTime")),
            scaled_at=self._steadily(status.get("lastScaleTime")),
            created_at=self._steadily(metadata.get("creationTimestamp")),
            startup=Startup(tools.clock(), status.get("startupSeconds")),
            strange="lastScaleTime" not in status and "template" not in (body.get("spec") or {}),
        )
        self._owned = OwnedDeployment(self.key, self._uid, tools.cluster, tools.kube, tools.steady)
        self._original: int | None = status.get("originalReplicas")
        """The number of replicas to restore."""
        self._hurries = False
        self._telling: asyncio.Task[None] | None = None
        self._failures = 0
        self._claim = Claim.read(status)
        self._foreign_status: Mapping[str, Any] | None = None
        """The status as written by another operator, which manages the TaskQueue."""
        self._asked_at: float | None = None
        """When that operator was last asked whether it is alive."""
        self._other_operator: tuple[str, float] = ("", float("-inf"))
        """The operator that asked this one, and when."""
        self._spec: TaskQueueSpec | None = None
        """The last valid one."""
        self._take(body)

    def _steadily(self, stored: str | None) -> float | None:
        """Convert a time of the status to the monotonic clock.

        A time in the future was written before the clock was set back, and counts as now.
        """
        at = timestamp(stored)
        if at is None:
            return None
        return self._tools.steady() - max(0.0, self._tools.clock() - at)

    # --- what comes from outside ---

    @property
    def workload(self) -> WorkloadKey:
        """What is scaled: the one that the spec names, or the Deployment of a template."""
        reference = self._spec.workload_ref if self._spec else None
        if reference is None:
            return WorkloadKey(*self.key)
        return WorkloadKey.referred(
            self.key.namespace, reference.name, reference.api_version, reference.kind
        )

    @property
    def reference(self) -> Reference:
        """What is scaled, as the spec names it."""
        given = self._spec.workload_ref if self._spec else None
        if given is None:
            return Reference(self.workload)
        return Reference(self.workload, given.api_version, given.removal_order)

    @property
    def queues(self) -> frozenset[tuple[str, str]]:
        """Address of the Redis and name of each queue."""
        triggers = self._spec.all_triggers if self._spec else ()
        return frozenset((each.redis.url, name) for each in triggers for name in each.queue_names)

    @property
    def verdict(self) -> tuple[bool, str] | None:
        """Whether the TaskQueue is Ready, and why; None if that is not this operator's to say."""
        return None if self._is_anothers else self._reporter.verdict

    def is_of(self, body: Mapping[str, Any]) -> bool:
        """Return whether this is the same object, rather than another one of that name."""
        return bool(body["metadata"]["uid"] == self._uid)

    def differs_from(self, body: Mapping[str, Any]) -> bool:
        """Return whether this is another object, or a later state of its specification."""
        return not self.is_of(body) or body["metadata"]["generation"] > self._generation

    def update(self, body: Mapping[str, Any]) -> bool:
        """Take in a new state of the resource; return whether the spec is another one."""
        self._hear_of_operators(body.get("status") or {})
        if body["metadata"]["generation"] == self._generation:
            return False  # only the status changed, and that was us
        self._take(body)
        self.look()
        return True

    def _hear_of_operators(self, status: Mapping[str, Any]) -> None:
        before, self._claim = self._claim, Claim.read(status)
        if self._is_anothers:
            self._foreign_status = status
        if self._claim != before:
            self.look()

    def hurry(self) -> None:
        """End soon, because the operator stops and cannot wait for workers to finish."""
        self._hurries = True
        self._dirty.set()

    def look(self) -> None:
        """Look soon, because something may have changed."""
        self._dirty.set()

    def ring(self) -> None:
        """Look now, because the doorbell rang, and measure how long that takes."""
        if self._rung_at is None:
            self._rung_at = perf_counter()
        self._dirty.set()

    def _take(self, body: Mapping[str, Any]) -> None:
        self._generation: int = body["metadata"]["generation"]
        self._problem: Cause | None = None
        size = len(json.dumps(body.get("spec") or {}, default=dict))
        if size > MOST_SPEC_BYTES:
            text = f"the spec is {size:,} bytes of JSON; the operator accepts {MOST_SPEC_BYTES:,}"
            self._problem = Cause("InvalidSpec", text)
            return
        try:
            spec = TaskQueueSpec.model_validate(body.get("spec") or {})
        except ValidationError as error:
            self._problem = Cause("InvalidSpec", _readable(error))
            return
        problems = spec.problems()
        if problems:
            self._problem = Cause("InvalidSpec", "; ".join(problems))
            return
        self._spec = spec

    # --- the loop ---

    async def run(self) -> None:
        """Round after round, until cancelled or the TaskQueue is gone."""
        try:
            await self._know_the_others()
            await self._know_redis()
            async with self._tools.first_looks:
                self._dirty.clear()
                pause = await self._round_or_backoff()
                if self._telling is not None:
                    await asyncio.wait([self._telling], timeout=FIRST_TELLING_SECONDS)
            while True:
                await self._wait(pause)
                pause = await self._round_or_backoff()
        finally:
            if self._telling is not None:
                self._telling.cancel()
                await asyncio.gather(self._telling, return_exceptions=True)
            if self.gone:
                await self._release()
            await self._connections.close()

    async def _know_the_others(self) -> None:
        """Wait until it is known which other autoscalers there are; report what prevents that."""
        while failure := await self._tools.look_for_others():
            problem = Cause("AutoscalersUnknown", failure)
            now = Round(self._tools.clock(), self._generation, self.workload, problem=problem)
            self._report(now)

    async def _know_redis(self) -> None:
        """Wait until it is known whether Redis answers.

        A first look would wait for the same and delay the first looks of others: a silent server
        takes its full time-out.
        """
        if self._spec is None or self._problem is not None or self._is_anothers:
            return
        try:
            connections = await self._connections.find(self._spec)
        except Exception:  # noqa: BLE001 - the first look meets it too, and reports it
            return
        for connection in connections:
            if connection.endpoint is not None:
                await connection.endpoint.tried.wait()

    async def _wait(self, seconds: float | None) -> None:
        """Wait until something changed and the rest between two rounds is over, or for so long."""
        working = self.seen is not None and self.seen.workload and self.seen.workload.replicas
        rest = REST_SECONDS if working else None
        if self._failures and seconds is not None:
            rest = min(seconds, REST_AFTER_FAILURE_SECONDS)
        begun = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(seconds):
                await self._dirty.wait()
                if rest is not None:
                    await asyncio.sleep(begun + rest - asyncio.get_running_loop().time())
        except TimeoutError:
            pass
        self._dirty.clear()

    async def _round_or_backoff(self) -> float | None:
        """Run one round; return the seconds until the next one that no event would cause."""
        try:
            pause = await self._round()
        except RoundFailed as failure:
            logger.info("%s: %s", self.key, failure, extra=about(self.key))
        except ApiError as error:
            logger.warning("%s: %s", self.key, error, extra=about(self.key))
            self._tell_failure(str(error))
        except Exception as error:
            logger.exception("%s: a reconcile round failed", self.key, extra=about(self.key))
            self._tell_failure(f"{type(error).__name__}; the operator's log has the details")
        else:
            self._failures = 0
            return pause
        return self._backoff()

    def _tell_failure(self, text: str) -> None:
        """Report that rounds fail. Reporting itself may have caused the exception."""
        if self._failures + 1 < FAILURES_TO_TELL:
            return
        at, problem = self._tools.clock(), Cause("RoundFailed", text)
        try:
            self._report(Round(at, self._generation, self.workload, problem=problem))
        except Exception:
            logger.exception("%s: reporting the status failed", self.key, extra=about(self.key))

    def _backoff(self) -> float:
        self._failures += 1
        self._tools.meter.round_failed()
        return pause_after(self._failures, BACKOFF_SECONDS)

    # --- reporting ---

    def _report(self, now: Round) -> float | None:
        """Have a round reported, without delaying the next one.

        Returns:
            Seconds until numbers that were held back should be written; None if there are none.
        """
        if now.seen is None:
            self.seen = self.decision = None  # what was seen before this trouble may have changed
        if self._is_anothers:
            return None  # the other operator writes the status
        other, heard_at = self._other_operator
        if self._tools.steady() - heard_at < 1.5 * ASK_AGAIN_SECONDS:
            now = replace(now, other_operator=other)
        blind = self._tools.blind(self.workload)
        now = replace(now, operator=self._tools.operator_name, blind=blind)
        again_in = self._reporter.note(now, self._tools.steady())
        if self._reporter.due and self._telling is None:
            loop = asyncio.get_running_loop()
            self._telling = loop.create_task(self._tell(), name=f"tell {self.key}")
        return again_in

    async def _tell(self) -> None:
        """Report until nothing is left to report."""
        failures = 0
        try:
            while self._reporter.due:
                try:
                    await self._reporter.tell()
                    failures = 0
                except ApiError as error:
                    logger.warning("%s: %s", self.key, error, extra=about(self.key))
                    self._tools.meter.round_failed()
                    failures += 1
                    await asyncio.sleep(pause_after(failures, BACKOFF_SECONDS))
        except TaskQueueGone:
            self._on_gone(self.key)
        except Exception:
            logger.exception("%s: reporting the status failed", self.key, extra=about(self.key))
        finally:
            self._telling = None

    # --- other operators ---

    @property
    def _is_anothers(self) -> bool:
        """Whether another operator is recorded as the one that looks after the TaskQueue."""
        return self._claim.name not in ("", self._tools.operator_name)

    async def _is_ours(self) -> float | None:
        """Settle with other operators who looks after the TaskQueue.

        Returns:
            None: this one. Else the seconds until the next look at it.
        """
        me, steady = self._tools.operator_name, self._tools.steady()
        stance, seconds = choose_stance(me, self._claim, self._asked_at, steady)
        match stance:
            case Stance.OWN:
                return None
            case Stance.ANSWER:
                self._other_operator = (self._claim.challenged_by, steady)
                await self._write_claim({"name": me, "challengedBy": None})
                return None
            case Stance.ASK:
                text = "%s: operator %s manages it, so this one leaves it alone"
                logger.warning(text, self.key, self._claim.name, extra=about(self.key))
                self._asked_at = steady
                await self._write_claim({"challengedBy": me})
            case Stance.TAKE_OVER:
                text = "%s: operator %s does not answer; this one takes over"
                logger.warning(text, self.key, self._claim.name, extra=about(self.key))
                await self._write_claim({"name": me, "challengedBy": None})
                self._asked_at = None
                self._begin_anew(self._foreign_status or {})
                return None
        self.seen = self.decision = None  # the other operator reports the numbers
        return seconds

    async def _write_claim(self, patch: dict[str, str | None]) -> None:
        await self._tools.kube.patch_status(self.key, {"operator": patch})
        written = {"name": self._claim.name, "challengedBy": self._claim.challenged_by} | patch
        self._claim = Claim.read({"operator": written})

    def _begin_anew(self, status: Mapping[str, Any]) -> None:
        """Go on from the status that another operator has written."""
        tools = self._tools
        self._reporter = StatusWriter(self.key, self._uid, status, tools.kube, tools.identity)
        self._original = status.get("originalReplicas")
        self._foreign_status = None

    # --- one round ---

    async def _round(self) -> float | None:
        not_ours = await self._is_ours()
        if not_ours is not None:
            return not_ours
        started, rung_at, self._rung_at = perf_counter(), self._rung_at, None
        spec, at = self._spec, self._tools.clock()
        if self._problem is not None:
            return self._report(Round(at, self._generation, None, problem=self._problem))
        assert spec is not None
        kept = await self._keep_workload(spec)
        if kept.problem is not None:
            return self._report_problem(spec, at, kept.problem)
        connections = await self._connections.find(spec)
        try:
            seen = await self._observe(spec, connections, at)
        except WorkloadTrouble as trouble:
            return self._report_problem(spec, at, Cause(trouble.reason, str(trouble)))
        if self._tools.is_self(self.workload, seen.pods):
            return self._report_problem(spec, at, _IT_IS_ME)
        decision, outcome = await self._decide_and_act(spec, seen, connections, rung_at)
        now = Round(
            at,
            self._generation,
            self.workload,
            pause=spec.pause,
            failing=self._failures + 1 >= FAILURES_TO_TELL,
            seen=seen,
            decision=decision,
            outcome=outcome,
            startup=self._memory.startup,
            original=self._original,
            reverted=kept.reverted,
            warnings=kept.warnings,
        )
        report_in = self._report(now)
        self._tools.meter.round_done(decision, outcome, perf_counter() - started)
        if outcome.failure:
            raise RoundFailed(outcome.failure)
        looks = [decision.next_look_seconds, report_in, kept.again_in]
        if decision.drain.stop or decision.drain.call_back or outcome.scaled_to is not None:
            looks.append(FOLLOW_UP_SECONDS)
        return min((look for look in looks if look is not None), default=None)

    async def _keep_workload(self, spec: TaskQueueSpec) -> Kept:
        """Make the Deployment of a template what it should be."""
        if spec.template is None:
            return Kept()
        if not self._tools.templates:
            return Kept(_NO_TEMPLATES)
        return await self._owned.keep(spec)

    def _report_problem(self, spec: TaskQueueSpec, at: float, problem: Cause) -> float:
        """Report what is wrong with the workload, and look again with the next poll."""
        where, pause = self.workload, spec.pause
        self._report(Round(at, self._generation, where, problem=problem, pause=pause))
        return float(spec.scaling.poll_period_seconds)

    async def _decide_and_act(
        self,
        spec: TaskQueueSpec,
        seen: Observed,
        connections: Sequence[Connection],
        rung_at: float | None,
    ) -> tuple[Decision, Outcome]:
        await self._record_original(spec, seen)
        decision, self._memory = decide(spec, seen, self._memory)
        self.seen, self.decision = seen, decision
        outcome = await self._act(decision, seen, connections, spec)
        if outcome.scaled_to is not None:
            self._memory = self._memory.scaled(seen.steady, decision.current, outcome.scaled_to)
            if rung_at is not None and outcome.scaled_to > decision.current:
                self._tools.meter.rung_to_patched(perf_counter() - rung_at)
        elif decision.scale_to is not None:
            self._memory = self._memory.may_have_scaled(decision.scale_to)
        await self._leave_dropped(seen)
        return decision, outcome

    async def _observe(
        self, spec: TaskQueueSpec, connections: Sequence[Connection], at: float
    ) -> Observed:
        tools = self._tools
        rival = tools.rival(self.created, self.workload)
        return await observe(
            self.reference,
            connections,
            workloads=tools.workloads,
            at=at,
            steady_at=tools.steady(),
            conflict=tools.autoscaler(self.workload) or rival,
            rival=bool(rival),
            shared=tools.shared(self.key),
            due_within_seconds=startup_seconds(spec, self._memory.startup),
        )

    async def _act(
        self,
        decision: Decision,
        seen: Observed,
        connections: Sequence[Connection],
        spec: TaskQueueSpec,
    ) -> Outcome:
        return await act(
            decision,
            seen,
            connections,
            cluster=self._tools.cluster,
            kube=self._tools.kube,
            max_deliveries=spec.recovery.max_deliveries,
        )

    # --- letting go ---

    async def _leave_dropped(self, seen: Observed) -> None:
        """Call workers back in the queues that have left the spec, which no later round looks at.

        One queue in which a worker drains keeps it from fetching anywhere.
        """
        if seen.rival:
            return
        for dropped in self._connections.dropped():
            if await self._leave(dropped, seen):
                await self._connections.forget(dropped)

    async def _leave(self, dropped: Dropped, seen: Observed) -> bool:
        """Call workers back in dropped queues; return whether nothing is left to do there."""
        connection, names = dropped.connection, sorted(dropped.queues)
        text = "%s: workers may not have been called back in %s: %s"
        told = about(self.key)
        if connection.admin is None:
            if not self._connections.is_late(dropped):
                return False
            logger.warning(text, self.key, ", ".join(names), connection.source.message, extra=told)
            return True
        try:
            there = replace(seen, workers=await read_workers(connection, names))
            await call_back(call_all_back(there).call_back, connection.admin)
        except RedisUnavailable as error:
            connection.failed(error)
            return False  # a later round tries again
        except IdenttqueueError as error:
            logger.warning(text, self.key, ", ".join(names), error, extra=told)
        return True

    async def _record_original(self, spec: TaskQueueSpec, seen: Observed) -> None:
        """Store the number of replicas that is to be restored, before it is changed."""
        if not spec.restore_replicas or self._original is not None:
            return
        if seen.workload is None or seen.conflict:
            return
        number = seen.workload.replicas
        await self._tools.kube.patch_status(self.key, {"originalReplicas": number})
        self._original = number

    async def _release(self) -> None:
        """Call draining workers back, because the TaskQueue is gone and its workers stay.

        Before that, the workload's original number of replicas is restored, if the spec asks for
        it. An older TaskQueue with the same workload goes on with them.
        """
        spec = self._spec
        if spec is None or spec.template is not None or self._is_anothers:
            return
        if self._tools.rival(self.created, self.workload):
            return
        try:
            if spec.restore_replicas and self._original is not None:
                await self._restore(spec, self._original)
            async with asyncio.timeout(RELEASE_SECONDS):
                while not await self._call_all_back(spec):
                    await self._wait(RELEASE_RETRY_SECONDS)
        except TimeoutError:
            text = "%s: deleted, but its draining workers could not be called back"
            logger.warning(text, self.key, extra=about(self.key))
        except Exception:
            text = "%s: its workers were not called back"
            logger.exception(text, self.key, extra=about(self.key))

    async def _restore(self, spec: TaskQueueSpec, number: int) -> None:
        """Restore the workload's number as a pause at it would: workers finish first.

        It stops early if the operator stops, or if another TaskQueue names the workload.
        """
        pinned = spec.model_copy(update={"paused_replicas": number})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(spec.drain.timeout_seconds + RESTORE_SECONDS):
                while not self._hurries and not self._tools.rival(YOUNGEST, self.workload):
                    if await self._restore_further(pinned, number):
                        logger.info(
                            "%s: deleted; its workload is back at %s replicas", self.key, number
                        )
                        return
                    await self._wait(RELEASE_RETRY_SECONDS)
        text = "%s: deleted, but its workload may not be back at %d replicas"
        logger.warning(text, self.key, number, extra=about(self.key))

    async def _restore_further(self, pinned: TaskQueueSpec, number: int) -> bool:
        """Return whether the workload has its number, or can't get it any more."""
        try:
            connections = await self._connections.find(pinned)
            seen = await self._observe(pinned, connections, self._tools.clock())
            if seen.workload is None or seen.workload.replicas == number or seen.conflict:
                return True
            await self._decide_and_act(pinned, seen, connections, None)
        except ApiError as error:
            return error.terminating
        except WorkloadTrouble:
            return True
        return False

    async def _call_all_back(self, spec: TaskQueueSpec) -> bool:
        """Call all workers back; return False while Redis or the API server does not answer."""
        try:
            connections = await self._connections.find(spec)
            seen = await self._observe(spec, connections, self._tools.clock())
        except ApiError:
            return False
        except WorkloadTrouble:
            return True
        if seen.workload is None:
            return True
        await self._leave_dropped(seen)
        current = seen.workload.replicas
        left = Decision(Target(current, "Deleted", "the TaskQueue is gone"), current)
        drain = call_all_back(seen)
        outcome = await self._act(replace(left, drain=drain), seen, connections, spec)
        return not outcome.failure and not seen.blind


def _readable(error: ValidationError) -> str:
    """Describe what is wrong with a spec, field by field, without the values."""
    parts = []
    for item in error.errors(include_input=False, include_url=False):
        where = ".".join(str(step) for step in ("spec", *item["loc"]))
        parts.append(f"{where}: {item['msg']}")
    return "; ".join(parts)
