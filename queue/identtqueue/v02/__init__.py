"""The interface of identtqueue 0.2 on today's engine, and the bridge between the two.

`Client`, `Worker`, their exceptions and result types have the names, arguments and meanings of 0.2.
So a service is moved by changing its imports from `identtqueue` to `identtqueue.v02`. All of it is
deprecated: each call warns and names the call that replaces it. `docs/moving/from-0.2.md` says what
is different.

They speak today's protocol. Services that still run 0.2 are reached through `identtqueue bridge`
(`identtqueue.v02.bridge`).
"""

from identtqueue.v02.client import Client
from identtqueue.v02.exceptions import (
    ClientTimeoutException,
    ErrorException,
    ResultNotFound,
    WorkerTimeoutException,
)
from identtqueue.v02.job import JobRequest, JobResult, JobResultType, JobStatus, JobStatusType
from identtqueue.v02.worker import Worker

__all__ = [
    "Client",
    "ClientTimeoutException",
    "ErrorException",
    "JobRequest",
    "JobResult",
    "JobResultType",
    "JobStatus",
    "JobStatusType",
    "ResultNotFound",
    "Worker",
    "WorkerTimeoutException",
]
