"""The types of identtqueue 0.2: a request, the status and the result of a task."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


class JobStatusType(enum.IntEnum):
    """Status of a task. Today: `State`, which has more of them.

    Attributes:
        ENQUEUED: no worker has taken it.
        PROCESSING: a worker runs it.
        FINISHED: it has ended, in whichever way.
    """

    ENQUEUED = 0
    PROCESSING = 1
    FINISHED = 2


class JobResultType(enum.IntEnum):
    """Kind of a result.

    Attributes:
        SUCCESS: the job returned.
        EXCEPTION: the job raised an exception.
        WORKER_TIMEOUT: the job took longer than the worker allows.
    """

    SUCCESS = 0
    EXCEPTION = 1
    WORKER_TIMEOUT = 2


@dataclass(slots=True)
class JobStatus:
    """Status of a task.

    Attributes:
        status: the status.
        data: what the job has passed to `update_status` last, while it runs.
    """

    status: JobStatusType
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class JobResult:
    """Result of a task.

    Attributes:
        type: kind of the result.
        message: the return value of the job, or the text of its exception.
    """

    type: JobResultType
    message: Any = None


@dataclass(slots=True)
class JobRequest:
    """Request to run a job.

    Attributes:
        task_id: id of the task.
        function_name: name of the job.
        args, kwargs: arguments of the job.
        enqueue_time: when it was enqueued, by Redis' clock, in seconds since 1970.
    """

    task_id: str
    function_name: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    enqueue_time: float = 0.0
