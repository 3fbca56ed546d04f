"""The libraries that are compared, and what the driver has to know of each."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any


@dataclass(frozen=True)
class Library:
    """One row of the table.

    Attributes:
        name: of its adapter, its virtual environment and its requirement file.
        packages: whose versions are shown.
        results: pattern of the keys that hold results, or the one hash that does: what is counted
            to see that results are stored.
        oldest_python: that it runs on.
        loops: event loops that its worker can be given; none: threads, greenlets or processes.
        one_at_a_time: a worker process runs one task at a time, whatever the concurrency.
    """

    name: str
    packages: tuple[str, ...]
    results: str
    oldest_python: tuple[int, int] = (3, 11)
    loops: tuple[str, ...] = ("asyncio", "uvloop")
    one_at_a_time: bool = False

    def stored(self, redis: Any) -> int:
        """Results in Redis now."""
        if redis.type(self.results) == b"hash":
            return int(redis.hlen(self.results))
        return sum(
            1
            for key in redis.scan_iter(match=self.results, count=10_000)
            if fnmatchcase(key.decode(), self.results)
        )


OURS = Library("identtqueue", ("redis", "hiredis", "msgspec", "uvloop"), "idtq:{bench*}:task:*")

PEERS = (
    Library("ardiq", ("ardiq",), "*result*", oldest_python=(3, 12)),
    Library("arq", ("arq",), "arq:result:*"),
    Library("saq", ("saq",), "saq:job:*"),
    Library("streaq", ("streaq",), "streaq:bench:task:results:*"),
    Library("taskiq", ("taskiq-redis", "taskiq"), "taskiq-result:*"),
    Library("dramatiq", ("dramatiq",), "?" * 32, loops=()),
    Library("celery", ("celery",), "celery-task-meta-*", loops=(), one_at_a_time=True),
    Library("rq", ("rq",), "rq:results:*", loops=(), one_at_a_time=True),
    Library("huey", ("huey",), "huey.results.bench", loops=()),
)

ALL = (OURS, *PEERS)

MAIN = ("identtqueue", "ardiq", "arq", "saq", "streaq", "taskiq", "dramatiq")
"""Those of the quick mode."""
