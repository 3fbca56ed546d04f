"""Prints plain lines with the time since the start."""

import contextlib
import sys
import time
from collections.abc import Iterator

LONGEST = 240
"""Most characters that are shown of a line that a command printed."""


class Narrator:
    """A printer of chapters, lines and tables to standard output."""

    def __init__(self) -> None:
        self.started_at = time.time()
        self._held: list[tuple[float, str]] | None = None

    def chapter(self, title: str) -> None:
        """Print a heading."""
        self._print(f"\n== {title}")

    def say(self, line: str, *, at: float | None = None) -> None:
        """Print a line with its time: now, or `at` in seconds since 1970."""
        since = (time.time() if at is None else at) - self.started_at
        stamped = f"t+{since:6.1f} s  {line}"
        if self._held is None:
            self._print(stamped)
        else:
            self._held.append((since, stamped))

    @contextlib.contextmanager
    def in_order(self) -> Iterator[None]:
        """Print the lines that are said meanwhile at the end, in the order of their times.

        News arrives on several ways, so it is not said in that order.
        """
        self._held = held = []
        try:
            yield
        finally:
            self._held = None
            for _, line in sorted(held):
                self._print(line)

    def show(self, command: str, output: str) -> None:
        """Print a command and its output."""
        self._print(f"            $ {command}")
        for line in output.rstrip().splitlines():
            self._print(f"            {line.rstrip()[:LONGEST]}")

    def table(self, rows: list[tuple[str, str, str]]) -> None:
        """Print names, values and remarks in columns."""
        name_width = max(len(row[0]) for row in rows)
        value_width = max(len(row[1]) for row in rows)
        for name, value, remark in rows:
            line = f"            {name:<{name_width}}  {value:>{value_width}}  {remark}"
            self._print(line.rstrip())

    def _print(self, line: str) -> None:
        print(line, file=sys.stdout, flush=True)
