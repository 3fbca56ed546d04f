"""The command `identtqueue`: run workers, inspect queues, replay dead letters, print ACL rules."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Coroutine
from typing import Any

import click
from click.core import ParameterSource

from identtqueue.admin import Admin, LimitsInUse
from identtqueue.cli import display, launch
from identtqueue.errors import IdenttqueueError, PayloadUndecodable
from identtqueue.protocol.roles import Role, rules
from identtqueue.task import TaskInfo, queue_of
from identtqueue.worker.settings import weighted_queues


# No auto_envvar_prefix: only the variables that are named here and in docs/library.md have meaning.
@click.group(context_settings={"show_default": True})
@click.version_option(package_name="identtqueue")
@click.option(
    "--redis-address",
    default="redis://localhost:6379",
    help="redis://host:port/db, redis+sentinel://host:port,…/master-name/db or "
    "redis+cluster://host:port,…. Credentials: IDENTTQUEUE_REDIS_USERNAME and …_PASSWORD "
    "(or …_PASSWORD_FILE).",
    envvar="IDENTTQUEUE_REDIS_ADDRESS",
    show_envvar=True,
)
@click.pass_context
def main(context: click.Context, redis_address: str) -> None:
    """A task queue on Redis lists for Python services on Kubernetes."""
    context.obj = redis_address


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine; an error of this library becomes one line instead of a traceback."""
    try:
        asyncio.run(work)
    except IdenttqueueError as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.argument("target", metavar="MODULE:APP")
@click.option(
    "--queue",
    "queues",
    multiple=True,
    metavar="NAME[:WEIGHT]",
    help="Queue to work on. Repeatable. Default: all queues that the app's jobs name. While "
    "several queues have tasks, a queue of weight 3 gets three tasks started for each one of a "
    "queue without a weight.",
)
@click.option(
    "--queue-order",
    type=click.Choice(["fair", "strict"]),
    default="fair",
    envvar="IDENTTQUEUE_QUEUE_ORDER",
    show_envvar=True,
    help="fair: serve the queues in turn, by weight. strict: serve a queue only while no queue "
    "that is named before it has tasks.",
)
@click.option(
    "--import",
    "modules",
    multiple=True,
    metavar="MODULE",
    help="Import this module after the app's module. For modules that declare jobs and that the "
    "app's module does not import. Repeatable.",
)
@click.option(
    "--concurrency",
    default=10,
    envvar="IDENTTQUEUE_CONCURRENCY",
    show_envvar=True,
    help="How many tasks run at the same time.",
)
@click.option(
    "--timeout-seconds",
    type=float,
    help="How long one attempt may run, if neither its task nor its job says. Default: no limit.",
)
@click.option(
    "--max-deliveries",
    default=5,
    envvar="IDENTTQUEUE_MAX_DELIVERIES",
    show_envvar=True,
    help="How many workers a task may lose before it becomes a dead letter.",
)
@click.option(
    "--unrunnable-seconds",
    default=600.0,
    envvar="IDENTTQUEUE_UNRUNNABLE_SECONDS",
    show_envvar=True,
    help="How long a task waits for a worker that knows its job and takes its arguments. Then it "
    "becomes a dead letter.",
)
@click.option(
    "--lease-seconds",
    default=15.0,
    envvar="IDENTTQUEUE_LEASE_SECONDS",
    show_envvar=True,
    help="How long a worker that has fallen silent keeps its tasks.",
)
@click.option(
    "--grace-seconds",
    default=25.0,
    envvar="IDENTTQUEUE_GRACE_SECONDS",
    show_envvar=True,
    help="How long running tasks may go on after SIGTERM.",
)
@click.option(
    "--max-loop-block-seconds",
    default=30.0,
    envvar="IDENTTQUEUE_MAX_LOOP_BLOCK_SECONDS",
    show_envvar=True,
    help="How long a job may block the event loop. After that its stack is logged and /livez "
    "fails. After twice that time the other attempts go back to their queues and the lease is no "
    "longer renewed.",
)
@click.option(
    "--max-tasks-per-process",
    type=int,
    envvar="IDENTTQUEUE_MAX_TASKS_PER_PROCESS",
    show_envvar=True,
    help="For jobs with run_in='process': after how many attempts a process is replaced. Default: "
    "never.",
)
@click.option(
    "--max-abandoned-threads",
    type=int,
    envvar="IDENTTQUEUE_MAX_ABANDONED_THREADS",
    show_envvar=True,
    help="How many threads may be left behind by jobs that were cut off, before the worker takes "
    "no more tasks. Default: as many as --concurrency, at least 10.",
)
@click.option(
    "--http-port",
    type=int,
    envvar="IDENTTQUEUE_HTTP_PORT",
    show_envvar=True,
    help="Serve /livez, /readyz and /metrics on this port. Default: do not serve them.",
)
@click.option(
    "--log-level",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    default="INFO",
    envvar="IDENTTQUEUE_LOG_LEVEL",
    show_envvar=True,
)
def worker(
    target: str, queues: tuple[str, ...], modules: tuple[str, ...], log_level: str, **settings: Any
) -> None:
    """Run a worker until SIGTERM.

    Running tasks then have --grace-seconds to end. Those that do not are cut off and go back to
    their queues. A second signal cuts them off at once.
    """
    context = click.get_current_context()
    root = context.find_root()
    if root.get_parameter_source("redis_address") is ParameterSource.COMMANDLINE:
        settings["redis_address"] = root.obj  # else the app uses its own, or the environment's
    # click splits the environment variable of a multiple option at spaces; this one has commas.
    from_environment = os.environ.get("IDENTTQUEUE_QUEUES", "")
    words = queues or [word for word in from_environment.split(",") if word.strip()]
    level_given = context.get_parameter_source("log_level") is not ParameterSource.DEFAULT
    try:
        names, weights = weighted_queues(words)
        app = launch.load_app(target, modules)
        launch.set_up_logging(log_level.upper() if level_given else None)
        made = app.worker(names or None, queue_weights=weights, **settings)
        launch.announce(app, made)
        made.run()
    except IdenttqueueError as error:
        raise click.ClickException(str(error)) from error
    # The worker ended in order. A late signal must not make the process look killed.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


