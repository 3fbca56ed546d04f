"""Comparison of a value that was decoded with the one that was sent.

It is stricter than `==`, since types must be equal as well. But nan is equal to nan.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final

import msgspec

_NOTHING: Final = object()


def differences(sent: Any, back: Any) -> list[str]:
    """List the names of the fields in which two pydantic models differ; empty if they are equal."""
    if type(sent) is not type(back):
        return ["class"]
    different = [
        repr(name)
        for name in type(sent).model_fields
        if not same(getattr(sent, name, _NOTHING), getattr(back, name, _NOTHING))
    ]
    if not same(sent.__pydantic_extra__ or {}, back.__pydantic_extra__ or {}):
        different.append("extra fields")
    private, private_back = (model.__pydantic_private__ or {} for model in (sent, back))
    different += [
        repr(name)
        for name in private.keys() | private_back.keys()
        if not _same_private(private.get(name, _NOTHING), private_back.get(name, _NOTHING))
    ]
    return different


def same(sent: Any, back: Any) -> bool:
    """Return whether two values are equal, including the types of everything in them."""
    kind = type(sent)
    if kind is not type(back):
        return False
    if hasattr(kind, "model_fields") and hasattr(sent, "__pydantic_extra__"):
        return not differences(sent, back)
    if isinstance(sent, Mapping):  # the order is kept on the way: compare the pairs one by one
        return _all_same(sent.keys(), back.keys()) and _all_same(sent.values(), back.values())
    if isinstance(sent, list | tuple):
        return _all_same(sent, back)
    if isinstance(sent, set | frozenset):
        return {(type(item), item) for item in sent} == {(type(item), item) for item in back}
    names = field_names(kind)
    return _equal(sent, back) if names is None else _same_fields(sent, back, names)


def _same_fields(sent: Any, back: Any, names: list[str]) -> bool:
    return all(same(getattr(sent, name, _NOTHING), getattr(back, name, _NOTHING)) for name in names)


def _all_same(sent: Collection[Any], back: Collection[Any]) -> bool:
    return len(sent) == len(back) and all(map(same, sent, back))


def field_names(kind: Any) -> list[str] | None:
    """List the fields of a dataclass, a msgspec struct or an attrs class; None for any other."""
    if is_dataclass(kind):
        return [field.name for field in fields(kind)]
    if issubclass(kind, msgspec.Struct):
        return list(kind.__struct_fields__)
    attributes = getattr(kind, "__attrs_attrs__", None)
    return None if attributes is None else [attribute.name for attribute in attributes]


def _equal(sent: Any, back: Any) -> bool:
    try:
        return bool(sent == back or (sent != sent and back != back))  # noqa: PLR0124 - nan
    except Exception:  # noqa: BLE001 - arrays, for instance, have no truth value
        return False


def _same_private(sent: Any, back: Any) -> bool:
    """Compare two private attributes.

    Objects without `__eq__`, such as locks, caches and clients, have no value that could be lost.
    Of those, any other object of the same class will do.
    """
    return same(sent, back) or (
        type(sent) is type(back) and sent is not _NOTHING and "__eq__" not in _methods(type(sent))
    )


def _methods(kind: type) -> set[str]:
    """Collect the names that a class and its bases define, except those of `object`."""
    return {name for base in kind.__mro__[:-1] for name in vars(base)}
