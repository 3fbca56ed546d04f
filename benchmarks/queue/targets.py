"""The targets, and what was measured of each in the same run.

Ours is the typed `App` with its default log, unless the target says otherwise; the peers are at
their best documented settings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.queue.medians import OURS, PROCESS_JOBS, TYPED, Medians, Row

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Target:
    """Something promised, its measure, and whether that is enough (None: not measured)."""

    text: str
    measured: str = NOT_MEASURED
    met: bool | None = None


def targets(medians: Medians) -> list[Target]:
    """All of them, in the order of the table."""
    return [
        *_work(medians),
        *_calls(medians),
        *_costs(medians),
        *_ours_alone(medians),
    ]


def _work(medians: Medians) -> list[Target]:
    def work(name: str) -> float | None:
        return medians.of(name, "work")

    ours = medians.at(TYPED, "work")
    plain = medians.plain(TYPED)
    cauli_plain = medians.plain(Row("cauli", "cauli"))
    ours_100 = medians.of(OURS, f"work c=100{TYPED.end}")
    return [
        _times("work/s, c=32: ≥ 1.1 times cauli's async jobs", ours, work("cauli"), 1.1),
        _times("work/s, c=32: ≥ 1.1 times mayu", ours, work("mayu"), 1.1),
        _times("work/s, c=32: ≥ 3 times ardiq", ours, work("ardiq"), 3),
        _times("plain functions: ≥ 1.0 times cauli's plain functions", plain, cauli_plain, 1.0),
        _times_best(
            "c=100 uvloop: ≥ 1.3 times every peer",
            ours_100,
            medians.best_peer(lambda row: medians.at(row, "work c=100")),
            1.3,
        ),
    ]


def _calls(medians: Medians) -> list[Target]:
    def best(measure: str, number: str = "per_second", *, least: bool = False) -> _Peer:
        return medians.best_peer(_at_whatever(medians, measure, number, least), least=least)

    return [
        _enqueue(medians.at(TYPED, "enqueue single"), best("enqueue single")),
        _times_best(
            "enqueue in batches: ≥ 1.5 times every peer",
            medians.at(TYPED, "enqueue batched"),
            best("enqueue batched"),
            1.5,
        ),
        *(
            _below(
                f"enqueue → result on an idle worker, {name}: below every peer",
                medians.at(TYPED, "latency", f"{name}_ms"),
                best("latency", f"{name}_ms", least=True),
            )
            for name in ("p50", "p99")
        ),
    ]


def _costs(medians: Medians) -> list[Target]:
    def ours(measure: str, number: str) -> float | None:
        return medians.at(TYPED, measure, number)

    return [
        _at_most("worker CPU per task: ≤ 30 µs", ours("work", "worker_us"), 30, "µs"),
        _at_most("Redis CPU per task: ≤ 15 µs", ours("work", "redis_us"), 15, "µs"),
        _at_most("Redis memory per pending task: ≤ 220 B", ours("memory", "bytes"), 220, "B"),
        _at_most("exec → first task runs: ≤ 0.20 s", ours("start", "seconds"), 0.20, "s"),
    ]


def _ours_alone(medians: Medians) -> list[Target]:
    herds = [medians.of(OURS, f"herd, {kind}", "scripts") for kind in ("scheduled", "limited")]
    known = [value for value in herds if value is not None]
    long = [
        _times(
            f"1,000,000 pending: {what}: ≥ 0.95 times on an empty queue",
            medians.of(OURS, "long queue", f"{name}_ratio"),
            1.0,
            0.95,
        )
        for name, what in (
            ("enqueue", "enqueue"),
            ("work", "claim and finish"),
            ("cancel", "cancel"),
        )
    ]
    return [
        _at_least("process jobs, c=32: ≥ 5,000/s", medians.of(OURS, PROCESS_JOBS), 5_000, "/s"),
        _at_most(
            "40 idle workers, scheduled or limited tasks: ≤ 3 script calls per task",
            max(known, default=None),
            3,
            "calls",
        ),
        *long,
        _times(
            "8 blocking callers: ≥ 0.8 times 8 asyncio ones",
            medians.of(OURS, "blocking callers 8"),
            medians.of(OURS, "asyncio callers 8"),
            0.8,
        ),
    ]


_Peer = tuple[str, float] | None


def _at_whatever(
    medians: Medians, measure: str, number: str, least: bool
) -> Callable[[Row], float | None]:
    """A peer's best value, at its best settings or as its README has it."""

    def best(row: Row) -> float | None:
        found = [medians.of(row.library, measure + end, number) for end in ("", TYPED.end)]
        known = [value for value in found if value is not None]
        return (min if least else max)(known, default=None)

    return best


def _times(text: str, value: float | None, other: float | None, bound: float) -> Target:
    if not value or not other:
        return Target(text)
    return Target(text, f"{value / other:.2f} times", value / other >= bound)


def _times_best(text: str, value: float | None, peer: _Peer, bound: float) -> Target:
    if not value or peer is None:
        return Target(text)
    name, other = peer
    return Target(text, f"{value / other:.2f} times ({name})", value / other >= bound)


def _enqueue(value: float | None, peer: _Peer) -> Target:
    text = "enqueue one at a time: ≥ 20,000/s, or ≥ 1.0 times the fastest that stores results"
    if not value or peer is None:
        return Target(text)
    name, other = peer
    shown = f"{value:,.0f}/s, {value / other:.2f} times ({name})"
    return Target(text, shown, value >= 20_000 or value >= other)


def _below(text: str, value: float | None, peer: _Peer) -> Target:
    if not value or peer is None:
        return Target(text)
    name, other = peer
    return Target(text, f"{value:.3g} ms against {other:.3g} ({name})", value < other)


def _at_most(text: str, value: float | None, bound: float, unit: str) -> Target:
    return Target(text) if value is None else Target(text, f"{value:.3g} {unit}", value <= bound)


def _at_least(text: str, value: float | None, bound: float, unit: str) -> Target:
    return Target(text) if value is None else Target(text, f"{value:,.0f}{unit}", value >= bound)
