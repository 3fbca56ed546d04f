"""Values that msgspec does not know: pydantic models, paths, subclasses of builtin types.

Each has a plain form that msgpack can encode. A job that declares the type gets the value back from
that form. The plain form of a pydantic model may stand for another value: a secret is masked, an
alias is not understood, a field is left out. So a model is decoded again before it is sent, and
refused if it differs. Error texts of this module never contain a value, since they end up in logs.
"""

from __future__ import annotations

import collections
import json
import pathlib
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, get_args, get_origin

import msgspec

from identtqueue.protocol.sameness import differences


class Refused(ValueError):
    """A value has no plain form, or can't be made from one. The text does not contain the value."""


_MODES: Final = (
    {"mode": "json", "by_alias": False},
    {"mode": "json", "by_alias": True},
    {"mode": "python", "by_alias": False},
    {"mode": "python", "by_alias": True},
)
"""Ways to dump a pydantic model, in the order in which they are tried. Field names come before
aliases, since untyped jobs see them. Mode `python` comes last; it covers what JSON can't hold, such
as bytes, or keys that are not text."""

_BASES: Final[tuple[tuple[type, Callable[[Any], Any]], ...]] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (bytes, lambda value: bytes(memoryview(value))),
    (pathlib.PurePath, str),
    (collections.deque, list),
)
"""Classes whose subclasses are sent as the base class, each with its conversion."""

_MADE: Final[tuple[tuple[Any, Any], ...]] = (
    (collections.OrderedDict, dict),
    (collections.Counter, dict),
    (collections.deque, list),
    (collections.abc.Iterable, list),
    (pathlib.PurePath, str),
    *((kind, kind) for kind in (str, int, float, bytes, dict, list, tuple, set, frozenset)),
)
"""Pairs of a declared class and the plain class that it is made from, by calling it."""

_plain_decoder: Final = msgspec.msgpack.Decoder()
_modes_of: weakref.WeakKeyDictionary[type, Mapping[str, Any]] = weakref.WeakKeyDictionary()


def to_plain(value: Any) -> Any:
    """Return the plain form of a value that msgspec does not know.

    Raises:
        Refused: the value has no plain form, or only one that stands for another value.
    """
    kind = type(value)
    if is_model(kind):
        return _model_to_plain(value)
    for base, make in _BASES:
        if isinstance(value, base):
            return make(value)
    raise Refused(_full_name(kind))


def from_plain(target: Any, value: Any) -> Any:
    """Make a value of a declared class that msgspec does not know.

    Args:
        target: the declared class, perhaps with type arguments.
        value: the plain form.

    Raises:
        Refused: the plain value does not fit the class.
        NotImplementedError: the class can't be made from any plain value.
    """
    if target is object:
        return value
    kind = get_origin(target) or target
    if is_model(kind):
        try:
            return restore(kind, value)
        except Exception as error:  # noqa: BLE001 - validators are the user's code
            raise Refused(reasons(kind, error)) from None
    source = _made_from(kind)
    if source is None:
        raise NotImplementedError(_full_name(kind))
    return _make(target, kind, source, value)


def can_restore(kind: type) -> bool:
    """Return whether a value of this class can be made from a plain form."""
    return kind is object or is_model(kind) or _made_from(kind) is not None


def is_model(kind: Any) -> bool:
    """Return whether a class is a pydantic model, by its methods: pydantic is never imported."""
    return (
        isinstance(kind, type) and hasattr(kind, "model_dump") and hasattr(kind, "model_validate")
    )


def restore(kind: Any, value: Any) -> Any:
    """Make a model from its plain form.

    Strict models accept some values from JSON only: text for a date, a list for a tuple.

    Args:
        kind: the model's class.
        value: its plain form.

    Raises:
        Exception: the model refuses the value; any error that its validators raise.
    """
    return first_of(kind.model_validate, kind.model_validate_json, value)


def first_of(
    validate: Callable[[Any], Any], validate_json: Callable[[str], Any], value: Any
) -> Any:
    """Validate a plain value. If that fails and JSON can hold the value, validate it as JSON.

    Args:
        validate: validates a Python value.
        validate_json: validates a JSON text.
        value: the plain value.

    Raises:
        Exception: both refuse it.
    """
    try:
        return validate(value)
    except ValueError:
        try:
            text = json.dumps(value)
        except (TypeError, ValueError):
            text = None
        if text is None:
            raise
        return validate_json(text)


