"""Conversion of plain values to the types that a typed job declares.

A type is checked once, where the job is declared. It is refused there if no plain value can be
converted to it. Error texts of this module never contain a value, since they end up in logs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterator, Mapping, Set
from types import NoneType
from typing import Any, Final

import msgspec
from msgspec import inspect as types

from identtqueue.errors import InvalidInput, NotSerializable
from identtqueue.protocol import codec
from identtqueue.protocol.foreign import (
    Refused,
    can_restore,
    first_of,
    from_plain,
    is_model,
    reasons,
)
from identtqueue.protocol.sameness import field_names, same

_SCALARS: Final = (
    *(types.StrType, types.IntType, types.FloatType, types.BoolType, types.BytesType),
    *(types.NoneType, types.EnumType, types.LiteralType, types.UUIDType, types.DecimalType),
    *(types.DateTimeType, types.DateType, types.TimeType, types.TimeDeltaType),
    *(types.ByteArrayType, types.MemoryViewType, types.AnyType),
)
_RECORDS: Final = (types.DataclassType, types.StructType)
"""A record is a value with named fields: a dataclass, a struct, a model."""
_PATH: Final = r" - at (?:`key` in )?`\$[^`]*`$"
_QUOTING: Final = ("Invalid enum value", "Invalid value")
"""Beginnings of msgspec's messages that quote the value."""


class Conversion:
    """The conversion of values to one declared type.

    Args:
        where: job and argument, for the error.
        target: the declared type.

    Attributes:
        exact: classes whose values need no check, since they always arrive unchanged.

    Raises:
        InvalidInput: no plain value can be converted to the type.
    """

    __slots__ = ("_adapter", "exact", "target")

    def __init__(self, where: str, target: Any) -> None:
        self.target = target
        self._adapter: Any = None
        try:
            found = list(_nodes(types.type_info(target)))
        except TypeError as error:
            self._adapter = _pydantic_adapter(target)
            if self._adapter is None:
                raise InvalidInput(_refusal(where, str(error))) from None
            self.exact = frozenset[type]()
            return
        for node in found:
            if isinstance(node, types.CustomType) and not can_restore(node.cls):
                raise InvalidInput(_refusal(where, f"{node.cls.__qualname__} has no plain form"))
        self.exact = frozenset(_exact_classes(target))

    def convert(self, value: Any) -> Any:
        """Convert a plain value to this type.

        Raises:
            NotSerializable: the value does not fit. The text gives the reason, but not the value.
        """
        if self.keeps(type(value)):
            return value
        try:
            if self._adapter is not None:
                return self._adapted(value)
            return msgspec.convert(value, self.target, strict=False, dec_hook=from_plain)
        except Exception as error:  # noqa: BLE001 - the user's own classes may raise anything
            raise NotSerializable(_reason(error)) from None

    def keeps(self, kind: type) -> bool:
        """Return whether `convert` returns all values of this class as they are."""
        return kind in self.exact and kind in _AS_THEY_ARE

    def check(self, value: Any) -> None:
        """Refuse a value that would arrive in the job as another value.

        Raises:
            NotSerializable: the value has no plain form, does not fit the type, or would become
                another value.
        """
        if type(value) in self.exact:
            return
        back = self.convert(codec.plain(value))
        if not _arrived(value, back):
            raise NotSerializable(
                f"a {type(value).__qualname__} would arrive as something else: pass just what is "
                "declared, or declare the class that you pass"
            )

    def _adapted(self, value: Any) -> Any:
        adapter = self._adapter
        try:
            return first_of(adapter.validate_python, adapter.validate_json, value)
        except Exception as error:  # noqa: BLE001 - validators are the user's code
            raise Refused(reasons(self.target, error)) from None


_PLAIN: Final = (dict, list, str, int, float, bool, bytes)
"""Classes that a record may become where Any is declared, since no job expects its class there."""

_AS_THEY_ARE: Final = frozenset({str, int, float, bool, bytes, NoneType})
"""Classes of plain values that need no conversion."""


