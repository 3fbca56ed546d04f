"""Settings of a worker: one frozen value that is checked when it is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final, Literal

import msgspec

from identtqueue.bounds import is_number
from identtqueue.checks import check_duration
from identtqueue.errors import InvalidInput
from identtqueue.protocol import codec
from identtqueue.protocol.ends import KEPT, Keeping
from identtqueue.redaction import Redact, check_redact
from identtqueue.retry import RetryPolicy
from identtqueue.schedule import Cron
from identtqueue.task import check_queue_name
from identtqueue.worker.counts import DEFAULT_BUCKETS
from identtqueue.worker.hooks import Hooks

QueueOrderName = Literal["fair", "strict"]

HEAVIEST: Final = 1_000
"""Largest weight of a queue. The TaskQueue resource has the same limit."""

HIGHEST_PORT: Final = 65_535

MOST_RECENT_ENDS: Final = 1_000_000
"""Most ends that a queue may list. Each takes about 60 bytes in Redis."""

MOST_BUCKETS: Final = 50
"""Most buckets of a histogram. Prometheus keeps a series for each, per queue and job."""


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a worker.

    Attributes:
        queues: names of the queues to fetch from, in the order that `queue_order` gives.
        queue_order: `fair` or `strict`. `fair`: while several queues have tasks, each gets a share
            of the started tasks by its weight, and none starves. `strict`: no task of a queue is
            started while a queue named before it has tasks.
        queue_weights: weight by queue for the fair order, 1 to 1,000. A queue without one has 1.
        concurrency: number of attempts that may run at the same time.
        timeout_seconds: longest run of one attempt, unless its job or task sets another; None: no
            limit.
        retry: retry policy for failed attempts, unless the job sets another.
        max_deliveries: number of workers that may be lost while they run a task before it becomes a
            dead letter. The last one only counts if it ran nothing else. So even with 1, a task
            that was lost together with others runs once more, alone.
        unrunnable_seconds: how long a task waits for a worker that can run it, after workers have
            declined it because they have no such job or it takes other arguments there. Then it
            becomes a dead letter. Set it longer than a rollout takes. 0: workers do not decline
            tasks, and one that cannot run becomes a dead letter at once.
        lease_seconds: duration of the worker's lease, at least 5. It is renewed three times in that
            time. When it runs out, the worker counts as lost and its tasks are recovered.
        grace_seconds: time that running attempts have to end after SIGTERM. The tasks of those that
            do not end are requeued. Keep it below the pod's terminationGracePeriodSeconds. If the
            worker drains already, the time counts from the start of the drain, and at least 5 s are
            left.
        max_loop_block_seconds: how long a job may block the event loop, at least 1. After this
            time, the stack is logged and /livez fails. After twice this time, the tasks of all
            other attempts are requeued and the lease is no longer renewed.
        http_port: port for /livez, /readyz and /metrics, on IPv6 and IPv4; None: no HTTP server.
        max_abandoned_threads: number of threads left behind by cut-off jobs at which the worker
            stops taking tasks, until some of them have ended; None: as many as `concurrency`, at
            least 10.
        metrics_buckets: upper bounds of the histograms in /metrics in seconds, ascending, at most
            50. The counters that Redis keeps have bounds of their own.
        max_payload_bytes: largest encoded result; a larger one fails the task.
        keep_arguments: whether the arguments of a task are kept after its end as long as its
            result, up to 16 KiB. False: they are deleted, except those of dead letters, which a
            replay needs.
        recent_ends: how many of the tasks that have ended last each queue lists, at most a
            million; 0: none. Of several workers of a queue, the settings of the one that has
            started last are valid.
        recent_ends_seconds: how long a task that has ended is listed at most, if it exists so long.
        redact: what lists and dashboards must not show of arguments and results: names of arguments
            and fields, or a function `(job, args, kwargs) -> (args, kwargs)`.
        max_tasks_per_process: attempts after which a process for jobs is replaced, against code
            that leaks memory; None: never.
        hooks: functions called at start-up and shutdown, and around each attempt.
        cron: jobs that are enqueued on a schedule.

    Raises:
        InvalidInput: a setting is not allowed.
    """

    queues: tuple[str, ...]
    queue_order: QueueOrderName = "fair"
    queue_weights: Mapping[str, int] = msgspec.field(default_factory=dict)
    concurrency: int = 10
    timeout_seconds: float | None = None
    retry: RetryPolicy = msgspec.field(default_factory=RetryPolicy)
    max_deliveries: int = 5
    unrunnable_seconds: float = 600.0
    lease_seconds: float = 15.0
    grace_seconds: float = 25.0
    max_loop_block_seconds: float = 30.0
    http_port: int | None = None
    metrics_buckets: Sequence[float] = DEFAULT_BUCKETS
    max_payload_bytes: int = codec.DEFAULT_MAX_PAYLOAD_BYTES
    keep_arguments: bool = True
    recent_ends: int = KEPT.recent_ends
    recent_ends_seconds: float = KEPT.recent_ends_ms / 1000
    redact: Redact | None = None
    max_tasks_per_process: int | None = None
    max_abandoned_threads: int | None = None
    hooks: Hooks = msgspec.field(default_factory=Hooks)
    cron: tuple[Cron, ...] = ()

    def __post_init__(self) -> None:
        if not self.queues:
            raise InvalidInput("a worker needs a queue: give queue_name or queue_names")
        for queue in self.queues:
            check_queue_name(queue)
        if len(set(self.queues)) < len(self.queues):
            raise InvalidInput(f"a queue is named twice: {', '.join(self.queues)}")
        self._check_order()
        self._check_numbers()
        if not isinstance(self.retry, RetryPolicy):
            raise InvalidInput(f"retry={self.retry!r}: give RetryPolicy(max_retries=3)")
        if not all(isinstance(entry, Cron) for entry in self.cron):
            raise InvalidInput(f"cron={self.cron!r}: give a list of Cron(…)")
        self._check_buckets()
        names = [(cron.queue or self.queues[0], cron.name) for cron in self.cron]
        if len(set(names)) < len(names):
            raise InvalidInput("two cron entries of one queue have the same name")

    def _check_numbers(self) -> None:
        _at_least("concurrency", self.concurrency, 1)
        if self.max_tasks_per_process is not None:
            _at_least("max_tasks_per_process", self.max_tasks_per_process, 1)
        if self.max_abandoned_threads is not None:
            _at_least("max_abandoned_threads", self.max_abandoned_threads, 1)
        _at_least("max_deliveries", self.max_deliveries, 1)
        _at_least("max_payload_bytes", self.max_payload_bytes, 1)
        _at_least("lease_seconds", self.lease_seconds, 5, float)
        _at_least("unrunnable_seconds", self.unrunnable_seconds, 0, float)
        _at_least("grace_seconds", self.grace_seconds, 0, float)
        _at_least("max_loop_block_seconds", self.max_loop_block_seconds, 1, float)
        if self.timeout_seconds is not None:
            check_duration("timeout_seconds", self.timeout_seconds)
        self._check_keeping()
        port = self.http_port
        if not (port is None or (is_number(port, int) and port <= HIGHEST_PORT)):
            raise InvalidInput(f"http_port={port!r}: must be 0 to {HIGHEST_PORT}")

    def _check_keeping(self) -> None:
        if not isinstance(self.keep_arguments, bool):
            raise InvalidInput(f"keep_arguments={self.keep_arguments!r}: must be True or False")
        if not (is_number(self.recent_ends, int) and self.recent_ends <= MOST_RECENT_ENDS):
            raise InvalidInput(
                f"recent_ends={self.recent_ends!r}: must be a whole number, "
                f"0 to {MOST_RECENT_ENDS:,}"
            )
        check_duration("recent_ends_seconds", self.recent_ends_seconds)
        check_redact(self.redact)

    @property
    def keeping(self) -> Keeping:
        """The part of ended tasks that the queues keep."""
        ms = round(self.recent_ends_seconds * 1000)
        return Keeping(self.recent_ends, ms, self.keep_arguments)

    def _check_buckets(self) -> None:
        buckets = self.metrics_buckets
        rising = (
            isinstance(buckets, Sequence)
            and not isinstance(buckets, str)
            and 1 <= len(buckets) <= MOST_BUCKETS
            and all(is_number(bound) and bound > 0 for bound in buckets)
            and all(a < b for a, b in pairwise(buckets))
        )
        if not rising:
            raise InvalidInput(
                f"metrics_buckets={buckets!r}: give 1 to {MOST_BUCKETS} seconds in ascending "
                "order, as in (0.1, 1, 10)"
            )

    def _check_order(self) -> None:
        if self.queue_order not in ("fair", "strict"):
            raise InvalidInput(f"queue_order={self.queue_order!r}: must be 'fair' or 'strict'")
        if not isinstance(self.queue_weights, Mapping):
            raise InvalidInput(f"queue_weights={self.queue_weights!r}: give {{'mrz': 3}}")
        if self.queue_weights and self.queue_order == "strict":
            raise InvalidInput(
                "queue_weights have no meaning in strict order, where the order of the queue names "
                "decides: leave out one of the two"
            )
        for queue, weight in self.queue_weights.items():
            if queue not in self.queues:
                raise InvalidInput(
                    f"queue_weights names {queue!r}, which is not among the worker's queues: "
                    f"{', '.join(self.queues)}"
                )
            if not (is_number(weight, int) and 1 <= weight <= HEAVIEST):
                raise InvalidInput(
                    f"the weight of queue {queue!r} is {weight!r}: must be a whole number, "
                    f"1 to {HEAVIEST}"
                )

    @property
    def order_text(self) -> str:
        """Queues, weights and order, for the log."""
        weights = self.queue_weights
        names = (f"{name}:{weights[name]}" if name in weights else name for name in self.queues)
        return ", ".join(names) + (", in strict order" if self.queue_order == "strict" else "")

    @property
    def most_abandoned_threads(self) -> int:
        """`max_abandoned_threads`, or its default."""
        return self.max_abandoned_threads or max(10, self.concurrency)

    @property
    def lease_ms(self) -> int:
        """Duration of the lease in ms."""
        return round(self.lease_seconds * 1000)


