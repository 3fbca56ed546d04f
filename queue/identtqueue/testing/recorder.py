"""The recorder: notes what an app enqueues, and runs nothing."""

from __future__ import annotations

from datetime import datetime

from identtqueue.app import App
from identtqueue.errors import InvalidInput, ResultTimeout
from identtqueue.task import Result
from identtqueue.testing.mode import Mode


class Recorder(Mode):
    """A recorder of what an app enqueues. Nothing runs.

    ::

        with Recorder(app) as recorder:
            await upload(document)
            recorder.assert_enqueued(read_mrz, document.path)

    A wait for a result times out at once. Typed calls are checked, converted and encoded as always.

    Args:
        app: the app.
        now: the time, an aware datetime. Default: the time of day.
    """

    def __init__(self, app: App, *, now: datetime | None = None) -> None:
        super().__init__(app, now)

    async def wait(self, task_id: str, timeout_seconds: float | None) -> Result:
        """Return how a task has ended, which is only possible if it was cancelled.

        Raises:
            ResultTimeout: it has not ended.
            InvalidInput: it has not ended, and the caller would wait for ever.
            TaskNotFound: it was never enqueued.
        """
        task = self.task(task_id)
        if task.state.ended:
            return task.outcome
        if timeout_seconds is None:
            raise InvalidInput(
                f"{task_id}: a recorder runs nothing, so this would wait for ever: give "
                "timeout_seconds, or use inline mode"
            )
        raise ResultTimeout(task_id, timeout_seconds)
