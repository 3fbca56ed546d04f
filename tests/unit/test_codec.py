"""The wire format."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identtqueue.errors import InvalidInput, NotSerializable, PayloadTooLarge, PayloadUndecodable
from identtqueue.protocol import codec
from identtqueue.protocol.conversion import Conversion
from identtqueue.task import Failure, Task

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | TEXT
    | st.binary()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
SURROGATE = "caf\udce9"
"""A lone surrogate, as `os.fsdecode` returns for a file name that is not UTF-8. UTF-8 has no form
for it."""


# --- round trips ---


@pytest.mark.slow
@given(st.lists(VALUES, max_size=4), st.dictionaries(TEXT, VALUES, max_size=4), TEXT)
def test_a_task_comes_back_as_it_was(args: list[Any], kwargs: dict[str, Any], name: str) -> None:
    task = Task(name, tuple(args), kwargs, timeout_seconds=1.5, max_retries=3)
    assert codec.decode_task(codec.encode_task(task)) == task


def test_options_that_a_task_does_not_set_stay_unset() -> None:
    assert codec.decode_task(codec.encode_task(Task("job"))) == Task("job", (), {}, None, None)


@given(VALUES)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    assert codec.decode_value(codec.encode_value(value)) == value


@given(TEXT, TEXT, TEXT)
def test_a_failure_comes_back_as_it_was(kind: str, message: str, traceback: str) -> None:
    failure = Failure(kind[:100], message[:100], traceback[:100])
    assert codec.decode_failure(codec.encode_failure(failure)) == failure


# --- types ---


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Struct(msgspec.Struct):
    name: str
    when: datetime


class Model(pydantic.BaseModel):
    name: str
    when: datetime
    points: list[int] = []


NOW = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
MODEL = {"name": "n", "when": "2026-03-29T01:30:00Z", "points": []}


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ((1, 2), [1, 2]),
        ({1}, [1]),
        (frozenset({1}), [1]),
        (bytearray(b"x"), b"x"),
        (Colour.RED, "red"),
        (Point(1), {"x": 1, "y": 0}),
        (Struct("n", NOW), {"name": "n", "when": NOW}),
        (Model(name="n", when=NOW), MODEL),
        ([Model(name="n", when=NOW)] * 2, [MODEL] * 2),
        (NOW, NOW),
        (date(2026, 1, 2), "2026-01-02"),
        (time(1, 2), "01:02:00"),
        (timedelta(minutes=1), "PT60S"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.50"), "1.50"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_rich_types_arrive_as_plain_values(value: Any, plain: Any) -> None:
    assert codec.decode_value(codec.encode_value(value)) == plain
    task = codec.decode_task(codec.encode_task(Task("job", (value,), {"k": value})))
    assert (task.args, task.kwargs) == ((plain,), {"k": plain})


@pytest.mark.parametrize(
    "value", [Point(1, 2), Struct("n", NOW), Model(name="n", when=NOW), Colour.RED, NOW, {1, 2}]
)
def test_a_typed_job_gets_its_own_types_back(value: Any) -> None:
    plain = codec.decode_value(codec.encode_value(value))
    assert Conversion("x", type(value)).convert(plain) == value
    assert Conversion("x", list[type(value)]).convert([plain]) == [value]  # type: ignore[misc]


@pytest.mark.parametrize("target", [int, Point, Struct, list[int], Colour])
def test_what_does_not_fit_a_type_is_refused(target: Any) -> None:
    with pytest.raises(NotSerializable):
        Conversion("x", target).convert({"name": []})


def test_what_does_not_fit_a_pydantic_model_is_refused() -> None:
    with pytest.raises(NotSerializable, match="name: string_type; when: missing"):
        Conversion("x", Model).convert({"name": []})


# --- what has no msgpack form ---


class Foreign:
    pass


class BrokenModel:
    def model_dump(self, mode: str) -> object:
        return self  # for ever


def endless() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


UNSERIALISABLE = {
    "object": Foreign(),
    "class": Model,
    "function": len,
    "lambda": lambda: None,
    "generator": (i for i in ()),
    "file name": SURROGATE,
    "file name as key": {SURROGATE: 1},
    "too big": 2**64,
    "too small": -(2**63) - 1,
    "endless": endless(),
    "exception": ValueError("x"),
    "complex": 1j,
    "endless model": BrokenModel(),
    "object as key": {Foreign(): 1},
    "module": pytest,
    "nested": {"a": [1, (2, {"b": Foreign()})]},
}


@pytest.mark.parametrize("value", UNSERIALISABLE.values(), ids=UNSERIALISABLE)
def test_what_has_no_msgpack_form_is_refused_at_the_caller(value: Any) -> None:
    with pytest.raises(NotSerializable, match=r"arguments of 'job' can't be serialised: ."):
        codec.encode_task(Task("job", (value,)))
    with pytest.raises(NotSerializable, match="arguments of 'job'"):
        codec.encode_task(Task("job", (), {"k": value}))
    with pytest.raises(NotSerializable, match="the result can't be serialised"):
        codec.encode_value(value)


def test_progress_must_be_small_and_readable() -> None:
    assert codec.decode_value(codec.encode_progress({"page": 3})) == {"page": 3}
    with pytest.raises(PayloadTooLarge, match="the progress"):
        codec.encode_progress("x" * codec.MAX_PROGRESS_BYTES)
    with pytest.raises(NotSerializable, match="the progress"):
        codec.encode_progress(object())

    class Key(msgspec.Struct, frozen=True):
        page: int

    with pytest.raises(NotSerializable, match="could not be read again"):
        codec.encode_progress({Key(1): "no dict can have a dict as a key"})


def test_the_refusal_names_the_type() -> None:
    with pytest.raises(NotSerializable, match=r"test_codec\.Foreign"):
        codec.encode_value(Foreign())


def test_a_function_name_that_utf8_can_not_carry() -> None:
    with pytest.raises(NotSerializable):
        codec.encode_task(Task(SURROGATE))


# --- limits ---


@given(st.integers(0, 300))
def test_the_limit_is_exact(size: int) -> None:
    task = Task("job", (b"x" * size,))
    length = len(codec.encode_task(task))
    assert len(codec.encode_task(task, length)) == length
    with pytest.raises(PayloadTooLarge, match=f"takes {length:,} bytes, the limit is"):
        codec.encode_task(task, length - 1)


def test_the_default_limit_is_one_mebibyte() -> None:
    codec.encode_value(b"x" * (2**20 - 5))
    with pytest.raises(PayloadTooLarge, match="1,048,577 bytes, the limit is 1,048,576"):
        codec.encode_value(b"x" * (2**20 - 4))


def test_refusals_are_input_errors() -> None:
    assert issubclass(NotSerializable, InvalidInput)
    assert issubclass(PayloadTooLarge, InvalidInput)


@given(
    st.text() | st.sampled_from(["x", "é", "€", "𝄞", "\udce9"]).map(lambda c: c * 40_000),
    st.text() | st.sampled_from(["x", "é", "€", "𝄞", "\udce9"]).map(lambda c: c * 40_000),
    st.integers(1_000, 64 * 1024),
)
def test_a_failure_is_cut_and_never_refused(message: str, traceback: str, limit: int) -> None:
    data = codec.encode_failure(Failure("E" * 5_000, message, traceback), limit)
    assert len(data) <= limit + 64
    failure = codec.decode_failure(data)
    shown = message.encode("utf-8", "backslashreplace").decode()
    assert shown.startswith(failure.message)
    assert traceback.encode("utf-8", "backslashreplace").decode().endswith(failure.traceback)


def test_a_failure_with_a_file_name_that_is_not_utf8_can_be_read() -> None:
    failure = codec.decode_failure(codec.encode_failure(Failure("OSError", SURROGATE, SURROGATE)))
    assert failure.message == failure.traceback == "caf\\udce9"


# --- bytes that are no envelope ---


@given(st.binary())
def test_garbage_is_undecodable_and_nothing_else(data: bytes) -> None:
    try:
        task = codec.decode_task(data)
    except PayloadUndecodable:
        return
    assert task == codec.decode_task(codec.encode_task(task))


@given(st.binary(max_size=400), st.data())
def test_damage_is_undecodable_or_makes_another_task(junk: bytes, data: st.DataObject) -> None:
    good = codec.encode_task(Task("job", ("arg", 1, 2.5, None), {"key": [b"x", NOW]}))
    position = data.draw(st.integers(0, len(good)))
    head, tail = good[:position], good[position:]
    for damaged in (head, head + junk, head + junk + tail):
        with contextlib.suppress(PayloadUndecodable):
            codec.decode_task(damaged)


GARBAGE = {
    "empty": b"",
    "text": b"hello",
    "json": b'{"function": "job"}',
    "pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.",
    "a map": msgspec.msgpack.encode({"version": 1}),
    "too short": msgspec.msgpack.encode([1, "job"]),
    "name is no text": msgspec.msgpack.encode([1, 5, [], {}]),
    "args are no list": msgspec.msgpack.encode([1, "job", {}, {}]),
    "kwargs have numbers": msgspec.msgpack.encode([1, "job", [], {1: 2}]),
    "something behind it": codec.encode_task(Task("job")) + b"\xc0",
    "cut off": codec.encode_task(Task("job", ("x" * 99,)))[:-9],
    "text that is not UTF-8": b"\x94\x01\xa3\xff\xfe\xfd\x90\x80",
    "text that is not UTF-8, deep": b"\x94\x01\xa1f\x91\xa3\xff\xfe\xfd\x80",
    "deeper than the stack": b"\x94\x01\xa1f" + b"\x91" * 100_000 + b"\xc0\x80",
    "a map as a key": b"\x94\x01\xa1f\x91\x81\x80\x01\x80",
    "a bad timestamp": b"\x94\x01\xa1f\x91\xc7\x0c\xff" + b"\xff" * 12 + b"\x80",
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
def test_garbage(data: bytes) -> None:
    with pytest.raises(PayloadUndecodable, match=rf"\({len(data)} bytes\) is not a task envelope"):
        codec.decode_task(data)


@pytest.mark.parametrize("version", [0, 2, 99])
def test_another_envelope_version(version: int) -> None:
    data = msgspec.msgpack.encode([version, "job", [], {}, None, None])
    with pytest.raises(
        PayloadUndecodable,
        match=f"envelope version {version}, this worker reads 1: upgrade the workers before",
    ):
        codec.decode_task(data)


def test_fields_that_a_later_minor_version_adds_are_ignored() -> None:
    data = msgspec.msgpack.encode([1, "job", [1], {}, None, 2, "new", {"more": 1}])
    assert codec.decode_task(data) == Task("job", (1,), {}, None, 2)


@given(st.binary())
def test_a_result_can_be_read_or_says_that_it_can_not(data: bytes) -> None:
    with contextlib.suppress(PayloadUndecodable):
        codec.decode_value(data)


def test_a_deep_result_says_so() -> None:
    with pytest.raises(PayloadUndecodable, match=r"the result can't be read: ."):
        codec.decode_value(b"\x91" * 100_000 + b"\xc0")
