"""The state of a worker: what start-up hooks fill, and what jobs find in `ctx.state`.

`App(state=Services)` says what makes it. Then the app is an `App[Services]`, and its jobs declare
`Context[Services]`. Without `state` it is a dict, and its type is `Any`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, get_origin, is_typeddict

from identtqueue.errors import InvalidInput
from identtqueue.signature import declared_state

if TYPE_CHECKING:
    # Before Python 3.13 only these type variables can have a default. Type checkers bring the
    # module along, so it is not needed at run time.
    from typing_extensions import TypeVar

    S = TypeVar("S", default=Any)
    S_co = TypeVar("S_co", covariant=True, default=Any)
else:
    from typing import TypeVar

    S = TypeVar("S")
    S_co = TypeVar("S_co", covariant=True)


def check_state(state: Callable[[], Any] | None) -> Callable[[], Any]:
    """Check what makes a worker's state, and return it; None stands for `dict`.

    Raises:
        InvalidInput: it can't be called without arguments, or it is async.
    """
    if state is None:
        return dict
    hint = "give a class or a plain function without arguments, and open connections in on_startup"
    if not callable(state) or inspect.iscoroutinefunction(state):
        raise InvalidInput(f"state={state!r}: {hint}")
    try:
        signature = inspect.signature(state)
    except (TypeError, ValueError):  # some classes of C modules have none
        return state
    try:
        signature.bind()
    except TypeError as error:
        raise InvalidInput(f"state={state!r}: {error}: {hint}") from None
    return state


def check_context(name: str, function: Callable[..., Any], state: Callable[[], Any]) -> None:
    """Check that a job declares the state that it will get: `Context[Services]`.

    A state whose class can't be known before it is made, such as that of a function, is not
    checked. Neither is a declaration that is no class.

    Args:
        name: name of the job, for the error.
        function: the job's function.
        state: the class that makes the state.

    Raises:
        InvalidInput: the state is of another class.
    """
    declared = declared_state(function)
    wanted = get_origin(declared) or declared
    if is_typeddict(wanted):
        wanted = dict
    made = dict if is_typeddict(state) else state
    if not (isinstance(wanted, type) and isinstance(made, type)):
        return
    if wanted is not Any and Protocol not in wanted.__bases__ and not issubclass(made, wanted):
        raise InvalidInput(
            f"job {name}: it declares Context[{wanted.__qualname__}], but ctx.state will be a "
            f"{made.__qualname__}: make the app with App(…, state={wanted.__qualname__})"
        )
