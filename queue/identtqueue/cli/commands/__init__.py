"""The command `identtqueue`. Each module here holds the commands about one thing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import click

from identtqueue import logs
from identtqueue.beginning import undo_exit_on_sigterm
from identtqueue.cli import contributed
from identtqueue.cli.commands import (
    acl,
    audit,
    bridge,
    cancel,
    completion,
    cron,
    dashboard,
    dead,
    doctor,
    enqueue,
    exporter,
    jobs,
    limits,
    purge,
    queues,
    result,
    selftest,
    stats,
    tasks,
    top,
    worker,
    workers,
)
from identtqueue.cli.completing import complete_names


class Commands(click.Group):
    """The commands of this package, and those that other packages contribute."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names of all commands."""
        return sorted({*super().list_commands(ctx), *contributed.names()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Find a command; other packages are asked only if this one has none of that name."""
        return super().get_command(ctx, cmd_name) or contributed.load(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by what they are for. Those of other packages come last."""
        listed = {command for section in SECTIONS.values() for command in section}
        loaded = [self.get_command(ctx, name) for name in self.list_commands(ctx)]
        others = [command for command in loaded if command is not None and command not in listed]
        for title, commands in {**SECTIONS, "From other packages": others}.items():
            rows = [(str(each.name), each.get_short_help_str(limit=76)) for each in commands]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


# No auto_envvar_prefix: only the variables named here and in docs/library/environment.md mean
# something.
@click.group(cls=Commands, context_settings={"show_default": True})
@click.version_option(package_name="identtqueue")
@click.option(
    "--redis-address",
    default="redis://localhost:6379",
    help="redis://host:port/db, redis+sentinel://host:port,…/master-name/db, "
    "redis+cluster://host:port,…, or embedded for a server that is started when it is needed. "
    "Credentials: IDENTTQUEUE_REDIS_USERNAME and …_PASSWORD "
    "(or …_PASSWORD_FILE).",
    envvar="IDENTTQUEUE_REDIS_ADDRESS",
    show_envvar=True,
)
@click.option(
    "--log-format",
    type=click.Choice(logs.FORMATS),
    default="text",
    envvar="IDENTTQUEUE_LOG_FORMAT",
    show_envvar=True,
    help="Format of warnings on stderr, and of the log of `worker`.",
)
@click.pass_context
def main(context: click.Context, redis_address: str, log_format: logs.LogFormat) -> None:
    """A task queue on Redis lists for Python services on Kubernetes."""
    context.obj = redis_address
    if context.invoked_subcommand != worker.worker.name:
        undo_exit_on_sigterm()
        if log_format != "text":  # else Python prints a warning without time and level
            logs.set_up("WARNING", log_format)


SECTIONS: Final[Mapping[str, tuple[click.Command, ...]]] = {
    "Look": (
        top.top,
        queues.queues,
        jobs.jobs,
        tasks.tasks,
        tasks.task,
        result.result,
        workers.workers,
        limits.limits,
        cron.cron,
        dead.dead,
        stats.stats,
        audit.audit,
    ),
    "Act": (
        enqueue.enqueue,
        cancel.cancel,
        cancel.reschedule,
        queues.pause,
        queues.resume,
        workers.drain,
        workers.undrain,
        purge.purge,
    ),
    "Run": (worker.worker, dashboard.dashboard, exporter.exporter, bridge.bridge),
    "Set up": (
        doctor.doctor,
        selftest.selftest,
        acl.acl,
        dashboard.dashboard_user,
        completion.completion,
    ),
}
"""All commands of this package, in the order in which `identtqueue --help` shows them."""

for command in (command for section in SECTIONS.values() for command in section):
    main.add_command(command)
complete_names(main)
