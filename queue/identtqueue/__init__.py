"""idenTTqueue: a task queue on Redis lists for Python services on Kubernetes.

Each exported name is loaded when it is first used (PEP 562), so a service that only enqueues never
loads the worker.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from identtqueue.app import App as App
    from identtqueue.app import AppJob as AppJob
    from identtqueue.app import JobCall as JobCall
    from identtqueue.app import SyncTaskHandle as SyncTaskHandle
    from identtqueue.app import TaskHandle as TaskHandle
    from identtqueue.client.client import Client as Client
    from identtqueue.client.sync import SyncClient as SyncClient
    from identtqueue.errors import IdenttqueueError as IdenttqueueError
    from identtqueue.errors import InvalidInput as InvalidInput
    from identtqueue.errors import RedisUnavailable as RedisUnavailable
    from identtqueue.errors import ResultTimeout as ResultTimeout
    from identtqueue.errors import Retry as Retry
    from identtqueue.errors import TaskCancelled as TaskCancelled
    from identtqueue.errors import TaskError as TaskError
    from identtqueue.errors import TaskExists as TaskExists
    from identtqueue.errors import TaskExpired as TaskExpired
    from identtqueue.errors import TaskFailed as TaskFailed
    from identtqueue.errors import TaskNotFound as TaskNotFound
    from identtqueue.errors import TimedOut as TimedOut
    from identtqueue.limits import RateLimit as RateLimit
    from identtqueue.protocol.answers import Receipt as Receipt
    from identtqueue.protocol.submission import Submission as Submission
    from identtqueue.retry import RetryPolicy as RetryPolicy
    from identtqueue.schedule import Cron as Cron
    from identtqueue.task import Result as Result
    from identtqueue.task import State as State
    from identtqueue.task import TaskInfo as TaskInfo
    from identtqueue.task import TaskOptions as TaskOptions
    from identtqueue.transport.settings import RedisSettings as RedisSettings
    from identtqueue.worker.context import Context as Context
    from identtqueue.worker.outcome import Outcome as Outcome
    from identtqueue.worker.registry import Job as Job
    from identtqueue.worker.worker import Worker as Worker

_HOME = {
    "App": "app",
    "AppJob": "app",
    "Client": "client.client",
    "Context": "worker.context",
    "Cron": "schedule",
    "IdenttqueueError": "errors",
    "InvalidInput": "errors",
    "Job": "worker.registry",
    "JobCall": "app",
    "Outcome": "worker.outcome",
    "RateLimit": "limits",
    "Receipt": "protocol.answers",
    "RedisSettings": "transport.settings",
    "RedisUnavailable": "errors",
    "Result": "task",
    "ResultTimeout": "errors",
    "Retry": "errors",
    "RetryPolicy": "retry",
    "State": "task",
    "Submission": "protocol.submission",
    "SyncClient": "client.sync",
    "SyncTaskHandle": "app",
    "TaskCancelled": "errors",
    "TaskError": "errors",
    "TaskExists": "errors",
    "TaskExpired": "errors",
    "TaskFailed": "errors",
    "TaskHandle": "app",
    "TaskInfo": "task",
    "TaskNotFound": "errors",
    "TaskOptions": "task",
    "TimedOut": "errors",
    "Worker": "worker.worker",
}

__all__ = sorted(_HOME)  # noqa: PLE0605 - it is a list, of the names above


def load_name(package: str, homes: Mapping[str, str], name: str) -> Any:
    """Load an exported name of a package, and keep it there.

    Args:
        package: whose name it is.
        homes: the package's exported names, each with the module below it that defines it.
        name: what to load.

    Raises:
        AttributeError: the package does not export it.
    """
    home = homes.get(name)
    if home is None:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    value = getattr(import_module(f"{package}.{home}"), name)
    setattr(sys.modules[package], name, value)
    return value


def __getattr__(name: str) -> Any:
    return load_name(__name__, _HOME, name)


def __dir__() -> list[str]:
    return __all__
