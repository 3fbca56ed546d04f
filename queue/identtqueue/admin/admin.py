"""The administration client: one method for each thing that can be done."""

from __future__ import annotations

from identtqueue.admin.acts import ActAdmin
from identtqueue.admin.cron import CronAdmin
from identtqueue.admin.queues import QueueAdmin
from identtqueue.admin.tasks import TaskAdmin
from identtqueue.admin.workers import WorkerAdmin


class Admin(QueueAdmin, WorkerAdmin, CronAdmin, TaskAdmin, ActAdmin):
    """An administration client for the queues of one Redis, shared by any number of coroutines.

    Args:
        redis: address or settings; see `Client`.
        retry_for_seconds: how long a call is retried while Redis can't be reached. With 0 it
            raises RedisUnavailable at once.
        actor: who acts, for the audit list (`audit`). Default: `user@host` of this process.
        audited: whether acts are recorded in the audit list. The operator records its own as
            events instead.
        redact: names of arguments and fields that `record` does not show, besides those that the
            workers have declared; or the function that the application has given as `redact`.

    Raises:
        InvalidInput: the address, the environment or a setting breaks a rule.
    """