def _exact_classes(target: Any) -> Iterator[type]:
    """Iterate over the classes whose instances, but not those of subclasses, arrive unchanged."""
    found = types.type_info(target)
    members = found.types if isinstance(found, types.UnionType) else (found,)
    plain: Mapping[type, type] = {
        types.StrType: str,
        types.IntType: int,
        types.FloatType: float,
        types.BoolType: bool,
        types.BytesType: bytes,
        types.NoneType: NoneType,
    }
    for member in members:
        if type(member) in plain and not _is_constrained(member):
            yield plain[type(member)]
        elif isinstance(member, types.CustomType) and is_model(member.cls):
            yield member.cls  # the encoder checks each model itself
        elif isinstance(member, types.EnumType):
            yield member.cls
        elif isinstance(member, _RECORDS) and all(
            isinstance(node, _SCALARS) and not _is_constrained(node)
            for field in member.fields
            for node in _nodes(field.type)
        ):
            yield from _closed(member.cls)


def _closed(kind: type) -> Iterator[type]:
    """Yield a record class, unless it has private fields, which are not sent."""
    names = field_names(kind) or []
    if not any(name.startswith("_") for name in names):
        yield kind


def _is_constrained(node: Any) -> bool:
    return any(
        getattr(node, name, None) is not None
        for name in ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")
    )


def _nodes(found: types.Type, seen: Set[Any] = frozenset()) -> Iterator[types.Type]:
    """Iterate over all parts of a type, each class once."""
    kind = getattr(found, "cls", None)
    if kind is not None and kind in seen:
        return
    yield found
    seen = seen | {kind}
    for name in ("item_type", "key_type", "value_type", "type"):
        if isinstance(part := getattr(found, name, None), types.Type):
            yield from _nodes(part, seen)
    for name in ("types", "item_types"):
        for part in getattr(found, name, ()):
            yield from _nodes(part, seen)
    for field in getattr(found, "fields", ()):
        yield from _nodes(field.type, seen)


def _pydantic_adapter(target: Any) -> Any:
    """Return pydantic's adapter for a type that msgspec can't read (a union of models, say).

    Pydantic is loaded already if the type contains one of its models. If it is not loaded, it could
    not help either, and the result is None.
    """
    adapter = getattr(sys.modules.get("pydantic"), "TypeAdapter", None)
    if adapter is None:
        return None
    try:
        return adapter(target)
    except Exception:  # noqa: BLE001 - pydantic has many kinds of errors for this
        return None


def _arrived(sent: Any, back: Any) -> bool:
    """Return whether every record arrived as what it was. Declared conversions are allowed."""
    if sent is back:
        return True
    if is_model(type(sent)):
        return same(sent, back) or type(back) in _PLAIN
    names = field_names(type(sent))
    if names is not None:
        return _record_arrived(sent, back, names)
    if isinstance(sent, Mapping) and isinstance(back, Mapping):
        return _all_arrived(sent.values(), back.values())
    if isinstance(sent, list | tuple) and isinstance(back, list | tuple):
        return _all_arrived(sent, back)
    return not (isinstance(sent, str) and isinstance(back, bytes | bytearray | memoryview))


def _record_arrived(sent: Any, back: Any, names: list[str]) -> bool:
    if type(back) is not type(sent):
        return type(back) in _PLAIN
    nothing = object()
    return all(
        _arrived(getattr(sent, name, nothing), getattr(back, name, nothing)) for name in names
    )


def _all_arrived(sent: Collection[Any], back: Collection[Any]) -> bool:
    return len(sent) == len(back) and all(map(_arrived, sent, back))


def _reason(error: Exception) -> str:
    text = str(error)
    cause = error.__cause__
    if isinstance(error, Refused):
        return text
    if not isinstance(error, msgspec.ValidationError):
        return f"{type(error).__name__} in its validation"
    place = re.search(_PATH, text)
    path = place.group() if place else ""
    if cause is not None and not isinstance(cause, Refused):  # the user's own class refused it
        return f"{type(cause).__name__} in its validation{path}"
    for start in _QUOTING:
        if text.startswith(start):
            return f"{start}{path}"
    return text


def _refusal(where: str, why: str) -> str:
    return (
        f"{where}: nothing can be converted to its type ({why}): declare a plain type, a "
        "dataclass, a msgspec struct, a pydantic model, or Any"
    )


def conversions(job: str, declared: Mapping[str, Any]) -> dict[str, Conversion]:
    """Make the conversion of each argument of a job.

    Args:
        job: name of the job, for the errors.
        declared: declared types, by argument name.

    Raises:
        InvalidInput: no plain value can be converted to one of the types.
    """
    return {name: Conversion(f"job {job}: {name}", kind) for name, kind in declared.items()}
