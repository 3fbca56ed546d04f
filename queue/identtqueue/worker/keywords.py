"""The keyword arguments of `Worker` and `App.worker`, as type checkers and editors see them.

`WorkerSettings` and `Worker` say what each of them does, and check the values. A worker does not
load this module: a TypedDict compiles each of its annotations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, TypedDict

from identtqueue.redaction import Redact
from identtqueue.retry import RetryPolicy
from identtqueue.worker.hooks import AfterTasks, BeforeTasks, StateHooks
from identtqueue.worker.settings import QueueOrderName
from identtqueue.worker_state import S


class SettingKeywords(TypedDict, total=False):
    """The fields of `WorkerSettings` that users give as keyword arguments (PEP 692)."""

    queue_order: QueueOrderName
    queue_weights: Mapping[str, int]
    concurrency: int
    timeout_seconds: float | None
    max_deliveries: int
    unrunnable_seconds: float
    lease_seconds: float
    grace_seconds: float
    max_loop_block_seconds: float
    http_port: int | None
    metrics_buckets: Sequence[float]
    keep_arguments: bool
    recent_ends: int
    recent_ends_seconds: float
    redact: Redact | None
    max_payload_bytes: int
    max_tasks_per_process: int | None
    max_abandoned_threads: int | None


class WorkerKeywords(SettingKeywords, Generic[S], total=False):
    """The keyword arguments that `Worker` and `App.worker` share."""

    max_retries: int | None
    retry: RetryPolicy | None
    on_startup: StateHooks[S]
    on_shutdown: StateHooks[S]
    before_task: BeforeTasks[S]
    after_task: AfterTasks[S]
    on_process_startup: StateHooks[S]
