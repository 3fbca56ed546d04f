"""From runs to Markdown: medians, side by side, and the targets with what was reached."""

from __future__ import annotations

from typing import Any

from benchmarks.harness.tables import NONE, about, table
from benchmarks.queue.medians import OURS, Medians, Row
from benchmarks.queue.targets import targets

PLOT = "![The same as bars, on logarithmic scales](pictures/queue.png)"
MET = {True: "yes", False: "**no**", None: NONE}


class Report:
    """Writes what `run.py` saved as Markdown.

    Args:
        saved: see `Medians`.
    """

    def __init__(self, saved: dict[str, Any]) -> None:
        self._medians = Medians(saved)

    def markdown(self) -> str:
        """All of it."""
        parts = [
            about(self._medians.facts, self._medians.missing),
            self._speed(),
            self._targets(),
            self._cost(),
            self._guarantees(),
            self._shown(),
            self._ours(),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _speed(self) -> str:
        head = (
            "library",
            "delivery",
            "work/s, c=32",
            "plain functions",
            "c=100 uvloop",
            "enqueue/s, 32 callers",
            "enqueue/s, batches",
            "latency p50 / p99 (ms)",
            "worker CPU (µs)",
            "Redis CPU (µs)",
            "Redis memory per pending task (B)",
            "exec → first task (s)",
        )
        at = self._medians.at
        rows = [
            (
                str(row),
                self._guarantee(row),
                _count(at(row, "work")),
                _count(self._medians.plain(row)),
                _count(at(row, "work c=100")),
                _count(at(row, "enqueue single")),
                _count(at(row, "enqueue batched")),
                self._latency(row),
                _decimal(at(row, "work", "worker_us")),
                _decimal(at(row, "work", "redis_us")),
                _count(at(row, "memory", "bytes")),
                _decimal(at(row, "start", "seconds"), 2),
            )
            for row in self._medians.rows()
        ]
        return (
            "### Each at its best documented settings\n\n"
            "The first row is idenTTqueue as its README has it: `App`, `@app.task` and its default "
            "log. CPU is per task at c=32. No peer writes a log line per task.\n\n"
            + table(head, rows)
        )

    def _guarantee(self, row: Row) -> str:
        said = self._medians.promises.get(row.library)
        if said is None:
            return NONE
        return said["guarantee"] + (", fenced" if said["fenced"] else "")

    def _latency(self, row: Row) -> str:
        p50, p99 = (self._medians.at(row, "latency", n) for n in ("p50_ms", "p99_ms"))
        return f"{_ms(p50)} / {_ms(p99)}" if p50 is not None else NONE

    def _targets(self) -> str:
        rows = [(one.text, one.measured, MET[one.met]) for one in targets(self._medians)]
        return (
            "### Targets\n\nIn this run: the typed `App` with its default log, against each peer "
            "at its best.\n\n" + table(("target", "measured", "met"), rows)
        )

    def _cost(self) -> str:
        head = (
            "library",
            "Redis commands",
            "Redis reads",
            "RSS idle (MB)",
            "RSS after the run (MB)",
        )
        at = self._medians.at
        rows = [
            (
                str(row),
                _decimal(at(row, "work", "commands")),
                _decimal(at(row, "work", "reads"), 2),
                _decimal(at(row, "latency", "idle_rss_mb")),
                _decimal(at(row, "work", "rss_mb")),
            )
            for row in self._medians.rows()
        ]
        return (
            "### What one task costs Redis, and what a worker takes\n\n"
            + table(head, rows)
            + "\n\nCommands are those that Redis executed, inside scripts too; reads are what it "
            "took off its sockets, so a pipeline counts once."
        )

    def _guarantees(self) -> str:
        rows = [
            (
                name,
                said["guarantee"],
                "yes" if said["fenced"] else "not documented",
                f"[{said['delivery']}]({said['page']})",
            )
            for name, said in self._medians.promises.items()
        ]
        head = ("library", "delivery", "late results are refused", "a task whose worker dies")
        return (
            "### Guarantees, as documented\n\nOf the settings above. All of them store a result "
            "for each task.\n\n" + table(head, rows, "---")
        )

    def _shown(self) -> str:
        rows = self._medians.shown()
        if len(rows) < 2:
            return ""
        head = (
            "library",
            "work/s, c=32",
            "work/s, its own c",
            "enqueue/s, 32 callers",
            "enqueue/s, batches",
            "latency p50 / p99 (ms)",
            "worker CPU (µs a task)",
        )
        at = self._medians.at
        cells = [
            (
                str(row),
                _count(at(row, "work")),
                _count(at(row, "work, its own c")),
                _count(at(row, "enqueue single")),
                _count(at(row, "enqueue batched")),
                self._latency(row),
                _decimal(at(row, "work", "worker_us")),
            )
            for row in rows
        ]
        return "### As each README has it, with its log\n\n" + table(head, cells)

    def _ours(self) -> str:
        rows = [(name, _count(value)) for name, value in self._medians.of_ours()]
        if not rows:
            return ""
        text = (
            "### idenTTqueue: worker processes, queues on one worker, kinds of jobs, callers\n\n"
            "Tasks per second; for callers, enqueued per second, each one after the other.\n\n"
        )
        return text + table(("measure", "per second"), rows) + self._herd() + self._long_queue()

    def _herd(self) -> str:
        rows = [
            (kind, *(_decimal(self._of_ours(f"herd, {kind}", what), 2) for what in CALLS))
            for kind in ("scheduled", "limited")
            if self._of_ours(f"herd, {kind}", "scripts") is not None
        ]
        if not rows:
            return ""
        head = ("tasks", "script calls per task", "commands per task", "script calls/s at rest")
        return "\n\n40 idle workers, 200 tasks, the enqueue included:\n\n" + table(head, rows)

    def _long_queue(self) -> str:
        if not (number := self._of_ours("long queue", "tasks")):
            return ""
        dead = _count(self._of_ours("long queue", "cancelled"))
        labels = {part: part for part in ("enqueue", "work", "cancel")}
        labels["among"] = f"work, {dead} cancelled tasks in the queue"
        rows = [
            (
                label,
                *(
                    _count(self._of_ours("long queue", f"{what}_{end}"))
                    for end in ("long", "empty")
                ),
                *(
                    _decimal(self._of_ours("long queue", f"{what}_{end}"), 2)
                    for end in ("ratio", "redis")
                ),
            )
            for what, label in labels.items()
        ]
        head = ("part", "per second", "on an empty queue", "ratio", "ratio by Redis CPU")
        text = f"\n\nWith {_count(number)} tasks pending, two servers in turn:\n\n"
        return text + table(head, rows) + self._drained()

    def _drained(self) -> str:
        first, last = (self._of_ours("long queue", f"rss_{end}_mb") for end in ("first", "last"))
        if first is None or last is None:
            return ""
        return (
            f"\n\nThe worker that works them off: RSS {first:.1f} MB after a tenth, {last:.1f} MB "
            "after the last."
        )

    def _of_ours(self, measure: str, number: str) -> float | None:
        return self._medians.of(OURS, measure, number)


CALLS = ("scripts", "commands", "idle_scripts_per_second")


def _count(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def _decimal(value: float | None, places: int = 1) -> str:
    return NONE if value is None else f"{value:,.{places}f}"


def _ms(value: float | None) -> str:
    return NONE if value is None else f"{value:.3g}"
