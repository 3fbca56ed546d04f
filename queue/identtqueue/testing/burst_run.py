"""One run of a test's worker: what it has run, and when it has run enough."""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec import structs

from identtqueue.protocol import codec
from identtqueue.testing.ran import RanAttempt
from identtqueue.worker.context import Context
from identtqueue.worker.outcome import Outcome, Retried, Succeeded
from identtqueue.worker.worker import Worker

TURNS: Final = 10
"""Turns of the event loop that the last attempt of a run waits for, so that the stopping worker has
cancelled its fetch loop before the slot of the attempt is free."""


class BurstRun:
    """One run of a worker: its asyncio task, and the attempts that have ended.

    Args:
        worker: the worker.
        max_attempts: number of attempts after which it stops; None: it does not stop by itself.
    """

    def __init__(self, worker: Worker, max_attempts: int | None) -> None:
        hooks = worker.settings.hooks
        after_task = (*hooks.after_task, self._note)
        worker.settings = structs.replace(
            worker.settings, hooks=structs.replace(hooks, after_task=after_task)
        )
        self.worker = worker
        self.ran: list[RanAttempt] = []
        self._most = max_attempts
        self._happened = asyncio.Event()
        self._serving = asyncio.ensure_future(worker.serve())

    @property
    def has_ended(self) -> bool:
        """Whether the worker has ended, or has run what it may."""
        return self._serving.done() or (self._most is not None and len(self.ran) >= self._most)

    async def something_happened(self, seconds: float) -> None:
        """Wait until an attempt has ended, or the worker, or for some time."""
        happened = asyncio.ensure_future(self._happened.wait())
        try:
            await asyncio.wait(
                {self._serving, happened}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            happened.cancel()
        self._happened.clear()

    async def stop(self) -> None:
        """Stop the worker in order.

        Raises:
            Exception: a start-up hook has raised it.
        """
        self.worker.stop()
        await self._serving

    async def _note(self, context: Context, outcome: Outcome) -> None:
        """Note the end of an attempt: the last of its `after_task` hooks."""
        value = codec.decode_value(outcome.data) if isinstance(outcome, Succeeded) else None
        self.ran.append(
            RanAttempt(
                task_id=context.task_id,
                job=context.function_name,
                queue=context.queue,
                attempt=context.attempt,
                outcome=outcome.name,
                value=value,
                failure=outcome.failure,
                retry_seconds=outcome.retry_seconds if isinstance(outcome, Retried) else None,
            )
        )
        self._happened.set()
        if self.has_ended:
            self.worker.stop()
            for _ in range(TURNS):
                await asyncio.sleep(0)
