"""`identtqueue top`: watch queues and workers."""

from __future__ import annotations

import signal
import sys

import click

from identtqueue.cli.session import run
from identtqueue.cli.top.view import SORTS, TopView


@click.command()
@click.argument("queues", nargs=-1, metavar="[QUEUES]...")
@click.option(
    "--interval-seconds",
    type=click.FloatRange(0.5, 60),
    default=2.0,
    help="Time between two refreshes.",
)
@click.option(
    "--sort", type=click.Choice(list(SORTS)), default="pending", help="Which queues come first."
)
@click.option("--filter", "part", default="", help="Only queues whose names contain this.")
@click.option("--once", is_flag=True, help="Print one snapshot, as without a terminal.")
@click.pass_obj
def top(
    address: str,
    queues: tuple[str, ...],
    interval_seconds: float,
    sort: str,
    part: str,
    once: bool,
) -> None:
    """Watch queues, and what their workers run. Press ? for the keys.

    Without a terminal, one snapshot is printed.
    """
    view = TopView(sort=sort, filter=part, interval_seconds=interval_seconds)
    live = not once and sys.stdin.isatty() and sys.stdout.isatty()
    run(_watch(address, queues, view, live=live))


async def _watch(address: str, queues: tuple[str, ...], view: TopView, *, live: bool) -> None:
    # Redis is loaded only by commands that ask it.
    from identtqueue.admin import Admin, RedisSettings  # noqa: PLC0415
    from identtqueue.cli.top.plain import show_once  # noqa: PLC0415
    from identtqueue.cli.top.reading import TopReader  # noqa: PLC0415
    from identtqueue.task import check_queue_name  # noqa: PLC0415
    from identtqueue.transport.connect import async_redis  # noqa: PLC0415

    for queue in queues:
        check_queue_name(queue)
    settings = RedisSettings.of(address)
    redis = async_redis(settings, client_name="identtqueue-top", retry_for_seconds=0)
    try:
        async with Admin(settings) as admin:
            reader = TopReader(admin, redis, queues)
            if not live:
                show_once(await reader.read(), view)
                return
            from identtqueue.cli.top.loop import LiveScreen  # noqa: PLC0415 - needs a Unix terminal

            await redis.connect()  # a wrong address fails here, and not on the screen
            number = await LiveScreen(admin, reader, view, settings.safe_address).show()
    finally:
        await redis.close()
    if number and number != signal.SIGINT:  # Ctrl-C is a usual way to leave
        raise click.exceptions.Exit(128 + number)
