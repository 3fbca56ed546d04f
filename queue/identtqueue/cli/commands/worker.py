"""`identtqueue worker`: run a worker of an app until a signal ends it."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import Any

import click
from click.core import ParameterSource

from identtqueue import logs
from identtqueue.beginning import collect_as_usual
from identtqueue.cli.exits import errors_in_one_line
from identtqueue.protocol.ends import KEPT
from identtqueue.worker.counts import DEFAULT_BUCKETS


@click.command()
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
    "--metrics-buckets",
    "metrics_buckets",
    envvar="IDENTTQUEUE_METRICS_BUCKETS",
    show_envvar=True,
    metavar="SECONDS,…",
    callback=lambda _context, _option, value: buckets(value),
    help="Upper bounds of the histograms in /metrics, in seconds and in ascending order, as in "
    "0.1,1,10. Default: 0.005 to 300, in twelve steps.",
)
@click.option(
    "--recent-ends",
    default=KEPT.recent_ends,
    envvar="IDENTTQUEUE_RECENT_ENDS",
    show_envvar=True,
    help="How many of the tasks that have ended last each queue lists. 0: none.",
)
@click.option(
    "--recent-ends-seconds",
    default=KEPT.recent_ends_ms / 1000,
    envvar="IDENTTQUEUE_RECENT_ENDS_SECONDS",
    show_envvar=True,
    help="How long a task that has ended is listed at most.",
)
@click.option(
    "--keep-arguments/--no-keep-arguments",
    default=None,
    envvar="IDENTTQUEUE_KEEP_ARGUMENTS",
    show_envvar=True,
    help="Whether the arguments of a task are kept after its end, as long as its result. Default: "
    "as the app says, which keeps them unless it says otherwise.",
)
@click.option(
    "--log-level",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    default="INFO",
    envvar="IDENTTQUEUE_LOG_LEVEL",
    show_envvar=True,
    help="Level of the root logger, also if the app has set up logging itself. The default applies "
    "only if it has not.",
)
@click.option(
    "--log-format",
    type=click.Choice(logs.FORMATS),
    default="text",
    envvar="IDENTTQUEUE_LOG_FORMAT",
    show_envvar=True,
    help="Format of the log lines. It has no effect if the app has set up logging itself.",
)
def worker(
    target: str,
    queues: tuple[str, ...],
    modules: tuple[str, ...],
    log_level: str,  # noqa: ARG001 - `logging_options` reads both, and whether they were given
    log_format: str,  # noqa: ARG001
    keep_arguments: bool | None,
    **settings: Any,
) -> None:
    """Run a worker until SIGTERM.

    Running tasks then have --grace-seconds to end. Those that do not are cut off and go back to
    their queues. A second signal cuts them off at once.
    """
    # redis-py is loaded from here, where few calls are open, and not from the depth of what `App`
    # imports. There its calls would take another piece of memory for the stack and give it back,
    # 400 to 800 times: 4 % of a start's CPU (ADR 55).
    import redis as _  # noqa: F401, PLC0415

    from identtqueue.cli import launch  # noqa: PLC0415 - the other commands need no worker
    from identtqueue.worker.settings import weighted_queues  # noqa: PLC0415

    context = click.get_current_context()
    root = context.find_root()
    if root.get_parameter_source("redis_address") is ParameterSource.COMMANDLINE:
        settings["redis_address"] = root.obj  # else the app uses its own, or the environment's
    if keep_arguments is not None:
        settings["keep_arguments"] = keep_arguments
    with errors_in_one_line():
        names, weights = weighted_queues(queue_words(queues))
        app = launch.load_app(target, modules)
        launch.set_up_logging(*launch.logging_options(context))
        made = app.worker(names or None, queue_weights=weights, **settings)
        launch.announce(((name, job.job_options.run_in) for name, job in app.jobs.items()), made)
        collect_as_usual(freeze=True)
        made.run()
    # The worker ended in order. A late signal must not make the process look killed.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def buckets(text: str | None) -> tuple[float, ...]:
    """Parse the value of `--metrics-buckets`; `WorkerSettings` checks the numbers.

    Raises:
        BadParameter: a part of it is not a number.
    """
    if text is None:
        return DEFAULT_BUCKETS
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r}: give numbers, as in 0.1,1,10") from None


def queue_words(given: Sequence[str]) -> Sequence[str]:
    """Return the values of `--queue`, or of its environment variable if there are none.

    click splits the environment variable of a multiple option at spaces; this one has commas.
    """
    from_environment = os.environ.get("IDENTTQUEUE_QUEUES", "")
    return given or [word for word in from_environment.split(",") if word.strip()]
