"""Sentry: a failed attempt is an event, with its frames and the task.

::

    sentry_sdk.init(dsn="…", integrations=[IdenttqueueIntegration()])

Call this where the app of the worker is declared, before the worker starts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal

import sentry_sdk
from sentry_sdk.integrations import Integration
from sentry_sdk.integrations.logging import ignore_logger

from identtqueue.errors import InvalidInput, Retry
from identtqueue.retry import is_one_of
from identtqueue.task import Attempt, Task
from identtqueue.worker.failure import RaisedElsewhere
from identtqueue.worker.observers import OBSERVERS
from identtqueue.worker.outcome import Outcome, Retried

Level = Literal["fatal", "error", "warning", "info", "debug"]
_LEVELS: Final = ("fatal", "error", "warning", "info", "debug")

_LOGGERS: Final = ("identtqueue.worker", "django.tasks", "django_tasks")
"""Loggers that log each failed attempt as well. Sentry would make a second event of each line."""

_FRAME: Final = re.compile(r'^  File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>.+)$')


class IdenttqueueIntegration(Integration):
    """Sentry's integration for all workers of the process.

    - Each attempt has a scope of its own. All events of its job have the tags `task_id`, `job`,
      `queue` and `attempt`.
    - An attempt that failed for good is an event of level `error`. One that is retried has
      `retried_level`. One whose job raised `Retry` is none, because it has asked for that.
    - The arguments of the task, and the local variables of frames, which contain them, are only
      sent if `data_collection={"queues": True}` or `send_default_pii=True` is set.

    Args:
        retried_level: level of an attempt that is retried; None: it is no event.

    Raises:
        InvalidInput: the level is unknown.
    """

    identifier = "identtqueue"

    def __init__(self, retried_level: Level | None = "warning") -> None:
        if not (retried_level is None or retried_level in _LEVELS):
            raise InvalidInput(
                f"retried_level={retried_level!r}: must be {', '.join(_LEVELS)} or None"
            )
        self.retried_level = retried_level

    @staticmethod
    def setup_once() -> None:
        """Observe the workers of this process. Sentry calls this once."""
        OBSERVERS.append(_SentryObserver())
        for name in _LOGGERS:
            ignore_logger(name)


class _SentryObserver:
    """Makes the events. It does nothing while no client has the integration."""

    @contextmanager
    def around(self, fields: dict[str, Any]) -> Iterator[None]:
        with sentry_sdk.isolation_scope() as scope:
            scope.clear_breadcrumbs()
            scope.set_transaction_name(fields["job"], source="task")
            for name, value in fields.items():
                scope.set_tag(name, str(value))
            yield

    def failed(
        self, attempt: Attempt, task: Task | None, outcome: Outcome, error: BaseException
    ) -> None:
        client = sentry_sdk.get_client()
        integration = client.get_integration(IdenttqueueIntegration)
        level = None if integration is None else _level(integration, outcome, error)
        if level is None:
            return
        with_data = _may_send_data(client)
        with sentry_sdk.new_scope() as scope:
            scope.set_level(level)
            scope.set_context("identtqueue", _context(attempt, outcome))
            if with_data and task is not None:
                called = {"args": list(task.args), "kwargs": dict(task.kwargs)}
                scope.set_context("arguments", called)
            scope.add_event_processor(lambda event, _hint: _finished(event, with_data))
            if isinstance(error, RaisedElsewhere):
                sentry_sdk.capture_event(_event_of(error))
            else:
                sentry_sdk.capture_exception(error)


def _level(
    integration: IdenttqueueIntegration, outcome: Outcome, error: BaseException
) -> Level | None:
    if isinstance(outcome, Retried):
        kinds = error.kinds if isinstance(error, RaisedElsewhere) else error
        return None if is_one_of(kinds, (Retry,)) else integration.retried_level
    return "error" if outcome.name == "failed" else None


def _may_send_data(client: Any) -> bool:
    """Return whether the options of the client allow to send the data of tasks."""
    collection = client.options.get("data_collection") or {}
    if collection.get("provided_by_user"):  # replaces `send_default_pii`
        return bool(collection.get("queues"))
    return bool(client.should_send_default_pii())


def _context(attempt: Attempt, outcome: Outcome) -> dict[str, Any]:
    context = {
        "task_id": attempt.task_id,
        "queue": attempt.queue,
        "attempt": attempt.number,
        "failures": attempt.failures,
        "losses": attempt.losses,
        "waited_seconds": attempt.waited_ms / 1000,
        "outcome": outcome.name,
    }
    if isinstance(outcome, Retried):
        context["retry_seconds"] = outcome.retry_seconds
    return context


def _finished(event: Any, with_data: bool) -> Any:
    """Complete an event: its mechanism, and no local variables unless they may be sent."""
    values = (event.get("exception") or {}).get("values") or []
    if values:
        values[-1]["mechanism"] = {"type": IdenttqueueIntegration.identifier, "handled": False}
    if not with_data:
        for value in values:
            for frame in (value.get("stacktrace") or {}).get("frames") or []:
                frame.pop("vars", None)
    return event


def _event_of(error: RaisedElsewhere) -> Any:
    """Make the event of an error in a process for jobs, of which only the text is known."""
    failure = error.failure
    module, _, name = failure.type.rpartition(".")
    frames = [
        {
            "filename": found["file"],
            "abs_path": found["file"],
            "lineno": int(found["line"]),
            "function": found["function"],
            "in_app": "site-packages" not in found["file"],
        }
        for line in failure.traceback.splitlines()
        if (found := _FRAME.match(line))
    ]
    value: dict[str, Any] = {"type": name, "module": module or None, "value": failure.message}
    if frames:
        value["stacktrace"] = {"frames": frames}
    return {"exception": {"values": [value]}}
