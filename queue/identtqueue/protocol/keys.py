"""Every Redis key and channel name. Nothing else in the project spells one.

All keys of a queue carry `{queue}` as their hash tag: one queue is one slot of a Redis Cluster,
and each script touches one queue only.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, TypeVar

from identtqueue.task import check_queue_name

ROOT: Final = "idtq"

T = TypeVar("T")


class Channel(str):
    """A pub/sub channel whose name can be guessed: from a queue's name, or a task's id.

    Redis has the same channels in all its databases. So connections to another one than 0 put its
    number into the name (`Channel.in_database`, `without_database`). Names with random parts need
    none: control and reply channels.
    """

    __slots__ = ()

    def in_database(self, number: int) -> str:
        """What Redis is told."""
        if not number:
            return str(self)
        queue, _, rest = self.partition("}:")
        return f"{queue}}}:db{number}:{rest}"


def in_database(word: T, number: int) -> T | str:
    """What Redis is told, of a word that may be a channel."""
    return word.in_database(number) if isinstance(word, Channel) else word


def without_database(name: str, number: int) -> str:
    """The channel that Redis calls so in that database."""
    return name.replace(f"}}:db{number}:", "}:", 1) if number else name


class QueueKeys:
    """The keys of one queue."""

    __slots__ = (
        "answer_prefix",
        "blocked",
        "cron",
        "dead",
        "doorbell",
        "draining",
        "expiring",
        "held_prefix",
        "inflight_prefix",
        "info",
        "isolating",
        "limits",
        "meta",
        "paused",
        "pending",
        "progress_prefix",
        "rates",
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
        base = f"{ROOT}:{{{check_queue_name(queue)}}}:"
        self.answer_prefix = base + "answer:"  # STRING per call, for two minutes: see `once.lua`
        self.pending = base + "pending"  # LIST of ids, FIFO; some may be dead: see tombstones
        self.tombstones = base + "tombstones"  # HASH id -> times it lies in `pending` cancelled,
        # "" -> their sum; `tombstones:<job>` is the same for `held:<job>`
        self.wake = base + "wake"  # LIST of at most one token: what an idle worker blocks on
        self.scheduled = base + "scheduled"  # ZSET id -> due time (ms)
        self.dead = base + "dead"  # ZSET id -> time of death (ms)
        self.workers = base + "workers"  # ZSET worker incarnation -> lease expiry (ms)
        self.info = base + "info"  # HASH worker incarnation -> who it is (msgpack)
        self.draining = base + "draining"  # SET of incarnations told to stop fetching
        self.expiring = base + "expiring"  # ZSET id that has not started -> when it expires (ms)
        self.paused = base + "paused"  # STRING, present: no claims
        self.meta = base + "meta"  # HASH protocol -> major version
        self.stats = base + "stats"  # HASH of monotone counters
        self.task_prefix = base + "task:"  # HASH per id
        self.inflight_prefix = base + "inflight:"  # LIST per incarnation: the ids it owns
        self.unique_prefix = base + "unique:"  # STRING per unique key -> id, with a TTL
        self.progress_prefix = base + "progress:"  # channel per id: what its job reports
        self.limits = base + "limits"  # HASH job -> its limits (msgpack)
        self.blocked = base + "blocked"  # ZSET job with held tasks -> when one may start (ms)
        self.held_prefix = base + "held:"  # LIST per job: pending ids that its limits keep back
        self.running_prefix = base + "running:"  # SET per job with max_running: ids that count
        self.rates = base + "rates"  # HASH job with a rate limit -> theoretical arrival time (ms)
        self.suspects = base + "suspects"  # LIST of pending ids that may have killed their workers
        self.isolating = base + "isolating"  # STRING: the worker that becomes idle for a suspect
        self.shelves = base + "shelves"  # HASH shelf -> how many tasks that some workers declined
        self.served = (
            base + "served"
        )  # HASH shelf -> when one was last there that may run them (ms)
        self.shelf_prefix = base + "shelf:"  # LIST per shelf: their ids
        self.cron = base + "cron"  # HASH schedule -> its definition, its firings ahead (msgpack)
        self.doorbell = Channel(base + "doorbell")  # `pending` was empty and is not any more

    def task(self, task_id: str) -> str:
        """The hash of one task."""
        return self.task_prefix + task_id

    def progress_channel(self, task_id: str) -> Channel:
        """Where those who watch one task listen."""
        return Channel(self.progress_prefix + task_id)

    def inflight(self, worker_id: str) -> str:
        """The list of ids that one worker incarnation owns."""
        return self.inflight_prefix + worker_id


@lru_cache(maxsize=4096)
def queue_keys(queue: str) -> QueueKeys:
    """The keys of a queue; built once, since every command needs them.

    Raises:
        InvalidQueueName: the name breaks the rule.
    """
    return QueueKeys(queue)


def absent(key: str) -> str:
    """A key beside this one, of the same queue, that never exists (see `wire.words`)."""
    return key[: key.index("}:") + 2] + "absent"


CONTROL_PREFIX: Final = f"{ROOT}:control:"
"""Channel prefix: what is said to one worker incarnation (drain, cancel)."""

REPLY_PREFIX: Final = f"{ROOT}:reply:"
"""Channel prefix: where one waiting client hears how its tasks ended."""


def control_channel(worker_id: str) -> str:
    """Where a worker incarnation listens."""
    return CONTROL_PREFIX + worker_id


def reply_channel(client_id: str) -> str:
    """Where a client listens."""
    return REPLY_PREFIX + client_id


def queue_of_doorbell(channel: str) -> str:
    """The queue that a doorbell channel belongs to."""
    return channel[len(ROOT) + 2 : -len("}:doorbell")]
