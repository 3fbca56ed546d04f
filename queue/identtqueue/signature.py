"""What a job's function is: how it may be called, what it gives back, what it declares.

Read by typed apps and by workers, and again in the processes of jobs.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from types import SimpleNamespace
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec

from identtqueue.checks import check_duration, check_function_name
from identtqueue.errors import InvalidInput
from identtqueue.retry import RetryPolicy
from identtqueue.task import OPTION_NAMES

RunIn = Literal["loop", "thread", "process"]
"""What a job runs in: the worker's event loop, a thread of it, or a process of its own."""

_CONTEXT: Final = ("identtqueue.worker.context", "Context")
"""By name: whoever only enqueues does not load it."""

_VALUES: Final = {"builtins", "datetime", "decimal", "enum", "pathlib", "uuid"}
"""Modules whose classes are values, and no context of a job."""


class UnknownType(InvalidInput):
    """An annotation names what its module does not have at run time, or not yet."""


def check_function(name: str, function: Callable[..., Any]) -> None:
    """Refuse what can't be a job.

    Raises:
        InvalidInput: it is not callable, it has `yield`, or its first parameter can't be the
            context.
    """
    if not callable(function):
        raise InvalidInput(f"job {name!r} is not callable: {function!r}")
    called = _called(function)
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        raise InvalidInput(
            f"job {name}: it has `yield`, but a job returns one value: return a list, or report "
            "values on the way with ctx.report_progress(value)"
        )
    _check_context(name, function)


def check_job(
    name: str, function: Callable[..., Any], timeout_seconds: object, retry: object
) -> None:
    """Check what is declared of a job, wherever that is.

    Raises:
        InvalidInput: one of them breaks a rule.
    """
    check_function_name(name)
    check_function(name, function)
    if timeout_seconds is not None:
        check_duration(f"job {name}: timeout_seconds", timeout_seconds)
    if not (retry is None or isinstance(retry, RetryPolicy)):
        raise InvalidInput(f"job {name}: retry={retry!r}: give RetryPolicy(max_retries=3)")


def is_async(function: Callable[..., Any]) -> bool:
    """Tell whether calling it gives a coroutine, through partials and callable objects."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(_called(function))


def place(name: str, function: Callable[..., Any], run_in: RunIn | None) -> RunIn:
    """Where the function runs.

    A plain function that wraps an async one (a decorator, say) may run in either place: what it
    returns is awaited in the loop.

    Raises:
        InvalidInput: it can't run where `run_in` says.
    """
    if run_in is None:
        return "loop" if is_async(function) else "thread"
    if run_in not in ("loop", "thread", "process"):
        raise InvalidInput(f"job {name}: run_in={run_in!r}: loop, thread or process")
    if run_in == "loop" and not is_async(inspect.unwrap(function)):
        raise InvalidInput(
            f"job {name}: a plain function would block the loop: run it in a thread or a "
            "process, or make it async"
        )
    if run_in == "thread" and is_async(function):
        raise InvalidInput(
            f"job {name}: an async function runs in the loop or in a process, not in a thread"
        )
    return run_in


def declared_types(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    """The types of the arguments and of the `return`, the context's left out.

    The context's import may be for type checkers only.

    Args:
        name: of the job, for the error.
        function: `f(ctx, …)`.

    Raises:
        UnknownType: a type can't be found at run time.
        InvalidInput: an annotation can't be read.
    """
    declared = dict(getattr(_called(function), "__annotations__", {}))
    first = next(iter(inspect.signature(function).parameters.values()), None)
    if first is not None and first.kind is not inspect.Parameter.VAR_POSITIONAL:
        declared.pop(first.name, None)
    try:
        return _evaluated(function, declared)
    except NameError as error:
        raise UnknownType(
            f"job {name}: {error}. Its values are converted to the declared types, so "
            "import them outside `if TYPE_CHECKING:`"
        ) from error
    except (TypeError, SyntaxError, AttributeError) as error:
        raise InvalidInput(f"job {name}: an annotation can't be read: {error}") from error


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
        if types.get(argument, Any) not in (Any, object) and parameter.kind not in plain
    }


def _called(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function whose code runs first: behind partials and callable objects."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, staticmethod):
            function = function.__func__
        elif inspect.isroutine(function) or inspect.isclass(function):
            return function
        else:
            call = getattr(type(function), "__call__", None)  # noqa: B004 - the method itself
            return call if inspect.isroutine(call) else function


def _check_context(name: str, function: Callable[..., Any]) -> None:
    """The first parameter is the context's. Its name or its annotation may say that it is not."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some functions of C modules tell nothing
        return
    first = next(iter(parameters), None)
    nameless = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
    if first is None or first.kind in nameless:
        raise InvalidInput(
            f"job {name}: its first parameter must be the context: def {name}(ctx, …)"
        )
    if first.name.strip("_") in ("", "ctx", "context") or first.annotation is first.empty:
        return
    try:
        found = _evaluated(function, {"first": first.annotation})["first"]
    except Exception:  # noqa: BLE001 - what only type checkers can read is Context, most likely
        return
    if _is_value(found):
        raise InvalidInput(
            f"job {name}: its first parameter must be the context, not {first}: "
            f"def {name}(ctx, {first.name}, …)"
        )


