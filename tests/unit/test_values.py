"""Values: each arrives as it was passed or is refused at the caller, and never changes silently.

The table in docs/library/values.md is made from TABLE here.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
import json
import math
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypedDict, TypeVar
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from identtqueue import App, Context, InvalidInput, TaskOptions
from identtqueue.errors import BadArguments, NotSerializable
from identtqueue.protocol import codec
from identtqueue.protocol.conversion import Conversion
from identtqueue.protocol.sameness import same
from identtqueue.task import Task
from identtqueue.worker.registry import Job

HIDDEN = "hunter2-never-shown"
LIBRARY = Path(__file__).parents[2] / "docs/library/values.md"


def arrives(value: Any, declared: Any) -> Any:
    """Return what a typed job gets, through the checks of caller and worker and the payload."""
    app = App("redis://nowhere")

    async def job(_ctx: Context, x: Any, *, y: Any = None) -> None: ...

    job.__annotations__.update(x=declared, y=declared)
    typed = app.task(name="job")(job)
    call = typed.call(value, y=value).submission
    task = codec.decode_task(codec.encode_task(Task("job", call.args, call.kwargs)))
    (x,), kwargs = Job(name="job", function=job, types=typed.argument_types()).bind(
        task.args, task.kwargs
    )
    assert same(x, kwargs["y"])
    return x


def arrives_plain(value: Any) -> Any:
    """Return what an untyped job gets, and what a caller gets as the result."""
    (x,) = codec.decode_task(codec.encode_task(Task("job", (value,)))).args
    assert same(x, codec.decode_value(codec.encode_value(value)))
    return x


# --- the table ---


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


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


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.0


@attrs.define
class Size:
    w: int


class Box(msgspec.Struct):
    x: int


class Page(BaseModel):
    path: str
    at: date | None = None


T = TypeVar("T")


class Wrapped(BaseModel, Generic[T]):
    value: T


AT = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
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


# --- pydantic ---


class Secret(BaseModel):
    password: SecretStr


class Revealed(Secret):
    @pydantic.field_serializer("password")
    def reveal(self, value: SecretStr) -> str:
        return value.get_secret_value()


class Aliased(BaseModel):
    page_no: int = Field(alias="pageNo")


class OneWay(BaseModel):
    page_no: int = Field(0, validation_alias="in", serialization_alias="out")


class OnlyIn(BaseModel):
    page_no: int = Field(0, validation_alias="in")


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    at: date
    pair: tuple[int, int]
    names: set[str]
    ident: UUID
    colour: Colour


class Computed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: int

    @pydantic.computed_field
    def twice(self) -> int:
        return 2 * self.a


class Excluded(BaseModel):
    a: int = 0
    hidden: str = Field("", exclude=True)


class FromJson(BaseModel):
    values: pydantic.Json[list[int]]


class Keyed(BaseModel):
    by_pair: dict[tuple[int, int], str] = {}
    by_day: dict[date, int] = {}
    by_number: dict[int, str] = {}


class Bytes(BaseModel):
    data: bytes


class Base64(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    data: bytes


class Base(BaseModel):
    a: int = 0


class Derived(Base):
    b: int = 0


class HoldsBase(BaseModel):
    item: Base
    items: list[Base] = []


class AnyValue(BaseModel):
    value: Any


class Private(BaseModel):
    a: int = 0
    _seen: int = 0
    _lock: Any = pydantic.PrivateAttr(default_factory=threading.Lock)


class Extra(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int = 0


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)
    a: int


class HoldsFrozen(BaseModel):
    some: set[Frozen]


class Root(pydantic.RootModel[list[int]]):
    pass


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str = ""


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]


class Owner(BaseModel):
    pet: Pet


class Changing(BaseModel):
    """Model whose validator makes another value each time."""

    n: int

    @pydantic.field_validator("n")
    @classmethod
    def more(cls, n: int) -> int:
        return n + 1


class Numbers(BaseModel):
    f: float
    d: Decimal = Decimal(1)
    either: int | float = 0
    flag: bool | int = False


class WithId(BaseModel):
    ident: UUID = Field(default_factory=lambda: UUID(int=7))
    made: datetime = Field(default_factory=lambda: AT)


class Recursive(BaseModel):
    inner: Recursive | None = None


@pydantic.dataclasses.dataclass
class PydanticPoint:
    x: int


@dataclasses.dataclass
class Holder:
    page: Page
    pages: dict[str, list[Page]]


@dataclasses.dataclass
class HoldsAnyBase:
    item: Base


GOOD: list[tuple[Any, Any]] = [
    (Revealed(password=HIDDEN), Revealed),
    (Aliased(pageNo=1), Aliased),
    (Strict(at=AT.date(), pair=(1, 2), names={"a"}, ident=UUID(int=1), colour=Colour.RED), Strict),
    (Computed(a=1), Computed),
    (Excluded(a=1), Excluded),
    (FromJson(values="[1, 2]"), FromJson),
    (Keyed(by_pair={(1, 2): "a"}, by_day={AT.date(): 1}, by_number={1: "a"}), Keyed),
    (Bytes(data=b"\xff\x00"), Bytes),
    (Bytes(data=b"text"), Bytes),
    (Base64(data=b"\xff\x00"), Base64),
    (Base64(data=b"text"), Base64),
    (HoldsBase(item=Base(a=1), items=[Base(a=2)]), HoldsBase),
    (AnyValue(value={"a": [1, None, True]}), AnyValue),
    (Private(a=1), Private),
    (Extra(a=1, more=[1]), Extra),
    (HoldsFrozen(some={Frozen(a=1), Frozen(a=2)}), HoldsFrozen),
    (Root([1, 2]), Root),
    (Owner(pet=Dog(name="Rex")), Owner),
    (Numbers(f=math.inf, d=Decimal("1.10"), either=1.0, flag=1), Numbers),
    (Numbers(f=math.nan), Numbers),
    (WithId(), WithId),
    (Recursive(inner=Recursive(inner=Recursive())), Recursive),
    (Wrapped[Page](value=Page(path="p")), Wrapped[Page]),
    (Dog(name="Rex"), Pet),
    (Cat(), Cat | Dog),
    ([Cat(), Dog()], list[Pet]),
    ([Page(path="a"), "b"], list[Page | str]),
    (PydanticPoint(1), PydanticPoint),
    (Holder(Page(path="p"), {"a": [Page(path="q", at=AT.date())]}), Holder),
    ({"a": (Page(path="p"), 1)}, dict[str, tuple[Page, int]]),
    (Derived(a=1, b=2), Derived),
    (None, Page | None),
]


@pytest.mark.parametrize(("value", "declared"), GOOD, ids=[repr(r[0])[:50] for r in GOOD])
def test_models_arrive_as_they_are(value: Any, declared: Any) -> None:
    back = arrives(value, declared)
    assert same(back, value)
    if isinstance(value, BaseModel):  # an untyped job can make it again
        assert same(Conversion("x", type(value)).convert(arrives_plain(value)), value)


BAD_AS_SUCH: list[Any] = [
    Secret(password=HIDDEN),
    OneWay.model_validate({"in": 1}),
    OnlyIn.model_validate({"in": 1}),
    Excluded(hidden=HIDDEN),
    HoldsBase(item=Derived(b=1)),
    HoldsBase(item=Base(), items=[Derived(b=1)]),
    AnyValue(value=(1, 2)),
    AnyValue(value=Colour.RED),
    AnyValue(value=Level.LOW),
    AnyValue(value=Page(path=HIDDEN)),
    AnyValue(value=Decimal(1)),
    AnyValue(value={1: 2}.keys()),
    Changing.model_construct(n=1),
    Page.model_construct(path=5),
]


def seen_private() -> Private:
    model = Private()
    model._seen = 1
    return model


@pytest.mark.parametrize("value", [*BAD_AS_SUCH, seen_private()], ids=lambda v: repr(v)[:50])
@pytest.mark.parametrize("place", ["alone", "list", "dataclass"])
def test_models_that_would_change_are_refused(value: Any, place: str) -> None:
    given_ = {"alone": value, "list": [value], "dataclass": Point(value)}[place]
    for encode in (
        codec.encode_value,
        codec.encode_progress,
        lambda v: codec.encode_task(Task("job", (v,))),
        lambda v: codec.encode_task(Task("job", (), {"k": v})),
    ):
        with pytest.raises(NotSerializable, match=type(value).__name__) as caught:
            encode(given_)
        assert HIDDEN not in str(caught.value)
        assert caught.value.__cause__ is None
    with pytest.raises(NotSerializable):
        arrives(value, type(value))


@dataclasses.dataclass
class MorePoint(Point):
    z: int = 0


class MoreBox(Box):
    y: int = 0


@dataclasses.dataclass
class HoldsPoint:
    point: Point


OTHER_CLASS: list[tuple[Any, Any]] = [
    (Derived(b=1), Base),
    (Derived(b=1), Base | None),
    ([Derived(b=1)], list[Base]),
    (HoldsAnyBase(Derived(b=1)), HoldsAnyBase),
    (MorePoint(1), Point),
    ([MorePoint(1)], list[Point]),
    (HoldsPoint(MorePoint(1)), HoldsPoint),
    (MoreBox(1), Box),
    (Page(path=HIDDEN), Base),
    ("YWJj", bytes),
]


@pytest.mark.parametrize(
    ("value", "declared"), OTHER_CLASS, ids=[repr(r)[:60] for r in OTHER_CLASS]
)
def test_what_would_arrive_as_its_base_is_refused(value: Any, declared: Any) -> None:
    """A subclass in the place of its base would lose its additional fields."""
    with pytest.raises(NotSerializable, match="job: x: ") as caught:
        arrives(value, declared)
    assert HIDDEN not in str(caught.value)


class Picky(msgspec.Struct):
    word: str

    def __post_init__(self) -> None:
        raise ValueError(f"no {self.word}")


class PickyModel(BaseModel):
    word: str

    @pydantic.field_validator("word")
    @classmethod
    def no(cls, word: str) -> str:
        raise RuntimeError(f"no {word}")


class Mail(BaseModel):
    word: str

    @pydantic.field_validator("word")
    @classmethod
    def no(cls, word: str) -> str:
        raise ValueError(f"no {word}")


WRONG: list[tuple[Any, Any, str]] = [
    (HIDDEN, int, "Expected `int`, got `str`"),
    (HIDDEN, Colour, "Invalid enum value"),
    (HIDDEN, Literal["a"], "Invalid enum value"),
    (HIDDEN, date, "Invalid RFC3339"),
    (HIDDEN, UUID, "Invalid UUID"),
    ([HIDDEN], list[Colour], r"Invalid enum value - at `\$\[0\]`"),
    ({HIDDEN: 1}, dict[Colour, int], "Invalid enum value - at `key` in `\\$`"),
    ({"path": 5, "at": HIDDEN}, Page, "path: string_type; at: date_from_datetime_parsing"),
    ({"password": {HIDDEN: 1}}, Secret, "password: string_type"),
    ({"by_number": {HIDDEN: "a"}}, Keyed, r"by_number\[…\]\[…\]: int_parsing"),
    ({"pet": {"kind": HIDDEN}}, Owner, "pet: union_tag_invalid"),
    ({"kind": HIDDEN}, Pet, "the whole: union_tag_invalid"),
    ({"word": HIDDEN}, Picky, "ValueError in its validation"),
    ({"word": HIDDEN}, PickyModel, "RuntimeError in its validation"),
    ({"word": HIDDEN}, Mail, "word: value_error"),
    ([{"word": HIDDEN}], list[Mail], r"word: value_error - at `\$\[0\]`"),
    ({"a": 1, HIDDEN: 2}, Computed, r"\[…\]: extra_forbidden"),
]


@pytest.mark.parametrize(("value", "declared", "why"), WRONG, ids=[repr(r[1:])[:60] for r in WRONG])
def test_why_a_value_does_not_fit_is_told_without_the_value(
    value: Any, declared: Any, why: str
) -> None:
    """These texts end up in logs, dead letters and HTTP responses."""

    async def job(_ctx: Context, x: Any) -> None: ...

    with pytest.raises(NotSerializable, match=f"job: x: {why}") as at_caller:
        arrives(value, declared)
    with pytest.raises(BadArguments, match=f"job job: x: {why}") as at_worker:
        Job(name="job", function=job, types={"x": declared}).bind((value,), {})
    for caught in (at_caller, at_worker):
        assert HIDDEN not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


def test_nothing_is_warned_of_with_a_value(recwarn: pytest.WarningsRecorder) -> None:
    for value in BAD_AS_SUCH:
        with pytest.raises(NotSerializable):
            codec.encode_value(value)
    assert not [str(w.message) for w in recwarn if HIDDEN in str(w.message)]


def test_a_model_in_an_untyped_place_arrives_plain() -> None:
    page = Page(path="p", at=AT.date())
    assert arrives(page, Any) == arrives(page, object) == json.loads(page.model_dump_json())
    assert arrives({"a": page}, dict[str, Any]) == {"a": {"path": "p", "at": "2026-01-02"}}


def test_how_a_class_is_dumped_is_found_once_for_it() -> None:
    """The way that worked for a class is tried first for its next value."""
    many = Bytes(data=b"\xff")
    codec.encode_value(many)
    with pytest.MonkeyPatch.context() as patch:
        dumps: list[dict[str, Any]] = []
        dump = BaseModel.model_dump
        patch.setattr(BaseModel, "model_dump", lambda s, **kw: dumps.append(kw) or dump(s, **kw))
        codec.encode_value(many)
    assert len(dumps) == 1


# --- the binder ---

PARAMETERS = "abcd"


def signatures() -> st.SearchStrategy[Callable[..., None]]:
    def make(places: list[bool], only: int, star: bool, names: list[bool], rest: bool) -> Any:
        parts, needed = ["ctx"], sorted(places)  # those with a default come last
        for name, default in zip("ab", needed, strict=False):
            parts.append(f"{name}=0" if default else name)
        if only <= len(parts):
            parts.insert(only, "/")
        if star:
            parts.append("*args")
        elif names:
            parts.append("*")
        parts += [f"{n}=0" if default else n for n, default in zip("cd", names, strict=False)]
        if rest:
            parts.append("**kwargs")
        scope: dict[str, Any] = {}
        exec(f"def job({', '.join(parts)}): pass", scope)
        return scope["job"]

    some = st.lists(st.booleans(), max_size=2)
    return st.builds(make, some, st.integers(1, 9), st.booleans(), some, st.booleans())


def named_as_one_by_place(ctx: Any, a: int = 0, /, **kwargs: int) -> None: ...


@example(named_as_one_by_place, [], {"a": 0})
@given(
    signatures(),
    st.lists(st.integers(), max_size=4),
    st.dictionaries(st.sampled_from([*PARAMETERS, "ctx", "e"]), st.integers()),
)
def test_a_call_is_accepted_as_python_does(
    function: Callable[..., Any], args: list[int], kwargs: dict[str, int]
) -> None:
    job = App("redis://nowhere").task(function)
    try:
        function(None, *args, **kwargs)
    except TypeError:
        with pytest.raises(InvalidInput, match="job: "):
            job.call(*args, **kwargs)
    else:
        call = job.call(*args, **kwargs).submission
        assert (list(call.args), dict(call.kwargs)) == (args, kwargs)


def test_options_are_no_arguments() -> None:
    app = App("redis://nowhere")

    @app.task
    async def anything(_ctx: Context, **kwargs: int) -> None: ...

    for name in TaskOptions.__dataclass_fields__:
        with pytest.raises(InvalidInput, match=rf"give anything\.options\({name}=…\)"):
            anything.call(**{name: 5})
