"""The worker of a Django project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import structs

from identtqueue.django.backend import IdenttqueueBackend
from identtqueue.django.catalogue import CATALOGUE
from identtqueue.django.jobs import DjangoJobs, ResultHasNoJson
from identtqueue.django.queues import BANDS, HIGH, LOW, NORMAL, in_strict_order
from identtqueue.errors import InvalidInput
from identtqueue.retry import RetryPolicy
from identtqueue.transport.settings import RedisSettings
from identtqueue.worker.registry import Job
from identtqueue.worker.settings import HEAVIEST
from identtqueue.worker.worker import Worker

WEIGHTS: Final[Mapping[str, int]] = {HIGH: 100, NORMAL: 10, LOW: 1}
"""Shares of the bands of priorities while all of them have tasks. None starves."""


def make_worker(
    backend: IdenttqueueBackend,
    queues: Sequence[str] = (),
    weights: Mapping[str, int] | None = None,
    **settings: Any,
) -> Worker:
    """Make a worker for the tasks of a project.

    Args:
        backend: the backend that enqueues them.
        queues: Django queues to work on. Default: all `QUEUES` of the backend, or, if it has none,
            those that the tasks name.
        weights: weight by Django queue, for the fair order.
        **settings: other settings of the worker; see `WorkerSettings`.

    Raises:
        InvalidInput: a setting breaks a rule, or the project has no tasks.
    """
    tasks = CATALOGUE.complete()
    if not tasks:
        raise InvalidInput(
            "this project has no tasks: declare them in the module `tasks` of an app in "
            "INSTALLED_APPS, or name their module with --import MODULE"
        )
    names = _names(backend, queues, tasks)
    if settings.get("queue_order") == "strict":
        if weights:
            raise InvalidInput("weights have no meaning in strict order: leave out one of the two")
    else:
        settings["queue_weights"] = _spread(names, weights or {})
    jobs = DjangoJobs(backend, lambda: worker.worker_id)
    worker = Worker(
        [_merciful(jobs.job(task)) for task in tasks.values()],
        RedisSettings.of(backend.settings.redis_address),
        queue_names=in_strict_order(names),
        retry=_lenient(RetryPolicy(max_retries=backend.settings.max_retries)),
        after_task=jobs.finished,
        max_payload_bytes=backend.settings.max_payload_bytes,
        **settings,
    )
    return worker


def _names(
    backend: IdenttqueueBackend, queues: Sequence[str], tasks: Mapping[str, Any]
) -> list[str]:
    known = backend.queues or {task.queue_name for task in tasks.values()}
    if unknown := [queue for queue in queues if queue not in known]:
        raise InvalidInput(
            f"{', '.join(unknown)}: not among the QUEUES of the backend: {', '.join(sorted(known))}"
        )
    return list(dict.fromkeys(queues)) or sorted(known)


def _spread(names: Sequence[str], weights: Mapping[str, int]) -> dict[str, int]:
    """Give each queue in Redis its share: the weight of its Django queue, times that of its band.

    Raises:
        InvalidInput: a weight is too large.
    """
    most = HEAVIEST // max(WEIGHTS.values())
    for queue, weight in weights.items():
        if not 1 <= weight <= most:
            raise InvalidInput(f"the weight of queue {queue!r} is {weight}: must be 1 to {most}")
    return {name + band: weights.get(name, 1) * WEIGHTS[band] for name in names for band in BANDS}


def _merciful(job: Job) -> Job:
    return job if job.retry is None else structs.replace(job, retry=_lenient(job.retry))


def _lenient(policy: RetryPolicy) -> RetryPolicy:
    """Let a policy never retry a task whose return value can't be stored."""
    return structs.replace(policy, give_up_on=(*policy.give_up_on, ResultHasNoJson))
