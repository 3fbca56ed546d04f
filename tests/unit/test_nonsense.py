"""Every setting of users with nonsense values raises InvalidInput at once, with its name."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from identtqueue import (
    App,
    Client,
    Cron,
    InvalidInput,
    Job,
    RateLimit,
    RedisSettings,
    Retry,
    RetryPolicy,
    SyncClient,
    TaskOptions,
    Worker,
)
from identtqueue.admin import Admin
from identtqueue.worker.settings import WorkerSettings

ADDRESS = "redis://nowhere"
NO_NUMBER: list[Any] = ["5", b"5", [5], True, False, math.nan, -1, Decimal(5), timedelta(5), 1e300]
NO_COUNT: list[Any] = [*NO_NUMBER, 0, 1.5, None]
NO_DURATION: list[Any] = [*NO_NUMBER, 0, math.inf]
NO_TEXT: list[Any] = [5, b"x", ["x"], True]
NOTHING: list[Any] = [None]


async def job(ctx): ...


def task(**settings: Any) -> object:
    return App(ADDRESS).task(**settings)(job)


def worker(**settings: Any) -> object:
    return Worker({"job": job}, ADDRESS, "q", **settings)


def cron(**settings: Any) -> object:
    given = {"name": "n", "function_name": "job", "expression": "* * * * *"}
    return Cron(**given | settings)


def app_cron(**settings: Any) -> object:
    app = App(ADDRESS)
    return app.cron("* * * * *", app.task(job), **settings)


def job_with(**settings: Any) -> object:
    return Job(**{"name": "job", "function": job} | settings)


def rate(**settings: Any) -> object:
    return RateLimit(**{"count": 1, "per_seconds": 1} | settings)


def client(kind: Callable[..., Any]) -> Callable[..., Any]:
    return lambda **settings: kind(ADDRESS, **settings)


SETTINGS: dict[Callable[..., Any], dict[str, list[Any]]] = {
    TaskOptions: {
        "delay_seconds": [*NO_NUMBER, math.inf],
        "timeout_seconds": NO_DURATION,
        "expires_seconds": NO_DURATION,
        "unique_seconds": NO_DURATION + NOTHING,
        "result_ttl_seconds": NO_DURATION + NOTHING,
        "max_retries": [*NO_NUMBER, 1.5, math.inf],
        "at": [*NO_TEXT, "2030-01-01"],
        "task_id": NO_TEXT,
        "unique_key": ["", *NO_TEXT],
        "on_existing": ["no", *NO_TEXT, *NOTHING],
    },
    task: {
        "timeout_seconds": NO_DURATION,
        "max_retries": [*NO_NUMBER, 1.5],
        "retry": [5, True, "3", RetryPolicy],
        "run_in": ["fast", *NO_TEXT],
        "max_running": [n for n in NO_COUNT if n is not None],
        "rate_limit": [5, "100/60", (100, 60)],
        "queue": ["", "No Name", *NO_TEXT],
        "name": ["", "x" * 256, "\ud800", *NO_TEXT],
    },
    job_with: {
        "name": ["", *NO_TEXT, *NOTHING],
        "timeout_seconds": NO_DURATION,
        "retry": [5, True, "3"],
        "max_running": [n for n in NO_COUNT if n is not None],
        "rate_limit": [5, "100/60"],
    },
    worker: {
        "concurrency": NO_COUNT,
        "timeout_seconds": NO_DURATION,
        "max_retries": [*NO_NUMBER, 1.5],
        "max_deliveries": NO_COUNT,
        "lease_seconds": [*NO_NUMBER, 0, 4.9, math.inf, None],
        "grace_seconds": [*NO_NUMBER, math.inf, None],
        "http_port": [*NO_NUMBER, 1.5, 65_536],
        "max_payload_bytes": NO_COUNT,
        "metrics_buckets": [5, "1,2", [], [2, 1], [1, 1], [0], [math.inf], [True], ["1"], None],
        "recent_ends": [*NO_NUMBER, 1.5, 1_000_001, None],
        "recent_ends_seconds": [*NO_DURATION, None],
        "keep_arguments": [1, None, "yes"],
        "redact": ["password", 5, [5], {"a": 1}],
        "max_tasks_per_process": [n for n in NO_COUNT if n is not None],
        "max_abandoned_threads": [n for n in NO_COUNT if n is not None],
        "unrunnable_seconds": [*NO_NUMBER, math.inf, None],
        "max_loop_block_seconds": [*NO_NUMBER, 0, 0.9, math.inf, None],
        "queue_weights": [5, ["q"], "q:3", {"q": True}, {"q": 1.5}, {"q": None}, {"r": 1}, None],
        "queue_order": ["other", True, None],
        "cron": [5, ["* * * * *"], cron()],
        "on_startup": [5, ["x"]],
    },
    lambda **settings: Worker({"job": job}, ADDRESS, **settings): {
        "queue_names": [5, "q", [], [5], [None], ["q", "q"]],
        "queue_name": ["", 5, "No Name"],
    },
    lambda **settings: WorkerSettings(**{"queues": ("q",)} | settings): {
        "retry": [5, None, RetryPolicy],
        "cron": [(5,), ("* * * * *",)],
    },
    RetryPolicy: {
        "max_retries": [*NO_NUMBER, 1.5, math.inf, None],
        "first_delay_seconds": [*NO_DURATION, None, 301],
        "max_delay_seconds": [*NO_DURATION, None, 0.5],
        "floor_fraction": [*NO_NUMBER, 1.1, None],
        "retry_on": [ValueError, "ValueError", (5,), None],
        "give_up_on": [ValueError, "ValueError", (5,), None],
    },
    rate: {"count": NO_COUNT, "per_seconds": [*NO_DURATION, None], "burst": NO_COUNT[:-1]},
    cron: {
        "name": ["", "No Name", *NO_TEXT, *NOTHING],
        "function_name": ["", *NO_TEXT, *NOTHING],
        "expression": ["every day", "", *NO_TEXT, *NOTHING],
        "timezone": ["Mars/Olympus", "", *NO_TEXT, *NOTHING],
        "queue": ["", "No Name", 5],
        "args": [5, None, {"a": 1}],
        "kwargs": [5, None, ["a"]],
    },
    app_cron: {"name": ["", "No Name", 5], "timezone": ["Mars/Olympus", 5, None]},
    lambda **settings: App(ADDRESS, **settings): {
        "default_queue": ["", "No Name", 5, None],
        "retry_for_seconds": [*NO_NUMBER, None],
        "max_payload_bytes": NO_COUNT,
        "on_startup": [5, "x"],
        "keep_arguments": [1, None, "yes"],
        "redact": ["password", 5, [5], {"a": 1}],
    },
    App: {"redis_address": [5, b"redis://x", "ftp://x", ["redis://x"], True]},
    client(Client): {"retry_for_seconds": [*NO_NUMBER, None], "max_payload_bytes": NO_COUNT},
    client(SyncClient): {"retry_for_seconds": [*NO_NUMBER, None], "max_payload_bytes": NO_COUNT},
    client(Admin): {"retry_for_seconds": [*NO_NUMBER, None]},
    RedisSettings: {
        "address": [5, b"redis://x", "ftp://x", None],
        "connect_timeout_seconds": [*NO_DURATION, None],
        "response_timeout_seconds": [*NO_DURATION, None],
        "username": NO_TEXT,
        "password": NO_TEXT,
        "password_file": NO_TEXT,
        "tls_ca_file": NO_TEXT,
    },
    lambda **settings: Retry("later", **settings): {"after_seconds": [*NO_NUMBER, math.inf]},
}


def every() -> Iterator[Any]:
    for make, fields in SETTINGS.items():
        name = getattr(make, "__name__", "")
        for field, values in fields.items():
            for value in values:
                yield pytest.param(make, field, value, id=f"{name}-{field}={value!r:.20}")


@pytest.mark.parametrize(("make", "field", "value"), list(every()))
def test_a_nonsense_setting_is_refused(make: Callable[..., Any], field: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        make(**{field: value})
    if "password" in field:
        assert repr(value) not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        (TaskOptions, TaskOptions),
        (Job, job_with),
        (WorkerSettings, worker),
        (RetryPolicy, RetryPolicy),
        (RateLimit, rate),
        (RedisSettings, RedisSettings),
    ],
)
def test_every_number_among_the_settings_is_in_the_table(
    kind: type, make: Callable[..., Any]
) -> None:
    """So that no new one accepts True, a negative number or text."""
    annotations = {k: v for each in kind.__mro__ for k, v in inspect.get_annotations(each).items()}
    numbers = {k for k, v in annotations.items() if re.search(r"\b(int|float)\b", str(v))}
    assert numbers
    assert numbers - SETTINGS[make].keys() == set()


def test_an_unknown_setting_is_an_error_at_once() -> None:
    for make in (task, worker, TaskOptions, lambda **kw: App(ADDRESS, **kw)):
        with pytest.raises(TypeError, match="nonsense"):
            make(nonsense=1)
