"""References of the form `module:name`, by which a process for jobs finds a function."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import reduce
from importlib import import_module
from typing import Any, Final

from identtqueue.errors import InvalidInput

_DECORATED: Final = ".function"
"""Suffix for a function that `@app.task` has replaced by a job: the job's attribute that holds the
function."""


def reference_to(what: str, function: Callable[..., Any]) -> str:
    """Make the reference under which a process will find this function.

    Args:
        what: name of the job or hook, for the error message.
        function: a function at the top level of a module, or in a class there.

    Returns:
        `<module>:<path of attributes>`.

    Raises:
        InvalidInput: importing cannot find it, because it is a lambda, a nested function, a partial
            or a bound method.
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
        f"{what}: {function!r} can't run in a process, because a process has to import it. Define "
        "it under its own name at the top level of a module (not as a lambda, nested function, "
        "partial or bound method)"
    )


def find(reference: str) -> Any:
    """Import what a reference names.

    Raises:
        ImportError: the module cannot be imported.
        AttributeError: the module has no such attribute.
        Exception: the module itself raised an error while it was imported.
    """
    module, _, path = reference.partition(":")
    return _walk(import_module(module), path)


def main_source() -> tuple[str | None, str | None]:
    """Find where `__main__` came from.

    Returns:
        The name of its module (started with `python -m`) and the path of its file. One of the two
        is None. Both are, if it came from neither.
    """
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    return (spec.name, None) if spec else (None, getattr(main, "__file__", None))


def _walk(start: Any, path: str) -> Any:
    return reduce(getattr, path.split("."), start)
