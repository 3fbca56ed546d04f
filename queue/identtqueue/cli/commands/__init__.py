"""The command `identtqueue`. Each module here holds the commands about one thing.

A module is imported when one of its commands is called, or when all commands are listed. So a
worker starts without the modules of the other commands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Final

import click

from identtqueue import logs
from identtqueue.beginning import collect_as_usual, undo_exit_on_sigterm
from identtqueue.cli.completing import complete_names

SECTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "Look": (
        "top.top",
        "queues.queues",
        "jobs.jobs",
        "tasks.tasks",
        "tasks.task",
        "result.result",
        "workers.workers",
        "limits.limits",
        "cron.cron",
        "dead.dead",
        "stats.stats",
        "audit.audit",
    ),
    "Act": (
        "enqueue.enqueue",
        "cancel.cancel",
        "cancel.reschedule",
        "queues.pause",
        "queues.resume",
        "workers.drain",
        "workers.undrain",
        "purge.purge",
    ),
    "Run": ("worker.worker", "dashboard.dashboard", "exporter.exporter", "bridge.bridge"),
    "Set up": (
        "doctor.doctor",
        "selftest.selftest",
        "acl.acl",
        "dashboard.dashboard_user",
        "completion.completion",
    ),
}
"""MODULE.FUNCTION of all commands here, in the order in which `identtqueue --help` shows them."""

WORKER: Final = "worker"


def name_of(place: str) -> str:
    """Return the name of the command at a MODULE.FUNCTION."""
    return place.rpartition(".")[2].replace("_", "-")


class Loading(MutableMapping[str, click.Command]):
    """Commands by name. Each is imported when it is first asked for.

    Args:
        places: MODULE.FUNCTION of each.
    """

    def __init__(self, places: Iterator[str]) -> None:
        self._places = {name_of(place): place for place in places}
        self._loaded: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._loaded:
            module, _, function = self._places[name].rpartition(".")
            command: click.Command = getattr(import_module(f"{__name__}.{module}"), function)
            complete_names(command)
            self._loaded[name] = command
        return self._loaded[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._places[name], self._loaded[name] = name, command

    def __delitem__(self, name: str) -> None:
        del self._places[name]
        self._loaded.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


class Commands(click.Group):
    """The commands of this package, and those that other packages contribute."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names of all commands."""
        from identtqueue.cli import contributed  # noqa: PLC0415 - a worker needs none of them

        return sorted({*super().list_commands(ctx), *contributed.names()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Find a command; other packages are asked only if this one has none of that name."""
        if (own := super().get_command(ctx, cmd_name)) is not None:
            return own
        from identtqueue.cli import contributed  # noqa: PLC0415 - as above

        return contributed.load(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by what they are for. Those of other packages come last."""
        sections = {title: [*map(name_of, places)] for title, places in SECTIONS.items()}
        listed = {name for names in sections.values() for name in names}
        others = [name for name in self.list_commands(ctx) if name not in listed]
        for title, names in {**sections, "From other packages": others}.items():
            commands = ((name, self.get_command(ctx, name)) for name in names)
            rows = [(name, each.get_short_help_str(limit=76)) for name, each in commands if each]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


# No auto_envvar_prefix: only the variables named here and in docs/library/environment.md mean
# something.
@click.group(
    cls=Commands,
    commands=Loading(place for places in SECTIONS.values() for place in places),
    context_settings={"show_default": True},
)
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
    if context.invoked_subcommand != WORKER:
        undo_exit_on_sigterm()
        collect_as_usual()
        if log_format != "text":  # else Python prints a warning without time and level
            logs.set_up("WARNING", log_format)
