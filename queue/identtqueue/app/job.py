"""A job of an app: checks the arguments of each call, enqueues it, converts its result."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    ParamSpec,
    Self,
    TypeVar,
    Unpack,
    cast,
)

from identtqueue.app.call import JobCall
from identtqueue.app.handles import SyncTaskHandle, TaskHandle
from identtqueue.checks import check_names
from identtqueue.errors import BadResult, InvalidInput, NotSerializable
from identtqueue.job_options import JobOptions
from identtqueue.protocol.conversion import Conversion, conversions
from identtqueue.protocol.submission import Submission
from identtqueue.signature import Parameters, UnknownType, argument_types, declared_types
from identtqueue.task import OPTION_NAMES, Result, TaskOptionKeywords, TaskOptions, queue_of

if TYPE_CHECKING:
    from identtqueue.app.declared import Declarations
    from identtqueue.worker.context import Context

P = ParamSpec("P")
R = TypeVar("R")

MOST_SHAPES: Final = 256
"""Upper bound for the shapes of calls that a job remembers as valid. A shape is the classes of the
arguments, in order, and the names of those given by keyword."""

_STARTS: Final = frozenset({"at", "delay_seconds"})
"""Options that say when a task may start. A task has at most one of them."""


class AppJob(Generic[P, R]):
    """A function that `@app.task` has made a job. Calling it still calls the plain function.

    ::

        task = await read_mrz.enqueue("s3://…")        # arguments are type-checked
        call = read_mrz.call("s3://…")                 # for enqueue_many
        task = await read_mrz.options(delay_seconds=60).enqueue("s3://…")
        task = read_mrz.enqueue_sync("s3://…")         # in code without an event loop
        task = read_mrz.handle(task_id)                # of a task that was enqueued elsewhere
    """

    def __init__(
        self,
        app: Declarations[Any],
        function: Callable[..., Any],
        *,
        name: str,
        queue: str,
        job_options: JobOptions,
    ) -> None:
        self.app = app
        self.function = function
        self.name = name
        self.queue = queue
        self.job_options = job_options
        self.task_options: TaskOptions | None = None
        self._given: dict[str, Any] = {}  # the task options as they were given, to be merged
        self._parameters = Parameters(name, function)
        self._good_shapes: set[tuple[object, ...]] = set()  # see MOST_SHAPES
        self._returns: Conversion | None = None
        self.__name__ = name
        self.__doc__ = function.__doc__

    def __call__(self, ctx: Context[Any], /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call the function itself, here and now: for tests and for calls from other jobs.

        Args:
            ctx: the context of the calling job, or one made for a test.
            *args: positional arguments of the job.
            **kwargs: keyword arguments of the job.
        """
        return self.function(ctx, *args, **kwargs)

    def options(self, /, **options: Unpack[TaskOptionKeywords]) -> Self:
        """Return a copy of the job that enqueues its tasks with these `TaskOptions`.

        Options from an earlier call are kept, unless they are given again. `at` and
        `delay_seconds` replace each other.

        Args:
            **options: the fields of `TaskOptions`.

        Raises:
            UnknownOption: there is no option of that name.
            InvalidInput: an option breaks a rule.
        """
        if not options.keys() <= OPTION_NAMES:
            check_names(f"{self.name}.options", options, OPTION_NAMES)
        same = copy.copy(self)
        same._given = _merged(self._given, options)  # noqa: SLF001 - a copy of our own
        same.task_options = TaskOptions(**same._given)  # noqa: SLF001
        return same

    def call(self, /, *args: P.args, **kwargs: P.kwargs) -> JobCall[R]:
        """Bind arguments to the job, for `App.enqueue_many`.

        Args:
            *args: positional arguments of the job, without its context.
            **kwargs: keyword arguments of the job.

        Raises:
            InvalidInput: the arguments don't fit the signature, or a value does not fit its
                declared type.
            NotSerializable: a value would arrive in the worker as another value.
        """
        # `map` would call `type` as it calls any function, which takes twice as long.
        shape: tuple[object, ...] = tuple([type(value) for value in args])
        if kwargs:
            shape += (*kwargs, *map(type, kwargs.values()))
        if shape not in self._good_shapes:
            self._check_call(args, kwargs)
            if len(self._good_shapes) < MOST_SHAPES and self._are_exact(args, kwargs):
                self._good_shapes.add(shape)
        return JobCall(self, Submission(self.queue, self.name, args, kwargs, self.task_options))

    async def enqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> TaskHandle[R]:
        """Enqueue one task with these arguments.

        Raises:
            InvalidInput, NotSerializable: see `call`.
            NotConnected: before `App.connect`.
            TaskExists, RedisUnavailable, RedisFull, RedisAuthFailed, ProtocolMismatch: see
                `Client.enqueue_job`.
        """
        call = self.call(*args, **kwargs)
        receipt = await self.app.client.submit(call.submission)
        return TaskHandle(call.job, receipt.task_id, created=receipt.created)

    def enqueue_sync(self, /, *args: P.args, **kwargs: P.kwargs) -> SyncTaskHandle[R]:
        """Enqueue one task from code without an event loop: see `App.sync_client`.

        Raises:
            InvalidInput, NotSerializable: see `call`.
            TaskExists, RedisUnavailable, RedisFull, RedisAuthFailed, ProtocolMismatch: see
                `Client.enqueue_job`.
        """
        call = self.call(*args, **kwargs)
        receipt = self.app.sync_client.submit(call.submission)
        return SyncTaskHandle(call.job, receipt.task_id, created=receipt.created)

    def handle(self, task_id: str) -> TaskHandle[R]:
        """Make the handle of a task of this job from its id, without asking Redis.

        Use it where only the id has arrived: in the next HTTP request, say, or in another service.

        Args:
            task_id: the `task_id` of the handle that the enqueue returned.

        Raises:
            InvalidTaskId: the id is not `<queue>:<unique part>`.
        """
        queue_of(task_id)
        return TaskHandle(self, task_id, created=False)

    def handle_sync(self, task_id: str) -> SyncTaskHandle[R]:
        """Make a handle for code without an event loop: see `handle`.

        Raises:
            InvalidTaskId: the id is not `<queue>:<unique part>`.
        """
        queue_of(task_id)
        return SyncTaskHandle(self, task_id, created=False)

    def bound_to(self, app: Declarations[Any]) -> Self:
        """Return the job as the job of an app, through whose connection it enqueues."""
        if self.app is app:
            return self
        same = copy.copy(self)
        same.app = app
        return same

    def refuse_ambiguous(
        self, words: Sequence[str], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        """Refuse options of `App.cron` beside arguments of the job, which they could be as well.

        Type checkers refuse the same, because no signature can express it.

        Args:
            words: names of the options that were given to `App.cron`.
            args: positional arguments of the job that were given with them.
            kwargs: keyword arguments of the job that were given with them.

        Raises:
            InvalidInput: there are options and arguments, or the job has an argument of that name.
        """
        for word in words:
            if word in inspect.signature(self.function).parameters:
                why = f"{word!r} is ambiguous, as the job has an argument of that name"
            elif args or kwargs:
                why = f"{word!r} is an option of the schedule, and there are arguments of the job"
            else:
                continue
            raise InvalidInput(
                f"cron {self.name}: {why}: give a call, as in "
                f"app.cron(…, {self.name}.call(…), {word}=…)"
            )

    def convert_result(self, result: Result) -> R:
        """Convert the value of a result to the type that the function declares to return.

        Raises:
            BadResult: the value doesn't fit the type.
            TaskFailed, TaskCancelled, TaskExpired: the task ended without a value.
        """
        value, target = result.unwrap(), self._types.get("return", Any)
        if target in (Any, object):
            return cast("R", value)
        try:
            if self._returns is None:
                self._returns = Conversion(f"job {self.name}: its result", target)
            return cast("R", self._returns.convert(value))
        except InvalidInput as error:
            raise BadResult(result.task_id, _name_of(target), str(error)) from None

    def argument_types(self) -> Mapping[str, Any]:
        """Return the declared types of the arguments that have to be converted, by name.

        Raises:
            InvalidInput: a type can't be found at run time.
        """
        return argument_types(self.name, self.function)

    @cached_property
    def _types(self) -> dict[str, Any]:
        return declared_types(self.name, self.function)

    @cached_property
    def _conversions(self) -> Mapping[str, Conversion]:
        """Conversion of each argument; empty if a type exists for type checkers only."""
        try:
            declared = self.argument_types()
        except UnknownType:  # the worker needs the types, and reports this
            return {}
        return conversions(self.name, declared)

    def check_types(self) -> None:
        """Check the declared types, as far as they are defined already.

        Raises:
            InvalidInput: no value can be converted to one of them.
        """
        try:
            declared = self.argument_types()
        except UnknownType:  # the type may be defined further down in its module
            return
        self.__dict__["_conversions"] = conversions(self.name, declared)

    def _check_call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if kwargs:
            self._parameters.refuse_options(kwargs)
        self._parameters.check(args, kwargs)
        for name, conversion, value in self._converted(args, kwargs):
            try:
                conversion.check(value)
            except NotSerializable as error:
                raise NotSerializable(f"{self.name}: {name}: {error}") from None

    def _are_exact(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Return whether the classes alone show that a call is valid, without its values."""
        return all(
            type(v) in conversion.exact for _, conversion, v in self._converted(args, kwargs)
        )

    def _converted(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Iterator[tuple[str, Conversion, Any]]:
        """Iterate over the arguments that the worker will convert: name, conversion, value."""
        known = self._conversions
        for name, value in (*zip(self._parameters.by_place, args, strict=False), *kwargs.items()):
            if (conversion := known.get(name)) is not None:
                yield name, conversion, value


def _merged(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Merge options of a task. New ones win; `at` and `delay_seconds` replace each other."""
    dropped = _STARTS if _STARTS & now.keys() else set()
    return {name: value for name, value in before.items() if name not in dropped} | dict(now)


def _name_of(target: Any) -> str:
    return target.__qualname__ if isinstance(target, type) else str(target)
