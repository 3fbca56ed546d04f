"""One error of each public class, and functions that raise it: importable by other processes."""

from __future__ import annotations

import inspect
from typing import Any, NoReturn

from identtqueue import errors
from identtqueue.errors import IdenttqueueError

_VALUES: dict[str, Any] = {
    "str": "q:1",
    "str | None": "text",
    "int": 7,
    "float": 2.5,
    "float | None": 1.5,
    "list[str]": ["b", "a"],
    "object": "anything",
}
"""What an `__init__` is given for a parameter, by its annotation."""


def classes() -> dict[str, type[IdenttqueueError]]:
    """Every class of `identtqueue.errors`, also those that are added later."""
    return {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, IdenttqueueError)
    }


def example(name: str) -> IdenttqueueError:
    """An error of that class, with what callers and the interpreter may hang on it."""
    kind = classes()[name]
    if inspect.isfunction(kind.__init__):
        parameters = list(inspect.signature(kind).parameters.values())
        error = kind(*(_VALUES[parameter.annotation] for parameter in parameters))
    else:
        error = kind("what went wrong")
    error.hint = "look there"  # type: ignore[attr-defined]
    error.add_note("a note")
    return error


def raise_example(name: str) -> NoReturn:
    """Raise it, in whatever process this is called."""
    raise example(name)


def raise_given(error: IdenttqueueError) -> NoReturn:
    """Raise what came from another process."""
    raise error
