"""Draws what `run.py` saved: `plot RESULTS.json FOLDER`. Runs where matplotlib is installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import NullFormatter

from benchmarks.queue.medians import OURS, Medians, Row

OURS_COLOUR, PEER_COLOUR = "#1f6f5c", "#b9c2c9"
PANELS = (
    ("work, concurrency 32 (tasks/s)", "work", "per_second"),
    ("enqueue, 32 callers (tasks/s)", "enqueue single", "per_second"),
    ("enqueue → result, p50 (ms)", "latency", "p50_ms"),
    ("worker CPU (µs a task)", "work", "worker_us"),
    ("Redis memory per pending task (bytes)", "memory", "bytes"),
    ("exec → first task runs (s)", "start", "seconds"),
)


def draw(saved: dict[str, Any], folder: Path) -> None:
    """Six panels of bars, ours first; on a log scale, since the rows differ by orders."""
    medians = Medians(saved)
    figure, axes = plt.subplots(3, 2, figsize=(11, 13), constrained_layout=True)
    for axis, (title, measure, number) in zip(axes.flat, PANELS, strict=True):
        pairs = [(row, medians.at(row, measure, number)) for row in medians.rows()]
        _bars(axis, title, [(row, value) for row, value in pairs if value])
    facts = saved["facts"]
    figure.suptitle(
        f"No-op tasks, results stored, one worker process; each at its best documented settings,\n"
        f"idenTTqueue in the first bar as its README has it. {facts['date']}, {facts['cores']} "
        f"cores, Python {facts['python']}, Redis {facts['redis']}",
        fontsize=10,
    )
    figure.savefig(folder / "queue.png", dpi=150)


def _bars(axis: Any, title: str, pairs: list[tuple[Row, float]]) -> None:
    names = [row.label for row, _ in pairs][::-1]
    values = [value for _, value in pairs][::-1]
    colours = [OURS_COLOUR if row.library == OURS else PEER_COLOUR for row, _ in pairs][::-1]
    bars = axis.barh(names, values, color=colours)
    axis.bar_label(
        bars,
        labels=[f" {value:,.3g}" if value < 1000 else f" {value:,.0f}" for value in values],
        fontsize=8,
    )
    axis.set_xscale("log")
    axis.xaxis.set_minor_formatter(NullFormatter())  # each bar has its number
    axis.set_xlim(right=max(values, default=1) * 4)
    axis.set_title(title, fontsize=10, loc="left")
    axis.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text("utf-8")), Path(sys.argv[2]))
