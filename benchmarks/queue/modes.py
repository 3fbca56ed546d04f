"""How thorough a run is, and how big that makes each of its parts."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.harness.libraries import OURS, Library

WAYS = 32
"""Coroutines or threads of a producer: all numbers of tasks are multiples of it."""


@dataclass(frozen=True)
class Mode:
    """How thorough.

    Attributes:
        libraries: that are compared.
        rounds: of each measure at best settings; the median counts.
        seconds: that one run should take.
        most: tasks in one run.
        peers_as_shown: measure the peers as their READMEs have them too, in the first round.
        processes: numbers of worker processes on one queue.
        queues: numbers of queues on one worker.
        herd: count what 40 idle workers cost.
        tasks_pending: in the long queue; 0: leave it out.
        drain: work the long queue off at the end.
    """

    libraries: tuple[Library, ...]
    rounds: int = 3
    seconds: float = 2.0
    most: int = 100_000
    peers_as_shown: bool = True
    processes: tuple[int, ...] = (1, 2, 4, 8)
    queues: tuple[int, ...] = (1, 4, 16)
    herd: bool = True
    tasks_pending: int = 1_000_000
    drain: bool = True

    def shows(self, library: Library) -> bool:
        """Whether a library is measured as its README has it."""
        return library is OURS or self.peers_as_shown


@dataclass(frozen=True)
class Rates:
    """The tasks per second of a library, roughly; 0: not measured.

    Attributes:
        work, enqueue: at its best settings.
        shown: works off as its README has it, at 32 at the same time.
        own: the same, at its own number.
    """

    work: float
    enqueue: float
    shown: float = 0.0
    own: float = 0.0

    def to_work(self, mode: Mode, style: str) -> int:
        """Tasks that keep a worker busy for the mode's time, if they are enqueued soon enough."""
        work = {"best": self.work, "shown": self.shown, "own": self.own}[style]
        return _multiple(min(work, 3 * self.enqueue) * mode.seconds, mode)

    def to_enqueue(self, mode: Mode) -> int:
        """Tasks that keep a producer busy for the mode's time."""
        return _multiple(self.enqueue * mode.seconds, mode)


def _multiple(wanted: float, mode: Mode) -> int:
    return max(10 * WAYS, min(mode.most, round(wanted)) // (10 * WAYS) * 10 * WAYS)
