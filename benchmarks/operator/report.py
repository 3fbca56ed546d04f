"""From measured numbers to a Markdown table: each target, and what was reached."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.harness.tables import table

Numbers = dict[str, dict[str, list[float]]]
"""Measure -> number -> its values, one for each repetition."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: is measured.
        target: in words.
        measure, number: where the values are.
        bound: that `judged` of them must not exceed.
        judged: the value that counts: the largest, or a quantile.
        unit: of the values.
    """

    what: str
    target: str
    measure: str
    number: str
    bound: float
    judged: Callable[[Sequence[float]], float] = max
    unit: str = " s"

    def cells(
        self, numbers: Mapping[str, Mapping[str, Sequence[float]]]
    ) -> tuple[str, str, str, str] | None:
        """The cells, or None: it was not measured in this run."""
        values = numbers.get(self.measure, {}).get(self.number)
        if not values:
            return None
        met = "yes" if self.judged(values) <= self.bound else "**no**"
        return self.what, self.target, self._shown(values), met

    def _shown(self, values: Sequence[float]) -> str:
        if len(values) == 1:
            return f"{_figure(values[0])}{self.unit}"
        parts = [f"median {_figure(statistics.median(values))}"]
        if self.judged is p99:
            parts.append(f"p99 {_figure(p99(values))}")
        parts.append(f"max {_figure(max(values))}{self.unit}")
        return f"{', '.join(parts)} (n={len(values)})"


def p99(values: Sequence[float]) -> float:
    """The value that 99 of 100 do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[-(len(ordered) // 100) - 1]


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


ROWS = (
    Row("first enqueue → PATCH", "p99 < 100 ms", "push", "patch_ms", 100, p99, " ms"),
    Row("PATCHes from 0 to 20 replicas, 200 tasks at once", "1", "one step", "patches", 1, unit=""),
    Row("container killed → task pending", "p99 < 2 s", "deaths", "container_s", 2, p99),
    Row("pod evicted → task pending", "p99 < 2 s", "deaths", "failed_s", 2, p99),
    Row("pod deleted and ended → task pending", "p99 < 2 s", "deaths", "deleted_s", 2, p99),
    Row("pod gone without a report → task pending", "p99 < 2 s", "deaths", "gone_s", 2, p99),
    Row("Redis unreachable → all conditions say so", "< 5 s", "outages", "told_s", 5),
    Row("Redis back, enqueue → PATCH", "< 2 s", "outages", "again_s", 2),
    Row("Deployments lowered in outages", "0", "outages", "lowered", 0, unit=""),
    Row("2,000 TaskQueues idle: RSS", "< 150 MB", "idle", "rss_mb", 150, unit=" MB"),
    Row("… API writes per second", "< 10", "idle", "writes_per_second", 10, unit=""),
    Row("… of a core", "< 15 %", "idle", "core_percent", 15, unit=" %"),
    Row("… 200 get a task at once: all PATCHed", "< 2 s", "burst", "all_patched_s", 2),
    Row(
        "… 50 ring per second: enqueue → PATCH",
        "p99 < 500 ms",
        "steady",
        "patch_ms",
        500,
        p99,
        " ms",
    ),
    Row("… operator restarted: all observed", "< 30 s", "restart", "observed_s", 30),
    Row("100 tasks of 60 s, up to 20 workers: last ended", "≤ 330 s", "drain", "ended_s", 330),
    Row("… tasks that ran twice", "0", "drain", "repeated", 0, unit=""),
    Row(
        "enqueue → first line of a job, from zero",
        "< 800 ms",
        "zero: image",
        "all_ms",
        800,
        p99,
        " ms",
    ),
    Row("20 workers idle → 0", "< 5 s", "zero", "zero_s", 5),
    Row("… tasks that ran twice", "0", "zero", "repeated", 0, unit=""),
    Row("busy workers lost in {scale_downs} scale-downs", "0", "shrink", "repeated", 0, unit=""),
    Row(
        "clusterWide, 10,000 foreign pods: peak RSS",
        "< 268 MB",
        "foreign",
        "peak_mb",
        268,
        unit=" MB",
    ),
    Row("… event loop held at most", "< 100 ms", "foreign", "held_ms", 100, unit=" ms"),
    Row("… 2,000 TaskQueues observed", "< 30 s", "foreign", "observed_s", 30),
    Row(
        "400 TaskQueues at a silent Redis, 200 at one that hangs up: first enqueue → PATCH",
        "< 500 ms",
        "noisy",
        "patch_ms",
        500,
        unit=" ms",
    ),
    Row("… peak RSS", "< 268 MB", "noisy", "peak_mb", 268, unit=" MB"),
    Row(
        "… connections to these per second", "< 30", "noisy", "connections_per_second", 30, unit=""
    ),
    Row(
        "39 TaskQueues of 0.83 MiB each, refused: first enqueue → PATCH of others",
        "< 500 ms",
        "huge",
        "patch_ms",
        500,
        unit=" ms",
    ),
    Row("… peak RSS", "< 268 MB", "huge", "peak_mb", 268, unit=" MB"),
    Row("node killed → task runs elsewhere", "< 20 s", "node", "running_s", 20),
)


def markdown(saved: Mapping[str, Mapping[str, Any]]) -> str:
    """The table, and what each part of it was measured with.

    Args:
        saved: part -> `facts` of its run and `numbers`.
    """
    numbers: dict[str, Mapping[str, Sequence[float]]] = {}
    for part in saved.values():
        numbers |= part["numbers"]
    rows = [cells for row in ROWS if (cells := row.cells(numbers))]
    downs = numbers.get("shrink", {}).get("scale_downs", [0])[0]
    text = table(("", "target", "measured", "met"), rows, rule="---")
    starts = _starts(numbers)
    return (
        "\n\n".join([*_runs(saved), text.replace("{scale_downs}", f"{downs:.0f}"), *starts]) + "\n"
    )


PARTS = (
    ("enqueue → PATCH", "patch_ms"),
    ("→ pod on a node", "placed_ms"),
    ("→ its process", "process_ms"),
    ("→ job runs", "job_ms"),
)
"""The parts of a start from zero, in their order."""


def _starts(numbers: Mapping[str, Mapping[str, Sequence[float]]]) -> list[str]:
    """A table of the starts from zero, by the pod's template; nothing if none was measured."""
    rows = [
        (
            measure.removeprefix("zero: "),
            *(f"{statistics.median(parts[part]):.0f}" for _, part in PARTS),
            f"{statistics.median(parts['all_ms']):.0f}",
            f"{p99(parts['all_ms']):.0f}",
        )
        for measure, parts in numbers.items()
        if measure.startswith("zero: ")
    ]
    head = ("template, ms", *(title for title, _ in PARTS), "median in all", "p99")
    return [table(head, rows)] if rows else []


def _runs(saved: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for each run, with the parts that it measured."""
    lines = []
    for part, run in saved.items():
        facts = run["facts"]
        lines.append(
            f"- {part}: {facts['date']}, commit {facts['commit']}, `{facts['command']}`, load at "
            f"the start {facts['load']}"
        )
    machine = next(iter(saved.values()))["facts"]
    return [
        (
            f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gb']} GiB, "
            f"{machine['system']}; the cluster, Redis and the benchmark on the same machine."
        ),
        "\n".join(lines),
    ]
