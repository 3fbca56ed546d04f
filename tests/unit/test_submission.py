"""Submissions: what is stored for a call, and the error for each bad input."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identtqueue.bounds import LONGEST_SECONDS
from identtqueue.errors import (
    InvalidInput,
    InvalidQueueName,
    InvalidTaskId,
    NotSerializable,
    PayloadTooLarge,
)
from identtqueue.protocol import codec
from identtqueue.protocol.call import NewTask
from identtqueue.protocol.submission import (
    BATCH_BYTES,
    BATCH_TASKS,
    Submission,
    in_batches,
    new_task,
    new_tasks,
    submission_of,
)
from identtqueue.task import (
    OPTION_NAMES,
    TaskOptions,
    check_queue_name,
    new_task_id,
    queue_of,
    unique_parts,
)

LIMIT = 1024 * 1024


def submit(**options: Any) -> NewTask:
    return new_task(Submission("mrz", "job", options=TaskOptions(**options)), LIMIT)


# --- what is stored ---


def test_a_plain_call() -> None:
    task = new_task(Submission("mrz", "read", (1,), {"k": 2}), LIMIT)
    assert queue_of(task.task_id) == "mrz"
    assert task.function_name == "read"
    assert task.options == {}
    envelope = codec.decode_task(task.payload)
    assert (envelope.function_name, envelope.args, envelope.kwargs) == ("read", (1,), {"k": 2})
    assert (envelope.timeout_seconds, envelope.max_retries) == (None, None)


def test_what_the_worker_needs_to_know_is_in_the_envelope() -> None:
    envelope = codec.decode_task(submit(timeout_seconds=2.5, max_retries=0).payload)
    assert (envelope.timeout_seconds, envelope.max_retries) == (2.5, 0)


@pytest.mark.parametrize(
    ("options", "wire"),
    [
        ({}, {}),
        ({"delay_seconds": 0}, {}),
        ({"delay_seconds": 1.5}, {"delay": 1_500}),
        ({"delay_seconds": 0.0001}, {"delay": 1}),
        ({"at": datetime(2026, 1, 1, tzinfo=UTC)}, {"at": 1_767_225_600_000}),
        (
            {"at": datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))},
            {"at": 1_767_225_600_000},
        ),
        ({"at": datetime(1900, 1, 1, tzinfo=UTC)}, {"at": 1}),
        ({"expires_seconds": 60}, {"expires": 60_000}),
        ({"result_ttl_seconds": 60}, {"ttl": 60_000}),
        ({"result_ttl_seconds": 3_600}, {}),
        ({"unique_key": "k"}, {"unique": "k", "unique_ttl": 86_400_000}),
        ({"unique_key": "k", "unique_seconds": 1}, {"unique": "k", "unique_ttl": 1_000}),
        ({"unique_seconds": 1}, {}),
        ({"delay_seconds": LONGEST_SECONDS}, {"delay": 3_153_600_000_000}),
    ],
    ids=str,
)
def test_options_in_ms(options: dict[str, Any], wire: dict[str, Any]) -> None:
    assert submit(**options).options == wire


@pytest.mark.parametrize(
    ("given_id", "task_id"),
    [
        ("order-1", "mrz:order-1"),
        ("mrz:order-1", "mrz:order-1"),
        ("mrz:a:b", "mrz:a:b"),
        ("!~{}*", "mrz:!~{}*"),
        ("order:42", "mrz:order:42"),
        ("MRZ:1", "mrz:MRZ:1"),
        ("index/http://a.b/?c=%20#d", "mrz:index/http://a.b/?c=%20#d"),
        (" two words ", "mrz: two words "),
        ("Müller & Söhne 🦉", "mrz:Müller & Söhne 🦉"),
        ("x" * 255, "mrz:" + "x" * 255),
    ],
)
def test_ids_that_callers_give(given_id: str, task_id: str) -> None:
    assert submit(task_id=given_id).task_id == task_id


def test_fresh_ids_are_fresh() -> None:
    assert len({new_task_id("q") for _ in range(1_000)}) == 1_000


@pytest.mark.parametrize("number", [0, 1, 2, 1_001])
def test_fresh_ids_that_are_made_together(number: int) -> None:
    parts = unique_parts(number)
    assert len(set(parts)) == len(parts) == number
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{14}", part) for part in parts)


def test_submissions_that_are_encoded_together() -> None:
    """Check names that repeat once, and all else for each submission."""
    mixed = [
        Submission("a", "one", (1,)),
        Submission("a", "two", (2,), options=TaskOptions(task_id="own", delay_seconds=1)),
        Submission("b", "two", (3,), {"k": 4}),
        Submission("b", "two", (5,)),
    ]
    tasks = new_tasks(mixed, LIMIT)
    assert [queue_of(task.task_id) for task in tasks] == ["a", "a", "b", "b"]
    assert [task.function_name for task in tasks] == ["one", "two", "two", "two"]
    assert [codec.decode_task(task.payload).args for task in tasks] == [(1,), (2,), (3,), (5,)]
    assert [dict(task.options) for task in tasks] == [{}, {"delay": 1000}, {}, {}]
    assert [task.random_id for task in tasks] == [True, False, True, True]
    assert tasks[1].task_id == "a:own"
    for bad in (Submission("A", "one"), Submission("a", ""), Submission("a", "one", (object(),))):
        with pytest.raises(InvalidInput):
            new_tasks([*mixed, bad], LIMIT)


# --- bad input ---

SURROGATE = "caf\udce9"


@pytest.mark.parametrize(
    "queue",
    ["", "MRZ", "a b", "a:b", "{q}", "ü", "x" * 64, "q\n", "q/1", "*", None, 5, b"q", SURROGATE],
    ids=repr,
)
def test_queue_names_that_break_the_rule(queue: Any) -> None:
    with pytest.raises(InvalidQueueName, match="is not valid: use 1 to 63 of a-z, 0-9"):
        new_task(Submission(queue, "job"), LIMIT)


@pytest.mark.parametrize("queue", ["a", "0", "a.b_c-9", "-", ".", "x" * 63])
def test_queue_names_that_keep_it(queue: str) -> None:
    assert check_queue_name(queue) == queue
    assert queue_of(new_task_id(queue)) == queue


@pytest.mark.parametrize("name", ["", "x" * 256, None, 5, b"job", SURROGATE], ids=repr)
def test_function_names(name: Any) -> None:
    with pytest.raises(InvalidInput):
        new_task(Submission("mrz", name), LIMIT)


@pytest.mark.parametrize(
    "task_id",
    [
        "",
        "mrz:",
        "x" * 256,
        "a\nb",
        "a\r",
        "a\tb",
        "a\x7f",
        "a\u2028b",
        "a\0",
        SURROGATE,
        5,
        b"x",
    ],
    ids=repr,
)
def test_ids_that_break_the_rule(task_id: Any) -> None:
    with pytest.raises(InvalidTaskId, match="is not valid: "):
        submit(task_id=task_id)


@pytest.mark.parametrize(
    "task_id", ["", "x", ":x", "Q:x", "q:", "q:a\nb", None, 5, b"q:x"], ids=repr
)
def test_ids_without_a_queue(task_id: Any) -> None:
    with pytest.raises(InvalidTaskId):
        queue_of(task_id)


@given(st.text())
def test_an_id_of_the_callers_own_comes_back_as_it_was(text: str) -> None:
    try:
        task_id = submit(task_id=text).task_id
    except InvalidTaskId:
        return
    assert task_id in {text, f"mrz:{text}"}
    assert submit(task_id=task_id).task_id == task_id


@given(st.text())
def test_any_text_is_an_id_of_some_queue_or_refused(text: str) -> None:
    try:
        queue = queue_of(text)
    except InvalidTaskId:
        return
    assert text.startswith(f"{queue}:")
    assert new_task(Submission(queue, "job", options=TaskOptions(task_id=text)), LIMIT)


DURATIONS = ["timeout_seconds", "expires_seconds", "unique_seconds", "result_ttl_seconds"]
NONSENSE = [-1, math.nan, math.inf, -math.inf, LONGEST_SECONDS * 1.01, 1e300]


@pytest.mark.parametrize("value", [0, *NONSENSE], ids=str)
@pytest.mark.parametrize("name", DURATIONS)
def test_durations_that_make_no_sense(name: str, value: float) -> None:
    with pytest.raises(InvalidInput, match=f"{name}={value}: ".replace("+", r"\+")):
        TaskOptions(**{name: value})


@pytest.mark.parametrize("value", NONSENSE, ids=str)
def test_delays_that_make_no_sense(value: float) -> None:
    with pytest.raises(InvalidInput, match="delay_seconds="):
        TaskOptions(delay_seconds=value)


@pytest.mark.parametrize(
    "options",
    [
        {"delay_seconds": 1, "at": datetime(2030, 1, 1, tzinfo=UTC)},
        {"at": datetime(2030, 1, 1)},  # noqa: DTZ001 - that is the point
        {"at": "2030-01-01"},
        {"at": 1_900_000_000},
        {"max_retries": -1},
        {"max_retries": 1.5},
        {"max_retries": "3"},
        {"max_retries": math.nan},
        {"unique_key": ""},
        {"unique_key": "a\nb"},
        {"unique_key": "x" * 256},
        {"on_existing": "ignore"},
        {"on_existing": None},
        {"on_existing": True},
        {"task_id": 5},
        {"unique_seconds": None},
        {"result_ttl_seconds": None},
        {"max_retries": True},
        {"unique_key": SURROGATE},
        {"unique_key": 5},
        *(
            {name: value}
            for name in ("delay_seconds", *DURATIONS)
            for value in ("5", b"5", [5], True, Decimal(5), timedelta(5))
        ),
    ],
    ids=str,
)
def test_options_that_break_a_rule(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        TaskOptions(**options)


def test_arguments_that_can_not_be_sent() -> None:
    with pytest.raises(NotSerializable):
        new_task(Submission("mrz", "job", (object(),)), LIMIT)
    with pytest.raises(PayloadTooLarge):
        new_task(Submission("mrz", "job", (b"x" * 100,)), 100)


# --- what was passed to `enqueue_job` ---


def test_names_by_position_leave_their_words_to_the_job() -> None:
    """The README passes both by name, and a job may have arguments with these names."""
    for names, kwargs, args, rest in (
        (("q", "f", 1), {"path": "p"}, (1,), {"path": "p"}),
        ((), {"queue_name": "q", "function_name": "f", "path": "p"}, (), {"path": "p"}),
        (("q",), {"function_name": "f", "path": "p"}, (), {"path": "p"}),
        (
            ("q", "f"),
            {"queue_name": 1, "function_name": 2, "name": 3, "timezone": 4},
            (),
            {"queue_name": 1, "function_name": 2, "name": 3, "timezone": 4},
        ),
        (("q",), {"function_name": "f", "queue_name": 1}, (), {"queue_name": 1}),
    ):
        assert submission_of(names, kwargs, None) == Submission("q", "f", args, rest)


@pytest.mark.parametrize(
    ("names", "kwargs"), [((), {}), (("q",), {}), ((), {"function_name": "f"})], ids=str
)
def test_a_name_is_missing(names: tuple[str, ...], kwargs: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=r"enqueue_job: give (queue|function)_name"):
        submission_of(names, kwargs, None)


@pytest.mark.parametrize("name", sorted(OPTION_NAMES))
def test_an_option_of_the_task_is_no_argument_of_its_job(name: str) -> None:
    """Otherwise `enqueue_job("q", "f", delay_seconds=5)` would run at once."""
    hint = rf"{name} is an option of the task.*task_options=TaskOptions\({name}=…\)"
    with pytest.raises(InvalidInput, match=hint):
        submission_of(("q", "f"), {name: 5}, None)
    given = Submission("q", "f", kwargs={name: 5})  # this is how a job gets it nevertheless
    assert codec.decode_task(new_task(given, LIMIT).payload).kwargs == {name: 5}


def test_options_of_another_kind() -> None:
    with pytest.raises(InvalidInput, match="give TaskOptions"):
        new_task(submission_of(("q", "f"), {}, {"delay_seconds": 5}), LIMIT)  # type: ignore[arg-type]


# --- batches ---


def tasks(*sizes: int, queue: str = "q") -> list[tuple[str, NewTask]]:
    return [(queue, NewTask(f"{queue}:{i}", b"x" * size, "job")) for i, size in enumerate(sizes)]


def test_no_tasks_make_no_batch() -> None:
    assert list(in_batches([])) == []


def test_a_batch_is_bounded_in_number() -> None:
    batches = list(in_batches(tasks(*[1] * (2 * BATCH_TASKS + 1))))
    assert [len(positions) for _, positions in batches] == [BATCH_TASKS, BATCH_TASKS, 1]


def test_a_batch_is_bounded_in_size() -> None:
    half = BATCH_BYTES // 2
    batches = list(in_batches(tasks(half, half, 1, BATCH_BYTES, 1)))
    assert [positions for _, positions in batches] == [[0, 1], [2, 3], [4]]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, BATCH_BYTES)), max_size=30))
def test_every_task_is_in_one_batch_of_its_queue_in_order(items: list[tuple[str, int]]) -> None:
    # A view on zeros instead of bytes: the sizes count here, not the content.
    payload = memoryview(bytes(BATCH_BYTES))
    given_ = [
        (queue, NewTask(f"{queue}:{i}", payload[:size], "job"))  # type: ignore[arg-type]
        for i, (queue, size) in enumerate(items)
    ]
    batches = list(in_batches(given_))
    for queue in "abc":
        positions = [p for q, batch in batches if q == queue for p in batch]
        assert positions == [i for i, (q, _) in enumerate(items) if q == queue]
    for _, batch in batches:
        assert batch
        assert sum(items[i][1] for i in batch[:-1]) < BATCH_BYTES
