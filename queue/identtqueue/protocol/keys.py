"""The names of all Redis keys and channels. No other module spells one.

All keys of a queue contain `{queue}` as their hash tag, so one queue is one slot of a Redis
Cluster, and each script touches only one queue.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, TypeVar

from identtqueue.errors import InvalidQueueName
from identtqueue.task import check_queue_name

ROOT: Final = "idtq"

T = TypeVar("T")


class Channel(str):
    """A pub/sub channel that is named after a queue or a task.

    All databases of a Redis share their channels. So connections to a database other than 0 put
    its number into the name (`Channel.in_database`, `without_database`). Control and reply channels
    do not need that, since their names have a random part.
    """

    __slots__ = ()

    def in_database(self, number: int) -> str:
        """Return the channel's name in Redis, for a connection to this database."""
        if not number:
            return str(self)
        queue, _, rest = self.partition("}:")
        return f"{queue}}}:db{number}:{rest}"


def in_database(word: T, number: int) -> T | str:
    """Return a word of a command as Redis gets it: a channel with the database in its name."""
    return word.in_database(number) if isinstance(word, Channel) else word


def without_database(name: str, number: int) -> str:
    """Return the channel that has this name in Redis, for a connection to this database."""
    return name.replace(f"}}:db{number}:", "}:", 1) if number else name


class QueueKeys:
    """The keys of one queue, and the prefixes of those that there are several of.

    Args:
        queue: name of the queue.

    Raises:
        InvalidQueueName: the name breaks the rule.
    """

    __slots__ = (
        "alarm",
        "answer_prefix",
        "audit",
        "base",
        "blocked",
        "counted",
        "cron",
        "dead",
        "doorbell",
        "draining",
        "ended",
        "enqueued",
        "expiring",
        "held_prefix",
        "hour_prefix",
        "inflight_prefix",
        "info",
        "isolating",
        "jobs",
        "limits",
        "meta",
        "minute_prefix",
        "packed_tasks",
        "paused",
        "paused_jobs",
        "pending",
        "progress_prefix",
        "promoted",
        "rates",
        "releases",
        "running_prefix",
        "scheduled",
        "served",
        "shelf_prefix",
        "shelves",
        "stats",
        "suspects",
        "task_prefix",
        "tombstones",
        "unique_prefix",
        "wake",
        "workers",
    )

    def __init__(self, queue: str) -> None:
        self.base = base = f"{ROOT}:{{{check_queue_name(queue)}}}:"
        self.answer_prefix = base + "answer:"  # STRING per call, for two minutes: see `once.lua`
        self.pending = base + "pending"  # LIST of ids, FIFO; some may be cancelled: see tombstones
        # HASH id -> how often it lies in `pending` although it is cancelled; "" -> the sum of
        # these. `tombstones:<job>` is the same for `held:<job>`
        self.tombstones = base + "tombstones"
        self.wake = base + "wake"  # LIST of at most one token; idle workers block on it
        self.alarm = base + "alarm"  # STRING: when a worker looks for the next due task (ms)
        self.scheduled = base + "scheduled"  # ZSET id -> due time (ms)
        self.promoted = base + "promoted"  # STRING: last promotion (ms), for 1.4 s
        self.dead = base + "dead"  # ZSET id -> time of death (ms)
        self.ended = base + "ended"  # LIST of `<ms> <id>`: recent ends, bounded, newest last
        self.workers = base + "workers"  # ZSET worker incarnation -> lease expiry (ms)
        self.info = base + "info"  # HASH worker incarnation -> its pod, host and so on (msgpack)
        self.draining = base + "draining"  # SET of incarnations that were asked to stop fetching
        self.expiring = base + "expiring"  # ZSET id that has not started -> when it expires (ms)
        self.paused = base + "paused"  # STRING: since when (ms); while it exists, no claims
        self.paused_jobs = base + "paused_jobs"  # HASH job whose tasks are held -> since when (ms)
        # HASH protocol -> major version; rolled -> last minute whose enqueues are in its hour;
        # keeping -> what is kept of ended tasks, see `Keeping`
        self.meta = base + "meta"
        self.stats = base + "stats"  # HASH of monotone counters
        self.task_prefix = base + "task:"  # HASH per id, unless it stands in `packed_tasks`
        self.packed_tasks = base + "packed_tasks"  # HASH id without its queue -> an ordinary task
        self.inflight_prefix = base + "inflight:"  # LIST per incarnation: the ids it owns
        self.unique_prefix = base + "unique:"  # STRING per unique key -> id, with a TTL
        self.progress_prefix = base + "progress:"  # channel per id: progress that its job reports
        self.limits = base + "limits"  # HASH job -> its limits (msgpack)
        self.blocked = base + "blocked"  # ZSET job with held tasks -> when one may start (ms)
        self.held_prefix = base + "held:"  # LIST per job: pending ids that its limits hold back
        self.running_prefix = base + "running:"  # SET per job with max_running: ids that count
        self.rates = base + "rates"  # HASH job with a rate limit -> theoretical arrival time (ms)
        self.suspects = base + "suspects"  # LIST of pending ids that may have killed their workers
        self.isolating = base + "isolating"  # STRING: the worker that becomes idle for a suspect
        self.shelves = base + "shelves"  # HASH shelf -> number of its tasks, which were declined
        self.served = base + "served"  # HASH shelf -> when a worker for it was last seen (ms)
        self.shelf_prefix = base + "shelf:"  # LIST per shelf: the ids of its tasks
        # HASH schedule -> its definition and firings ahead (msgpack); call:<schedule> -> payload
        # and options of its tasks (msgpack); last:<schedule> -> when it has fired last (ms)
        self.cron = base + "cron"
        self.audit = base + "audit"  # LIST of what administrators did (msgpack), newest first
        self.releases = base + "releases"  # ZSET release of an application -> first worker (ms)
        self.jobs = base + "jobs"  # HASH job -> what workers have declared about it (msgpack)
        self.enqueued = base + "enqueued"  # ZSET job -> last enqueue (ms), to the minute
        # HASH per minute and per hour since 1970, with a TTL: see `protocol/counting.py`
        self.minute_prefix = base + "minute:"
        self.hour_prefix = base + "hour:"
        self.counted = base + "counted"  # HASH worker incarnation -> number of its last report
        self.doorbell = Channel(base + "doorbell")  # rings when `pending` is no longer empty

    def task(self, task_id: str) -> str:
        """Return the key of the hash of one task."""
        return self.task_prefix + task_id

    def new_answer(self) -> str:
        """Make a key for the answer of a call, for the case that the call is sent again.

        It then finds its answer there (`lua/lib/once.lua`).
        """
        return self.answer_prefix + os.urandom(8).hex()

    def progress_channel(self, task_id: str) -> Channel:
        """Return the channel on which the progress of one task is published."""
        return Channel(self.progress_prefix + task_id)

    def inflight(self, worker_id: str) -> str:
        """Return the key of the list of ids that one worker incarnation owns."""
        return self.inflight_prefix + worker_id


