"""Whether a value that came back is the one that was sent: also in its types, and nan is nan."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final

import msgspec

_NOTHING: Final = object()


def differences(sent: Any, back: Any) -> list[str]:
    """The names of what differs between two pydantic models; none: they are the same."""
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
    """Tell whether two values are equal in all they hold, types included."""
    kind = type(sent)
    if kind is not type(back):
        return False
    if hasattr(kind, "model_fields") and hasattr(sent, "__pydantic_extra__"):
        return not differences(sent, back)
    if isinstance(sent, Mapping):  # order is kept on the way, so pairs can be compared one by one
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
    """The names of the fields of a dataclass, a msgspec struct or an attrs class; None: no such."""
    if is_dataclass(kind):
        return [field.name for field in fields(kind)]
    if issubclass(kind, msgspec.Struct):
        return list(kind.__struct_fields__)
    attributes = getattr(kind, "__attrs_attrs__", None)
    return None if attributes is None else [attribute.name for attribute in attributes]


def _equal(sent: Any, back: Any) -> bool:
    try:
        return bool(sent == back or (sent != sent and back != back))  # noqa: PLR0124 - nan
    except Exception:  # noqa: BLE001 - arrays, for instance, are neither
        return False


def _same_private(sent: Any, back: Any) -> bool:
    """Locks, caches and clients have no value to lose: another one of their class will do."""
    return same(sent, back) or (
        type(sent) is type(back) and sent is not _NOTHING and "__eq__" not in _methods(type(sent))
    )


def _methods(kind: type) -> set[str]:
    """The names of what a class and its bases define, `object` left out."""
    return {name for base in kind.__mro__[:-1] for name in vars(base)}
