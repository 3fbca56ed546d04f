"""The user's choices: which queue, sorted how, filtered by what. Keys change them."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from identtqueue.cli.top.snapshot import QueueLine, TopSnapshot, WorkerLine

SHORTEST_SECONDS: Final = 0.5
LONGEST_SECONDS: Final = 60.0
"""Bounds of the time between two refreshes."""

SORTS: Final[dict[str, Callable[[QueueLine], float]]] = {
    "pending": lambda line: line.depth.queued,
    "held": lambda line: line.depth.held,
    "running": lambda line: line.depth.in_flight,
    "scheduled": lambda line: line.depth.scheduled,
    "dead": lambda line: line.depth.dead,
    "oldest": lambda line: line.depth.oldest_wait_ms or 0,
    "in": lambda line: line.enqueued or 0,
    "ok": lambda line: line.succeeded or 0,
    "failed": lambda line: line.failed or 0,
    "name": lambda _: 0,
}
"""How queues can be sorted: the largest number first, and equal ones by name."""


class Wish(enum.Enum):
    """The request of a key, beyond a change of the view."""

    QUIT = enum.auto()
    PAUSE = enum.auto()  # of the queue that is chosen, or resume it
    REFRESH = enum.auto()


class KeyMode(enum.Enum):
    """The meaning of keys at the moment."""

    LOOKING = enum.auto()
    TYPING = enum.auto()  # the filter
    ASKED = enum.auto()  # whether to pause or resume a queue
    READING = enum.auto()  # the help


@dataclass
class TopView:
    """The choices of the user.

    Attributes:
        sort: one of `SORTS`.
        is_reversed: whether the smallest number comes first.
        filter: part of the names of the queues that are shown.
        chosen: name of the queue that is chosen; None: the first one.
        opened: name of the queue that is shown alone; None: all are shown.
        scrolled: how many lines of the queue that is open are above the screen.
        mode: what keys mean.
        interval_seconds: time between two refreshes.
        said: the last thing that was said to the user.
    """

    sort: str = "pending"
    is_reversed: bool = False
    filter: str = ""
    chosen: str | None = None
    opened: str | None = None
    scrolled: int = 0
    mode: KeyMode = KeyMode.LOOKING
    interval_seconds: float = 2.0
    said: str = ""

    def lines(self, snapshot: TopSnapshot) -> list[QueueLine]:
        """Return the queues that the filter lets through, sorted."""
        shown = sorted(
            (line for line in snapshot.queues if self.filter in line.name),
            key=lambda line: line.name,
        )
        by = SORTS[self.sort]
        return sorted(shown, key=lambda line: by(line) * (1 if self.is_reversed else -1))

    def place(self, snapshot: TopSnapshot) -> int:
        """Return the place of the chosen queue among those that are shown; 0 if it is not there."""
        names = [line.name for line in self.lines(snapshot)]
        return names.index(self.chosen) if self.chosen in names else 0

    def queue(self, snapshot: TopSnapshot) -> QueueLine | None:
        """Return the queue that is open, or else the one that is chosen; None: there is none."""
        if self.opened is not None:
            return next((line for line in snapshot.queues if line.name == self.opened), None)
        lines = self.lines(snapshot)
        return lines[self.place(snapshot)] if lines else None

    def workers(self, snapshot: TopSnapshot) -> list[WorkerLine]:
        """Return the workers of the queue that is open, or else of all that are shown."""
        shown = {line.name for line in self.lines(snapshot)} if self.filter else None
        if self.opened is not None:
            shown = {self.opened}
        return [w for w in snapshot.workers if shown is None or not shown.isdisjoint(w.queues)]

    def press(self, key: str, snapshot: TopSnapshot) -> Wish | None:
        """Do what a key means, and return what else it asks for."""
        self.said = ""
        if self.mode is KeyMode.TYPING:
            return self._type(key)
        if self.mode is KeyMode.READING:
            self.mode = KeyMode.LOOKING
            return None
        if self.mode is KeyMode.ASKED:
            self.mode = KeyMode.LOOKING
            return Wish.PAUSE if key in ("y", "Y") else None
        return self._look(key, snapshot)

    def _type(self, key: str) -> Wish | None:
        if key in ("enter", "escape"):
            self.mode = KeyMode.LOOKING
            self.filter = self.filter if key == "enter" else ""
        elif key == "backspace":
            self.filter = self.filter[:-1]
        elif len(key) == 1 and key.isprintable():
            self.filter += key
        return None

    def _look(self, key: str, snapshot: TopSnapshot) -> Wish | None:
        if key == "q":
            return Wish.QUIT
        if key in (" ", "r"):
            return Wish.REFRESH
        if key == "enter" and (line := self.queue(snapshot)):
            self.opened, self.scrolled = line.name, 0
            return Wish.REFRESH  # its jobs are not read before
        if key == "p" and self.queue(snapshot):
            self.mode = KeyMode.ASKED
        elif key in _STEPS:
            self._move(_STEPS[key], snapshot)
        else:
            self._change(key)
        return None

    def _change(self, key: str) -> None:
        match key:
            case "s" | "S":
                names = list(SORTS)
                step = 1 if key == "s" else -1
                self.sort = names[(names.index(self.sort) + step) % len(names)]
            case "R":
                self.is_reversed = not self.is_reversed
            case "/":
                self.mode = KeyMode.TYPING
            case "?" | "h":
                self.mode = KeyMode.READING
            case "escape" | "left" | "backspace":
                self._go_back()
            case "+" | "-":
                seconds = self.interval_seconds * (2 if key == "+" else 0.5)
                self.interval_seconds = min(LONGEST_SECONDS, max(SHORTEST_SECONDS, seconds))

    def _move(self, step: int, snapshot: TopSnapshot) -> None:
        if self.opened is not None:
            self.scrolled = max(0, self.scrolled + step)
            return
        lines = self.lines(snapshot)
        if lines:
            place = min(len(lines) - 1, max(0, self.place(snapshot) + step))
            self.chosen = lines[place].name

    def _go_back(self) -> None:
        if self.opened is None:
            self.filter = ""
        self.chosen, self.opened = self.opened or self.chosen, None


_ALL: Final = 1_000_000
_STEPS: Final = {
    "up": -1,
    "k": -1,
    "down": 1,
    "j": 1,
    "page up": -10,
    "page down": 10,
    "home": -_ALL,
    "end": _ALL,
}
