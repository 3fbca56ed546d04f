"""`identtqueue limits`: what bounds the jobs of a queue."""

from __future__ import annotations

import click

from identtqueue.admin import Admin, LimitsInUse
from identtqueue.cli.session import with_admin


@click.command()
@click.argument("queue")
@with_admin
async def limits(admin: Admin, queue: str) -> None:
    """Show the limits of a queue's jobs and how far they are used."""
    for job in await admin.limits(queue):
        click.echo(_limits_row(job))


def _limits_row(job: LimitsInUse) -> str:
    words = [job.job]
    if job.limits.max_running is not None:
        words.append(f"running {job.running}/{job.limits.max_running}")
    if (rate := job.limits.rate_limit) is not None:
        words.append(f"rate {rate.count} per {rate.per_seconds:g} s, burst {rate.burst_size}")
    words.append(f"held {job.held}")
    if job.next_start_in_ms is None:
        words.append("next start when a running one ends")
    else:
        words.append(f"next start in {job.next_start_in_ms / 1000:.3f} s")
    return "  ".join(words)
