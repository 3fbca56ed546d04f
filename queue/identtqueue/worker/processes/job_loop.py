"""The event loop of a process for jobs, shared by its hooks and attempts and tidied after each.

The objects that `on_process_startup` opens, such as a pool of connections, are bound to the event
loop. So one loop lives as long as the process. Everything that an attempt starts ends with the
attempt: tasks, async generators, calls in the default executor, the timer of `signal.alarm`. An
attempt runs in a copy of the hooks' context. It sees the context variables that hooks have set, and
its own changes to them are dropped.

A context variable tells which attempt has started something, because everything that its code
starts inherits the variable. A task that a pool started in a hook belongs to no attempt, and
neither does what that task starts later. Callbacks that an attempt has scheduled (`call_later`) are
not cancelled, because pools close idle connections that way. They can't harm another attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from identtqueue.worker.failure import describe
from identtqueue.worker.processes.scope import Scope, begun_by

logger = logging.getLogger(__name__)


async def _awaited(value: Awaitable[Any]) -> Any:
    return await value


class _DefaultExecutor(ThreadPoolExecutor):
    """Default executor of the loop (`asyncio.to_thread`) that notes which attempt made a call."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        call = super().submit(function, *args, **kwargs)
        scope = begun_by.get()
        if scope is not None:
            scope.add_call(call)
        return call


class JobLoop:
    """Caller of functions, plain or async. Async ones run in one event loop, made when needed."""

    def __init__(self) -> None:
        self._hooks = contextvars.copy_context()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._make: Callable[..., Any] = _make_task
        self._factory = self._make_noted_task

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a hook. What it starts keeps running."""
        return self._finish(self._hooks, function, arguments)

    def scope(self) -> Scope:
        """Make a scope for one attempt."""
        return Scope(self._hooks.copy())

    def run(self, scope: Scope, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call the function of an attempt; return its value, or raise its error."""
        try:
            return self._finish(scope.context, function, arguments)
        finally:
            scope.stop_timer()

    def left(self, scope: Scope, *, failed: bool) -> list[str]:
        """Name what the attempt has left running, one turn of the loop after its end.

        In that turn, generators without references begin to close. The run of a coroutine that has
        returned includes it already.

        Args:
            scope: the scope of the attempt.
            failed: whether it has raised an error, whose frames may have referred to generators.
        """
        if scope.ran_in_loop and (failed or not scope.had_last_turn):
            self._drive(asyncio.sleep(0), scope.context, blamed=False)
        return scope.left()

    def tidy(self, scope: Scope) -> list[str]:
        """End what the attempt has left running; name what does not end."""
        self._drive(scope.end(), scope.context, blamed=False)
        return scope.left()

    def close(self) -> None:
        """Cancel all tasks and close the event loop."""
        if self._loop is None:
            return
        loop = self._loop
        rest = asyncio.all_tasks(loop)
        for task in rest:
            task.cancel()
        if rest:
            self._drive(_wait(rest), self._hooks, blamed=False)
        self._drive(loop.shutdown_asyncgens(), self._hooks, blamed=False)
        self._drive(loop.shutdown_default_executor(), self._hooks, blamed=False)
        loop.close()

    def _finish(
        self, context: contextvars.Context, function: Callable[..., Any], arguments: Any
    ) -> Any:
        value = context.run(function, *arguments)
        if not inspect.isawaitable(value):
            return value
        scope = context.get(begun_by)
        if scope is not None:
            scope.ran_in_loop = True
        coroutine = value if inspect.iscoroutine(value) else _awaited(value)
        return self._drive(coroutine, context, ended=scope)

    def _drive(
        self,
        coroutine: Coroutine[Any, Any, Any],
        context: contextvars.Context,
        *,
        blamed: bool = True,
        ended: Scope | None = None,
    ) -> Any:
        """Run the loop until the coroutine ends, whatever else in the loop raises.

        A `SystemExit` of any task leaves the loop at once, and so does an exception that a signal
        handler raises. If it comes from the coroutine's own attempt and `blamed` is true, the
        coroutine fails with it. Otherwise, as when it comes from a hook's task or an earlier
        attempt, it is only logged.

        If `ended` is given, it is the scope of an attempt that ends with the coroutine. When the
        coroutine has returned, the loop makes one more turn (see `left`). A run of its own for that
        would cost more than the one for a quick coroutine.
        """
        loop = self._open()
        main = loop.create_task(coroutine, context=context)
        main.add_done_callback(partial(_stop, loop, ended))
        scope = context.get(begun_by)
        stray: BaseException | None = None
        try:
            while not main.done():
                loop.call_soon(_note_generators)
                try:
                    loop.run_forever()
                except BaseException as error:  # noqa: BLE001 - see above
                    raised_in = _out_of_the_loop(error, otherwise=scope)
                    if main.done():
                        _note_broken_turn(ended, error)
                        break
                    if not blamed or raised_in is not scope:
                        _log_stray(error)
                    elif stray is None:
                        stray = error
                        main.cancel()
            if stray is not None:
                raise stray
            return main.result()
        finally:
            del main, stray  # they refer to the exception, and it refers to this frame: a cycle

    def _open(self) -> asyncio.AbstractEventLoop:
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
            loop.set_default_executor(_DefaultExecutor(thread_name_prefix="asyncio"))
        factory = loop.get_task_factory()
        if factory is not self._factory:  # not installed yet, or replaced by a hook
            self._make = factory or _make_task
            loop.set_task_factory(self._factory)
        return loop

    def _make_noted_task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = self._make(loop, coroutine, **options)
        scope = begun_by.get()
        if scope is not None:
            scope.add_task(task)
        return task


