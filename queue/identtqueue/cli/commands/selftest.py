"""`identtqueue selftest`: send one task through an installation."""

from __future__ import annotations

import click

from identtqueue.cli.session import run


@click.command()
@click.option(
    "--queue",
    default="selftest",
    envvar="IDENTTQUEUE_SELFTEST_QUEUE",
    show_envvar=True,
    help="Queue of the worker.",
)
@click.option("--timeout-seconds", default=60.0, help="How long to wait for the result.")
@click.pass_obj
def selftest(address: str, queue: str, timeout_seconds: float) -> None:
    """Enqueue one task for a worker of `identtqueue.selftest:app` and await its result."""
    from identtqueue.client.client import Client  # noqa: PLC0415 - the other commands don't need it

    async def prove() -> None:
        async with Client(address) as client:
            task_id = await client.enqueue_job(queue, "echo", "hello")
            answer = await client.wait_for_result(task_id, timeout_seconds)
            info = await client.get_task(task_id)
        if answer != "hello" or info is None:
            raise click.ClickException(f"{task_id} returned {answer!r} instead of 'hello'")
        click.echo(f"{task_id} succeeded on {info.owner}")

    run(prove())
