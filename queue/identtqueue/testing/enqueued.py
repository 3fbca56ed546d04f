"""The calls that an app has enqueued, and the assertions about them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ParamSpec

from identtqueue.app import App, AppJob
from identtqueue.errors import InvalidInput, NotSerializable
from identtqueue.protocol import codec
from identtqueue.protocol.answers import Receipt
from identtqueue.protocol.submission import Submission
from identtqueue.task import Task, TaskOptions
from identtqueue.worker.registry import Job

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class EnqueuedTask:
    """One task that was enqueued, with its arguments as its job gets them.

    Attributes:
        task_id: `<queue>:<unique part>`.
        job: name of the job.
        queue: queue of the task.
        args, kwargs: arguments, encoded and decoded again, in the types that the job declares.
        options: options of the task.
    """

    task_id: str
    job: str
    queue: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: TaskOptions = field(default_factory=TaskOptions)

    def __str__(self) -> str:
        arguments = [repr(value) for value in self.args]
        arguments += [f"{name}={value!r}" for name, value in self.kwargs.items()]
        options = ", ".join(f"{name}={value!r}" for name, value in given(self.options).items())
        text = f"{self.job}({', '.join(arguments)}) in queue {self.queue}"
        return f"{text}, {options}" if options else text


class EnqueueLog:
    """The tasks that an app has enqueued, in order. Tasks that existed already are left out.

    Args:
        app: the app.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._tasks: list[EnqueuedTask] = []
        self._jobs: dict[str, Job] = {}

    def note(self, submission: Submission, receipt: Receipt) -> None:
        """Note a task that a client has enqueued."""
        if not receipt.created:
            return
        task = codec.decode_task(
            codec.encode_task(
                Task(submission.function_name, tuple(submission.args), submission.kwargs)
            )
        )
        args, kwargs = self._converted(submission.function_name, task.args, task.kwargs)
        self._tasks.append(
            EnqueuedTask(
                task_id=receipt.task_id,
                job=submission.function_name,
                queue=submission.queue_name,
                args=args,
                kwargs=kwargs,
                options=submission.options or TaskOptions(),
            )
        )

    def clear(self) -> None:
        """Forget all tasks that were enqueued so far. Those that wait still run."""
        self._tasks.clear()

    def tasks(self, job: AppJob[Any, Any] | str | None = None) -> list[EnqueuedTask]:
        """List the tasks that were enqueued.

        Args:
            job: the job, or its name. Default: tasks of all jobs.
        """
        if job is None:
            return list(self._tasks)
        name = job if isinstance(job, str) else job.name
        return [task for task in self._tasks if task.job == name]

    def find(
        self, job: AppJob[Any, Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> EnqueuedTask | None:
        """Find the first task of a job with these arguments, and with the options of the job.

        Raises:
            InvalidInput: the arguments do not fit the job.
        """
        expected = _by_name(job, args, kwargs)
        for task in self.tasks(job):
            if not _differences(job, expected, task):
                return task
        return None

    def explain(
        self, job: AppJob[Any, Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> str:
        """Say what was enqueued instead of a task."""
        wanted = EnqueuedTask("", job.name, job.queue, args, kwargs, job.task_options or _DEFAULT)
        expected = _by_name(job, args, kwargs)
        lines = [f"not enqueued: {wanted}"]
        if not self._tasks:
            return f"{lines[0]}\nNothing was enqueued."
        lines.append("Enqueued were:")
        for task in self._tasks:
            lines.append(f"  {task}")
            if task.job == job.name:
                lines += [f"    {line}" for line in _differences(job, expected, task)]
        return "\n".join(lines)

    def _converted(
        self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Convert arguments as a worker does; those of an unknown job stay plain."""
        declared = self._app.jobs.get(name)
        if declared is None:
            return args, dict(kwargs)
        if name not in self._jobs:
            self._jobs[name] = Job(
                name=name, function=declared.function, types=declared.argument_types()
            )
        converted, by_name = self._jobs[name].bind(args, kwargs)
        return converted, dict(by_name)


_DEFAULT = TaskOptions()


class Assertions:
    """Base of the recorder, of inline mode and of the worker: questions about what was enqueued.

    Args:
        log: the tasks that the app has enqueued.
    """

    def __init__(self, log: EnqueueLog) -> None:
        self._log = log

    def enqueued(self, job: AppJob[Any, Any] | str | None = None) -> list[EnqueuedTask]:
        """List what the app has enqueued, the oldest first.

        Args:
            job: the job, or its name. Default: tasks of all jobs.
        """
        return self._log.tasks(job)

    def assert_enqueued(
        self, job: AppJob[P, Any], /, *args: P.args, **kwargs: P.kwargs
    ) -> EnqueuedTask:
        """Assert that a task of this job was enqueued with just these arguments.

        ::

            recorder.assert_enqueued(read_mrz, "page.png")
            recorder.assert_enqueued(read_mrz.options(delay_seconds=60), ANY)

        Values are compared as the job gets them. `unittest.mock.ANY` and other objects with an
        `==` of their own may stand for values. Options of `job.options(…)` have to be the task's.

        Args:
            job: the job.
            *args: its positional arguments.
            **kwargs: its keyword arguments.

        Returns:
            The first such task.

        Raises:
            AssertionError: there is none. The message shows what was enqueued.
            InvalidInput: the job takes no such arguments.
        """
        found = self._log.find(job, args, kwargs)
        if found is None:
            raise AssertionError(self._log.explain(job, args, kwargs))
        return found

    def assert_not_enqueued(self, job: AppJob[Any, Any] | str | None = None) -> None:
        """Assert that no task of this job was enqueued, or, without a job, none at all.

        Args:
            job: the job, or its name. Default: all jobs.

        Raises:
            AssertionError: there is one. The message shows what was enqueued.
        """
        if found := self._log.tasks(job):
            lines = "".join(f"\n  {task}" for task in found)
            raise AssertionError(f"enqueued, but should not have been:{lines}")

    def clear_enqueued(self) -> None:
        """Forget what was enqueued so far. Tasks that wait still run."""
        self._log.clear()


def given(options: TaskOptions) -> dict[str, Any]:
    """Return the options that differ from the default."""
    values = {name: getattr(options, name) for name in TaskOptions.__struct_fields__}
    return {name: value for name, value in values.items() if value != getattr(_DEFAULT, name)}


def _by_name(
    job: AppJob[Any, Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return arguments by the name of their parameter, with defaults, without the context."""
    try:
        signature = inspect.signature(job.function)
        bound = signature.bind(None, *args, **kwargs)
    except TypeError as error:
        raise InvalidInput(f"{job.name}: {error}") from None
    except ValueError:  # some functions of C modules have no signature
        return {"args": tuple(args), **kwargs}
    bound.apply_defaults()
    first = next(iter(signature.parameters.values()))
    if first.kind is first.VAR_POSITIONAL:
        return {**bound.arguments, first.name: bound.arguments[first.name][1:]}
    return {name: value for name, value in bound.arguments.items() if name != first.name}


def _differences(
    job: AppJob[Any, Any], expected: Mapping[str, Any], task: EnqueuedTask
) -> list[str]:
    """Say in which arguments and options a task differs from what is expected."""
    actual = _by_name(job, task.args, task.kwargs)
    lines = [
        f"{name}: expected {value!r}, was {actual.get(name)!r}"
        for name, value in expected.items()
        if not _same(value, actual.get(name))
    ]
    if job.queue != task.queue:
        lines.append(f"queue: expected {job.queue}, was {task.queue}")
    for name, value in given(job.task_options or _DEFAULT).items():
        if getattr(task.options, name) != value:
            lines.append(f"option {name}: expected {value!r}, was {getattr(task.options, name)!r}")
    return lines


def _same(expected: Any, actual: Any) -> bool:
    """Compare two values, and if they differ, what they would be on their way to a worker."""
    try:
        if bool(expected == actual):
            return True
        return bool(codec.plain(expected) == codec.plain(actual))
    except (NotSerializable, ValueError, TypeError):  # an array is neither true nor false
        return False
