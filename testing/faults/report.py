"""Report of a chaos run as Markdown: the books, and what each kind of fault has cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testing.faults.plan import Fault
from testing.ledger import Line

AFTERMATH_SECONDS = 15.0
"""How long a fault has effects after its end. A half-open connection is noticed after 10 s."""

BEGIN, END = "<!-- results: written by make chaos CHAOS=--write -->", "<!-- end of results -->"


@dataclass(slots=True)
class Injected:
    """A fault as it happened. Times are like `Line.at`. Without `pids` it has hit all processes."""

    fault: Fault
    begun: float
    ended: float
    pids: Sequence[int]

    def concerns(self, before: Line, again: Line) -> bool:
        """Return whether it had effects between two starts of a task."""
        return self.begun <= again.at and self.ended + AFTERMATH_SECONDS >= before.at


def cause_of(before: Line, again: Line, injected: Sequence[Injected]) -> Injected | None:
    """Find the fault that a repeated run is attributed to.

    It is the latest that hit the process of the first run, or else the latest that hit all
    processes or unknown ones. Where faults overlap, that is a guess.
    """
    candidates = [one for one in injected if one.concerns(before, again)]
    own = [one for one in candidates if before.pid in one.pids]
    general = [one for one in candidates if not one.pids or -1 in one.pids]
    return max(own or general, key=lambda one: one.begun, default=None)


def at_their_starts(injected: Iterable[Injected], lines: Iterable[Line]) -> None:
    """Correct faults that are tasks: they begin with the task, in the process that runs it."""
    starts: dict[str, list[Line]] = {}
    for line in lines:
        if line.event == "start":
            starts.setdefault(line.task_id.partition(":")[2], []).append(line)
    for one in injected:
        found = starts.get(task_name(one.fault))
        if found:
            one.begun, one.ended = found[0].at, found[-1].at
            one.pids = [line.pid for line in found]


def task_name(fault: Fault) -> str:
    """Return the unique part of the id of a fault's task."""
    return f"fault-{fault.number}"


def costs(
    injected: Sequence[Injected], repeats: Sequence[tuple[Line, Line]]
) -> dict[str, dict[str, float]]:
    """Count by kind: injections, repeated runs, and the longest time until a task ran again."""
    table: dict[str, dict[str, float]] = {}
    for one in injected:
        row = table.setdefault(one.fault.kind, {"injected": 0, "repeats": 0, "longest": 0.0})
        row["injected"] += 1
    for before, again in repeats:
        cause = cause_of(before, again, injected)
        name = cause.fault.kind if cause else "(none of them)"
        row = table.setdefault(name, {"injected": 0, "repeats": 0, "longest": 0.0})
        row["repeats"] += 1
        if cause:
            row["longest"] = max(row["longest"], again.at - max(cause.begun, before.at))
    return table


def markdown(saved: Mapping[str, Any]) -> str:
    """Format the whole report."""
    facts, numbers = saved["facts"], saved["numbers"]
    columns = {
        "accepted": "accepted",
        "succeeded": "succeeded",
        "failed": "dead letters",
        "cancelled": "cancelled",
        "lost": "lost",
        "buried": "innocents buried",
        "problems": "problems",
        "repeats": "runs repeated",
        "finished_twice": "finished twice, recorded once",
    }
    about_run = (
        f"{facts['date']}, commit {facts['commit']}, `{facts['command']}`. {facts['machine']}. "
        f"The run took {numbers['seconds']:.0f} s."
    )
    about_faults = (
        f"{numbers['faults']} faults, {numbers['double']} of them while another was going on; "
        f"{numbers['worker_starts']} worker starts, {numbers['producer_starts']} producer starts; "
        f"{numbers['orders_resent']:,} orders were there already when they were sent (again)."
    )
    lines = [
        about_run,
        "",
        _row(columns.values()),
        _row("--:" for _ in columns),
        _row(f"{numbers[name]:,}" for name in columns),
        "",
        about_faults,
        "",
        _row(("fault", "injected", "runs repeated", "longest until a task ran again (s)", "what")),
        _row(("---", "--:", "--:", "--:", "---")),
    ]
    for name, row in sorted(saved["costs"].items()):
        longest = f"{row['longest']:.1f}" if row["repeats"] else "-"
        about = saved["about"].get(name, "")
        counts = (f"{row[column]:.0f}" for column in ("injected", "repeats"))
        lines.append(_row((name, *counts, longest, about)))
    return "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def write_into(page: Path, text: str) -> None:
    """Write the report between the marks of a page."""
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{text}{END}{after}", "utf-8")
