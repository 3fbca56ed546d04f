"""Commands about workers: which there are, and drain and undrain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from identtqueue.cli.display.table import Column, Styled, Table
from identtqueue.cli.display.times import duration
from identtqueue.cli.display.values import show_json
from identtqueue.cli.exits import CommandFailed, Exit
from identtqueue.cli.options import json_option, utc_option
from identtqueue.cli.session import clock, nothing, queue_names, with_admin

if TYPE_CHECKING:
    from identtqueue.admin import Admin, WorkerInfo


@dataclass(slots=True)
class _Registered:
    """A worker incarnation, with what it has in each of its queues."""

    newest: WorkerInfo
    queues: dict[str, WorkerInfo] = field(default_factory=dict)

    @property
    def running(self) -> int:
        return sum(entry.in_flight for entry in self.queues.values())

    @property
    def state(self) -> Styled:
        if self.newest.flaw:
            return Styled("unreadable", "bad")
        if not self.newest.connected:
            return Styled("not connected", "bad")
        draining = [entry.draining for entry in self.queues.values()]
        if all(draining):
            return Styled("draining", "warn")
        return Styled("draining in part", "warn") if any(draining) else Styled("fetching", "good")


async def _found(admin: Admin, queues: Sequence[str]) -> list[_Registered]:
    """List the workers of queues, each once."""
    found: dict[str, _Registered] = {}
    for queue in queues:
        for info in await admin.workers(queue):
            found.setdefault(info.worker_id, _Registered(info)).queues[queue] = info
    return list(found.values())


@click.command()
@click.argument("names", nargs=-1, metavar="[QUEUES]...")
@json_option("per worker")
@utc_option
@with_admin
async def workers(admin: Admin, names: tuple[str, ...], as_json: bool, utc: bool) -> None:
    """Show the workers of the queues that are named, or of all queues."""
    found = await _found(admin, await queue_names(admin, names))
    if as_json:
        for each in found:
            show_json(_row(each))
        return
    now = await clock(admin, utc=utc)
    table = Table(
        "worker", "pod or host", "queues", Column("running", right=True), "state", "lease", "since"
    )
    for each in found:
        info = each.newest
        table.add(
            Styled(info.worker_id, "name"),
            info.pod_name or info.host,
            ", ".join(each.queues),
            f"{each.running}/{info.concurrency}",
            each.state,
            _lease(min(entry.lease_expires_in_ms for entry in each.queues.values())),
            now.moment(info.registered_at_ms or None),
        )
    table.show()
    if not found:
        nothing(f"No worker is registered on {', '.join(names) or 'any queue'}.")


def _lease(ms: int) -> str | Styled:
    return duration(ms) if ms > 0 else Styled(f"expired {duration(-ms)} ago", "bad")


def _row(each: _Registered) -> dict[str, object]:
    info = each.newest
    return {
        "worker": info.worker_id,
        "pod": info.pod_name,
        "pod_uid": info.pod_uid,
        "container": info.container,
        "host": info.host,
        "running": each.running,
        "concurrency": info.concurrency,
        "connected": info.connected,
        "registered_at_ms": info.registered_at_ms,
        "flaw": info.flaw,
        "queues": {
            queue: {
                "running": entry.in_flight,
                "draining": entry.draining,
                "lease_expires_in_ms": entry.lease_expires_in_ms,
            }
            for queue, entry in each.queues.items()
        },
    }


_names = click.argument("names", nargs=-1, required=True, metavar="{WORKER|POD|HOST}...")
_queues = click.option(
    "--queue", "queues", multiple=True, help="Only in this queue. Repeatable. Default: all queues."
)


@click.command()
@_names
@_queues
@with_admin
async def drain(admin: Admin, names: tuple[str, ...], queues: tuple[str, ...]) -> None:
    """Ask workers to take no more tasks. What they run goes on.

    In a cluster, the operator drains the pods that it ends, and may call others back.
    """
    await _change(admin, names, queues, stop=True)


@click.command()
@_names
@_queues
@with_admin
async def undrain(admin: Admin, names: tuple[str, ...], queues: tuple[str, ...]) -> None:
    """Call draining workers back."""
    await _change(admin, names, queues, stop=False)


async def _change(admin: Admin, names: Sequence[str], queues: Sequence[str], *, stop: bool) -> None:
    known: set[str] = set()
    for queue in await queue_names(admin, queues):
        chosen = {}
        for info in await admin.workers(queue):
            called = {info.worker_id, info.pod_name, info.pod_uid, info.host} & set(names)
            known |= {name for name in called if name}
            if called:
                chosen[info.worker_id] = info
        if not chosen:
            continue
        change = admin.drain if stop else admin.undrain
        changed = set(await change(queue, list(chosen)))
        for worker_id in chosen:
            click.echo(f"{worker_id}  {_said(stop, worker_id in changed)} in {queue}")
    if missing := [name for name in names if name not in known]:
        text = f"No worker, pod or host {', '.join(missing)}: `identtqueue workers` lists them."
        raise CommandFailed(text, Exit.FAILED if known else Exit.NOTHING)


def _said(stop: bool, changed: bool) -> str:
    if stop:
        return "drains" if changed else "drained already"
    return "fetches again" if changed else "was not draining"