@lru_cache(maxsize=4096)
def queue_keys(queue: str) -> QueueKeys:
    """Return the keys of a queue. They are cached, since every command needs them.

    Raises:
        InvalidQueueName: the name breaks the rule.
    """
    return QueueKeys(queue)


class BridgeKeys:
    """The keys of a queue of identtqueue 0.2, and those that the bridge adds to a queue of today.

    0.2 gave its keys no prefix, so its `mrz` and today's `idtq:{mrz}:…` stand side by side.

    Args:
        old_queue: name of the queue in 0.2: any text.
        queue: name of the queue today.

    Raises:
        InvalidQueueName: today's name breaks the rule, or the old one is a key of today.
    """

    __slots__ = ("direction", "owed", "refused", "requests", "sent_prefix")

    def __init__(self, old_queue: str, queue: str) -> None:
        if not old_queue or old_queue.startswith(f"{ROOT}:"):
            raise InvalidQueueName(old_queue)
        base = f"{ROOT}:{{{check_queue_name(queue)}}}:v02:"
        self.requests = old_queue  # LIST of requests, as 0.2 pushes them
        self.owed = base + "owed"  # ZSET id of a request -> when it was adopted (ms)
        self.refused = base + "refused"  # LIST of requests that could not be read, as they came
        self.direction = base + "direction"  # STRING with a TTL: which way requests go now
        self.sent_prefix = base + "sent:"  # STRING per forwarded task: number of its deliveries


def old_status(task_id: str) -> str:
    """Return the key of a task's status in 0.2."""
    return f"{task_id}-status"


def old_result(task_id: str) -> str:
    """Return the key of the list that holds a task's result in 0.2."""
    return f"{task_id}-result"


def old_patterns(queues: Sequence[str]) -> list[str]:
    """List the patterns of all keys of 0.2 that belong to some queues.

    Args:
        queues: names of the queues in 0.2; empty: all, which may have any name.
    """
    return [*queues, old_status("*"), old_result("*")] if queues else ["*"]


QUEUES: Final = f"{ROOT}:queues"
"""ZSET queue -> last activity (ms): the registry of queues. No other key belongs to no queue."""


def absent(key: str) -> str:
    """Return a key of the same queue that never exists; `wire.words` says what it is for.

    The registry of queues belongs to no queue, and its scripts use no other key: for it, the
    answer is empty.
    """
    queue, end, _ = key.partition("}:")
    return f"{queue}{end}absent" if end else ""


CONTROL_PREFIX: Final = f"{ROOT}:control:"
"""Prefix of the channels that carry commands (drain, cancel) to one worker incarnation each."""

REPLY_PREFIX: Final = f"{ROOT}:reply:"
"""Prefix of the channels that notify one waiting client each of how its tasks ended."""


def control_channel(worker_id: str) -> str:
    """Return the channel on which a worker incarnation receives commands."""
    return CONTROL_PREFIX + worker_id


def reply_channel(client_id: str) -> str:
    """Return the channel on which a client is notified of results."""
    return REPLY_PREFIX + client_id


def testing_key(word: str, number: int) -> str:
    """Return a key that says who uses a database for tests (`identtqueue.testing`)."""
    return f"{ROOT}:testing:{word}:{number}"


def queue_of_doorbell(channel: str) -> str:
    """Return the queue that a doorbell channel belongs to."""
    return channel[len(ROOT) + 2 : -len("}:doorbell")]
