"""The task whose job is running here. Tasks that the job enqueues note it as their parent."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

current_task: Final[ContextVar[str | None]] = ContextVar("identtqueue_current_task", default=None)
"""Id of the task, in the code of its job and in all that this code starts; None: no job runs."""
