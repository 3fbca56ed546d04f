"""The signature of a job's function: its parameters, their types, and where it may run.

Apps and workers read it, and so do the processes of jobs.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from types import SimpleNamespace
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec

from identtqueue.errors import InvalidInput
from identtqueue.task import OPTION_NAMES

RunIn = Literal["loop", "inline", "thread", "process"]
"""Place where a job runs: the event loop (`inline`: a plain function that never blocks), a thread
of the worker, or a process of its own."""

_CONTEXT: Final = ("identtqueue.worker.context", "Context")
"""The class `Context` by name, so that programs that only enqueue need not load it."""

_VALUES: Final = {"builtins", "datetime", "decimal", "enum", "pathlib", "uuid"}
"""Modules and packages whose classes are values of arguments, so they can't be the type of the
context. A class may live in a submodule, such as Python 3.13's `pathlib._local.Path`."""


_HOOK_ARGUMENTS: Final = {"before_task": ("ctx",), "after_task": ("ctx", "outcome")}
"""Arguments of hooks, by kind. All others get the state."""


class UnknownType(InvalidInput):
    """An annotation names something that its module does not define at run time, or not yet."""


def check_function(name: str, function: Callable[..., Any]) -> None:
    """Check that a function can be a job.

    Args:
        name: name of the job, for the error.
        function: the function to check.

    Raises:
        InvalidInput: it is not callable, it contains `yield`, or its first parameter can't be the
            context.
    """
    if not callable(function):
        raise InvalidInput(f"job {name!r} is not callable: {function!r}")
    called = _called(function)
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        raise InvalidInput(
            f"job {name}: it contains `yield`, but a job returns one value: return a list, or "
            "report values on the way with ctx.report_progress(value)"
        )
    _check_context(name, function)


def check_hook(kind: str, hook: object) -> None:
    """Check that a hook can be called with what hooks of its kind get.

    Args:
        kind: `on_startup`, `after_task`, …
        hook: the function.

    Raises:
        InvalidInput: it is not callable, or takes other arguments.
    """
    if not callable(hook):
        raise InvalidInput(f"{kind}: {hook!r} is not callable")
    names = _HOOK_ARGUMENTS.get(kind, ("state",))
    try:
        parameters = inspect.signature(hook)
    except (TypeError, ValueError):  # some functions of C modules have no signature
        return
    try:
        parameters.bind(*names)
    except TypeError as error:
        raise InvalidInput(
            f"{kind}: {hook!r} is called with ({', '.join(names)}): {error}"
        ) from None


def is_async(function: Callable[..., Any]) -> bool:
    """Return whether a call gives a coroutine, also through partials and callable objects."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(_called(function))


def place(name: str, function: Callable[..., Any], run_in: RunIn | None) -> RunIn:
    """Decide where a job's function runs.

    A plain function that wraps an async one (a decorator, say) may run in the loop or in a thread.
    The coroutine that it returns is awaited in the loop. One that never blocks may run inline.

    Args:
        name: name of the job, for the error.
        function: the job's function.
        run_in: where the job is declared to run; None: in the loop if it is async, else in a
            thread.

    Raises:
        InvalidInput: the function can't run where `run_in` says.
    """
    if run_in is None:
        return "loop" if is_async(function) else "thread"
    if run_in not in get_args(RunIn):
        raise InvalidInput(
            f"job {name}: run_in={run_in!r}: must be loop, inline, thread or process"
        )
    if run_in == "loop" and not is_async(inspect.unwrap(function)):
        raise InvalidInput(
            f"job {name}: a plain function would block the loop: run it in a thread or a "
            "process, make it async, or declare run_in='inline' if it never blocks"
        )
    if run_in == "inline" and is_async(inspect.unwrap(function)):
        raise InvalidInput(
            f"job {name}: run_in='inline' is for plain functions that never block: an async "
            "function runs in the loop without it"
        )
    if run_in == "thread" and is_async(function):
        raise InvalidInput(
            f"job {name}: an async function runs in the loop or in a process, not in a thread"
        )
    return run_in


def declared_types(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    """Read the declared types of a function's arguments and of its `return`.

    The context's type is left out, since its import may be for type checkers only.

    Args:
        name: name of the job, for the error.
        function: the job's function, `f(ctx, …)`.

    Returns:
        The types by argument name; that of the result under `return`.

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


