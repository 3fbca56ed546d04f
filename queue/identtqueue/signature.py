"""What a job's function declares: read by typed apps, and again in the processes of jobs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, get_type_hints

from identtqueue.errors import InvalidInput


def declared_types(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    """The types of the arguments and of the `return`, the context's left out.

    The context's import may be for type checkers only.

    Args:
        name: of the job, for the error.
        function: `f(ctx, …)`.

    Raises:
        InvalidInput: a type can't be found at run time.
    """
    declared = dict(getattr(function, "__annotations__", {}))
    declared.pop(next(iter(inspect.signature(function).parameters)), None)
    names = getattr(inspect.unwrap(function), "__globals__", {})
    try:
        return get_type_hints(SimpleNamespace(__annotations__=declared), globalns=names)
    except NameError as error:
        raise InvalidInput(
            f"job {name}: {error}. Its values are converted to the declared types, so "
            "import them outside `if TYPE_CHECKING:`"
        ) from error


def argument_types(name: str, function: Callable[..., Any]) -> Mapping[str, Any]:
    """The types of the arguments that are to be converted.

    Raises:
        InvalidInput: as above.
    """
    plain = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    types = declared_types(name, function)
    return {
        argument: types[argument]
        for argument, parameter in inspect.signature(function).parameters.items()
        if types.get(argument, Any) is not Any and parameter.kind not in plain
    }
