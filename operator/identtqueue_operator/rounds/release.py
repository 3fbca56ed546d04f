"""Letting go: workers are called back, and the original number of replicas is restored.

A queue that has left the specification is let go of in the next round; a whole TaskQueue when it
is deleted. In both cases a worker must not stay drained: no later round would call it back.
"""

import asyncio
import contextlib
import logging
from dataclasses import replace

from identtqueue.errors import IdenttqueueError, RedisUnavailable
from identtqueue_operator.api.v1alpha1 import TaskQueueSpec
from identtqueue_operator.kube.api import ApiError
from identtqueue_operator.logs import about
from identtqueue_operator.model import Decision, Observed, Target
from identtqueue_operator.policy.drain import call_all_back
from identtqueue_operator.queues.connections import Connections, Dropped
from identtqueue_operator.rounds.act import call_back
from identtqueue_operator.rounds.alarm import Alarm
from identtqueue_operator.rounds.observe import read_workers
from identtqueue_operator.rounds.resource import Resource
from identtqueue_operator.rounds.scaler import Scaler
from identtqueue_operator.rounds.tools import Tools
from identtqueue_operator.workload.kind import WorkloadTrouble

logger = logging.getLogger(__name__)

RESTORE_SECONDS = 60.0
"""Time for restoring the number of replicas, beyond what workers get to finish."""
RETRY_SECONDS = 1.0
"""Pause between two attempts to call workers back or to restore the number, if nothing rings."""
YOUNGEST = ("\uffff", "")
"""An age younger than that of any TaskQueue."""


class Release:
    """Lets go of the queues and the workload of one TaskQueue.

    Args:
        resource: the TaskQueue.
        original: the recorded number of replicas; None: it is not recorded yet.
        scaler: of the TaskQueue.
        connections: of the TaskQueue.
        alarm: of the TaskQueue.
        tools: shared.

    Attributes:
        original: the number of replicas to restore; None: it is not recorded.
    """

    def __init__(
        self,
        resource: Resource,
        original: int | None,
        scaler: Scaler,
        connections: Connections,
        alarm: Alarm,
        tools: Tools,
    ) -> None:
        self.original = original
        self._resource = resource
        self._scaler = scaler
        self._connections = connections
        self._alarm = alarm
        self._tools = tools
        self._hurries = False

    def hurry(self) -> None:
        """End soon, because the operator stops and cannot wait for workers to finish."""
        self._hurries = True
        self._alarm.set()

    async def record_original(self, spec: TaskQueueSpec, seen: Observed) -> None:
        """Store the number of replicas that is to be restored, before it is changed.

        Raises:
            ApiError: it could not be stored, so the number must not be changed.
        """
        if not spec.restore_replicas or self.original is not None:
            return
        if seen.workload is None or seen.conflict:
            return
        number, key = seen.workload.replicas, self._resource.key
        await self._tools.kube.patch_status(key, {"originalReplicas": number})
        self.original = number

    # --- queues that have left the spec ---

    async def leave_dropped(self, seen: Observed) -> None:
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
        key, extra = self._resource.key, about(self._resource.key)
        text = "%s: workers may not have been called back in %s: %s"
        if connection.admin is None:
            if not self._connections.is_late(dropped):
                return False
            logger.warning(text, key, ", ".join(names), connection.source.message, extra=extra)
            return True
        try:
            there = replace(seen, workers=await read_workers(connection, names))
            await call_back(call_all_back(there).call_back, connection.admin)
        except RedisUnavailable as error:
            connection.failed(error)
            return False  # a later round tries again
        except IdenttqueueError as error:
            logger.warning(text, key, ", ".join(names), error, extra=extra)
        return True

    # --- a TaskQueue that is gone ---

    async def release(self) -> None:
        """Restore the number if the spec asks for it, then call the draining workers back.

        Nothing is done for a workload that was made from a template, because it is deleted with
        the TaskQueue. The same holds for one that an older TaskQueue scales, because that goes on.
        """
        key, spec = self._resource.key, self._resource.spec
        if spec is None or spec.template is not None:
            return
        if self._tools.rival(self._resource.created, self._resource.workload):
            return
        try:
            if spec.restore_replicas and self.original is not None:
                await self._restore(spec, self.original)
            async with asyncio.timeout(self._tools.timings.release_seconds):
                while not await self._call_all_back(spec):
                    await self._alarm.wait(RETRY_SECONDS, self._tools.timings.rest_seconds)
        except TimeoutError:
            text = "%s: deleted, but its draining workers could not be called back"
            logger.warning(text, key, extra=about(key))
        except Exception:
            logger.exception("%s: its workers were not called back", key, extra=about(key))

    async def _restore(self, spec: TaskQueueSpec, number: int) -> None:
        """Restore the workload's number as a pause at it would: workers finish first.

        It stops early if the operator stops, or if another TaskQueue names the workload.
        """
        key = self._resource.key
        pinned = spec.model_copy(update={"paused_replicas": number})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(spec.drain.timeout_seconds + RESTORE_SECONDS):
                while not self._hurries and not self._tools.rival(
                    YOUNGEST, self._resource.workload
                ):
                    if await self._restore_further(pinned, number):
                        logger.info("%s: deleted; its workload is back at %s replicas", key, number)
                        return
                    await self._alarm.wait(RETRY_SECONDS, self._tools.timings.rest_seconds)
        text = "%s: deleted, but its workload may not be back at %d replicas"
        logger.warning(text, key, number, extra=about(key))

    async def _restore_further(self, pinned: TaskQueueSpec, number: int) -> bool:
        """Run one round towards the number; return whether it is there, or can't be restored."""
        try:
            connections = await self._connections.find(pinned)
            seen = await self._scaler.observe(pinned, connections, self._tools.clock())
            if seen.workload is None or seen.workload.replicas == number or seen.conflict:
                return True
            await self._scaler.decide_and_act(pinned, seen, connections)
            await self.leave_dropped(seen)
        except ApiError as error:
            return error.terminating
        except WorkloadTrouble:
            return True
        return False

    async def _call_all_back(self, spec: TaskQueueSpec) -> bool:
        """Call all workers back; return whether that is done, rather than worth another attempt."""
        try:
            connections = await self._connections.find(spec)
            seen = await self._scaler.observe(spec, connections, self._tools.clock())
        except ApiError:
            return False
        except WorkloadTrouble:
            return True
        if seen.workload is None:
            return True
        await self.leave_dropped(seen)
        current = seen.workload.replicas
        left = Decision(Target(current, "Deleted", "the TaskQueue is gone"), current)
        drain = call_all_back(seen)
        outcome = await self._scaler.act(replace(left, drain=drain), seen, connections, spec)
        return not outcome.failure and not seen.blind
