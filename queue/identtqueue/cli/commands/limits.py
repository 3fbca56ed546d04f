"""`identtqueue limits`: what bounds the jobs of a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from identtqueue.cli.display.table import Column, Styled, Table
from identtqueue.cli.display.times import duration
from identtqueue.cli.display.values import show_json
from identtqueue.cli.options import json_option
from identtqueue.cli.session import nothing, with_admin

if TYPE_CHECKING:
    from identtqueue.admin import Admin, LimitsInUse


@click.command()
@click.argument("queue")
@json_option("per job")
@with_admin
async def limits(admin: Admin, queue: str, as_json: bool) -> None:
    """Show what holds jobs of a queue back: limits and how far they are used, and pauses."""
    jobs = await admin.limits(queue)
    if as_json:
        for job in jobs:
            show_json(_row(queue, job))
        return
    table = Table(
        "job",
        Column("running", right=True),
        "rate",
        Column("held", right=True),
        "next start",
    )
    for job in jobs:
        most = job.limits.max_running
        table.add(
            Styled(job.job, "name"),
            str(job.running) if most is None else f"{job.running}/{most}",
            _rate(job),
            Styled(f"{job.held:,}", "warn") if job.held else 0,
            _next_start(job),
        )
    table.show()
    if not jobs:
        nothing(f"No job of {queue} has a limit, and none is paused.")


def _rate(job: LimitsInUse) -> str | None:
    rate = job.limits.rate_limit
    if rate is None:
        return None
    return f"{rate.count} per {rate.per_seconds:g} s, burst {rate.burst_size}"


def _next_start(job: LimitsInUse) -> str | Styled:
    if job.paused:
        return Styled("when it is resumed", "warn")
    if job.next_start_in_ms is None:
        return "when one ends"
    return f"in {duration(job.next_start_in_ms)}" if job.next_start_in_ms else "now"


def _row(queue: str, job: LimitsInUse) -> dict[str, object]:
    rate = job.limits.rate_limit
    return {
        "queue": queue,
        "job": job.job,
        "running": job.running,
        "max_running": job.limits.max_running,
        "rate_count": rate and rate.count,
        "rate_per_seconds": rate and rate.per_seconds,
        "rate_burst": rate and rate.burst_size,
        "held": job.held,
        "paused": job.paused,
        "next_start_in_ms": job.next_start_in_ms,
    }
