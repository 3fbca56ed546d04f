"""`identtqueue jobs`: which jobs a queue has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from identtqueue.cli.display.table import Column, Styled, Table
from identtqueue.cli.display.values import show_json
from identtqueue.cli.options import json_option, utc_option
from identtqueue.cli.session import clock, nothing, with_admin

if TYPE_CHECKING:
    from identtqueue.admin import Admin, JobInfo


@click.command()
@click.argument("queue")
@json_option("per job")
@utc_option
@with_admin
async def jobs(admin: Admin, queue: str, as_json: bool, utc: bool) -> None:
    """Show the jobs of a queue: those that workers have declared, and those that were enqueued."""
    found = await admin.jobs(queue)
    if as_json:
        for job in found:
            show_json(_row(queue, job))
        return
    now = await clock(admin, utc=utc)
    parameters = Column("parameters", shrinks=True)
    table = Table("job", "state", "enqueued", "declared", parameters, "module")
    for job in found:
        table.add(
            Styled(job.name, "name"),
            _state(job),
            now.moment(job.last_enqueued_at_ms),
            now.moment(job.declared_at_ms),
            _parameters(job),
            job.module,
        )
    table.show()
    if not found:
        nothing(f"No worker has declared a job on {queue}, and no task was enqueued there.")


def _parameters(job: JobInfo) -> str:
    hidden = set(job.hidden)
    return ", ".join(
        f"{name} (hidden)" if name.lower() in hidden else name for name in job.parameters
    )


def _state(job: JobInfo) -> Styled:
    if job.paused:
        return Styled("paused", "warn")
    return Styled("open", "good") if job.declared_at_ms else Styled("no worker has it", "bad")


def _row(queue: str, job: JobInfo) -> dict[str, object]:
    return {
        "queue": queue,
        "job": job.name,
        "paused": job.paused,
        "last_enqueued_at_ms": job.last_enqueued_at_ms,
        "declared_at_ms": job.declared_at_ms,
        "parameters": job.parameters,
        "hidden": job.hidden,
        "module": job.module,
    }