def declared_state(function: Callable[..., Any]) -> Any:
    """Return the type of `ctx.state` that a function declares: `Services` for `Context[Services]`.

    Returns:
        `Any` if it declares none, or if the type can't be found at run time.
    """
    try:
        first = next(iter(inspect.signature(function).parameters.values()))
        found = _evaluated(function, {"first": first.annotation})["first"]
    except Exception:  # noqa: BLE001 - there is no signature, or a type for type checkers only
        return Any
    origin = get_origin(found)
    if (getattr(origin, "__module__", ""), getattr(origin, "__qualname__", "")) != _CONTEXT:
        return Any
    return get_args(found)[0]


def argument_types(name: str, function: Callable[..., Any]) -> Mapping[str, Any]:
    """Read the declared types of the arguments that have to be converted, by argument name.

    Args:
        name: name of the job, for the error.
        function: the job's function, `f(ctx, …)`.

    Raises:
        UnknownType, InvalidInput: see `declared_types`.
    """
    plain = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    types = declared_types(name, function)
    return {
        argument: types[argument]
        for argument, parameter in inspect.signature(function).parameters.items()
        if types.get(argument, Any) not in (Any, object) and parameter.kind not in plain
    }


def known_types(name: str, function: Callable[..., Any]) -> Mapping[str, Any]:
    """Read the declared types of a function's arguments as far as that is possible.

    Args:
        name: name of the job.
        function: the job's function, `f(ctx, …)`.

    Returns:
        The types by argument name; empty if they can't be read.
    """
    try:
        return argument_types(name, function)
    except (InvalidInput, ValueError):  # a type for type checkers only; no signature
        return {}


def module_of(function: Callable[..., Any]) -> str:
    """Return the name of the module that defines a function; empty: it is not known."""
    return str(getattr(inspect.unwrap(_called(function)), "__module__", None) or "")


def _called(function: Callable[..., Any]) -> Callable[..., Any]:
    """Find the function whose code runs, behind partials and callable objects."""
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
    """Refuse a function whose first parameter can't be the context, by its name and annotation."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some functions of C modules have no signature
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
    except Exception:  # noqa: BLE001 - a type for type checkers only: most likely it is Context
        return
    if _is_value(found):
        raise InvalidInput(
            f"job {name}: its first parameter must be the context, not {first}: "
            f"def {name}(ctx, {first.name}, …)"
        )


def _is_value(annotation: Any) -> bool:
    """Return whether an annotation is certainly the type of an argument, not of the context."""
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
        any(_of_value_module(kind) for kind in annotation.__mro__)
        or is_dataclass(annotation)
        or issubclass(annotation, msgspec.Struct)
        or hasattr(annotation, "model_validate")
    )


def _of_value_module(kind: type) -> bool:
    return kind is not object and kind.__module__.partition(".")[0] in _VALUES


def _evaluated(function: Callable[..., Any], annotations: dict[str, Any]) -> dict[str, Any]:
    """Evaluate annotations, those that are text with the names of the function's module."""
    names = getattr(inspect.unwrap(_called(function)), "__globals__", {})
    holder = SimpleNamespace(__annotations__=annotations)
    return get_type_hints(holder, globalns=names, include_extras=True)


_ANYTHING: Final = inspect.signature(lambda _ctx, *_args, **_kwargs: None)
"""The signature that is assumed for a function which has none: it takes all arguments."""


class Parameters:
    """The parameters of a job after its context, read once and checked against each call.

    Args:
        name: name of the job, for the errors.
        function: the job's function, `f(ctx, …)`.

    Attributes:
        by_place: names of the parameters that can be given by position.
        names: names of all parameters, in their order.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self._name = name
        try:
            self._signature = inspect.signature(function)
        except ValueError:  # some functions of C modules have no signature
            self._signature = _ANYTHING
        parameters = list(self._signature.parameters.values())
        kind = inspect.Parameter
        if parameters and parameters[0].kind is not kind.VAR_POSITIONAL:
            del parameters[0]  # the context
        self.names = tuple(p.name for p in parameters)
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
        """Check that a call has the arguments that the job takes.

        Args:
            args: positional arguments, without the context.
            kwargs: keyword arguments.

        Raises:
            InvalidInput: an argument is missing, or there is one that the job does not take.
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
        """Return whether the arguments certainly fit. Otherwise `Signature.bind` decides."""
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
        """Refuse options of a task among the arguments, unless the job declares arguments so named.

        A job with `**kwargs` would take the option as an argument, and the option would have no
        effect.

        Args:
            kwargs: the keyword arguments of a call.

        Raises:
            InvalidInput: an option stands among the arguments.
        """
        if not OPTION_NAMES.isdisjoint(kwargs) and (
            taken := OPTION_NAMES.intersection(kwargs) - self._names
        ):
            option = min(taken)
            raise InvalidInput(
                f"{self._name}: {option} is an option of the task, not an argument of the job: "
                f"give {self._name}.options({option}=…)"
            )
