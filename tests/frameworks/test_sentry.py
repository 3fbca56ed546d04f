"""Sentry's real SDK, with a transport that keeps the events instead of sending them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from identtqueue import App, Client, Context, InvalidInput, Retry, RetryPolicy
from identtqueue.sentry import IdenttqueueIntegration
from identtqueue.worker.observers import OBSERVERS
from testing import process_jobs
from testing.patches import undone
from testing.redis_server import RedisServer
from testing.serving import Serve, serve, serving

__all__ = ["serve"]

SECRET = "4711-secret"


class Kept(Transport):
    """Keeps the events."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        event = envelope.get_event()
        if event is not None:
            self.events.append(event)


@pytest.fixture(scope="module", autouse=True)
def the_rest_of_the_process_is_left_alone() -> Iterator[None]:
    with undone("sentry_sdk"):
        yield


@pytest.fixture
def kept(request: pytest.FixtureRequest) -> Iterator[Kept]:
    """Initialise the SDK for one test."""
    transport = Kept()
    options = getattr(request, "param", {})
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1",
        transport=transport,
        integrations=[IdenttqueueIntegration(**options.pop("integration", {}))],
        **options,
    )
    yield transport
    sentry_sdk.get_client().close(timeout=0)
    sentry_sdk.get_global_scope().set_client(None)


def helper(text: str) -> None:
    raise LookupError(f"no {text}")


async def in_the_loop(_ctx: Context, what: str) -> None:
    logging.getLogger("job").warning("a breadcrumb")
    helper("luck")


def in_a_thread(_ctx: Context, what: str) -> None:
    logging.getLogger("job").warning("a breadcrumb")
    helper("luck")


async def ended(client: Client, queue: str, job: str, *args: Any) -> str:
    task_id = await client.enqueue_job(queue, job, *args)
    await client.wait(task_id, 60)
    return task_id


@pytest.mark.parametrize("job", [in_the_loop, in_a_thread], ids=lambda job: job.__name__)
async def test_a_failed_attempt_is_one_event(
    client: Client, serve: Serve, queue: str, kept: Kept, job: Any
) -> None:
    await serve({"job": job})
    task_id = await ended(client, queue, "job", SECRET)
    (event,) = kept.events
    (error,) = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("LookupError", "no luck")
    assert error["mechanism"] == {"type": "identtqueue", "handled": False}
    assert [f["function"] for f in error["stacktrace"]["frames"]][-2:] == [job.__name__, "helper"]
    assert (event["level"], event["transaction"]) == ("error", "job")
    tags = {"task_id": task_id, "job": "job", "queue": queue, "attempt": "1"}
    assert event["tags"].items() >= tags.items()
    about = event["contexts"]["identtqueue"]
    assert (about["task_id"], about["attempt"], about["outcome"]) == (task_id, 1, "failed")
    assert SECRET not in str(event)
    assert [b["message"] for b in event["breadcrumbs"]["values"]] == ["a breadcrumb"]


@pytest.mark.slow
async def test_an_error_in_a_process_has_frames_too(
    client: Client, redis_server: RedisServer, queue: str, kept: Kept
) -> None:
    async with serving(process_jobs.app.worker([queue], redis_address=redis_server.address)):
        await ended(client, queue, "raises", "key")
    (event,) = kept.events
    (error,) = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("KeyError", "'key'")
    frame = error["stacktrace"]["frames"][-1]
    assert frame["filename"].endswith("process_jobs.py")
    assert (frame["function"], frame["in_app"]) == ("raises", True)
    assert event["tags"]["job"] == "raises"


@pytest.mark.filterwarnings("ignore:The send_default_pii option:DeprecationWarning")
@pytest.mark.parametrize(
    "kept", [{"send_default_pii": True}, {"data_collection": {"queues": True}}], indirect=True
)
async def test_arguments_are_sent_if_that_is_allowed(
    client: Client, serve: Serve, queue: str, kept: Kept
) -> None:
    await serve({"job": in_the_loop})
    await ended(client, queue, "job", SECRET)
    (event,) = kept.events
    assert event["contexts"]["arguments"]["args"] == [SECRET]
    frame = event["exception"]["values"][0]["stacktrace"]["frames"][-2]
    assert SECRET in frame["vars"]["what"]


@pytest.mark.parametrize("kept", [{"data_collection": {"queues": False}}], indirect=True)
async def test_arguments_are_not_sent_if_that_is_not_allowed(
    client: Client, serve: Serve, queue: str, kept: Kept
) -> None:
    await serve({"job": in_the_loop})
    await ended(client, queue, "job", SECRET)
    assert len(kept.events) == 1
    assert SECRET not in str(kept.events)


