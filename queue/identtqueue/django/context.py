"""The context of tasks with `takes_context=True`: Django's context, and the one of idenTTqueue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from identtqueue.django.framework import TaskContext

if TYPE_CHECKING:
    from identtqueue.worker.context import Context


@dataclass(frozen=True, kw_only=True)
class JobTaskContext(TaskContext):
    """The context of a task, with Django's attributes (`task_result`, `attempt`) and one more.

    Attributes:
        job: the context of idenTTqueue: `report_progress`, `fencing_token`, `deadline` and so on.
    """

    job: Context
