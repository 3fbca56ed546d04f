"""Values: each arrives as it was passed or is refused at the caller, and never changes silently.

The table in docs/library/values.md is made from TABLE here.
"""

from __future__ import annotations

import collections
import enum
import math
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple, NewType, TypedDict
from uuid import UUID

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identtqueue import InvalidInput
from identtqueue.errors import NotSerializable
from identtqueue.protocol import codec
from identtqueue.protocol.sameness import same
from identtqueue.task import Task
from unit.values import (
    AT,
    HIDDEN,
    Box,
    Colour,
    Level,
    Page,
    Point,
    Wrapped,
    arrives,
    arrives_plain,
)

LIBRARY = Path(__file__).parents[2] / "docs/library/values.md"


class Mode(enum.Flag):
    READ = 1
    WRITE = 2


class Name(str):
    __slots__ = ()


class Number(int):
    pass


UserId = NewType("UserId", int)


class Pair(NamedTuple):
    a: int
    b: str


class Movie(TypedDict):
    name: str


@attrs.define
class Size:
    w: int


SUMMER = timezone(timedelta(hours=2))

TABLE: list[tuple[str, Any, Any, Any]] = [
    ("`None`, `bool`, `int` (64 bits), `float` (nan, inf), `str`, `bytes`", 1.5, float, "itself"),
    ("`int` beyond 64 bits, text with lone surrogates", 2**64, int, NotSerializable),
    ("subclass of `str`, `int`, `float`, `bytes`", Name("a"), Name, "the base: `str`, …"),
    ("`list`", [1], list[int], "itself"),
    ("`tuple`, `NamedTuple`", Pair(1, "b"), Pair, "`list`"),
    ("`set`, `frozenset`, `deque`", {1}, set[int], "`list`"),
    ("`dict` (keys: text, numbers, bytes, None, tuples)", {1: "a"}, dict[int, str], "itself"),
    ("`OrderedDict`, `Counter`", collections.Counter("a"), collections.Counter[str], "`dict`"),
    ("`defaultdict`", collections.defaultdict(int, a=1), dict[str, int], "`dict`"),
    ("`bytearray`, `memoryview`", bytearray(b"x"), bytearray, "`bytes`"),
    ("`Enum`: all values text, or all whole numbers", Colour.RED, Colour, "its value"),
    ("`datetime` with a timezone", AT.astimezone(SUMMER), datetime, "the same moment, in UTC"),
    ("`datetime` without", AT.replace(tzinfo=None), datetime, "`str`, ISO 8601"),
    ("`date`, `time`, `timedelta`", date(2026, 1, 2), date, "`str`, ISO 8601"),
    ("`UUID`", UUID(int=1), UUID, "`str`"),
    ("`Decimal`", Decimal("1.50"), Decimal, "`str`"),
    ("`Path`", PurePosixPath("/a"), PurePosixPath, "`str`"),
    ("dataclass, attrs class", Point(1), Point, "`dict`"),
    ("`msgspec.Struct`", Box(1), Box, "`dict`, or as the struct says (`array_like`, `tag`)"),
    ("`TypedDict`", Movie(name="n"), Movie, "itself"),
    ("pydantic model", Page(path="p"), Page, "its dump: a `dict`"),
    (
        "everything else: a class of your own, an exception, a function",
        1j,
        complex,
        NotSerializable,
    ),
]

"""A value that is passed; an example and its type; the value that an untyped job gets."""


def rows() -> list[str]:
    lines = ["| the caller passes | a job that declares the type gets | a job that does not gets |"]
    lines.append("|---|---|---|")
    for what, _, _, plain in TABLE:
        refused = plain is NotSerializable
        typed = "refused at the caller: `NotSerializable`" if refused else "the same value"
        lines.append(f"| {what} | {typed} | {typed if refused else plain} |")
    return lines


def test_the_documentation_has_the_table() -> None:
    assert "\n".join(rows()) in LIBRARY.read_text()


@pytest.mark.parametrize(("what", "value", "declared", "plain"), TABLE, ids=[r[0] for r in TABLE])
def test_the_table(what: str, value: Any, declared: Any, plain: Any) -> None:
    if plain is NotSerializable:
        with pytest.raises(NotSerializable):
            codec.encode_task(Task("job", (value,)))
        with pytest.raises(InvalidInput):
            arrives(value, declared)
        return
    assert arrives(value, declared) == value
    got = arrives_plain(value)
    if plain == "itself":
        assert same(got, value)
    elif isinstance(value, datetime) and value.tzinfo:
        assert got == value
        assert got.utcoffset() == timedelta(0)
    else:
        assert type(got) is not type(value)


