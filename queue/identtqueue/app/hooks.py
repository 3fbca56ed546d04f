"""The decorators with which an app registers the hooks of its workers.

What hooks do, and what their errors do, is described in `worker/hooks.py`.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, TypeVar

from identtqueue.errors import InvalidInput

if TYPE_CHECKING:
    from identtqueue.worker.hooks import AfterTask, BeforeTask, StateHook

Hook = TypeVar("Hook", bound="StateHook")
BeforeHook = TypeVar("BeforeHook", bound="BeforeTask")
AfterHook = TypeVar("AfterHook", bound="AfterTask")


class AppHooks:
    """The hooks of an app's workers."""

    def __init__(self) -> None:
        self._hooks: dict[str, list[Any]] = defaultdict(list)

    def on_startup(self, hook: Hook) -> Hook:
        """Register a hook: workers call it with their `state` before the first task.

        Use it as a decorator, like the other hooks below. Several hooks of a kind are called in
        the order of their definition, and each may be async. `identtqueue.worker.hooks` says what
        an error in a hook does.

        Args:
            hook: a function of one argument, the worker's `state`.

        Raises:
            InvalidInput: the hook is not callable.
        """
        self._hooks["on_startup"].append(_hook("on_startup", hook))
        return hook

    def on_shutdown(self, hook: Hook) -> Hook:
        """Register a hook: workers call it with their `state` after the last task.

        Args:
            hook: a function of one argument, the worker's `state`.
        """
        self._hooks["on_shutdown"].append(_hook("on_shutdown", hook))
        return hook

    def before_task(self, hook: BeforeHook) -> BeforeHook:
        """Register a hook: workers call it with the job's context before each attempt.

        Args:
            hook: a function of one argument, the job's context.
        """
        self._hooks["before_task"].append(_hook("before_task", hook))
        return hook

    def after_task(self, hook: AfterHook) -> AfterHook:
        """Register a hook: workers call it after each attempt, with its context and `Outcome`.

        Args:
            hook: a function of two arguments, the job's context and the `Outcome`.
        """
        self._hooks["after_task"].append(_hook("after_task", hook))
        return hook

    def on_process_startup(self, hook: Hook) -> Hook:
        """Register a hook: each process for jobs calls it when it starts, with its own `state`.

        Args:
            hook: a function of one argument, the `state` of that process.
        """
        self._hooks["on_process_startup"].append(_hook("on_process_startup", hook))
        return hook


def _hook(name: str, hook: Any) -> Any:
    if not callable(hook):
        raise InvalidInput(f"{name}: {hook!r} is not callable")
    return hook
