"""The exceptions of identtqueue 0.2. They are errors of today's tree as well."""

from __future__ import annotations

from identtqueue.errors import IdenttqueueError


class ClientTimeoutException(IdenttqueueError, TimeoutError):
    """The result did not come within `result_timeout`. Today: `ResultTimeout`.

    Args:
        task_id: the task; it goes on.
    """

    def __init__(self, task_id: str) -> None:
        super().__init__(task_id)
        self.task_id = task_id

    def __str__(self) -> str:
        """Say what has happened; `args` holds the id, as in 0.2."""
        return f"no result of task {self.task_id} in time; the task goes on"


class ResultNotFound(ClientTimeoutException, LookupError):
    """There is no such task: it was removed, or its result has expired. Today: `TaskNotFound`.

    0.2 has this class and never raises it: a client waits until its time-out. So this is a
    `ClientTimeoutException`, which comes at once.
    """

    def __str__(self) -> str:
        """Say what has happened; `args` holds the id."""
        return f"no task {self.task_id}: it was removed, or its result has expired"


class WorkerTimeoutException(IdenttqueueError, TimeoutError):
    """The job ran longer than the worker's `job_execution_timeout`. Today: `TaskFailed`.

    Args:
        task_id: the task.
    """

    def __init__(self, task_id: str) -> None:
        super().__init__(task_id)
        self.task_id = task_id

    def __str__(self) -> str:
        """Say what has happened; `args` holds the id, as in 0.2."""
        return f"task {self.task_id} ran longer than its worker allows"


class ErrorException(IdenttqueueError):
    """The job has failed. Today: `TaskFailed`, which also has the type and the traceback.

    Args:
        message: text of the job's exception.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
