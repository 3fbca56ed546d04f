"""The typed interface: declare jobs, enqueue them with checked arguments, await typed results.

`app` is made of `connection` (its clients), `hooks`, `declared` (what it and the apps that it
includes declare) and `decorator` (`@app.task`). Its jobs are in `job` and `kinds`, a job with its
arguments is a `call`, and what is enqueued is awaited by `handles`.
"""

from __future__ import annotations

from identtqueue.app.app import App as App
from identtqueue.app.call import JobCall as JobCall
from identtqueue.app.handles import SyncTaskHandle as SyncTaskHandle
from identtqueue.app.handles import TaskHandle as TaskHandle
from identtqueue.app.job import AppJob as AppJob
from identtqueue.app.kinds import AsyncJob as AsyncJob
from identtqueue.app.kinds import PlainJob as PlainJob
