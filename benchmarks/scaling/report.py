"""From outcomes to Markdown: what each scaler gave and cost under each load."""

from __future__ import annotations

import math
from typing import Any

from benchmarks.harness.tables import NONE, table
from benchmarks.scaling.measure import Outcome, quantile
from benchmarks.scaling.validation import BAND

HEAD = (
    *("scaler", "wait p50 / p99 / max (s)", "pod-hours", "used", "PATCHes", "looks"),
    *("turns", "peak", "killed", "to zero (s)"),
)

PLOTS = (
    "![Replicas over time, beside what the tasks at hand would fill](pictures/scaling-replicas.png)"
    "\n\n"
    "![Waiting time against pod-hours; less than 0.05 s is drawn there](pictures/scaling-costs.png)"
)


def summary(outcome: Outcome) -> dict[str, Any]:
    """The numbers of a row; counts and hours are per run."""
    waits, runs = sorted(outcome.waits), outcome.runs
    zero = sorted(outcome.to_zero)
    return {
        "wait_p50": quantile(waits, 0.5),
        "wait_p99": quantile(waits, 0.99),
        "wait_max": waits[-1] if waits else math.nan,
        "pod_hours": outcome.pod_seconds / 3600 / runs,
        "used": outcome.work_seconds / outcome.pod_seconds if outcome.pod_seconds else math.nan,
        "writes": outcome.writes / runs,
        "decisions": outcome.decisions / runs,
        "turns": outcome.turns / runs,
        "peak": outcome.peak,
        "kills": outcome.kills / runs,
        "wasted_hours": outcome.wasted_seconds / 3600 / runs,
        "to_zero": quantile(zero, 0.5) if zero else None,
        "unfinished": outcome.unfinished,
        "runs": runs,
        "tasks": outcome.tasks / runs,
    }


def rows(scalers: dict[str, dict[str, Any]]) -> str:
    """One load: a row per scaler."""
    return table(HEAD, [_row(name, found) for name, found in scalers.items()])


def _row(name: str, found: dict[str, Any]) -> list[str]:
    zero = NONE if found["to_zero"] is None else f"{found['to_zero']:.0f}"
    if found["unfinished"]:
        zero = f"{zero}; {found['unfinished']} never"
    return [
        name,
        " / ".join(_seconds(found[f"wait_{name}"]) for name in ("p50", "p99", "max")),
        f"{found['pod_hours']:,.1f}",
        f"{found['used']:.0%}",
        f"{found['writes']:,.0f}",
        f"{found['decisions']:,.0f}",
        f"{found['turns']:,.0f}",
        f"{found['peak']:,}",
        _count(found["kills"]),
        zero,
    ]


def _seconds(value: float) -> str:
    return f"{value:.2f}" if value < 1 else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def validation(findings: list[dict[str, Any]]) -> str:
    """The model of KEDA beside KEDA."""
    lines = [
        [
            found["words"],
            _figure(found["measured"], found["unit"]),
            _figure(found["median"], found["unit"]),
            f"{_figure(found['low'], '')} to {_figure(found['high'], '')}",
            f"{found['median'] / found['measured'] - 1:+.0%}",
            "yes" if found["holds"] else "no",
        ]
        for found in findings
    ]
    middle = f"{BAND:.0%} of the model's runs"
    return table(
        ["KEDA 2.21", "measured", "model, median", middle, "median off by", "measured is within"],
        lines,
    )


def _figure(value: float, unit: str) -> str:
    digits = f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:.0f}"
    return f"{digits.removesuffix('.0')} {unit}".strip()


def markdown(saved: dict[str, Any]) -> str:
    """The whole section."""
    facts = saved["facts"]
    parts = [
        _about(facts),
        "#### Whether the model of KEDA is right",
        validation(saved["findings"]),
    ]
    for load in saved["loads"].values():
        words = load["words"][:1].upper() + load["words"][1:]
        parts += [f"#### {load['name'].capitalize()}", f"{words}.", rows(load["scalers"])]
    return "\n\n".join(parts)


def _about(facts: dict[str, Any]) -> str:
    machine = (
        f"{facts['processes']} processes on {facts['cores']} cores ({facts['processor']}), load at "
        f"the start {facts['load']}"
    )
    return (
        f"{facts['date']}, commit {facts['commit']}, `{facts['command']}`: {facts['seconds']:.0f} "
        f"s in {machine}; {facts['events'] / 1e6:,.1f} million events, "
        f"{facts['decisions'] / 1e6:,.2f} million calls of `decide`, "
        f"{facts['tasks'] / 1e6:,.1f} million tasks."
    )
