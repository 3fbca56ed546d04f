"""From runs to Markdown: medians, side by side, and the targets with what was reached."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.harness.tables import NONE, about, table

OURS = "identtqueue"
LOW_LEVEL = "identtqueue: `Worker`, `Client`"
SHOWN = "work as shown"
"""The first measure: 32 tasks at the same time, everything else as the library's README has it."""
PLOT = "![The same as bars, on logarithmic scales](pictures/queue.png)"


class Report:
    """Reads medians out of what `run.py` saved.

    Args:
        saved: `facts`, `runs` and `missing`.
    """

    def __init__(self, saved: dict[str, Any]) -> None:
        self._runs = saved["runs"]
        self._missing = saved["missing"]
        self._facts = saved["facts"]

    def median(self, library: str, measure: str, number: str) -> float | None:
        """Over all runs; None: it was not measured."""
        runs = self._runs.get(library, {}).get(measure, [])
        values = [run[number] for run in runs if number in run]
        return statistics.median(values) if values else None

    def libraries(self) -> list[str]:
        """Ours first, then the fastest first, as their READMEs have them."""
        rates = {name: self.work_as_shown(name) or 0 for name in self._runs}
        return sorted(rates, key=lambda name: (name != OURS, -rates[name]))

    def work(self, library: str, concurrency: int = 32) -> float | None:
        """Tasks per second, whatever loop or pool the library has."""
        for measure in self._runs.get(library, {}):
            if measure.startswith(f"work c={concurrency} "):
                return self.median(library, measure, "per_second")
        return None

    def work_as_shown(self, library: str) -> float | None:
        """Tasks per second as its README has it, 32 at the same time."""
        return self.median(library, SHOWN, "per_second")

    def best_peer(self, value_of: Callable[[str], float | None], *, least: bool) -> float | None:
        """The lowest or the highest value that any peer has."""
        found = [value_of(name) for name in self._runs if name != OURS]
        known = [value for value in found if value is not None]
        return (min if least else max)(known, default=None)

    def work_measure(self, library: str) -> str:
        """The measure that costs are taken from."""
        found = [name for name in self._runs[library] if name.startswith("work c=32 ")]
        return found[0] if found else ""

    # --- tables ---

    def markdown(self) -> str:
        """All of it."""
        parts = [
            about(self._facts, self._missing),
            self._shown(),
            self._speed(),
            self._cost(),
            self._targets(),
            self._scaling(),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _shown(self) -> str:
        head = (
            "library",
            "work/s, c=32",
            "work/s, its own c",
            "enqueue/s, 32 callers",
            "enqueue/s, batches",
            "latency p50 / p99 (ms)",
            "worker CPU (µs a task)",
        )
        rows = [
            (
                name,
                _count(self.work_as_shown(name)),
                _count(self.median(name, "work default", "per_second")),
                _count(self.median(name, "enqueue single default", "per_second")),
                _count(self.median(name, "enqueue batched default", "per_second")),
                self._latency(name, "latency default"),
                _decimal(self.median(name, SHOWN, "worker_us")),
            )
            for name in self.libraries()
        ]
        return (
            "### As each README has it\n\n"
            "idenTTqueue: `App`, `@app.task` and its default log.\n\n" + table(head, rows)
        )

    def _speed(self) -> str:
        head = (
            "library",
            "work/s, c=32",
            "work/s, c=100 uvloop",
            "enqueue/s, 32 callers",
            "enqueue/s, batches",
            "latency p50 / p99 (ms)",
        )
        rows = [
            (
                LOW_LEVEL if name == OURS else name,
                _count(self.work(name)),
                _count(self.work(name, 100)),
                _count(self.median(name, "enqueue single", "per_second")),
                _count(self.median(name, "enqueue batched", "per_second")),
                self._latency(name, "latency"),
            )
            for name in self.libraries()
            if self.work(name) is not None
        ]
        return "### Each at its best settings, no log line per task\n\n" + table(head, rows)

    def _latency(self, name: str, measure: str) -> str:
        p50, p99 = (self.median(name, measure, n) for n in ("p50_ms", "p99_ms"))
        return f"{_ms(p50)} / {_ms(p99)}" if p50 is not None else NONE

    def _cost(self) -> str:
        head = (
            "library",
            "worker CPU (µs)",
            "Redis CPU (µs)",
            "Redis commands",
            "Redis reads",
            "RSS idle (MB)",
            "RSS after the run (MB)",
        )
        rows = []
        for name in self.libraries():
            measure = self.work_measure(name)
            if not measure:
                continue
            rows.append(
                (
                    LOW_LEVEL if name == OURS else name,
                    _decimal(self.median(name, measure, "worker_us")),
                    _decimal(self.median(name, measure, "redis_us")),
                    _decimal(self.median(name, measure, "commands")),
                    _decimal(self.median(name, measure, "reads"), 2),
                    _decimal(self.median(name, "latency", "idle_rss_mb")),
                    _decimal(self.median(name, measure, "rss_mb")),
                )
            )
        return (
            "### Cost of one task at best settings (work, c=32)\n\n"
            + table(head, rows)
            + "\n\nCommands are those that Redis executed, inside scripts too; reads are what it "
            "took off its sockets, so a pipeline counts once."
        )

    def _targets(self) -> str:
        rows = [
            (target.text, target.shown(), "yes" if target.met else "**no**")
            for target in targets(self)
            if target.value is not None
        ]
        return "### Targets\n\n" + table(("target", "measured", "met"), rows) if rows else ""

    def _scaling(self) -> str:
        measures = self._runs.get(OURS, {})
        rows = [
            (name, _count(self.median(OURS, name, "per_second")))
            for name in measures
            if name.split()[0]
            in ("processes", "queues", "thread", "process", "asyncio", "blocking")
        ]
        if not rows:
            return ""
        text = (
            "### idenTTqueue: worker processes, queues on one worker, kinds of jobs, callers\n\n"
            "Tasks per second; for callers, enqueued per second, each one after the other.\n\n"
        )
        return text + table(("measure", "per second"), rows) + self._long_queue()

    def _long_queue(self) -> str:
        def number(name: str) -> float:
            return self.median(OURS, "long queue", name) or 0

        if not number("tasks"):
            return ""
        return (
            f"\n\nWith {_count(number('tasks'))} tasks pending: {_count(number('enqueue_full'))} "
            f"enqueued/s against {_count(number('enqueue_empty'))} on an empty queue, "
            f"{_count(number('work_full'))} worked off/s against {_count(number('work_empty'))}; "
            f"RSS {number('rss_first_mb'):.1f} MB after the first tenth, "
            f"{number('rss_last_mb'):.1f} MB after all."
        )


@dataclass(frozen=True)
class Target:
    """What was promised, and what was measured (None: not in this run)."""

    text: str
    value: float | None
    bound: float
    at_most: bool = False
    unit: str = ""

    @property
    def met(self) -> bool:
        assert self.value is not None
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    def shown(self) -> str:
        value = self.value or 0
        return f"{_count(value) if value >= 1000 else f'{value:.3g}'}{self.unit}"


def targets(report: Report) -> list[Target]:
    """All of them, in the order of the table."""
    cost = report.work_measure(OURS) if OURS in report.libraries() else ""

    def ours(measure: str, number: str = "per_second") -> float | None:
        return report.median(OURS, measure, number)

    return [
        Target(
            "as shown: work/s, c=32: ≥ 1.1 times every peer",
            _ratio(report.work_as_shown(OURS), report.best_peer(report.work_as_shown, least=False)),
            1.1,
            unit=" times",
        ),
        Target(
            "as shown: enqueue/s, batches: ≥ 1.5 times every peer",
            _ratio(
                ours("enqueue batched default"),
                report.best_peer(
                    lambda name: report.median(name, "enqueue batched default", "per_second"),
                    least=False,
                ),
            ),
            1.5,
            unit=" times",
        ),
        Target(
            "as shown: latency p50: below every peer's, at whatever settings: ratio to the lowest",
            _ratio(
                ours("latency default", "p50_ms"), report.best_peer(_latency_of(report), least=True)
            ),
            1,
            True,
        ),
        Target("low level: work/s, c=32 asyncio, ≥ 15,000", report.work(OURS), 15_000),
        Target("low level: work/s, c=100 uvloop, ≥ 20,000", report.work(OURS, 100), 20_000),
        Target("low level: enqueue/s, one at a time, ≥ 14,000", ours("enqueue single"), 14_000),
        Target("low level: enqueue/s, batches, ≥ 100,000", ours("enqueue batched"), 100_000),
        Target("low level: latency p99 ≤ 2 ms", ours("latency", "p99_ms"), 2, True, " ms"),
        Target("worker CPU ≤ 50 µs a task", ours(cost, "worker_us"), 50, True, " µs"),
        Target("Redis CPU ≤ 25 µs a task", ours(cost, "redis_us"), 25, True, " µs"),
        Target("Redis reads ≤ 1 a task when busy", ours(cost, "reads"), 1, True),
        Target("worker RSS idle ≤ 40 MB", ours("latency", "idle_rss_mb"), 40, True, " MB"),
        Target(
            "RSS after 1,000,000 tasks: growth ≤ 1 MB", _growth(report), 1, at_most=True, unit=" MB"
        ),
        Target(
            "1,000,000 pending: enqueue rate ≥ 0.9", _long(report, "enqueue"), 0.9, unit=" times"
        ),
        Target("1,000,000 pending: work rate ≥ 0.9", _long(report, "work"), 0.9, unit=" times"),
        Target(
            "blocking client, one caller: ≥ 0.75 of asyncio",
            _ratio(ours("blocking callers 1"), ours("asyncio callers 1")),
            0.75,
            unit=" times",
        ),
    ]


def _latency_of(report: Report) -> Callable[[str], float | None]:
    """A library's lowest median, at its best settings or its own."""

    def lowest(name: str) -> float | None:
        found = [report.median(name, m, "p50_ms") for m in ("latency", "latency default")]
        return min((value for value in found if value is not None), default=None)

    return lowest


def _growth(report: Report) -> float | None:
    first, last = (report.median(OURS, "long queue", f"rss_{n}_mb") for n in ("first", "last"))
    return None if first is None or last is None else last - first


def _long(report: Report, what: str) -> float | None:
    return _ratio(*(report.median(OURS, "long queue", f"{what}_{n}") for n in ("full", "empty")))


def _ratio(value: float | None, other: float | None) -> float | None:
    return value / other if value and other else None


def _count(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def _decimal(value: float | None, places: int = 1) -> str:
    return NONE if value is None else f"{value:,.{places}f}"


def _ms(value: float | None) -> str:
    return NONE if value is None else f"{value:.3g}"