SETTING_NAMES: Final = frozenset(WorkerSettings.__struct_fields__) - {
    *("queues", "retry", "hooks", "cron")  # `Worker` makes these of other arguments
}
"""The settings that users give by keyword as they are, to `Worker` and `App.worker`."""

WORKER_NAMES: Final = SETTING_NAMES | {
    *("max_retries", "retry", "on_startup", "on_shutdown"),
    *("before_task", "after_task", "on_process_startup"),
}
"""All keyword arguments that `Worker` and `App.worker` share; see `WorkerKeywords`."""


def weighted_queues(words: Iterable[str]) -> tuple[list[str], dict[str, int]]:
    """Parse queue names and weights from words like `mrz` and `mrz:3`.

    Args:
        words: one word for each queue.

    Returns:
        The names, and the weights by name for those that have one.

    Raises:
        InvalidInput: a weight is not a number. `WorkerSettings` checks everything else.
    """
    names: list[str] = []
    weights: dict[str, int] = {}
    for word in words:
        name, colon, weight = word.strip().partition(":")
        names.append(name)
        if colon:
            if not (weight.isascii() and weight.isdigit()):
                raise InvalidInput(f"queue {word!r}: expected NAME or NAME:WEIGHT, as in mrz:3")
            weights[name] = int(weight)
    return names, weights


def _at_least(name: str, value: float, least: int, kind: type[float] = int) -> None:
    if not (is_number(value, kind) and value >= least):
        what = "a whole number" if kind is int else "a number, at most 100 years"
        raise InvalidInput(f"{name}={value!r}: must be {least} or more, {what}")
