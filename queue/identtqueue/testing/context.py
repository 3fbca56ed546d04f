"""A context for tests that call the function of a job."""

from __future__ import annotations

import logging
import time
from typing import Any

from identtqueue.app import AppJob
from identtqueue.protocol import codec
from identtqueue.task import new_task_id, queue_of
from identtqueue.worker.context import Context


class RecordingContext(Context, frozen=True, kw_only=True):
    """A context that keeps the progress which a job reports.

    Attributes:
        progress: the reported values, the oldest first, as a watching client would get them.
    """

    progress: list[Any]


def make_context(
    job: AppJob[Any, Any] | None = None,
    *,
    task_id: str | None = None,
    attempt: int = 1,
    failures: int | None = None,
    state: Any = None,
    timeout_seconds: float | None = None,
    enqueued_at_ms: int | None = None,
    fencing_token: int | None = None,
) -> RecordingContext:
    """Make a context to call the function of a job with, in a test.

    ::

        ctx = make_context(read_mrz, state={"model": FakeModel()}, attempt=2)
        assert await read_mrz(ctx, "page.png") == "P<UTO…"
        assert ctx.progress == [0.5, 1.0]

    Args:
        job: the job, for its name, queue and logger.
        task_id: id of the task, `<queue>:<unique part>`. Default: a random one.
        attempt: number of the attempt.
        failures: number of earlier attempts that raised an error. Default: all of them.
        state: what the start-up hooks would have made or filled. Default: an empty dict.
        timeout_seconds: time until `deadline`; None: there is no deadline.
        enqueued_at_ms: when the task was enqueued, in ms since 1970. Default: now.
        fencing_token: the token for the job's own writes. Default: the time, in ms.

    Raises:
        InvalidTaskId: the id is not `<queue>:<unique part>`.
    """
    name, queue = (job.name, job.queue) if job is not None else ("job", "default")
    task_id = new_task_id(queue) if task_id is None else task_id
    now_ms = round(time.time() * 1000)
    reported: list[Any] = []
    return RecordingContext(
        task_id=task_id,
        queue=queue_of(task_id),
        function_name=name,
        attempt=attempt,
        failures=attempt - 1 if failures is None else failures,
        enqueued_at_ms=now_ms if enqueued_at_ms is None else enqueued_at_ms,
        deadline=None if timeout_seconds is None else time.monotonic() + timeout_seconds,
        state={} if state is None else state,
        logger=logging.getLogger(f"identtqueue.job.{name}"),
        send_progress=lambda data: reported.append(codec.decode_value(data)),
        fencing_token=now_ms if fencing_token is None else fencing_token,
        progress=reported,
    )
