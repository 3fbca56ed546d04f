"""The backend: what `task.enqueue()` and `task.get_result()` do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

from asgiref.sync import sync_to_async
from django.apps import apps
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction
from django.utils import timezone

from identtqueue.client.sync import SyncClient
from identtqueue.django.catalogue import CATALOGUE
from identtqueue.django.clients import client_of
from identtqueue.django.framework import (
    BaseTaskBackend,
    InvalidTask,
    TaskResultDoesNotExist,
    signals,
)
from identtqueue.django.options import BackendOptions
from identtqueue.django.queues import check_queue, redis_queue
from identtqueue.django.results import JobTaskResult, new_result, result_of, task_in
from identtqueue.django.signatures import parameters_of
from identtqueue.errors import InvalidInput, InvalidTaskId
from identtqueue.protocol.submission import Submission
from identtqueue.task import State, TaskInfo, TaskOptions, new_task_id
from identtqueue.transport.offload import offload


class IdenttqueueBackend(BaseTaskBackend):
    """A backend for Django's tasks framework. `manage.py identtqueue_worker` runs the tasks.

    Django makes one for each thread, and for each request that it serves asynchronously. They share
    their clients, which work after a fork as well.

    Args:
        alias: its name in the setting `TASKS`.
        params: its entry there; `OPTIONS` are those of `BackendOptions`.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: Mapping[str, Any]) -> None:
        super().__init__(alias, params)
        self._given: Mapping[str, Any] = params.get("OPTIONS", {})

    @cached_property
    def settings(self) -> BackendOptions:
        """The checked options.

        Raises:
            ImproperlyConfigured: an option breaks a rule.
        """
        try:
            return BackendOptions.read(self._given)
        except InvalidInput as error:
            raise ImproperlyConfigured(f"TASKS[{self.alias!r}]: {error}") from error

    @property
    def client(self) -> SyncClient:
        """The client for all calls, also for those of async code. The process has one."""
        return client_of(self.settings)

    def validate_task(self, task: Any) -> None:
        """Check a task when it is declared, and whenever it is changed by `using`.

        Raises:
            InvalidTask: this backend can't run it.
        """
        super().validate_task(task)
        try:
            check_queue(task.queue_name)
        except InvalidInput as error:
            raise InvalidTask(str(error)) from error
        CATALOGUE.add(task)

    def enqueue(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> JobTaskResult:
        """Enqueue a task.

        With the option `enqueue_on_commit` this happens when the transaction commits. Until then,
        `get_result` does not find it.

        Raises:
            InvalidTask: this backend can't run the task.
            InvalidInput: the arguments don't fit the function.
            TypeError: an argument has no JSON form.
            RedisUnavailable, RedisFull, RedisAuthFailed: see `Client.enqueue_job`.
        """
        result, submission = self._prepared(task, args, kwargs)
        if self.settings.enqueue_on_commit:
            transaction.on_commit(partial(self._send, result, submission))
        else:
            self._send(result, submission)
        return result

    async def aenqueue(
        self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> JobTaskResult:
        """Enqueue a task without blocking the event loop: see `enqueue`."""
        if self.settings.enqueue_on_commit:  # the transaction belongs to Django's own thread
            enqueue = sync_to_async(self.enqueue, thread_sensitive=True)
            enqueued: JobTaskResult = await enqueue(task, args, kwargs)
            return enqueued
        result, submission = self._prepared(task, args, kwargs)
        await offload(self.client.submit, submission)
        result.change(enqueued_at=timezone.now())
        await signals.task_enqueued.asend(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> JobTaskResult:
        """Read a task from Redis.

        The arguments are empty once the task has succeeded or was cancelled, since Redis drops them
        then. `errors` has the error of the last attempt, `worker_ids` the last worker.

        Raises:
            TaskResultDoesNotExist: there is no such task, its result has expired, or the project
                has no such function any more.
        """
        info, value = self._look(result_id)
        known = CATALOGUE.find(info.function_name)
        if known is None:
            raise TaskResultDoesNotExist(
                f"{result_id} is a task of {info.function_name}, which no imported module of this "
                "project defines"
            )
        called = None if info.state is State.SUCCEEDED else self.client.get_arguments(result_id)
        args, kwargs = (called.args, called.kwargs) if called else ((), {})
        task = task_in(known, info.queue, self.alias)
        return result_of(task, info, list(args), dict(kwargs), value)

    async def aget_result(self, result_id: str) -> JobTaskResult:
        """Read a task from Redis without blocking the event loop: see `get_result`."""
        return await offload(self.get_result, result_id)

    def check(self, **_kwargs: Any) -> Iterator[checks.CheckMessage]:
        """Check the settings, for `manage.py check`."""
        yield from super().check()
        try:
            options = self.settings
        except ImproperlyConfigured as error:
            yield checks.Error(str(error), obj=self, id="identtqueue.E001")
        else:
            if options.enqueue_on_commit and not connections.settings:
                hint = "Remove it from OPTIONS, or configure DATABASES."
                text = f"TASKS[{self.alias!r}]: enqueue_on_commit needs a database."
                yield checks.Error(text, hint=hint, obj=self, id="identtqueue.E002")
        for queue in sorted(self.queues, key=str):
            try:
                check_queue(queue)
            except InvalidInput as error:
                text = f"TASKS[{self.alias!r}]: QUEUES: {error}"
                yield checks.Error(text, obj=self, id="identtqueue.E003")
        if not apps.is_installed("identtqueue.django"):
            hint = "Add 'identtqueue.django' to INSTALLED_APPS."
            text = f"TASKS[{self.alias!r}]: there is no command to run its tasks."
            yield checks.Warning(text, hint=hint, obj=self, id="identtqueue.W001")

    def _prepared(
        self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[JobTaskResult, Submission]:
        self.validate_task(task)
        parameters_of(task).check(tuple(args), kwargs)
        queue = redis_queue(task.queue_name, task.priority)
        result = new_result(task, new_task_id(queue), args, kwargs)
        start = task.run_after
        options = TaskOptions(
            task_id=result.id,
            at=timezone.make_aware(start) if start and timezone.is_naive(start) else start,
            result_ttl_seconds=self.settings.result_ttl_seconds,
        )
        return result, Submission(queue, task.module_path, result.args, result.kwargs, options)

    def _send(self, result: JobTaskResult, submission: Submission) -> None:
        self.client.submit(submission)
        result.change(enqueued_at=timezone.now())
        signals.task_enqueued.send(type(self), task_result=result)

    def _look(self, result_id: str) -> tuple[TaskInfo, Any]:
        """Read the state of a task, and its value if it has succeeded."""
        try:
            info = self.client.get_task(result_id)
        except InvalidTaskId as error:
            raise TaskResultDoesNotExist(str(error)) from error
        if info is not None and info.state is not State.SUCCEEDED:
            return info, None
        value = None if info is None else self.client.get_result(result_id)
        # None may also mean that the result has expired between the two calls.
        if info is None or (value is None and self.client.get_task(result_id) is None):
            raise TaskResultDoesNotExist(result_id)
        return info, value
