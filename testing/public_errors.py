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
"""Argument that an `__init__` gets for a parameter, by its annotation."""


def classes() -> dict[str, type[IdenttqueueError]]:
    """Return every error class of `identtqueue.errors`, including future ones."""
    return {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, IdenttqueueError)
    }


def example(name: str) -> IdenttqueueError:
    """Make an error of a class, with an attribute and a note as users may add them."""
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
    """Raise an example error of a class, in the process in which this is called."""
    raise example(name)


def raise_given(error: IdenttqueueError) -> NoReturn:
    """Raise an error that came from another process."""
    raise error
