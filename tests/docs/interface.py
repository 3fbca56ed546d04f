"""Names and keywords that Python code uses of the library, compared with the library.

The check needs no types. It knows objects by the names that the documentation gives them: `app` is
an App, `ctx` a Context, `client` a Client.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import identtqueue
from identtqueue import App, Client, Context, SyncClient, TaskOptions, Worker
from identtqueue.admin import Admin
from identtqueue.app.decorator import TaskKeywords
from identtqueue.job_options import JobOptions
from identtqueue.worker.settings import WorkerSettings

KNOWN: dict[str, tuple[type, ...]] = {
    "admin": (Admin,),
    "app": (App,),
    "client": (Client, SyncClient),
    "ctx": (Context,),
}
"""The object that a name means on a page."""


def _keywords(function: Callable[..., Any]) -> set[str]:
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {p.name for p in inspect.signature(function).parameters.values() if p.kind in kinds}


OF_A_WORKER = _keywords(Worker) | set(WorkerSettings.__struct_fields__)
OPEN: dict[str, set[str]] = {
    "app.task": set(TaskKeywords.__annotations__) | set(JobOptions.__struct_fields__),
    "app.worker": OF_A_WORKER | _keywords(App.worker),
    "Worker": OF_A_WORKER,
    "App": _keywords(App) | _keywords(Client),
    ".options": set(TaskOptions.__struct_fields__),
}
"""Keywords of what passes them on."""


def unknown_words(tree: ast.AST) -> Iterator[str]:
    """Yield the names and keywords in a program that the library does not have."""
    imported = _imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("identtqueue"):
            yield from _missing(node)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            kinds = KNOWN.get(node.value.id)
            if kinds and not any(_has(kind, node.attr) for kind in kinds):
                yield f"{node.value.id} has no {node.attr}"
        if isinstance(node, ast.Call):
            yield from _wrong_keywords(node, imported)


def _imported(tree: ast.AST) -> set[str]:
    return {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "identtqueue"
        for alias in node.names
    }


def _missing(node: ast.ImportFrom) -> Iterator[str]:
    module = import_module(str(node.module))
    for alias in node.names:
        if not hasattr(module, alias.name):
            yield f"{node.module} has no {alias.name}"


def _has(kind: type, name: str) -> bool:
    return (
        hasattr(kind, name)
        or name in getattr(kind, "__annotations__", {})
        or (kind is App and name in {"client", "sync_client", "default_queue", "jobs", "crons"})
    )


def _wrong_keywords(call: ast.Call, imported: set[str]) -> Iterator[str]:
    given = {word.arg for word in call.keywords if word.arg}
    known = _known_keywords(call.func, imported)
    if known is not None and not given <= known:
        yield f"{ast.unparse(call.func)}: no keyword {', '.join(sorted(given - known))}"


def _known_keywords(called: ast.expr, imported: set[str]) -> set[str] | None:
    """Return the keywords that a call may have; None if it is not known what is called."""
    if isinstance(called, ast.Name):
        if called.id in OPEN:
            return OPEN[called.id]
        is_ours = called.id in imported or called.id in identtqueue.__all__
        kind = getattr(identtqueue, called.id) if is_ours else None
        return None if kind is None or issubclass(kind, Exception) else _keywords(kind)
    if not isinstance(called, ast.Attribute):
        return None
    if called.attr == "options":
        return OPEN[".options"]
    owner = called.value.id if isinstance(called.value, ast.Name) else ""
    if f"{owner}.{called.attr}" in OPEN:
        return OPEN[f"{owner}.{called.attr}"]
    methods = [getattr(kind, called.attr, None) for kind in KNOWN.get(owner, ())]
    found = [_keywords(method) for method in methods if callable(method)]
    takes_any = any(_passes_on(method) for method in methods if callable(method))
    return set().union(*found) if found and not takes_any else None


def _passes_on(function: Callable[..., Any]) -> bool:
    parameters = inspect.signature(function).parameters.values()
    return any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters)
