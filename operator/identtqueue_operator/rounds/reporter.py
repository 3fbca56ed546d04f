"""The reports about a TaskQueue, and their times: rounds go to the status writer, beside the loop.

A round never waits for the API server to take its report. One task at a time writes what is due,
and repeats a write that fails, after growing pauses.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from identtqueue_operator.backoff import pause_after
from identtqueue_operator.kube.api import ApiError
from identtqueue_operator.logs import about
from identtqueue_operator.model import Cause, Key
from identtqueue_operator.rounds.ownership import Ownership
from identtqueue_operator.rounds.resource import Resource
from identtqueue_operator.rounds.tools import Tools
from identtqueue_operator.status.round import Round
from identtqueue_operator.status.writer import StatusWriter, TaskQueueGone

logger = logging.getLogger(__name__)

BACKOFF_SECONDS = (0.05, 30.0)
"""First and longest pause after a write that failed."""
FIRST_REPORT_SECONDS = 1.0
"""At start-up, wait at most this long for a first status write before the next reconciler begins;
this bounds memory."""


class Reporter:
    """Reports the rounds of one TaskQueue, unless another operator does.

    Args:
        resource: the TaskQueue.
        status: as stored when the operator first saw it.
        ownership: whether this operator manages it.
        tools: shared.
        on_gone: called when a write shows that the TaskQueue does not exist any more.
    """

    def __init__(
        self,
        resource: Resource,
        status: Mapping[str, Any],
        ownership: Ownership,
        tools: Tools,
        on_gone: Callable[[Key], None],
    ) -> None:
        self._resource = resource
        self._ownership = ownership
        self._tools = tools
        self._on_gone = on_gone
        self._writing: asyncio.Task[None] | None = None
        self.begin_after(status)

    def begin_after(self, status: Mapping[str, Any]) -> None:
        """Go on from a status that another process has written."""
        key, uid = self._resource.key, self._resource.uid
        tools = self._tools
        self._writer = StatusWriter(key, uid, status, tools.kube, tools.identity, tools.timings)

    @property
    def verdict(self) -> tuple[bool, str] | None:
        """Whether the TaskQueue is Ready, and why; None if another operator says so."""
        return None if self._ownership.is_anothers else self._writer.verdict

    def report(self, now: Round) -> float | None:
        """Have a round reported, without delaying the next one.

        Returns:
            Seconds until numbers that were held back should be written; None if there are none.
        """
        if self._ownership.is_anothers:
            return None
        now = replace(
            now,
            operator=self._tools.operator_name,
            other_operator=self._ownership.challenger,
            blind=self._tools.blind(self._resource.workload),
        )
        again_in = self._writer.note(now, self._tools.steady())
        if self._writer.due and self._writing is None:
            loop = asyncio.get_running_loop()
            self._writing = loop.create_task(self._write(), name=f"report {self._resource.key}")
        return again_in

    def report_problem(self, at: float, problem: Cause, pause: Cause | None = None) -> float | None:
        """Have a round reported that came to no decision.

        Args:
            at: the time of the round, seconds since the epoch.
            problem: what prevented the decision.
            pause: the part of scaling that the specification pauses, as in `Round`.

        Returns:
            As `report`.
        """
        resource = self._resource
        workload = None if problem is resource.problem else resource.workload
        return self.report(Round(at, resource.generation, workload, problem=problem, pause=pause))

    async def wait_at_first(self) -> None:
        """Wait until the first report is written, but not for long."""
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=FIRST_REPORT_SECONDS)

    async def close(self) -> None:
        """Stop writing, and drop what is not written."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)

    async def _write(self) -> None:
        """Write until nothing is due."""
        key, failures = self._resource.key, 0
        try:
            while self._writer.due:
                try:
                    await self._writer.tell()
                    failures = 0
                except ApiError as error:
                    level = self._writer.level_of(error)
                    logger.log(level, "%s: %s", key, error, extra=about(key))
                    self._tools.meter.round_failed()
                    failures += 1
                    await asyncio.sleep(pause_after(failures, BACKOFF_SECONDS))
        except TaskQueueGone:
            self._on_gone(key)
        except Exception:
            logger.exception("%s: reporting the status failed", key, extra=about(key))
        finally:
            self._writing = None
