"""Django's tasks framework on idenTTqueue: a backend, and `manage.py identtqueue_worker`.

::

    INSTALLED_APPS = [..., "identtqueue.django"]
    TASKS = {"default": {"BACKEND": "identtqueue.django.IdenttqueueBackend"}}

Django imports this module before its settings and models are ready, so each name is loaded when it
is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from identtqueue import load_name

if TYPE_CHECKING:
    from identtqueue.django.backend import IdenttqueueBackend as IdenttqueueBackend
    from identtqueue.django.context import JobTaskContext as JobTaskContext
    from identtqueue.django.per_task import job_options as job_options

_HOME = {
    "IdenttqueueBackend": "backend",
    "JobTaskContext": "context",
    "job_options": "per_task",
}

__all__ = sorted(_HOME)  # noqa: PLE0605 - it is a list, of the names above


def __getattr__(name: str) -> Any:
    return load_name(__name__, _HOME, name)


def __dir__() -> list[str]:
    return __all__
