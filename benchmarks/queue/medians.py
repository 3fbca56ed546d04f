"""Medians of what `run.py` saved, by the rows of its tables."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

OURS = "identtqueue"
SHOWN = " as shown"
"""End of a measure's name; see `steps`, which needs more than is installed where plots are made."""

PROCESS_JOBS = "process jobs, c=32"


@dataclass(frozen=True)
class Row:
    """A library in one way of using it.

    Attributes:
        library: whose it is.
        label: how the row begins.
        end: of its measures' names.
    """

    library: str
    label: str
    end: str = ""

    def __str__(self) -> str:
        return self.label


TYPED = Row(OURS, OURS, SHOWN)
"""Ours as its README has it: the typed `App` with its default log."""

QUIET = Row(OURS, "identtqueue, log off")


class Medians:
    """Reads medians out of what `run.py` saved.

    Args:
        saved: `facts`, `promises`, `runs` and `missing`.
    """

    def __init__(self, saved: dict[str, Any]) -> None:
        self._runs = saved["runs"]
        self.missing = saved["missing"]
        self.facts = saved["facts"]
        self.promises = saved["promises"]

    def of(self, library: str, measure: str, number: str = "per_second") -> float | None:
        """The median over all runs; None: it was not measured."""
        runs = self._runs.get(library, {}).get(measure, [])
        values = [run[number] for run in runs if number in run]
        return statistics.median(values) if values else None

    def at(self, row: Row, measure: str, number: str = "per_second") -> float | None:
        """The same of a row; what does not depend on its settings has one name in all rows."""
        found = self.of(row.library, measure + row.end, number)
        return self.of(row.library, measure, number) if found is None and row.end else found

    def plain(self, row: Row) -> float | None:
        """Tasks per second of plain functions: the fastest place and loop that the row has."""
        begin = "plain"
        measures = self._runs.get(row.library, {})
        names = [name for name in measures if name.startswith(begin) and name.endswith(row.end)]
        return max((self.of(row.library, name) or 0 for name in names), default=None)

    def rows(self) -> list[Row]:
        """Ours first, then the fastest first."""
        mine = [row for row in (TYPED, QUIET) if row.library in self._runs]
        return [*mine, *self.peers()]

    def peers(self) -> list[Row]:
        """Each at its best settings, the fastest first."""
        names = [name for name in self._runs if name != OURS]
        return [Row(name, name) for name in sorted(names, key=lambda name: -self._rate(name))]

    def shown(self) -> list[Row]:
        """Each as its README has it; only ours, if the peers were not measured like that."""
        peers = [Row(row.library, row.label, SHOWN) for row in self.peers()]
        rows = [row for row in (TYPED, *peers) if self.of(row.library, f"work{SHOWN}")]
        return sorted(rows, key=lambda row: (row.library != OURS, -(self.at(row, "work") or 0)))

    def of_ours(self) -> Iterator[tuple[str, float | None]]:
        """All measures of ours alone, by the names that they begin with."""
        begins = ("processes", "queues", "process", "asyncio", "blocking")
        for name in self._runs.get(OURS, {}):
            if name.split()[0] in begins:
                yield name, self.of(OURS, name)
        for name in self._runs.get(OURS, {}):
            if name.startswith("plain"):
                yield f"{name.removesuffix(SHOWN)} jobs", self.of(OURS, name)

    def _rate(self, name: str) -> float:
        return self.of(name, "work") or 0

    def best_peer(
        self, value_of: Callable[[Row], float | None], *, least: bool = False
    ) -> tuple[str, float] | None:
        """The peer with the highest or the lowest value, and that value."""
        known = [(row.library, value) for row in self.peers() if (value := value_of(row))]
        pick = min if least else max
        return pick(known, key=lambda pair: pair[1]) if known else None
