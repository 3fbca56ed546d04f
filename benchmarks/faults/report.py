"""From verdicts to Markdown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.faults.verdict import Facts
from benchmarks.harness.tables import NONE, about, table

FAILED = "failed"
BOOKS = ("missing", "unrecorded", "failed", "ended_again")
MANY_DELIVERIES = 12
LATE_SECONDS = 30.0
"""Others that wait for less than this are not worth a word."""


class Report:
    """Reads what `run.py` saved.

    Args:
        saved: `facts`, `promises`, `runs` and `missing`.
    """

    def __init__(self, saved: dict[str, Any]) -> None:
        self._facts = saved["facts"]
        self._promises = saved["promises"]
        self._runs = saved["runs"]
        self._missing = saved["missing"]

    def markdown(self) -> str:
        """All of it."""
        parts = [
            about(self._facts, self._missing),
            self._overview(),
            self._books(),
            self._said(),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _rows(self) -> list[tuple[str, str, dict[str, Facts]]]:
        """Library, style and verdicts, in the order in which the libraries are listed."""
        return [
            (name, style, self._runs[name][style])
            for name in self._promises
            for style in ("default", "reliable")
            if style in self._runs.get(name, {})
        ]

    def _overview(self) -> str:
        head = ("library", "settings", *(title for title, _ in CELLS.values()))
        rows = [
            (name, style, *(_cell(scenario, verdicts) for scenario in CELLS))
            for name, style, verdicts in self._rows()
        ]
        patience = f"{self._facts['patience']:,.0f}"
        return (
            f"{table(head, rows, '---')}\n\nNever: not within {patience} s, and nothing recorded."
        )

    def _books(self) -> str:
        head = ("library", "settings", "tasks", "never ran", "no result", "failed", "ran twice")
        rows = []
        for name, style, verdicts in self._rows():
            sums = [sum(verdict[what] for verdict in verdicts.values()) for what in BOOKS]
            total = sum(
                verdict[what]
                for verdict in verdicts.values()
                for what in ("succeeded", "failed", "unrecorded", "missing")
            )
            rows.append((name, style, str(total), *(str(number or NONE) for number in sums)))
        return "### The books of all faults together, without the poison\n\n" + table(head, rows)

    def _said(self) -> str:
        rows = [
            (name, f"[{said['delivery']}]({said['page']})", _settings(said["settings"]))
            for name, said in self._promises.items()
        ]
        return "### What the documentation says\n\n" + table(
            ("library", "delivery of a task whose worker dies", "settings `reliable`"), rows, "---"
        )


def brief(scenario: str, verdict: Facts) -> str:
    """One verdict, for a line of progress."""
    return CELLS[scenario][1](verdict)


def _cell(scenario: str, verdicts: dict[str, Facts]) -> str:
    return brief(scenario, verdicts[scenario]) if scenario in verdicts else NONE


def _settings(settings: dict[str, str]) -> str:
    return "<br>".join(f"[`{name}`]({page})" for name, page in settings.items()) or NONE


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 10 else f"{value:,.0f} s"


def _again(verdict: Facts, since: float = 0) -> str:
    """When and how the task that ran came back."""
    if verdict["again"] is not None:
        after = f"after {_seconds(verdict['again'] - since)}"
        return f"{after}, then failed" if verdict["outcome"] == FAILED else after
    if verdict["outcome"] == FAILED:
        return "never: recorded as failed"
    return "**never**"


def _kill(verdict: Facts) -> str:
    parts = [_again(verdict)]
    if verdict["again"] is None and verdict["recorded"] is not None:
        parts[0] += f" after {_seconds(verdict['recorded'])}"
    if verdict["others"] is None:
        parts.append("**those that waited: not all**")
    elif verdict["others"] > LATE_SECONDS:
        parts.append(f"those that waited after {_seconds(verdict['others'])}")
    return "; ".join(parts)


def _poison(verdict: Facts) -> str:
    number = verdict["deliveries"]
    times = f"{number} {'delivery' if number == 1 else 'deliveries'}"
    if verdict["outcome"] == FAILED:
        text = f"failed after {times}, {_seconds(verdict['recorded'])}"
    elif number >= MANY_DELIVERIES:
        text = f"**no end**: {times} in {_seconds(verdict['seconds'])}"
    elif number == 1:
        text = "1 delivery, **then nothing**"
    else:
        text = f"{times} in {_seconds(verdict['seconds'])}, no end yet"
    return text if verdict["others"] is not None else f"{text}; **blocks others**"


def _redis(verdict: Facts) -> str:
    codes = verdict["exits"]
    times = "" if len(codes) < 2 else f", {len(codes)} times"
    worker = f"exits ({codes[0]}){times}" if codes else "lives"
    following = "**never**" if verdict["next"] is None else _seconds(verdict["next"])
    task = "ran once" if verdict["again"] is None else f"ran again {_again(verdict)}"
    result = {"succeeded": "recorded", "failed": "**failed**"}.get(verdict["outcome"], "**lost**")
    parts = [f"worker {worker}", f"next task {following}"]
    if task != "ran once" or result != "recorded":
        parts.append(f"task that ran: {task}, result {result}")
    return "; ".join(parts)


def _term(verdict: Facts) -> str:
    exit_ = f"exit ({verdict['exit']}) after {_seconds(verdict['exit_seconds'])}"
    if verdict["finished"] and verdict["again"] is None:
        recorded = "ends, recorded" if verdict["outcome"] else "ends, **not recorded**"
        return f"{recorded}; {exit_}"
    if verdict["finished"]:
        return f"ends, **and runs again** {_again(verdict)}; {exit_}"
    return f"cut off, again {_again(verdict, verdict['exit_seconds'])}; {exit_}".replace(
        "again **never**", "**never again**"
    ).replace("again never: recorded as failed", "**recorded as failed**")


CELLS: dict[str, tuple[str, Callable[[Facts], str]]] = {
    "kill": ("worker SIGKILLed: its task runs again", _kill),
    "redis": ("Redis SIGKILLed, back after 1 s; worker busy", _redis),
    "redis_free": ("… worker waiting for more", _redis),
    "poison": ("a task that kills its worker", _poison),
    "term": ("SIGTERM, task of 8 s", _term),
    "long": ("SIGTERM, task of 45 s", _term),
}
"""Scenario to its column: the title, and the verdict in words."""
