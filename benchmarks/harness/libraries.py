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
        results: pattern of the keys that hold results, or the one hash or sorted set that does:
            what is counted to see that results are stored.
        oldest_python: that it runs on.
        loops: event loops that its worker can be given; none: threads, greenlets or processes.
        job: its fastest kind of job at best settings: "async" or "thread" (a plain function).
        plain: plain functions are measured too.
        one_at_a_time: a worker process runs one task at a time, whatever the concurrency.
        core: the language of its hot path, if it is not Python.
    """

    name: str
    packages: tuple[str, ...]
    results: str
    oldest_python: tuple[int, int] = (3, 11)
    loops: tuple[str, ...] = ("asyncio", "uvloop")
    job: str = "async"
    plain: bool = False
    one_at_a_time: bool = False
    core: str = ""

    def stored(self, redis: Any) -> int:
        """Results in Redis now."""
        kind = redis.type(self.results)
        if kind == b"hash":
            return int(redis.hlen(self.results))
        if kind == b"zset":
            return int(redis.zcard(self.results))
        return sum(
            1
            for key in redis.scan_iter(match=self.results, count=10_000)
            if fnmatchcase(key.decode(), self.results)
        )


OURS = Library(
    "identtqueue", ("redis", "hiredis", "msgspec", "uvloop"), "idtq:{bench*}:task:*", plain=True
)

PEERS = (
    Library("cauli", ("cauli", "redis"), "cauli:result:*", plain=True, core="Rust"),
    Library("mayu", ("mayu",), "mayu:result:*", (3, 13), (), "thread", plain=True, core="Rust"),
    Library("tarsk", ("tarsk-redis",), "tarsk:result:*", loops=(), plain=True, core="Rust"),
    Library("ardiq", ("ardiq",), "*result*", oldest_python=(3, 12), core="Rust"),
    Library("blitzq", ("blitzq", "redis"), "blitzq:t:*", oldest_python=(3, 12), plain=True),
    Library("toro", ("toro-queue", "redis"), "toro:bench:completed", plain=True),
    Library("pydocket", ("pydocket", "redis"), "bench:results:*"),
    Library("arq", ("arq",), "arq:result:*"),
    Library("saq", ("saq",), "saq:job:*"),
    Library("streaq", ("streaq",), "streaq:bench:task:results:*"),
    Library("taskiq", ("taskiq-redis", "taskiq"), "taskiq-result:*"),
    Library("dramatiq", ("dramatiq",), "?" * 32, loops=(), job="thread"),
    Library(
        "celery", ("celery",), "celery-task-meta-*", loops=(), job="thread", one_at_a_time=True
    ),
    Library("rq", ("rq",), "rq:results:*", loops=(), job="thread", one_at_a_time=True),
    Library("huey", ("huey",), "huey.results.bench", loops=(), job="thread"),
)

ALL = (OURS, *PEERS)

MAIN = ("identtqueue", "cauli", "mayu", "ardiq", "saq", "arq")
"""Those of the quick mode."""

NEAREST = ("identtqueue", "cauli", "mayu", "tarsk", "ardiq", "blitzq", "toro", "pydocket", "huey")
"""Those that a target may be decided by: the compiled ones, and the fastest of the others."""