@pytest.mark.parametrize(
    ("kept", "levels"),
    [
        ({}, ["warning", "error"]),
        ({"integration": {"retried_level": "info"}}, ["info", "error"]),
        ({"integration": {"retried_level": None}}, ["error"]),
    ],
    indirect=["kept"],
)
async def test_a_retried_attempt_has_the_level_that_is_set(
    client: Client, serve: Serve, queue: str, kept: Kept, levels: list[str]
) -> None:
    await serve({"job": in_a_thread}, retry=RetryPolicy(max_retries=1, first_delay_seconds=0.01))
    await ended(client, queue, "job", SECRET)
    assert [event["level"] for event in kept.events] == levels
    assert kept.events[-1]["tags"]["attempt"] == "2"


async def test_what_is_no_failure_is_no_event(
    client: Client, serve: Serve, queue: str, kept: Kept
) -> None:
    """A retry that the job asks for, a cancellation, a task that is left to another worker."""
    started = asyncio.Event()

    async def again(ctx: Context) -> None:
        if ctx.attempt == 1:
            raise Retry(after_seconds=0.01)

    async def waits(_ctx: Context) -> None:
        started.set()
        await asyncio.Event().wait()

    await serve({"again": again, "waits": waits}, max_retries=1, grace_seconds=0)
    await ended(client, queue, "again")
    task_id = await client.enqueue_job(queue, "waits")
    await started.wait()
    await client.cancel(task_id)
    await client.wait(task_id, 30)
    assert kept.events == []


@pytest.mark.parametrize(
    ("job", "args", "options", "kind"),
    [
        ("unknown", (), {"unrunnable_seconds": 0}, "UnknownJob"),
        ("late", (), {"timeout_seconds": 0.05}, "TimedOut"),
        ("returns", (), {}, "NotSerializable"),
    ],
)
async def test_each_way_to_fail_is_an_event(
    client: Client,
    serve: Serve,
    queue: str,
    kept: Kept,
    job: str,
    args: Any,
    options: Any,
    kind: str,
) -> None:
    async def late(_ctx: Context) -> None:
        await asyncio.sleep(30)

    async def returns(_ctx: Context) -> object:
        return object()

    await serve({"late": late, "returns": returns}, **options)
    task_id = await ended(client, queue, job)
    (event,) = kept.events
    assert event["exception"]["values"][-1]["type"] == kind
    assert event["tags"]["task_id"] == task_id


async def test_attempts_at_the_same_time_do_not_share_a_scope(
    client: Client, serve: Serve, queue: str, kept: Kept
) -> None:
    both = asyncio.Barrier(2)

    async def speaks(_ctx: Context, name: str) -> None:
        sentry_sdk.set_tag("name", name)
        sentry_sdk.add_breadcrumb(message=name)
        await both.wait()
        sentry_sdk.capture_message(f"hello {name}")

    await serve({"speaks": speaks}, concurrency=2)
    ids = {name: await client.enqueue_job(queue, "speaks", name) for name in ("ada", "bob")}
    for task_id in ids.values():
        await client.wait_for_result(task_id, 30)
    assert len(kept.events) == 2
    for event in kept.events:
        name = event["message"].removeprefix("hello ")
        assert (event["tags"]["name"], event["tags"]["task_id"]) == (name, ids[name])
        assert [b["message"] for b in event["breadcrumbs"]["values"]] == [name]


async def test_an_observer_that_fails_harms_no_attempt(
    client: Client, serve: Serve, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def around(self, fields: dict[str, Any]) -> Any:
            raise RuntimeError("around")

        def failed(self, *_: Any) -> None:
            raise RuntimeError("failed")

    OBSERVERS.append(Broken())
    try:
        await serve({"job": in_the_loop})
        task_id = await ended(client, queue, "job", SECRET)
        assert (await client.get_task(task_id)).failure.type == "LookupError"
    finally:
        OBSERVERS.pop()
    assert caplog.text.count("an observer failed") == 2


async def test_typed_jobs_are_observed_as_well(
    redis_server: RedisServer, queue: str, kept: Kept
) -> None:
    app = App(redis_server.address, default_queue=queue)

    @app.task
    async def typed(_ctx: Context, number: int) -> int:
        return 1 // number

    async with app, serving(app.worker()):
        task = await typed.enqueue(0)
        await app.client.wait(task.task_id, 30)
    assert [event["exception"]["values"][0]["type"] for event in kept.events] == [
        "ZeroDivisionError"
    ]


def test_a_wrong_level_is_refused() -> None:
    with pytest.raises(InvalidInput, match="retried_level='loud'"):
        IdenttqueueIntegration(retried_level="loud")  # type: ignore[arg-type]
