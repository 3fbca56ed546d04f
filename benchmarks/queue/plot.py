"""Draws what `run.py` saved: `plot RESULTS.json FOLDER`. Runs where matplotlib is installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.queue.report import OURS, SHOWN, Report

OURS_COLOUR, PEER_COLOUR = "#1f6f5c", "#b9c2c9"
PANELS = (
    ("work, concurrency 32 (tasks/s)", lambda report, name: report.work_as_shown(name)),
    (
        "enqueue, 32 callers (tasks/s)",
        lambda report, name: report.median(name, "enqueue single default", "per_second"),
    ),
    (
        "enqueue → result, p50 (ms)",
        lambda report, name: report.median(name, "latency default", "p50_ms"),
    ),
    (
        "worker CPU (µs a task)",
        lambda report, name: report.median(name, SHOWN, "worker_us"),
    ),
)


def draw(saved: dict[str, Any], folder: Path) -> None:
    """Four panels of bars, ours first; on a log scale, since the rows differ by orders."""
    report = Report(saved)
    figure, axes = plt.subplots(2, 2, figsize=(11, 7.5), constrained_layout=True)
    for axis, (title, value_of) in zip(axes.flat, PANELS, strict=True):
        pairs = [(name, value_of(report, name)) for name in report.libraries()]
        _bars(axis, title, [(name, value) for name, value in pairs if value])
    facts = saved["facts"]
    figure.suptitle(
        f"No-op tasks, results stored, one worker process; each as its README has it\n"
        f"{facts['date']}, {facts['cores']} cores, Python {facts['python']}, "
        f"Redis {facts['redis']}",
        fontsize=10,
    )
    figure.savefig(folder / "queue.png", dpi=150)


def _bars(axis: Any, title: str, pairs: list[tuple[str, float]]) -> None:
    names = [name for name, _ in pairs][::-1]
    values = [value for _, value in pairs][::-1]
    colours = [OURS_COLOUR if name == OURS else PEER_COLOUR for name in names]
    bars = axis.barh(names, values, color=colours)
    axis.bar_label(
        bars,
        labels=[f" {value:,.3g}" if value < 1000 else f" {value:,.0f}" for value in values],
        fontsize=8,
    )
    axis.set_xscale("log")
    axis.set_xlim(right=max(values, default=1) * 4)
    axis.set_title(title, fontsize=10, loc="left")
    axis.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text("utf-8")), Path(sys.argv[2]))