def reasons(kind: Any, error: BaseException) -> str:
    """Describe why a model refused a value, without the value.

    Pydantic's own messages may quote the value (a discriminator, an e-mail address), and those of
    validators contain anything their authors like. So the description has only the kinds of errors
    and their places, and of a place no keys of mappings.

    Args:
        kind: the model's class, or a type that contains models.
        error: the error that it raised.
    """
    tell = getattr(error, "errors", None)
    if not callable(tell):
        return f"{type(error).__name__} in its validation"
    try:
        found = tell(include_url=False, include_context=False, include_input=False)
        names = _field_names(kind)
        return "; ".join(f"{_place(entry['loc'], names)}: {entry['type']}" for entry in found)
    except Exception:  # noqa: BLE001 - another library's error that looks like pydantic's
        return f"{type(error).__name__} in its validation"


def _model_to_plain(value: Any) -> msgspec.Raw:
    kind = type(value)
    first = _modes_of.get(kind)
    different: list[str] | None = None
    for mode in (first, *_MODES) if first else _MODES:
        data = _dumped(value, mode)
        if data is None:
            continue
        try:
            again = restore(kind, _plain_decoder.decode(data))
        except Exception:  # noqa: BLE001, S112 - validators are the user's code: try another way
            continue
        found = differences(value, again)
        if not found:
            if mode is not first:
                _modes_of[kind] = mode
            return msgspec.Raw(data)
        if different is None or len(found) < len(different):
            different = found
    why = (
        "its own validation refuses what it dumps"
        if different is None
        else f"its {', '.join(different)} would arrive as something else"
    )
    raise Refused(
        f"{_full_name(kind)} does not survive its own dump and validation: {why} (a secret, an "
        "excluded or private field, a subclass in a field of its base, an alias?). Give the field "
        "a serializer whose output the model reads"
    )


def _dumped(value: Any, mode: Mapping[str, Any]) -> bytes | None:
    try:
        return _plain_encoder.encode(value.model_dump(**mode, round_trip=True, warnings=False))
    except Exception:  # noqa: BLE001 - serializers are the user's code: try another way
        return None


def _made_from(kind: Any) -> Any:
    """Return the plain class that a class is made from, or None."""
    if not isinstance(kind, type) or kind is collections.defaultdict:
        return None
    for base, source in _MADE:
        if kind is base or (base is not collections.abc.Iterable and issubclass(kind, base)):
            return source
    return None


def _make(target: Any, kind: Any, source: Any, value: Any) -> Any:
    elements = get_args(target)
    if source in (list, dict, set, frozenset) and elements:
        if kind is collections.Counter:
            elements = (*elements, int)
        source = source[elements]
    value = msgspec.convert(value, source, strict=False, dec_hook=from_plain)
    if kind is collections.abc.Iterable:
        return value
    try:
        return kind(value)
    except Exception as error:  # noqa: BLE001 - constructors are the user's code
        raise Refused(f"{type(error).__name__} in {kind.__qualname__}()") from None


def _place(location: Iterable[Any], names: set[str]) -> str:
    parts = [
        f"[{part}]" if isinstance(part, int) else f".{part}" if part in names else "[…]"
        for part in location
    ]
    return "".join(parts).removeprefix(".") or "the whole"


def _field_names(kind: Any) -> set[str]:
    """Collect the field names of a model and of the models in it; descriptions may show these."""
    names: set[str] = set()
    kinds, seen = [kind], set()
    while kinds:
        kind = kinds.pop()
        if kind in seen:
            continue
        seen.add(kind)
        if not is_model(kind):  # a union of models, say
            kinds += _models_in(kind)
            continue
        for name, field in kind.model_fields.items():
            names |= {n for n in (name, field.alias, field.validation_alias) if isinstance(n, str)}
            kinds += _models_in(field.annotation)
    return names


def _models_in(annotation: Any) -> list[Any]:
    if is_model(annotation):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def _full_name(kind: Any) -> str:
    return f"{kind.__module__}.{kind.__qualname__}" if isinstance(kind, type) else str(kind)


_plain_encoder: Final = msgspec.msgpack.Encoder(enc_hook=to_plain)
