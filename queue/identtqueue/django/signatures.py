"""The arguments of a task, as its caller gives them and as a job of the worker takes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from identtqueue.signature import Parameters


def signature_of(task: Any) -> inspect.Signature:
    """Return the signature of the job that runs a task: a context, then what the caller gives."""
    return _signature(task.func, task.takes_context)


def parameters_of(task: Any) -> Parameters:
    """Return the parameters of a task that its caller gives."""
    return _parameters(task.func, task.module_path, task.takes_context)


@lru_cache(maxsize=4096)
def _parameters(function: Callable[..., Any], name: str, takes_context: bool) -> Parameters:
    def called() -> None: ...

    called.__signature__ = _signature(function, takes_context)  # type: ignore[attr-defined]
    return Parameters(name, called)


def _signature(function: Callable[..., Any], takes_context: bool) -> inspect.Signature:
    parameters = list(inspect.signature(function).parameters.values())
    if takes_context:
        del parameters[0]
    context = inspect.Parameter("_context", inspect.Parameter.POSITIONAL_ONLY)
    return inspect.Signature([context, *parameters])
