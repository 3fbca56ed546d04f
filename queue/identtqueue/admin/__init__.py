"""Administration of queues, for operators, dashboards and the command line.

`Admin` inspects queues, lists their tasks, recovers the tasks of lost workers, drains workers and
replays dead letters. Its methods are the list of what can be done. They stand in a module for each
noun: `queues`, `workers`, `cron`, `tasks` and `acts`, above what takes more than one call to Redis.
`Doorbell` reports when an empty queue gets tasks.
"""

from __future__ import annotations

from identtqueue.admin.acts import Act, ActProgress
from identtqueue.admin.admin import Admin
from identtqueue.admin.base import ServerInfo
from identtqueue.admin.blocking import BlockingAdmin
from identtqueue.admin.doorbell import Doorbell
from identtqueue.admin.filters import Filter
from identtqueue.admin.listing import Page
from identtqueue.admin.record import AttemptRecord, RecordOptions, TaskRecord
from identtqueue.admin.series import Point, Series
from identtqueue.admin.tallies import Count, DeadGroups
from identtqueue.admin.workers import WorkerInfo
from identtqueue.protocol.answers import (
    AuditEntry,
    CronInfo,
    JobInfo,
    LimitsInUse,
    QueueDepth,
    QueueInfo,
    Recovery,
)
from identtqueue.protocol.calls.listing import Place, TaskGroup, TaskRow
from identtqueue.protocol.counting import Counts, Histogram
from identtqueue.transport.budget import ReplyBudget
from identtqueue.transport.reach import Reach
from identtqueue.transport.settings import RedisSettings

__all__ = [
    "Act",
    "ActProgress",
    "Admin",
    "AttemptRecord",
    "AuditEntry",
    "BlockingAdmin",
    "Count",
    "Counts",
    "CronInfo",
    "DeadGroups",
    "Doorbell",
    "Filter",
    "Histogram",
    "JobInfo",
    "LimitsInUse",
    "Page",
    "Place",
    "Point",
    "QueueDepth",
    "QueueInfo",
    "Reach",
    "RecordOptions",
    "Recovery",
    "RedisSettings",
    "ReplyBudget",
    "Series",
    "ServerInfo",
    "TaskGroup",
    "TaskRecord",
    "TaskRow",
    "WorkerInfo",
]
