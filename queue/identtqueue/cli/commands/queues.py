"""Commands about whole queues: how full they are, who works on them, pause and resume."""

from __future__ import annotations

import click

from identtqueue.admin import Admin
from identtqueue.cli.display import show_row
from identtqueue.cli.session import with_admin


@click.command()
@click.argument("queues", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per queue.")
@with_admin
async def depth(admin: Admin, queues: tuple[str, ...], as_json: bool) -> None:
    """Show how many tasks the queues have, by state."""
    for queue, d in (await admin.depths(queues)).items():
        row = {
            "queue": queue,
            "queued": d.queued,
            "held": d.held,
            "in_flight": d.in_flight,
            "scheduled": d.scheduled,
            "dead": d.dead,
            "workers": d.workers,
            "oldest_wait_ms": d.oldest_wait_ms,
            "paused": d.paused,
        }
        show_row(row, as_json=as_json)


@click.command()
@click.argument("queue")
@with_admin
async def workers(admin: Admin, queue: str) -> None:
    """Show the workers of a queue."""
    for w in await admin.workers(queue):
        state = "draining" if w.draining else "fetching"
        lease = w.lease_expires_in_ms / 1000
        click.echo(
            f"{w.worker_id}  {w.pod_name or w.host}  {state}  "
            f"in flight {w.in_flight}/{w.concurrency}  lease {lease:.1f} s"
            f"{'' if w.connected else '  not connected'}"
        )


@click.command()
@click.argument("queue")
@with_admin
async def pause(admin: Admin, queue: str) -> None:
    """Stop all claims from a queue; running tasks go on."""
    click.echo("paused" if await admin.pause(queue) else "was paused already")


@click.command()
@click.argument("queue")
@with_admin
async def resume(admin: Admin, queue: str) -> None:
    """Allow claims from a queue again."""
    click.echo("resumed" if await admin.resume(queue) else "was not paused")
