"""Django's tasks framework on the backend: a real Redis, and a worker beside the test."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.core import checks, mail
from django.core.management import CommandError, call_command
from django.db import transaction
from django.db.backends.signals import connection_created
from django.dispatch import Signal
from django.test import override_settings
from django.utils import timezone

from frameworks.project import using_tasks, worker_in_a_thread
from frameworks.shop import tasks
from frameworks.shop.framework import (
    InvalidTask,
    TaskResultDoesNotExist,
    TaskResultMismatch,
    TaskResultStatus,
    default_task_backend,
    task,
    task_backends,
    task_enqueued,
    task_finished,
    task_started,
)
from frameworks.shop.models import Thing
from identtqueue import RetryPolicy
from identtqueue.cli import main
from identtqueue.django import IdenttqueueBackend, job_options
from identtqueue.django.management.commands.identtqueue_worker import Command
from identtqueue.django.results import moment
from identtqueue.django.worker import make_worker
from identtqueue.errors import InvalidInput, TaskCancelled
from testing.redis_server import RedisServer
from testing.waiting import eventually, wait_until

MAIL = {"emails": ["user@example.com"], "subject": "You have a message", "message": "Hello there!"}


def ended(result: Any) -> Any:
    """Refresh the result until its task has ended."""

    def look() -> bool:
        result.refresh()
        return result.is_finished

    wait_until(f"{result.id} has ended", look, every=0.01)
    return result


pytestmark = pytest.mark.usefixtures("shop", "shop_worker")


# --- what Django's documentation shows ----------------------------------------------------------


@pytest.mark.parametrize(
    "of_the_page",
    [tasks.send_to_users, tasks.email_users, tasks.email_users_with_context],
    ids=lambda each: each.name,
)
def test_enqueueing_as_documented(of_the_page: Any) -> None:
    mail.outbox = []
    result = of_the_page.enqueue(**MAIL)
    assert result.status == TaskResultStatus.READY
    with pytest.raises(ValueError, match="has not finished yet"):
        _ = result.return_value
    assert ended(result).status == TaskResultStatus.SUCCESSFUL
    assert result.return_value == 1
    assert [message.subject for message in mail.outbox] == ["You have a message"]


def test_modifying_as_documented() -> None:
    assert tasks.email_users.priority == 2
    assert tasks.email_users.using(priority=10).priority == 10
    assert ended(tasks.email_users.using(priority=10).enqueue(**MAIL)).return_value == 1


def test_what_is_no_json_is_refused_as_documented() -> None:
    with pytest.raises(TypeError, match="datetime"):
        tasks.process_data.enqueue(datetime.now(UTC))


def test_a_tuple_becomes_a_list_as_documented() -> None:
    result = ended(tasks.double_dictionary.enqueue((1, 2, 3)))
    assert result.status == TaskResultStatus.FAILED
    (error,) = result.errors
    assert "TypeError: unhashable type: 'list'" in error.traceback
    assert error.exception_class is TypeError


@pytest.mark.parametrize("binding", ["partial", "option"])
def test_a_transaction_as_documented(binding: str, shop_redis: RedisServer) -> None:
    num = {"partial": 101, "option": 102}[binding]
    with using_tasks(shop_redis.address, enqueue_on_commit=binding == "option"):
        found: list[Any] = []
        with transaction.atomic():
            Thing.objects.create(num=num)
            if binding == "option":
                found.append(tasks.my_task.enqueue(thing_num=num))
                assert found[0].enqueued_at is None
                with pytest.raises(TaskResultDoesNotExist):
                    found[0].refresh()
            else:
                enqueue = partial(tasks.my_task.enqueue, thing_num=num)
                transaction.on_commit(lambda: found.append(enqueue()))
                assert not found
        assert ended(found[0]).return_value == num
        assert found[0].enqueued_at is not None


def test_what_is_rolled_back_is_not_enqueued(shop_redis: RedisServer) -> None:
    with using_tasks(shop_redis.address, enqueue_on_commit=True):
        with transaction.atomic():
            result = tasks.add.enqueue(1)
            transaction.set_rollback(True)
        with pytest.raises(TaskResultDoesNotExist):
            result.refresh()


async def test_the_option_in_async_code(shop_redis: RedisServer) -> None:
    with using_tasks(shop_redis.address, enqueue_on_commit=True):
        result = await tasks.add.aenqueue(1)
        assert (await tasks.add.aget_result(result.id)).id == result.id


def test_results_as_documented() -> None:
    result = tasks.calculate_meaning_of_life.enqueue()
    ended(result)
    for found in (
        tasks.calculate_meaning_of_life.get_result(result.id),
        default_task_backend.get_result(result.id),
    ):
        assert (found.id, found.return_value, found.task) == (result.id, 42, result.task)
    with pytest.raises(TaskResultMismatch):
        tasks.add.get_result(result.id)
    with pytest.raises(ValueError, match="Task failed"):
        _ = ended(tasks.fails.enqueue("x")).return_value


# --- enqueueing ---------------------------------------------------------------------------------


async def test_async_code_enqueues_and_reads() -> None:
    for each in (tasks.add, tasks.add_in_the_loop):
        result = await each.aenqueue(2, b=3)

        async def look(result: Any = result) -> bool:
            await result.arefresh()
            return bool(result.is_finished)

        await eventually(look)
        assert result.return_value == 5
        assert (await each.aget_result(result.id)).return_value == 5


def test_a_delayed_task_does_not_start_early() -> None:
    start = timezone.now() + timedelta(seconds=0.3)
    result = tasks.add.using(run_after=start).enqueue(1)
    assert result.status == TaskResultStatus.READY
    assert ended(result).started_at >= start - timedelta(milliseconds=1)


def test_any_name_of_an_argument_reaches_the_task() -> None:
    kwargs = {"context": 1, "task_id": 2, "queue_name": 3, "args": 4, "at": 5}
    assert ended(tasks.names_things.enqueue(1, **kwargs)).return_value == [[1], kwargs]


def test_wrong_arguments_are_refused_at_the_caller() -> None:
    with pytest.raises(InvalidInput, match=r"shop\.tasks\.add: missing a required argument: 'a'"):
        tasks.add.enqueue()
    with pytest.raises(InvalidInput, match="unexpected keyword argument 'c'"):
        tasks.add.enqueue(1, c=2)


def test_a_task_of_another_backend_can_come_here() -> None:
    assert ended(tasks.elsewhere.using(backend="default").enqueue(7)).return_value == 7


def test_a_task_that_can_not_run_here_is_refused_when_it_is_declared() -> None:
    def nested() -> None: ...

    with pytest.raises(InvalidTask, match="module level"):
        task(nested)
    with pytest.raises(InvalidTask, match="not valid for backend"):
        tasks.add.using(queue_name="unknown")
    with (
        override_settings(TASKS={"default": {"BACKEND": BACKEND, "QUEUES": []}}),
        pytest.raises(InvalidTask, match="queue name 'No Name' is not valid"),
    ):
        tasks.add.using(queue_name="No Name")


def test_threads_and_contexts_share_one_client() -> None:
    found = []
    for _ in range(2):
        asked = threading.Thread(target=lambda: found.append(task_backends["default"].client))
        asked.start()
        asked.join()
    assert found[0] is found[1] is task_backends["default"].client


# --- results ------------------------------------------------------------------------------------


def test_the_whole_of_a_result() -> None:
    before = timezone.now() - timedelta(seconds=1)
    result = tasks.add.enqueue(1, b=2)
    assert (result.args, result.kwargs, result.attempts, result.backend) == (
        [1],
        {"b": 2},
        0,
        "default",
    )
    ended(result)
    assert before < result.enqueued_at <= result.started_at <= result.finished_at
    assert result.last_attempted_at == result.started_at
    assert (result.attempts, len(result.worker_ids), result.errors) == (1, 1, [])
    found = default_task_backend.get_result(result.id)
    assert (found.args, found.kwargs) == ([], {}), "Redis keeps them until a task has succeeded"


def test_a_failure_has_class_and_traceback() -> None:
    result = ended(tasks.fails.enqueue("why"))
    (error,) = result.errors
    assert (error.exception_class_path, error.exception_class) == (
        "builtins.LookupError",
        LookupError,
    )
    assert error.traceback.startswith("Traceback")
    assert "in fails" in error.traceback.splitlines()[1], "the first frame is the task's own"
    assert error.traceback.endswith("LookupError: why\n")
    found = default_task_backend.get_result(result.id)
    assert (found.args, found.attempts) == (["why"], 1)


def test_a_task_is_retried_as_its_job_options_say() -> None:
    tasks.seen.clear()
    result = ended(tasks.fails_once.enqueue("once"))
    assert (result.return_value, result.attempts) == ("once", 2)


def test_a_return_value_without_json_fails_and_is_not_made_again(shop_redis: RedisServer) -> None:
    tasks.seen.clear()
    result = ended(tasks.returns_a_set.enqueue())
    assert issubclass(result.errors[0].exception_class, TypeError)
    assert tasks.seen == ["a set"]


def test_a_cancelled_task_has_failed(shop_redis: RedisServer) -> None:
    start = timezone.now() + timedelta(hours=1)
    result = tasks.add.using(run_after=start).enqueue(1)
    task_backends["default"].client.cancel(result.id)
    assert ended(result).status == TaskResultStatus.FAILED
    assert result.errors[0].exception_class is TaskCancelled


@pytest.mark.parametrize("result_id", ["default:never", "no-id", "", "default:" + "x" * 300])
def test_an_unknown_id_is_no_result(result_id: str) -> None:
    with pytest.raises(TaskResultDoesNotExist):
        default_task_backend.get_result(result_id)


def test_a_task_of_another_project_is_no_result() -> None:
    task_id = task_backends["default"].client.enqueue_job("emails.low", "elsewhere.tasks.other")
    with pytest.raises(TaskResultDoesNotExist, match=r"elsewhere\.tasks\.other"):
        default_task_backend.get_result(task_id)
    task_backends["default"].client.cancel(task_id)


def test_the_context_tells_of_the_attempt() -> None:
    result = ended(tasks.tells_context.using(queue_name="emails", priority=-3).enqueue())
    told = result.return_value
    assert (told["id"], told["attempt"], told["status"]) == (result.id, 1, "RUNNING")
    assert (told["queue"], told["workers"]) == ("emails", result.worker_ids)
    assert told["token"] > 0
    assert task_backends["default"].client.get_progress(result.id) == "half way"


def test_times_are_naive_without_time_zones() -> None:
    assert moment(1_000_000_000_000) == datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)
    with override_settings(USE_TZ=False):
        assert moment(1_000_000_000_000) == datetime(2001, 9, 9, 3, 46, 40)  # noqa: DTZ001
    assert moment(None) is None


# --- the worker ---------------------------------------------------------------------------------


@contextmanager
def hearing(signal: Signal) -> Iterator[list[Any]]:
    """Collect what a signal sends."""
    heard: list[Any] = []

    def receive(sender: Any, task_result: Any, **_: Any) -> None:
        assert sender is IdenttqueueBackend
        heard.append((task_result.id, task_result.status, task_result.attempts))
        Thing.objects.count()  # a receiver may use the database

    signal.connect(receive)
    try:
        yield heard
    finally:
        signal.disconnect(receive)


@pytest.mark.parametrize(
    ("each", "args", "end"),
    [
        (tasks.add, (1,), TaskResultStatus.SUCCESSFUL),
        (tasks.add_in_the_loop, (1,), TaskResultStatus.SUCCESSFUL),
        (tasks.fails, ("x",), TaskResultStatus.FAILED),
    ],
    ids=lambda each: getattr(each, "name", ""),
)
def test_signals(each: Any, args: Any, end: Any) -> None:
    with (
        hearing(task_enqueued) as enqueued,
        hearing(task_started) as started,
        hearing(task_finished) as finished,
    ):
        result = ended(each.enqueue(*args))
    assert enqueued == [(result.id, TaskResultStatus.READY, 0)]
    assert started == [(result.id, TaskResultStatus.RUNNING, 1)]
    assert finished == [(result.id, end, 1)]


def test_only_the_last_attempt_finishes_a_task() -> None:
    tasks.seen.clear()
    with hearing(task_started) as started, hearing(task_finished) as finished:
        result = ended(tasks.fails_once.enqueue("signals"))
    assert [attempt for _, _, attempt in started] == [1, 2]
    assert finished == [(result.id, TaskResultStatus.SUCCESSFUL, 2)]


@pytest.mark.parametrize(
    "each", [tasks.uses_the_database, tasks.uses_the_database_in_the_loop], ids=lambda e: e.name
)
def test_each_task_gets_a_connection_that_is_not_old(each: Any) -> None:
    opened: list[int] = []

    def note(**_: Any) -> None:
        opened.append(threading.get_ident())

    connection_created.connect(note)
    try:
        results = [ended(each.enqueue(300 + n)) for n in range(3)]
    finally:
        connection_created.disconnect(note)
    assert [r.status for r in results] == [TaskResultStatus.SUCCESSFUL] * 3
    assert len(opened) == 3, "CONN_MAX_AGE is 0, so each task has closed its connection"


def test_a_high_priority_comes_first(new_redis_server: Any) -> None:
    server = new_redis_server()
    order: list[str] = []

    def note(task_result: Any, **_: Any) -> None:
        order.append(task_result.args[0])

    task_started.connect(note)
    try:
        with using_tasks(server.address):
            for name in ("first", "second", "third"):
                last = tasks.process_data.enqueue(name)
            tasks.process_data.using(priority=-1).enqueue("low")
            tasks.process_data.using(priority=1).enqueue("high")
            make = partial(make_worker, task_backends["default"], concurrency=1)
            made = make(queue_order="strict")
            with worker_in_a_thread(lambda: made):
                ended(last)
                wait_until("all have started", lambda: len(order) == 5)
    finally:
        task_started.disconnect(note)
    assert order == ["high", "first", "second", "third", "low"]


def test_the_bands_of_priorities_share_a_worker_by_weight() -> None:
    made = make_worker(task_backends["default"], ["emails", "default"], {"emails": 3})
    assert made.settings.queue_weights == {
        "emails.high": 300,
        "emails": 30,
        "emails.low": 3,
        "default.high": 100,
        "default": 10,
        "default.low": 1,
    }


def test_options_that_a_worker_can_not_have() -> None:
    backend = task_backends["default"]
    with pytest.raises(InvalidInput, match="no-queue: not among the QUEUES"):
        make_worker(backend, ["no-queue"])
    with pytest.raises(InvalidInput, match="must be 1 to 10"):
        make_worker(backend, ["emails"], {"emails": 11})
    with pytest.raises(InvalidInput, match="no meaning in strict order"):
        make_worker(backend, ["emails"], {"emails": 2}, queue_order="strict")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"backend": "no"}, "The connection 'no' doesn't exist"),
        ({"backend": "here"}, "has the backend ImmediateBackend, which needs another"),
        ({"queue": ["no-queue"]}, "no-queue: not among the QUEUES of the backend: default, emails"),
        ({"concurrency": "many"}, "'many' is not a valid integer"),
        ({"lease_seconds": 1}, "lease_seconds=1"),
        ({"keep_arguments": "yes"}, "ignored explicit argument 'yes'"),
    ],
)
def test_a_wrong_option_of_the_command_is_named(options: Any, why: str) -> None:
    words = [
        f"--{name.replace('_', '-')}={each}"
        for name, value in options.items()
        for each in (value if isinstance(value, list) else [value])
    ]
    with pytest.raises(CommandError, match=re.escape(why)):
        call_command("identtqueue_worker", *words)


def test_the_command_has_the_options_of_the_other_one() -> None:
    parser = Command().create_parser("manage.py", "identtqueue_worker")
    said = " ".join(parser.format_help().split())
    for option in main.commands["worker"].params:
        if option.param_type_name == "option":
            assert option.opts[0] in said
            assert not option.envvar or f"Environment variable: {option.envvar}." in said
            assert "Sentinel" not in said, "an option without a default has none"


def test_job_options_are_checked() -> None:
    for wrong in (
        {"max_retries": -1},
        {"timeout_seconds": 0},
        {"run_in": "process"},
        {"max_retries": 1, "retry": RetryPolicy()},
    ):
        with pytest.raises(InvalidInput):
            job_options(**wrong)
    with pytest.raises(InvalidInput, match="put it below @task"):
        job_options(max_retries=1)(tasks.add)


# --- manage.py check ----------------------------------------------------------------------------

BACKEND = "identtqueue.django.IdenttqueueBackend"


def checked(**params: Any) -> list[tuple[type, str]]:
    """Return what `manage.py check` says about a backend."""
    with override_settings(TASKS={"default": {"BACKEND": BACKEND} | params}):
        return [(type(said), said.msg) for said in task_backends["default"].check()]


def test_a_good_setting_has_no_problem() -> None:
    options = {"redis_address": "redis://redis", "max_retries": 3, "result_ttl_seconds": 60}
    assert checked(OPTIONS=options, QUEUES=["a", "b"]) == []


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (
            {"OPTIONS": {"redis_adress": "x"}},
            "has no 'redis_adress'; it has: redis_address",
        ),
        ({"OPTIONS": {"redis_address": "http://x"}}, "redis_address 'http://x'"),
        ({"OPTIONS": {"retry_for_seconds": -1}}, "retry_for_seconds=-1"),
        ({"OPTIONS": {"result_ttl_seconds": 0}}, "result_ttl_seconds=0"),
        ({"OPTIONS": {"enqueue_on_commit": "yes"}}, "enqueue_on_commit='yes'"),
        ({"QUEUES": ["No Name"]}, "queue name 'No Name' is not valid"),
        ({"QUEUES": ["mail.high"]}, "names that end in '.high'"),
    ],
)
def test_a_wrong_setting_is_named(params: Any, words: str) -> None:
    ((kind, text),) = checked(**params)
    assert kind is checks.Error
    assert "TASKS['default']" in text
    assert words in text


def test_a_project_without_the_app_is_warned() -> None:
    with override_settings(INSTALLED_APPS=["frameworks.shop"]):
        assert [kind for kind, _ in checked()] == [checks.Warning]


async def test_a_receiver_may_be_async() -> None:
    heard: list[str] = []

    async def receive(sender: Any, task_result: Any, **_: Any) -> None:
        heard.append(task_result.id)

    for signal in (task_enqueued, task_started, task_finished):
        signal.connect(receive)
    try:
        await tasks.add_in_the_loop.aenqueue(1)
        await eventually(lambda: len(heard) == 3)
    finally:
        for signal in (task_enqueued, task_started, task_finished):
            signal.disconnect(receive)
