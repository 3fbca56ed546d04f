"""`module:name`: how the process of a job finds a function, and how the worker names it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import reduce
from importlib import import_module
from typing import Any, Final

from identtqueue.errors import InvalidInput

_DECORATED: Final = ".function"
"""A function made a job by `@app.task`: the module has the job, the job has the function."""


def reference_to(what: str, function: Callable[..., Any]) -> str:
    """The reference under which a process will find this very function.

    Args:
        what: the job's or the hook's name, for the error.
        function: at the top level of a module (or in a class there).

    Raises:
        InvalidInput: it can't be found: a lambda, a nested function, a partial, a bound method.
    """
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", None)
    if module == "__main__" and main_source() == (None, None):
        raise InvalidInput(f"{what}: {name} is in no file, so a process can't import it")
    if module in sys.modules and name:
        for path in (name, name + _DECORATED):
            try:
                if _walk(sys.modules[module], path) is function:
                    return f"{module}:{path}"
            except AttributeError:
                continue
    raise InvalidInput(
        f"{what}: {function!r} can't run in a process: that finds its function by importing it, "
        "so give it a name of its own at the top level of a module (no lambda, nested function, "
        "partial or bound method)"
    )


def find(reference: str) -> Any:
    """What a reference names.

    Raises:
        ImportError, AttributeError: it is not there. Or what its module raises.
    """
    module, _, path = reference.partition(":")
    return _walk(import_module(module), path)


def main_source() -> tuple[str | None, str | None]:
    """Where `__main__` came from: the name of its module (`python -m`), or its path; or neither."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    return (spec.name, None) if spec else (None, getattr(main, "__file__", None))


def _walk(start: Any, path: str) -> Any:
    return reduce(getattr, path.split("."), start)
