"""Hooks: functions of a service that are called around its tasks, and what their errors do.

Hooks are plain or async functions. They are called in the worker's event loop, in the order in
which they were given. A plain one must not block. An error that a hook raises has these effects:

- `on_startup`: the worker stops with the error, before it takes a task.
- `before_task`: the attempt fails, as if the job had raised the error. The job is not run.
- `after_task`: the error is logged and counted. The outcome does not change. These hooks are called
  for every attempt whose `before_task` hooks were called, however it ended. They are not called for
  an attempt that is left behind because its job does not end. All of them together have 10 s, then
  they are cancelled.
- `on_shutdown`: the error is logged, and the stop continues. Each of these hooks has 10 s, then it
  is cancelled.
- `on_process_startup`: called in each process for jobs, before its first job, with that process's
  own `state`. The first such process is started with the worker. An error there stops the worker.
  In a later process, the task that needed the process is released uncharged, and the worker pauses
  before it tries again.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from identtqueue.errors import InvalidInput
from identtqueue.signature import check_hook
from identtqueue.worker.attempt_log import fields_of_context
from identtqueue.worker.context import Context
from identtqueue.worker.counts import Counters
from identtqueue.worker.outcome import Outcome
from identtqueue.worker_state import S

logger = logging.getLogger(__name__)

StateHook = Callable[[S], Awaitable[None] | None]
"""Called with the state that all jobs share."""
BeforeTask = Callable[[Context[S]], Awaitable[None] | None]
AfterTask = Callable[[Context[S], Outcome], Awaitable[None] | None]

StateHooks = StateHook[S] | Sequence[StateHook[S]] | None
BeforeTasks = BeforeTask[S] | Sequence[BeforeTask[S]] | None
AfterTasks = AfterTask[S] | Sequence[AfterTask[S]] | None


SHUTDOWN_SECONDS: Final = 10.0
"""How long each `on_shutdown` hook may take."""


class Hooks(msgspec.Struct, frozen=True, kw_only=True):
    """The hooks of one worker, by the moment at which they are called."""

    on_startup: tuple[StateHook, ...] = ()
    on_shutdown: tuple[StateHook, ...] = ()
    before_task: tuple[BeforeTask, ...] = ()
    after_task: tuple[AfterTask, ...] = ()
    on_process_startup: tuple[StateHook, ...] = ()

    @classmethod
    def of(cls, **given: Any) -> Hooks:
        """Make hooks from what users write: a function, several, or None for each kind.

        Raises:
            InvalidInput: a hook is not callable, or takes other arguments.
        """
        return cls(**{name: _several(name, value) for name, value in given.items()})

    async def start_up(self, state: Any) -> None:
        """Call the `on_startup` hooks, before the first task."""
        for hook in self.on_startup:
            await _call(hook, state)

    async def shut_down(self, state: Any) -> None:
        """Call the `on_shutdown` hooks, after the last task.

        A hook that has not ended a second after its cancellation is left behind.
        """
        for hook in self.on_shutdown:
            calling = asyncio.ensure_future(_call_safely(hook, state))
            try:
                await asyncio.wait([calling], timeout=SHUTDOWN_SECONDS)
            finally:  # also if this coroutine is cancelled itself
                if not calling.done():
                    logger.error("on_shutdown: %r does not end: cancelling it", hook)
                    calling.cancel()
                    await asyncio.wait([calling], timeout=1.0)

    async def before(self, context: Context) -> None:
        """Call the `before_task` hooks, before an attempt."""
        for hook in self.before_task:
            await _call(hook, context)

    async def after(self, context: Context, outcome: Outcome, counters: Counters) -> None:
        """Call the `after_task` hooks, after an attempt.

        No error of a hook is raised here, because the outcome still has to be recorded.
        """
        for hook in self.after_task:
            try:
                await _call(hook, context, outcome)
            except BaseException:
                counters.hook_errors += 1
                logger.exception(
                    "after_task hook of %s attempt %d failed",
                    context.task_id,
                    context.attempt,
                    extra=fields_of_context(context),
                )


async def _call(hook: Callable[..., Any], *arguments: Any) -> None:
    result = hook(*arguments)
    if inspect.isawaitable(result):
        await result


async def _call_safely(hook: StateHook, state: Any) -> None:
    """Call a hook and log its error. A SystemExit must not get out: it would end the event loop."""
    try:
        await _call(hook, state)
    except BaseException:
        logger.exception("on_shutdown hook failed")


def _several(name: str, given: Any) -> tuple[Callable[..., Any], ...]:
    if not (given is None or callable(given) or isinstance(given, Iterable)):
        raise InvalidInput(f"{name}={given!r}: give a function, or a list of functions")
    hooks = () if given is None else (given,) if callable(given) else tuple(given)
    for hook in hooks:
        check_hook(name, hook)
    return hooks
