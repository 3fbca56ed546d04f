"""What a job is handed as its first argument."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any

import msgspec


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt, as the job sees it.

    Attributes:
        task_id: `<queue>:<unique part>`.
        queue: where it was enqueued.
        function_name: of the job.
        attempt: grows with every execution of the task and never falls. Pass it on as a fencing
            token when the job writes elsewhere: a lower number is a ghost.
        failures: earlier attempts that raised.
        enqueued_at: when the caller enqueued it (Redis time).
        deadline: event-loop or `time.monotonic()` time at which the attempt is cut off; None:
            never.
        state: what the start-up hook put there (a database pool, a model), shared by all jobs.
        logger: `identtqueue.job.<function name>`.
    """

    task_id: str
    queue: str
    function_name: str
    attempt: int
    failures: int
    enqueued_at_ms: int
    deadline: float | None
    state: MutableMapping[str, Any]
    logger: logging.Logger

    @property
    def enqueued_at(self) -> datetime:
        """When the caller enqueued it (Redis time)."""
        return datetime.fromtimestamp(self.enqueued_at_ms / 1000, UTC)