def _is_value(annotation: Any) -> bool:
    """Whether a context never has this type."""
    if members := [a for a in get_args(annotation) if a is not type(None)]:
        if not isinstance(get_origin(annotation), type) or get_origin(annotation) is type(
            int | str
        ):
            return all(_is_value(member) for member in members)
        annotation = get_origin(annotation)
    if not isinstance(annotation, type) or annotation is object:
        return False
    if any((kind.__module__, kind.__qualname__) == _CONTEXT for kind in annotation.__mro__):
        return False
    return (
        any(kind.__module__ in _VALUES and kind is not object for kind in annotation.__mro__)
        or is_dataclass(annotation)
        or issubclass(annotation, msgspec.Struct)
        or hasattr(annotation, "model_validate")
    )


def _evaluated(function: Callable[..., Any], annotations: dict[str, Any]) -> dict[str, Any]:
    """Annotations that are text, read where the function stands."""
    names = getattr(inspect.unwrap(_called(function)), "__globals__", {})
    holder = SimpleNamespace(__annotations__=annotations)
    return get_type_hints(holder, globalns=names, include_extras=True)


_ANYTHING: Final = inspect.signature(lambda _ctx, *_args, **_kwargs: None)


class Parameters:
    """The arguments that a job takes behind its context: read once, asked for each call.

    Args:
        name: of the job, for the errors.
        function: `f(ctx, …)`.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self._name = name
        try:
            self._signature = inspect.signature(function)
        except ValueError:  # some functions of C modules tell nothing
            self._signature = _ANYTHING
        parameters = list(self._signature.parameters.values())
        kind = inspect.Parameter
        if parameters and parameters[0].kind is not kind.VAR_POSITIONAL:
            del parameters[0]  # the context
        by_place = [p for p in parameters if p.kind <= kind.POSITIONAL_OR_KEYWORD]
        self.by_place = tuple(p.name for p in by_place)
        self._only_by_place = sum(p.kind is kind.POSITIONAL_ONLY for p in by_place)
        self._needed_by_place = sum(p.default is p.empty for p in by_place)
        by_name = [p for p in parameters if p.kind is kind.KEYWORD_ONLY]
        self._needed_by_name = frozenset(p.name for p in by_name if p.default is p.empty)
        self._names = frozenset([*self.by_place[self._only_by_place :], *(p.name for p in by_name)])
        self._takes_more = any(p.kind is kind.VAR_POSITIONAL for p in parameters)
        self._takes_any_name = any(p.kind is kind.VAR_KEYWORD for p in parameters)

    def check(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Refuse arguments that the job does not take.

        Raises:
            InvalidInput: one is missing, or too many.
        """
        if not self._fit(args, kwargs):
            names = dict(kwargs)
            # Before Python 3.13 `bind` refuses a=1 for `def job(ctx, a=0, /, **kwargs)`.
            if self._takes_any_name:
                for name in self.by_place[: self._only_by_place]:
                    names.pop(name, None)
            try:
                self._signature.bind(None, *args, **names)
            except TypeError as error:
                raise InvalidInput(f"{self._name}: {error}") from None

    def _fit(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Whether they surely do; the signature has the last word, and words for what does not."""
        count = len(args)
        if count > len(self.by_place) and not self._takes_more:
            return False
        names = self._names
        return (
            names.issuperset(kwargs)
            and kwargs.keys().isdisjoint(self.by_place[:count])
            and self._needed_by_name <= kwargs.keys()
            and all(name in kwargs for name in self.by_place[count : self._needed_by_place])
        )

    def refuse_options(self, kwargs: Mapping[str, Any]) -> None:
        """Refuse options of a task among the arguments, unless the job declares them.

        Raises:
            InvalidInput: there is one; a job with `**kwargs` would get it, and nothing would
                come of it.
        """
        if not OPTION_NAMES.isdisjoint(kwargs) and (
            taken := OPTION_NAMES.intersection(kwargs) - self._names
        ):
            option = min(taken)
            raise InvalidInput(
                f"{self._name}: {option} is an option of the task, not an argument of the job: "
                f"give {self._name}.options({option}=…)"
            )
