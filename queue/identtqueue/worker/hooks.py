"""What a service has called around its tasks, and what an error there does.

Hooks are plain or async functions, called in the worker's event loop in the order in which they
were given; a plain one must not block. Their errors:

- `on_startup`: the worker stops with it, before it takes a task.
- `before_task`: the attempt fails with it, as if the job had raised it; the job is not run.
- `after_task`: logged and counted; the outcome stays what it is. Called for every attempt whose
  `before_task` was called, however it ended; but not for one that is left behind because its job
  does not end. All of them together have 10 s, then they are cancelled.
- `on_shutdown`: logged; the stop goes on. Each has 10 s, then it is cancelled.
- `on_process_startup`: called in each process for jobs, before its first one, with that process's
  own `state`. The first such process is started with the worker, which stops with the error. Later
  the task that needed one goes back uncharged, and the worker pauses before it tries again.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from identtqueue.errors import InvalidInput
from identtqueue.worker.attempt_log import fields_of_context
from identtqueue.worker.context import Context
from identtqueue.worker.metrics import Counters
from identtqueue.worker.outcome import Outcome

logger = logging.getLogger(__name__)

StateHook = Callable[[MutableMapping[str, Any]], Awaitable[None] | None]
"""Called with the state that all jobs share."""
BeforeTask = Callable[[Context], Awaitable[None] | None]
AfterTask = Callable[[Context, Outcome], Awaitable[None] | None]

StateHooks = StateHook | Sequence[StateHook] | None
BeforeTasks = BeforeTask | Sequence[BeforeTask] | None
AfterTasks = AfterTask | Sequence[AfterTask] | None


SHUTDOWN_SECONDS: Final = 10.0
"""How long each `on_shutdown` hook may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """All that can be hooked into; each a function, several, or none.

    Raises:
        InvalidInput: one is not callable.
    """

    on_startup: tuple[StateHook, ...] = ()
    on_shutdown: tuple[StateHook, ...] = ()
    before_task: tuple[BeforeTask, ...] = ()
    after_task: tuple[AfterTask, ...] = ()
    on_process_startup: tuple[StateHook, ...] = ()

    @classmethod
    def of(cls, **given: Any) -> Hooks:
        """From what users write."""
        return cls(**{name: _several(name, value) for name, value in given.items()})

    async def start_up(self, state: MutableMapping[str, Any]) -> None:
        """Before the first task."""
        for hook in self.on_startup:
            await _call(hook, state)

    async def shut_down(self, state: MutableMapping[str, Any]) -> None:
        """After the last task. One that does not end is left behind, a second after its time."""
        for hook in self.on_shutdown:
            calling = asyncio.ensure_future(_call_safely(hook, state))
            try:
                await asyncio.wait([calling], timeout=SHUTDOWN_SECONDS)
            finally:  # also if we are cancelled ourselves
                if not calling.done():
                    logger.error("on_shutdown: %r does not end: cancelling it", hook)
                    calling.cancel()
                    await asyncio.wait([calling], timeout=1.0)

    async def before(self, context: Context) -> None:
        """Before an attempt."""
        for hook in self.before_task:
            await _call(hook, context)

    async def after(self, context: Context, outcome: Outcome, counters: Counters) -> None:
        """After an attempt. Nothing that a hook raises gets out: the outcome is to be recorded."""
        for hook in self.after_task:
            try:
                await _call(hook, context, outcome)
            except BaseException:
                counters.hook_errors += 1
                logger.exception(
                    "after_task of %s attempt %d",
                    context.task_id,
                    context.attempt,
                    extra=fields_of_context(context),
                )


async def _call(hook: Callable[..., Any], *arguments: Any) -> None:
    result = hook(*arguments)
    if inspect.isawaitable(result):
        await result


async def _call_safely(hook: StateHook, state: MutableMapping[str, Any]) -> None:
    """Nothing gets out, a SystemExit neither: in a task of its own it would end the event loop."""
    try:
        await _call(hook, state)
    except BaseException:
        logger.exception("on_shutdown")


def _several(name: str, given: Any) -> tuple[Callable[..., Any], ...]:
    if not (given is None or callable(given) or isinstance(given, Iterable)):
        raise InvalidInput(f"{name}={given!r}: give a function, or a list of functions")
    hooks = () if given is None else (given,) if callable(given) else tuple(given)
    for hook in hooks:
        if not callable(hook):
            raise InvalidInput(f"{name}: {hook!r} is not callable")
    return hooks
