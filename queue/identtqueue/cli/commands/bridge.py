"""`identtqueue bridge`: connect services that run identtqueue 0.2 with those that run this one."""

from __future__ import annotations

import logging
from typing import Any

import click

from identtqueue import logs
from identtqueue.cli.exits import errors_in_one_line


@click.command()
@click.argument("queues", nargs=-1, required=True, metavar="[OLD=]QUEUE...")
@click.option(
    "--to-old",
    is_flag=True,
    help="Have workers of 0.2 run the tasks of today's clients. Without it, today's workers run "
    "what clients of 0.2 enqueue.",
)
@click.option(
    "--ttl-seconds",
    default=86_400.0,
    help="How long clients of 0.2 can read results and statuses.",
)
@click.option(
    "--concurrency",
    default=100,
    help="With --to-old: how many tasks are with workers of 0.2 at the same time.",
)
@click.option(
    "--max-retries",
    default=0,
    help="With --to-old: how often a task that fails runs again, unless the task says itself.",
)
@click.option(
    "--answer-seconds",
    default=120.0,
    help="With --to-old: how long a worker of 0.2 may take for a task that it has begun. Then the "
    "task is sent to another one. Set it longer than job_execution_timeout there.",
)
@click.option(
    "--max-deliveries",
    default=5,
    help="With --to-old: how often a task is sent, if workers of 0.2 lose it.",
)
@click.pass_obj
def bridge(address: str, /, queues: tuple[str, ...], **settings: Any) -> None:
    """Move tasks between services with identtqueue 0.2 and those with this release.

    Name the queues; OLD=QUEUE if a queue had another name in 0.2. Any number of bridges may run,
    and each may be killed at any time: no task is lost.
    """
    from identtqueue.v02.bridge import Bridge  # noqa: PLC0415 - the other commands don't need it

    logs.set_up(logging.INFO)
    with errors_in_one_line():
        Bridge(queues, address, **settings).run()