@main.command()
@click.argument("queues", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per queue.")
@click.pass_obj
def depth(address: str, queues: tuple[str, ...], as_json: bool) -> None:
    """Show how many tasks the queues have, by state."""

    async def show() -> None:
        async with Admin(address) as admin:
            found = await admin.depths(queues)
        for queue, d in found.items():
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
            _print(row, as_json=as_json)

    _run(show())


def _print(row: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(row))
    else:
        click.echo("  ".join(f"{name} {'-' if v is None else v}" for name, v in row.items()))


@main.command()
@click.argument("queue")
@click.pass_obj
def workers(address: str, queue: str) -> None:
    """Show the workers of a queue."""

    async def show() -> None:
        async with Admin(address) as admin:
            for w in await admin.workers(queue):
                state = "draining" if w.draining else "fetching"
                lease = w.lease_expires_in_ms / 1000
                click.echo(
                    f"{w.worker_id}  {w.pod_name or w.host}  {state}  "
                    f"in flight {w.in_flight}/{w.concurrency}  lease {lease:.1f} s"
                    f"{'' if w.connected else '  not connected'}"
                )

    _run(show())


@main.command()
@click.argument("queue")
@click.pass_obj
def limits(address: str, queue: str) -> None:
    """Show the limits of a queue's jobs and how far they are used."""

    async def show() -> None:
        async with Admin(address) as admin:
            for job in await admin.limits(queue):
                click.echo(_limits_row(job))

    _run(show())


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


@main.command()
@click.argument("task_id")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
@click.pass_obj
def task(address: str, task_id: str, as_json: bool) -> None:
    """Show one task: its job and arguments, its times and why it failed."""

    async def show() -> None:
        async with Admin(address) as admin:
            await _show_task(admin, await admin.task(task_id), as_json=as_json)

    _run(show())


async def _show_task(admin: Admin, info: TaskInfo, *, as_json: bool) -> None:
    called: display.Called
    try:
        called = await admin.arguments(info.task_id)
    except PayloadUndecodable as error:
        called = error
    if as_json:
        click.echo(display.task_json(info, called))
    else:
        click.echo("\n".join(display.task_lines(info, called)))


@main.command()
@click.argument("queue")
@click.pass_obj
def pause(address: str, queue: str) -> None:
    """Stop all claims from a queue; running tasks go on."""
    _run(_with_admin(address, lambda admin: admin.pause(queue), "paused", "was paused already"))


@main.command()
@click.argument("queue")
@click.pass_obj
def resume(address: str, queue: str) -> None:
    """Allow claims from a queue again."""
    _run(_with_admin(address, lambda admin: admin.resume(queue), "resumed", "was not paused"))


async def _with_admin(address: str, call: Any, yes: str, no: str) -> None:
    async with Admin(address) as admin:
        click.echo(yes if await call(admin) else no)


@main.group()
def dead() -> None:
    """List, replay or discard dead letters."""


@dead.command("list")
@click.argument("queue")
@click.option("--offset", type=click.IntRange(min=0), default=0)
@click.option("--limit", type=click.IntRange(min=1), default=100)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per dead letter.")
@click.pass_obj
def dead_list(address: str, queue: str, offset: int, limit: int, as_json: bool) -> None:
    """Show dead letters, the newest first, in the form of `identtqueue task`."""

    async def show() -> None:
        async with Admin(address) as admin:
            async for info in admin.dead_letters(queue, offset=offset, limit=limit):
                await _show_task(admin, info, as_json=as_json)

    _run(show())


@dead.command("replay")
@click.argument("task_ids", nargs=-1, required=True)
@click.pass_obj
def dead_replay(address: str, task_ids: tuple[str, ...]) -> None:
    """Put dead letters back into their queues to run again."""
    _run(_change_dead(address, task_ids, "replay"))


@dead.command("discard")
@click.argument("task_ids", nargs=-1, required=True)
@click.pass_obj
def dead_discard(address: str, task_ids: tuple[str, ...]) -> None:
    """Delete dead letters."""
    _run(_change_dead(address, task_ids, "discard"))


async def _change_dead(address: str, task_ids: tuple[str, ...], verb: str) -> None:
    for task_id in task_ids:
        queue_of(task_id)
    async with Admin(address) as admin:
        changed = set(await getattr(admin, verb)(task_ids))
    refusal = "is not a dead letter"
    if verb == "replay":
        refusal += ", or another task has its unique key"
    for task_id in task_ids:
        click.echo(f"{task_id}  {verb + 'ed' if task_id in changed else refusal}")


@main.command()
@click.argument("role", type=click.Choice([role.value for role in Role]))
@click.option("--queue", "queues", multiple=True, help="Repeatable. Default: all queues.")
def acl(role: str, queues: tuple[str, ...]) -> None:
    """Print the Redis ACL rules that a role needs, for `ACL SETUSER name on >password …`."""
    try:
        click.echo(" ".join(rules(Role(role), queues)))
    except IdenttqueueError as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.option("--queue", default="selftest", envvar="IDENTTQUEUE_SELFTEST_QUEUE")
@click.option("--timeout-seconds", default=60.0)
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

    _run(prove())
