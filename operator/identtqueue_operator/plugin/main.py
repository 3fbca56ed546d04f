"""The entry point of `kubectl-tq`, which kubectl runs for `kubectl tq`."""

import click

from identtqueue_operator.plugin.commands import acts, history, overview, pauses, tasks, workers


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="identtqueue", prog_name="kubectl tq")
def group() -> None:
    """Look at TaskQueues and their tasks, and act on them.

    status, explain, events and logs ask the API server only. The other commands reach Redis through
    the operator, as far as your Kubernetes rights allow it.
    """


for _command in (
    overview.status,
    overview.explain,
    workers.workers,
    tasks.tasks,
    tasks.task,
    pauses.pause,
    pauses.resume,
    workers.drain,
    workers.undrain,
    *acts.COMMANDS,
    history.events,
    history.logs,
):
    group.add_command(_command)


def main() -> None:
    """Run the command line."""
    group(prog_name="kubectl tq")
