"""Hidden parts of tasks: names of arguments and fields, and a function of the application.

A worker declares in Redis which names each of its jobs hides. So a command line or a dashboard
without the application's code hides the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, get_args, get_type_hints, is_typeddict

import msgspec

from identtqueue.errors import InvalidInput
from identtqueue.task import Task

HIDDEN: Final = "•••"
"""The text in place of a hidden value."""

ALL: Final = "*"
"""Declared in place of a name: only the application itself knows what may be shown."""

RedactFunction = Callable[[str, tuple[Any, ...], Mapping[str, Any]], Any]
"""A function `(job, args, kwargs) -> (args, kwargs)` that returns what may be shown."""

Redact = Collection[str] | RedactFunction
"""Names of arguments and fields to hide, or a function."""

_SECRETS: Final = frozenset({"SecretStr", "SecretBytes", "Secret"})
"""Types of pydantic whose values are hidden. They are known by name: pydantic is not imported."""


def check_redact(redact: Redact | None) -> frozenset[str] | RedactFunction:
    """Check what a user gave as `redact`.

    Args:
        redact: names, in any case; or a function; or None: nothing besides secret types.

    Returns:
        The names in lower case, or the function.

    Raises:
        InvalidInput: it is neither.
    """
    if redact is None:
        return frozenset()
    if callable(redact):
        return redact
    listed = isinstance(redact, Collection) and not isinstance(redact, str | bytes | Mapping)
    if not (listed and all(isinstance(name, str) and name for name in redact)):
        raise InvalidInput(
            f"redact={redact!r}: give names, as in {{'password', 'iban'}}, or a function "
            "(job, args, kwargs) -> (args, kwargs)"
        )
    return frozenset(name.lower() for name in redact)


def hidden_names(redact: frozenset[str] | RedactFunction, types: Mapping[str, Any]) -> list[str]:
    """List what a job hides, in the form in which it is declared.

    Args:
        redact: see `check_redact`.
        types: declared types of the job's arguments, by name.

    Returns:
        Names in lower case, sorted: those of `redact`, of secret arguments and of secret fields.
        With a function, `ALL` is one of them.
    """
    found = {ALL} if callable(redact) else set(redact)
    for name, kind in types.items():
        if _is_secret(kind):
            found.add(name.lower())
        found |= _secret_fields(kind, set())
    return sorted(found)


def hide(value: Any, names: Collection[str]) -> Any:
    """Return a plain value with the values of these names replaced, at any depth.

    Args:
        value: a value as msgpack decodes it.
        names: names in lower case.
    """
    if isinstance(value, Mapping):
        return {
            key: HIDDEN if isinstance(key, str) and key.lower() in names else hide(item, names)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return type(value)(hide(item, names) for item in value)
    return value


def hide_arguments(task: Task, parameters: Sequence[str], names: Collection[str]) -> Task:
    """Return a call with the arguments and fields of these names replaced.

    Args:
        task: the call of a job.
        parameters: names of the job's parameters, by position.
        names: names in lower case.
    """
    if not names:
        return task
    args = tuple(
        HIDDEN if i < len(parameters) and parameters[i].lower() in names else hide(value, names)
        for i, value in enumerate(task.args)
    )
    return msgspec.structs.replace(task, args=args, kwargs=hide(dict(task.kwargs), names))


def ask_application(redact: RedactFunction, task: Task) -> Task | None:
    """Return what the application's function shows of a call; None: it failed, so show nothing.

    Args:
        redact: the function. It is the user's code.
        task: the call of a job.
    """
    try:
        args, kwargs = redact(task.function_name, task.args, task.kwargs)
        return msgspec.structs.replace(task, args=tuple(args), kwargs=dict(kwargs))
    except Exception:  # noqa: BLE001 - an error of the function must not show the arguments
        return None


def _is_secret(kind: Any) -> bool:
    """Return whether a type is one of pydantic's secrets, perhaps among others, or made of one."""
    candidates: Iterable[Any] = getattr(kind, "__mro__", ())
    if any(c.__name__ in _SECRETS and c.__module__.startswith("pydantic") for c in candidates):
        return True
    origin = getattr(kind, "__origin__", None)
    made = () if origin is kind else (origin, *get_args(kind))
    return any(_is_secret(part) for part in made if part is not None)


def _secret_fields(kind: Any, seen: set[int]) -> set[str]:
    """Collect the names of the secret fields of a type and of all types in it."""
    if id(kind) in seen:
        return set()
    seen.add(id(kind))
    found: set[str] = set()
    for name, field in _fields(kind):
        if _is_secret(field):
            found.add(name.lower())
        found |= _secret_fields(field, seen)
    for part in get_args(kind):
        found |= _secret_fields(part, seen)
    return found


def _fields(kind: Any) -> list[tuple[str, Any]]:
    """List the fields of a model, a dataclass, a struct or a typed dict, with their types."""
    if (models := getattr(kind, "model_fields", None)) is not None and isinstance(kind, type):
        return [
            (name, field.annotation)
            for key, field in models.items()
            for name in {key, field.alias, field.validation_alias}
            if isinstance(name, str)
        ]
    if not isinstance(kind, type):
        return []
    has_fields = dataclasses.is_dataclass(kind) or hasattr(kind, "__struct_fields__")
    if not (has_fields or is_typeddict(kind)):
        return []
    try:
        types = get_type_hints(kind, include_extras=True)
        if hasattr(kind, "__struct_fields__"):  # the names may be others in the encoded form
            names = {f.name: {f.name, f.encode_name} for f in msgspec.structs.fields(kind)}
            return [(name, types[field]) for field in names for name in names[field]]
        return list(types.items())
    except Exception:  # noqa: BLE001 - an annotation that names nothing at run time
        return []
