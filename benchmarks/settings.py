"""Effect of Redis' settings on a queue: CPU, memory, file and latency, each beside the default.

    python -m benchmarks.settings [--rounds 5] [--tasks 20000] [--calls 500] [--clients 1]
        [--only io-threads]

Each run has a Redis of its own. All settings take turns in each round, and each is compared with a
run of the default right before or behind it. The row `the same again` is the default once more:
what it differs by is chance. Caller and worker share a process, and Redis has another.
"""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

import redis

from benchmarks.host import host_facts, redis_cpu_seconds
from identtqueue import App, Context, RedisSettings
from testing import servers
from testing.redis_server import RedisServer, free_port
from testing.serving import serving
from testing.tls import Certificates

BATCH: Final = 500
CONCURRENCY: Final = 32
TEXT: Final = "x" * 85
IDLE_SECONDS: Final = 1.0
RUN_SECONDS: Final = 300
WITH_DEFRAG: Final = "redis-7.4"
"""A server that was built with its own Jemalloc, which `activedefrag` needs. Debian's is not."""

Options = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to run Redis.

    Attributes:
        name: what the table calls it.
        options: more options of the server.
        link: how the library connects: `tcp`, `unix` or `tls`.
        server: which of `servers.NAMES`.
    """

    name: str
    options: Options = ()
    link: str = "tcp"
    server: str = servers.SYSTEM


@dataclass(frozen=True, slots=True)
class Load:
    """The work of one run.

    Attributes:
        tasks: enqueued at once, and then worked off.
        calls: enqueued one after the other, and awaited.
        clients: share the calls.
    """

    tasks: int
    calls: int
    clients: int


@dataclass(frozen=True, slots=True)
class Cost:
    """The costs that one run has measured.

    Attributes:
        bulk_us: Redis' CPU time per task that is enqueued and worked off among many.
        single_us: the same for a task that is enqueued alone, and its result awaited.
        latency_ms: the median time from such an enqueue to the result.
        bulk_seconds: time to enqueue and work off all.
        pending_bytes, result_bytes: memory per task that waits; that has ended.
        file_bytes: append-only file per task, from the enqueue to the end.
        idle_ms: Redis' CPU time in a second in which nothing happens.
    """

    bulk_us: float
    single_us: float
    latency_ms: float
    bulk_seconds: float
    pending_bytes: float
    result_bytes: float
    file_bytes: float
    idle_ms: float


FORMS: Final = {
    "bulk_us": ".1f",
    "single_us": ".0f",
    "latency_ms": ".2f",
    "bulk_seconds": ".1f",
    "pending_bytes": ".0f",
    "result_bytes": ".0f",
    "file_bytes": ".0f",
    "idle_ms": ".1f",
}
"""Columns of the table, and how each is written."""

DEFAULT: Final = Setting("default: nothing on a disk")
AGAIN: Final = Setting("the same again")
DEFAULT_DEFRAG: Final = Setting(f"default, {WITH_DEFRAG}", server=WITH_DEFRAG)
AOF: Final = ("--appendonly", "yes", "--appendfsync")
DEFRAG: Final = (
    *("--activedefrag", "yes", "--active-defrag-ignore-bytes", "1"),
    *("--active-defrag-threshold-lower", "1"),
)
LAZY: Final = tuple(
    word
    for what in ("eviction", "expire", "server-del", "user-del", "user-flush")
    for word in (f"--lazyfree-lazy-{what}", "yes")
)
THREADS: Final = ("--io-threads", "2")

SETTINGS: Final = (
    AGAIN,
    Setting("appendonly yes, appendfsync no", (*AOF, "no")),
    Setting("appendonly yes, appendfsync everysec", (*AOF, "everysec")),
    Setting("appendonly yes, appendfsync always", (*AOF, "always")),
    Setting("save 1 1: a snapshot each second", ("--save", "1 1")),
    Setting("io-threads 2", THREADS),
    Setting("io-threads 2, io-threads-do-reads yes", (*THREADS, "--io-threads-do-reads", "yes")),
    Setting("Unix socket", link="unix"),
    Setting("TLS", link="tls"),
    Setting("hash-max-listpack-value 256", ("--hash-max-listpack-value", "256")),
    Setting(
        "the same, hash-max-listpack-entries 32768",
        ("--hash-max-listpack-value", "256", "--hash-max-listpack-entries", "32768"),
    ),
    Setting("lazyfree-lazy-… yes, all five", LAZY),
    Setting("hz 100", ("--hz", "100")),
    Setting("hz 100, dynamic-hz no", ("--hz", "100", "--dynamic-hz", "no")),
    Setting("hz 1", ("--hz", "1")),
    Setting("maxmemory 4gb, noeviction", ("--maxmemory", "4gb")),
    Setting("latency-monitor-threshold 10", ("--latency-monitor-threshold", "10")),
    Setting("slowlog-log-slower-than -1 (off)", ("--slowlog-log-slower-than", "-1")),
    Setting("slowlog-log-slower-than 0 (each call)", ("--slowlog-log-slower-than", "0")),
    Setting("tcp-keepalive 0", ("--tcp-keepalive", "0")),
    Setting("timeout 60", ("--timeout", "60")),
    Setting("activedefrag yes, from the first byte", DEFRAG, server=WITH_DEFRAG),
)


async def read(_ctx: Context, text: str) -> str:
    """Return the argument: the job of all tasks."""
    return text


async def measure(address: RedisSettings, raw: redis.Redis, load: Load) -> Cost:
    """Enqueue and work off many tasks, rest, and then enqueue and await one after the other."""
    app = App(address, default_queue="settings")
    job = app.task(read)
    async with app:
        await (await job.enqueue(TEXT)).cancel()  # loads the scripts
        memory, cpu, begun = _memory(raw), redis_cpu_seconds(raw), time.perf_counter()
        for _ in range(load.tasks // BATCH):
            handles = await app.enqueue_many(job.call(TEXT) for _ in range(BATCH))
        pending, seconds = _memory(raw) - memory, time.perf_counter() - begun
        begun = time.perf_counter()
        async with serving(app.worker(concurrency=CONCURRENCY)):
            await handles[-1].result(timeout_seconds=RUN_SECONDS)
            seconds += time.perf_counter() - begun
            bulk = redis_cpu_seconds(raw) - cpu
            ended, file = _memory(raw) - memory, _file_bytes(raw)
            cpu = redis_cpu_seconds(raw)
            await asyncio.sleep(IDLE_SECONDS)
            idle = redis_cpu_seconds(raw) - cpu
            cpu, times = redis_cpu_seconds(raw), list[float]()
            async with asyncio.TaskGroup() as callers:
                for _ in range(load.clients):
                    callers.create_task(_call(address, load.calls // load.clients, times))
            single = redis_cpu_seconds(raw) - cpu
    return Cost(
        bulk_us=1e6 * bulk / load.tasks,
        single_us=1e6 * single / load.calls,
        latency_ms=1_000 * median(times),
        bulk_seconds=seconds,
        pending_bytes=pending / load.tasks,
        result_bytes=ended / load.tasks,
        file_bytes=file / load.tasks,
        idle_ms=1_000 * idle / IDLE_SECONDS,
    )


async def _call(address: RedisSettings, calls: int, times: list[float]) -> None:
    """Enqueue and await one task after the other, on connections of its own."""
    app = App(address, default_queue="settings")
    job = app.task(read)
    async with app:
        for _ in range(calls):
            begun = time.perf_counter()
            await (await job.enqueue(TEXT)).result(timeout_seconds=RUN_SECONDS)
            times.append(time.perf_counter() - begun)


def _memory(raw: redis.Redis) -> int:
    return int(raw.info("memory")["used_memory"])


def _file_bytes(raw: redis.Redis) -> int:
    return int(raw.info("persistence").get("aof_current_size", 0))


def run(setting: Setting, folder: Path, load: Load) -> Cost:
    """Start a server with a setting, and measure it."""
    certificates, port, socket = Certificates(folder), free_port(), folder / "redis.sock"
    program = servers.executable(setting.server)
    options = setting.options
    if setting.link == "unix":
        options += ("--unixsocket", str(socket))
    if setting.link == "tls":
        options += certificates.server_options(port)
    cert, key = certificates.client
    with RedisServer(executable=program, options=options).running() as server:
        links = {
            "tcp": RedisSettings(address=server.address),
            "unix": RedisSettings(address=f"unix://{socket}"),
            "tls": RedisSettings(
                address=f"rediss://127.0.0.1:{port}",
                tls_ca_file=certificates.ca,
                tls_cert_file=cert,
                tls_key_file=key,
            ),
        }
        with server.client() as raw:
            return asyncio.run(measure(links[setting.link], raw, load))


def base_of(setting: Setting) -> Setting:
    """Return the default that a setting is compared with."""
    return DEFAULT if setting.server == servers.SYSTEM else DEFAULT_DEFRAG


def in_turn(settings: tuple[Setting, ...], number: int) -> Iterator[tuple[Setting, ...]]:
    """Yield a round's settings by two, which share the default between them.

    Each round begins with another setting.
    """
    for base in (DEFAULT, DEFAULT_DEFRAG):
        alike = [setting for setting in settings if base_of(setting) == base]
        start = number % max(1, len(alike))
        alike = alike[start:] + alike[:start]
        yield from (tuple(alike[place : place + 2]) for place in range(0, len(alike), 2))


@dataclass(slots=True)
class Found:
    """Costs of a setting, and of the default that ran beside it each time."""

    costs: list[Cost] = field(default_factory=list)
    bases: list[Cost] = field(default_factory=list)

    def cell(self, name: str, form: str) -> str:
        """Format a median, and in brackets the median of the ratios to the default."""
        values = [getattr(cost, name) for cost in self.costs]
        text = f"{median(values):{form}}"
        if not self.bases or name in ("file_bytes", "idle_ms"):
            return text
        others = [getattr(cost, name) for cost in self.bases]
        ratio = median(value / other for value, other in zip(values, others, strict=True))
        return f"{text} ({ratio:.2f})"


def report(found: dict[Setting, Found]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield (
        "| setting | Redis CPU per task, among many: µs | enqueue → result, one: Redis CPU, µs "
        "| … median, ms | enqueue and work off all: s | bytes per pending task | … per result "
        "| … of the file | idle: CPU, ms/s |"
    )
    yield "|---" + "|--:" * len(FORMS) + "|"
    for setting, costs in found.items():
        cells = " | ".join(costs.cell(name, form) for name, form in FORMS.items())
        yield f"| {setting.name} | {cells} |"


def main(rounds: int, load: Load, only: list[str]) -> None:
    """Run all settings in turn, and print the table."""
    settings = tuple(
        setting
        for setting in SETTINGS
        if not only or setting == AGAIN or any(part in setting.name for part in only)
    )
    words = f' BENCH="{shlex.join(sys.argv[1:])}"' if sys.argv[1:] else ""
    facts = host_facts(f"make bench-settings{words}")
    print(", ".join(f"{key}: {value}" for key, value in facts.items()), flush=True)
    bases = dict.fromkeys(base_of(setting) for setting in settings)
    found = {setting: Found() for setting in (*bases, *settings)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(rounds):
            for first, *second in in_turn(settings, number):
                costs = [run(first, folder, load)]
                base = run(base_of(first), folder, load)
                found[base_of(first)].costs.append(base)
                costs += [run(setting, folder, load) for setting in second]
                for setting, cost in zip((first, *second), costs, strict=True):
                    found[setting].costs.append(cost)
                    found[setting].bases.append(base)
            print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    print(*report(found), sep="\n", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--only", nargs="+", default=[], metavar="PART", help="of settings' names")
    given = parser.parse_args()
    main(given.rounds, Load(given.tasks, given.calls, given.clients), given.only)
