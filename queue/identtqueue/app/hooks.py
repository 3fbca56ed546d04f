"""The decorators with which an app registers the hooks of its workers.

What hooks do, and what their errors do, is described in `worker/hooks.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from identtqueue.signature import check_hook
from identtqueue.worker_state import S

if TYPE_CHECKING:
    from identtqueue.worker.context import Context
    from identtqueue.worker.outcome import Outcome

H = TypeVar("H")
Done = TypeVar("Done", bound=Awaitable[None] | None)
"""Result of a hook: nothing, and if it is async, that is awaited."""


class AppHooks(Generic[S]):
    """The hooks of an app's workers."""

    def __init__(self) -> None:
        self._hooks: dict[str, list[Any]] = defaultdict(list)

    def on_startup(self, hook: Callable[[S], Done]) -> Callable[[S], Done]:
        """Register a hook: workers call it with their `state` before the first task.

        Use it as a decorator, like the other hooks below. Several hooks of a kind are called in
        the order of their definition, and each may be async. `identtqueue.worker.hooks` says what
        an error in a hook does.

        Args:
            hook: a function of one argument, the worker's `state`.

        Raises:
            InvalidInput: the hook is not callable, or takes other arguments.
        """
        return self._register("on_startup", hook)

    def on_shutdown(self, hook: Callable[[S], Done]) -> Callable[[S], Done]:
        """Register a hook: workers call it with their `state` after the last task.

        Args:
            hook: a function of one argument, the worker's `state`.
        """
        return self._register("on_shutdown", hook)

    def before_task(self, hook: Callable[[Context[S]], Done]) -> Callable[[Context[S]], Done]:
        """Register a hook: workers call it with the job's context before each attempt.

        Args:
            hook: a function of one argument, the job's context.
        """
        return self._register("before_task", hook)

    def after_task(
        self, hook: Callable[[Context[S], Outcome], Done]
    ) -> Callable[[Context[S], Outcome], Done]:
        """Register a hook: workers call it after each attempt, with its context and `Outcome`.

        Args:
            hook: a function of two arguments, the job's context and the `Outcome`.
        """
        return self._register("after_task", hook)

    def on_process_startup(self, hook: Callable[[S], Done]) -> Callable[[S], Done]:
        """Register a hook: each process for jobs calls it when it starts, with its own `state`.

        Args:
            hook: a function of one argument, the `state` of that process.
        """
        return self._register("on_process_startup", hook)

    def _register(self, kind: str, hook: H) -> H:
        check_hook(kind, hook)
        self._hooks[kind].append(hook)
        return hook
