"""`identtqueue stats`: what happened to the tasks of a queue, by job or over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from identtqueue.cli.display.numbers import counted, errors_text, quantile
from identtqueue.cli.display.sparkline import sparkline, squeezed
from identtqueue.cli.display.table import Column, Styled, Table
from identtqueue.cli.display.values import show_json
from identtqueue.cli.options import json_option, seconds, utc_option
from identtqueue.cli.session import clock, nothing, with_admin

if TYPE_CHECKING:
    from identtqueue.admin import Admin, Counts, Series

BARS: Final = 30
"""Width of the bars beside each job."""
LONGEST_BY_MINUTE_SECONDS: Final = 86_400
"""Times that are longer ago are read by the hour."""

_NUMBERS: Final = ("enqueued", "started", "succeeded", "failed", "retried", "recovered")


@click.command()
@click.argument("queue")
@click.option("--job", help="Only this job.")
@click.option(
    "--since",
    "since_seconds",
    type=seconds,
    default="1h",
    metavar="DURATION",
    help="How far to look back, at most 14d. What is more than a day ago is counted by the hour.",
)
@click.option("--points", is_flag=True, help="Show each minute or hour, not each job.")
@json_option("per job, or per minute or hour with --points")
@utc_option
@with_admin
async def stats(
    admin: Admin,
    queue: str,
    job: str | None,
    since_seconds: float,
    points: bool,
    as_json: bool,
    utc: bool,
) -> None:
    """Show what happened to the tasks of a queue: how many, how long they waited and ran."""
    now = await clock(admin, utc=utc)
    step: Literal["minute", "hour"]
    step = "minute" if since_seconds <= LONGEST_BY_MINUTE_SECONDS else "hour"
    since_ms = now.now_ms - round(since_seconds * 1000)
    series = await admin.series(queue, job=job, step=step, since_ms=since_ms)
    if points:
        rows = {point.at_ms: point.total for point in series.points}
        if as_json:
            for at_ms, counts in rows.items():
                show_json({"queue": queue, "at_ms": at_ms, **counted(counts)})
            return
        table = _table(Column("from"))
        for at_ms, counts in rows.items():
            table.add(now.moment(at_ms), *_cells(counts))
        table.show()
        return
    by_job = _by_job(series)
    if as_json:
        for name, counts in by_job.items():
            show_json({"queue": queue, "job": name, "since_ms": since_ms, **counted(counts)})
        return
    _show_jobs(series, by_job)
    if not by_job:
        nothing(f"Nothing has happened in {queue} in that time{f' to {job}' if job else ''}.")


def _by_job(series: Series) -> dict[str, Counts]:
    from identtqueue.admin import Counts  # noqa: PLC0415 - as in `session.with_admin`

    found: dict[str, Counts] = {}
    for point in series.points:
        for name, counts in point.by_job.items():
            found[name] = found.get(name, Counts()) + counts
    return dict(sorted(found.items(), key=lambda entry: (-entry[1].started, entry[0])))


def _show_jobs(series: Series, by_job: Mapping[str, Counts]) -> None:
    table = _table(Column("job"), "started over time")
    for name, counts in by_job.items():
        started = [p.by_job[name].started if name in p.by_job else 0 for p in series.points]
        bars = sparkline(squeezed(started, BARS))
        table.add(Styled(name, "name"), Styled(bars, "info"), *_cells(counts))
    table.show()


def _table(*first: Column | str) -> Table:
    times = [f"{what} {share}" for what in ("wait", "run") for share in ("p50", "p95")]
    return Table(
        *first,
        *(Column(title, right=True) for title in (*_NUMBERS, *times)),
        Column("errors", shrinks=True),
    )


def _cells(counts: Counts) -> list[Any]:
    bad = {"failed": "bad", "recovered": "bad", "retried": "warn"}
    numbers = [
        Styled(str(value), bad[name]) if value and name in bad else value
        for name in _NUMBERS
        for value in [getattr(counts, name)]
    ]
    times = [quantile(h, share) for h in (counts.waited, counts.ran) for share in (0.5, 0.95)]
    return [*numbers, *times, errors_text(counts.errors)]