def _make_task(
    loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
) -> asyncio.Task[Any]:
    return asyncio.Task(coroutine, loop=loop, **options)


def _stop(loop: asyncio.AbstractEventLoop, ended: Scope | None, main: asyncio.Task[Any]) -> None:
    """Stop the loop after its main task; one turn later if an attempt has returned."""
    if ended is None or main.cancelled() or main.exception() is not None:
        loop.stop()
    else:
        ended.had_last_turn = True
        loop.call_soon(loop.stop)


def _note_broken_turn(ended: Scope | None, error: BaseException) -> None:
    """Note what has left the loop after its main task, unless the main task itself raised it."""
    if ended is not None and ended.had_last_turn:
        ended.had_last_turn = False
        _log_stray(error)


def _note_generators() -> None:
    """Note each async generator at its first iteration.

    The loop restores its own hooks when it stops, so this is called before each run.
    """
    first = sys.get_asyncgen_hooks().firstiter

    def note(generator: Any) -> None:
        if first is not None:
            first(generator)
        scope = begun_by.get()
        if scope is not None:
            scope.add_generator(generator)

    sys.set_asyncgen_hooks(firstiter=note)


def _out_of_the_loop(error: BaseException, otherwise: Scope | None) -> Scope | None:
    """Find the scope whose task or callback raised the exception that has left the loop.

    The loop's own frames are cut off and cleared. They refer to the task, and it refers to the
    error, which would be a cycle.
    """
    traceback = sys.exc_info()[2]
    while traceback is not None:
        frame = traceback.tb_frame
        if frame.f_code is asyncio.Handle._run.__code__:  # noqa: SLF001 - there is no public way
            BaseException.with_traceback(error, traceback.tb_next)
            names = frame.f_locals
            context = getattr(names.get("self"), "_context", None)
            frame.clear()
            if isinstance(names, dict):  # before Python 3.13 the frame keeps this dict as well
                names.clear()
            return otherwise if context is None else context.get(begun_by)
        with contextlib.suppress(RuntimeError):  # the frame of `_drive` is still running
            frame.clear()
        traceback = traceback.tb_next
    return otherwise


def _log_stray(error: BaseException) -> None:
    what = describe(error)
    logger.error(
        "raised by a hook's task or an earlier attempt: %s: %s\n%s",
        what.type,
        what.message,
        what.traceback,
    )


async def _wait(tasks: set[asyncio.Task[Any]]) -> None:
    await asyncio.wait(tasks)
