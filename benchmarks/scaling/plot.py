"""Draws what `run.py` saved: `plot RESULTS.json FOLDER`. Runs where matplotlib is installed."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

COLOURS = {
    "Backlog": "#1f6f5c",
    "Backlog, tuned": "#4fb39a",
    "WaitTime": "#2b5fa8",
    "KEDA": "#c8553d",
    "KEDA, tuned": "#e9a23b",
}
MARKS = {"Backlog": "o", "Backlog, tuned": "s", "WaitTime": "D", "KEDA": "X", "KEDA, tuned": "P"}
SHOWN = ("step", "spike", "bursty", "long tasks")
"""Loads whose courses are drawn."""
DEMAND_COLOUR = "#d9dee2"
LONGEST_MINUTES = 65


def draw(saved: dict[str, Any], folder: Path) -> None:
    """Two pictures: replicas over time, and waiting against cost."""
    loads = saved["loads"]
    mpl.rcParams.update({"font.size": 9})
    shown = [name for name in SHOWN if name in loads]
    if shown:
        _save(_replicas(loads, shown), folder, "scaling-replicas")
    _save(_costs(loads), folder, "scaling-costs")


def _save(figure: Any, folder: Path, name: str) -> None:
    figure.savefig(folder / f"{name}.png", dpi=130)
    plt.close(figure)


def _replicas(loads: dict[str, Any], shown: list[str]) -> Any:
    """A row per load; ours on the left, KEDA on the right, demand behind both."""
    figure, axes = plt.subplots(
        len(shown), 2, figsize=(11, 2.5 * len(shown)), sharey="row", squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for row, name in zip(axes, shown, strict=True):
        courses = loads[name]["courses"]
        for axis, ours in zip(row, (True, False), strict=True):
            _course(axis, courses, [s for s in courses if ours != s.startswith("KEDA")])
        row[0].set_ylabel("replicas")
        row[0].set_title(f"{name}: {loads[name]['words']}", loc="left", fontsize=9)
        highest = max(max(course["replicas"]) for course in courses.values())
        row[0].set_ylim(0, highest * 1.1)
    for axis, title in zip(axes[0], ("idenTTqueue", "KEDA 2.21 + HPA"), strict=True):
        handles, labels = axis.get_legend_handles_labels()
        axis.legend(
            handles, labels, title=title, loc="lower center", bbox_to_anchor=(0.5, 1.12),
            ncols=len(labels), fontsize=8, frameon=False, columnspacing=1.2, handlelength=1.5,
        )  # fmt: skip
    for axis in axes[-1]:
        axis.set_xlabel("minutes")
    return figure


def _course(axis: Any, courses: dict[str, Any], scalers: list[str]) -> None:
    ideal = courses.get("Backlog") or next(iter(courses.values()))
    axis.fill_between(
        [at / 60 for at in ideal["at"]], ideal["needed"], color=DEMAND_COLOUR, linewidth=0,
        step="post", label="what the tasks would fill",
    )  # fmt: skip
    for scaler in scalers:
        course = courses[scaler]
        minutes = [at / 60 for at in course["at"]]
        axis.step(
            minutes, course["replicas"], where="post", color=COLOURS[scaler], linewidth=1.2,
            label=scaler,
        )  # fmt: skip
    axis.set_xlim(0, LONGEST_MINUTES)
    axis.spines[["top", "right"]].set_visible(False)


def _costs(loads: dict[str, Any]) -> Any:
    """A panel per load: 99 % of the tasks wait no longer than .. ; what the pods cost."""
    names, columns = list(loads), 3
    lines = -(-len(names) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(11, 2.9 * lines), squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(names) :]:
        axis.set_axis_off()
    for axis, name in zip(axes.flat, names, strict=False):
        for scaler, found in loads[name]["scalers"].items():
            axis.scatter(
                found["pod_hours"], max(found["wait_p99"], 0.05), s=70, color=COLOURS[scaler],
                marker=MARKS[scaler], label=scaler, zorder=3, edgecolor="white", linewidth=0.6,
            )  # fmt: skip
        axis.set_yscale("log")
        waits = [max(found["wait_p99"], 0.05) for found in loads[name]["scalers"].values()]
        # Whole decades, so that every panel has figures on its axis.
        low, high = (
            math.floor(math.log10(min(waits) * 0.9)),
            math.ceil(math.log10(max(waits) * 1.1)),
        )
        axis.set_ylim(10**low, 10**high)
        axis.set_title(name, loc="left", fontsize=10)
        axis.grid(visible=True, which="major", color="#e8ebed", zorder=0)
        highest = max(found["pod_hours"] for found in loads[name]["scalers"].values())
        axis.set_xlim(0, highest * 1.12)
        least = [f["pod_hours"] * f["used"] for f in loads[name]["scalers"].values()]
        axis.axvline(min(least), color="#8a949b", linewidth=1, linestyle=":")
        axis.spines[["top", "right"]].set_visible(False)
        axis.yaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
        axis.yaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    for row in axes:
        row[0].set_ylabel("waiting time, p99 (s)")
    for index in range(len(names)):
        if index + columns >= len(names):
            axes.flat[index].set_xlabel("pod-hours (dotted: the work itself)")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    return figure


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text("utf-8")), Path(sys.argv[2]))
