"""Models as values: they arrive as they are, or are refused at the caller."""

from __future__ import annotations

import dataclasses
import json
import math
import threading
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pydantic
import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from identtqueue import Context
from identtqueue.errors import BadArguments, NotSerializable
from identtqueue.protocol import codec
from identtqueue.protocol.conversion import Conversion
from identtqueue.protocol.sameness import same
from identtqueue.task import Task
from identtqueue.worker.registry import Job
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