MORE: list[tuple[Any, Any, Any]] = [
    (True, bool, True),
    (None, None, None),
    (math.inf, float, math.inf),
    ("null", str | None, "null"),
    ("5", int | str, "5"),
    ("true", bool | str, "true"),
    (b"\xff", bytes, b"\xff"),
    (Number(5), int, 5),
    (Number(5), Number, 5),
    (Name("a"), str, "a"),
    (UserId(5), UserId, 5),
    (Level.LOW, Level, 1),
    (Level.LOW, int, 1),
    (Mode.READ | Mode.WRITE, Mode, 3),
    ((1, "a"), tuple[int, str], [1, "a"]),
    ((1, 2), tuple[int, ...], [1, 2]),
    (frozenset({1}), frozenset[int], [1]),
    (collections.deque([1]), collections.deque[int], [1]),
    (collections.OrderedDict(a=1), collections.OrderedDict[str, int], {"a": 1}),
    ([1, 2], Iterable[int], [1, 2]),
    ([1, "a", None], list[object], [1, "a", None]),
    ({"a": [1]}, dict[str, object], {"a": [1]}),
    ({(1, 2): "a"}, dict[tuple[int, int], str], {(1, 2): "a"}),
    ({UUID(int=1): 2}, dict[UUID, int], {str(UUID(int=1)): 2}),
    ({None: 1, b"x": 2, 1.5: 3}, Any, {None: 1, b"x": 2, 1.5: 3}),
    (Path("/a/b"), Path, "/a/b"),
    (Path("/a/b"), Path | None, "/a/b"),
    ([Path("/a")], list[Path], ["/a"]),
    (Size(3), Size, {"w": 3}),
    (Point(1), Point | None, {"x": 1, "y": 0.0}),
    ("b", Literal["a", "b"], "b"),
    (time(1, 2, tzinfo=UTC), time, "01:02:00Z"),
    (timedelta(days=-1, microseconds=1), timedelta, "-PT86399.999999S"),
    (Decimal("Infinity"), Decimal, "Infinity"),
    (datetime.max.replace(tzinfo=UTC), datetime, datetime.max.replace(tzinfo=UTC)),
]


@pytest.mark.parametrize(("value", "declared", "plain"), MORE, ids=[repr(r[:2]) for r in MORE])
def test_more_values(value: Any, declared: Any, plain: Any) -> None:
    assert arrives(value, declared) == value
    assert same(arrives_plain(value), plain)


def test_nan_arrives() -> None:
    assert math.isnan(arrives(math.nan, float))
    assert math.isnan(arrives_plain({"a": [math.nan]})["a"][0])


REFUSED = {
    "fraction": Fraction(1, 2),
    "class": Point,
    "range": range(3),
    "exception": ValueError(HIDDEN),
    "keys that become one": {Colour.RED: 1, "red": 2},
    "a record as a key": {Pair(1, "a"): {Wrapped[int](value=1).model_dump_json: 1}},
    "a struct as a key": {msgspec.defstruct("K", [("x", int)], frozen=True)(1): 1},
    "surrogate": f"{HIDDEN}\udce9",
    "surrogate in a path": Path("/\udce9"),
}


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
def test_what_could_not_be_read_again_is_refused(value: Any) -> None:
    for encode in (
        codec.encode_value,
        codec.encode_progress,
        lambda value: codec.encode_task(Task("job", (value,))),
        lambda value: codec.encode_task(Task("job", (), {"k": [value]})),
    ):
        with pytest.raises(NotSerializable) as caught:
            encode(value)
        assert HIDDEN not in str(caught.value)


def test_names_of_arguments_are_text() -> None:
    with pytest.raises(NotSerializable):
        codec.encode_task(Task("job", (), {1: 2}))  # type: ignore[dict-item]


SIMPLE = (
    st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.none()
)

DECLARED: list[Any] = [
    *(bool, float, bytes, bytearray, date, time, timedelta, UUID, Decimal, Colour, Level, Mode),
    *(Pair, Point, Size, Box, Page, Movie, Wrapped[int], Wrapped[list[str]]),
    *(dict[str, Point], list[Page], set[int], frozenset[str], tuple[int, Page], dict[int, date]),
    *(Point | None, dict[str, list[Page]], list[dict[str, Wrapped[int]]]),
]


def of_type(declared: Any) -> st.SearchStrategy[Any]:
    return st.tuples(st.just(declared), st.from_type(declared))


st.register_type_strategy(str, st.text(st.characters(exclude_categories=["Cs"])))


st.register_type_strategy(int, st.integers(-(2**63), 2**63 - 1))


st.register_type_strategy(Decimal, st.decimals(allow_nan=False))


st.register_type_strategy(time, st.times())


st.register_type_strategy(Page, st.builds(Page, path=st.from_type(str), at=st.from_type(date)))


for kind, inner in ((Wrapped[int], int), (Wrapped[list[str]], list[str])):
    st.register_type_strategy(kind, st.builds(kind, value=st.from_type(inner)))


@given(st.one_of([of_type(declared) for declared in DECLARED]))
def test_a_typed_job_gets_what_was_passed(case: tuple[Any, Any]) -> None:
    declared, value = case
    assert same(arrives(value, declared), value)


@given(st.datetimes(timezones=st.timezones()) | st.datetimes())
def test_a_moment_stays_the_moment(value: datetime) -> None:
    try:
        got = arrives(value, datetime)
    except InvalidInput:  # in UTC it would be before the year 1 or behind 9999
        assert value.year in (1, 9999)
        return
    if value.tzinfo is None:
        assert got == value
    else:
        assert got.astimezone(UTC) == value.astimezone(UTC)


@given(
    st.recursive(
        SIMPLE,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SIMPLE, inner, max_size=3),
        max_leaves=6,
    )
)
def test_an_untyped_job_gets_what_was_passed(value: Any) -> None:
    assert arrives_plain(value) == value
