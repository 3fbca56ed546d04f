"""The command `identtqueue local`, which the library's command line finds by an entry point."""

import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click

from identtqueue import logs

EXTRA = "local"
P = ParamSpec("P")
R = TypeVar("R")

FORMS = click.Choice(["wide", "yaml", "json"])


def _needs_extra(command: Callable[P, R]) -> Callable[P, R]:
    """Say which extra to install if a package is missing."""

    @wraps(command)
    def body(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except ModuleNotFoundError as error:
            text = f"needs the package {error.name}: pip install 'identtqueue[{EXTRA}]'"
            raise click.ClickException(f"identtqueue local {text}") from None

    return body


def _state_option(command: Callable[P, R]) -> Callable[P, R]:
    return click.option(
        "--state",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="IDENTTQUEUE_LOCAL_STATE",
        show_envvar=True,
        help="State folder of the instance. Default: one for each working directory, below "
        "~/.local/state/identtqueue/local.",
    )(command)


def _folder(state: Path | None) -> Path:
    from identtqueue_operator.local.state import default_folder  # noqa: PLC0415

    return default_folder() if state is None else state


@click.group(invoke_without_command=True)
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with TaskQueues, and the Deployments and Secrets that they name. Repeatable.",
)
@_state_option
@click.option(
    "--log-format",
    type=click.Choice(logs.FORMATS),
    default="text",
    envvar="IDENTTQUEUE_LOG_FORMAT",
    show_envvar=True,
    help="Format of the lines about what happens, and of those of the workers.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    default="info",
    envvar="IDENTTQUEUE_LOG_LEVEL",
    show_envvar=True,
    help="Lowest level of these lines.",
)
@click.pass_context
@_needs_extra
def local(
    context: click.Context,
    files: tuple[Path, ...],
    state: Path | None,
    log_format: logs.LogFormat,
    log_level: str,
) -> None:
    """Run TaskQueues on this machine, with processes in place of pods.

    The operator itself, without Kubernetes: it starts, scales, drains and replaces the workers that
    the file describes, until SIGTERM or Ctrl-C. Then running tasks may finish; a second signal
    cuts them off. SIGHUP reads the files again.
    """
    context.obj = state
    if context.invoked_subcommand is not None:
        if files:
            raise click.UsageError(f"write -f after {context.invoked_subcommand}")
        return
    if not files:
        raise click.UsageError("name a file: identtqueue local -f taskqueue.yaml")
    from identtqueue_operator.local.start import start  # noqa: PLC0415 - it takes its time

    context.exit(start(files, _folder(state), log_level.lower(), log_format))


@local.command()
@click.argument("what", nargs=-1, metavar="[KIND] [NAME]")
@click.option("-o", "--output", type=FORMS, help="More columns, or the whole objects.")
@_state_option
@click.pass_context
@_needs_extra
def get(
    context: click.Context, what: tuple[str, ...], output: str | None, state: Path | None
) -> None:
    """Show TaskQueues (or pods, deployments, events), as kubectl get would."""
    from identtqueue_operator.local import show  # noqa: PLC0415

    plural, name = show.kind_and_name(what)
    found = _ask(state or context.obj, "list", plural=plural)["items"]
    click.echo(show.listing(plural, show.named(found, plural, name), output, one=bool(name)))


@local.command()
@click.argument("name", required=False)
@_state_option
@click.pass_context
@_needs_extra
def describe(context: click.Context, name: str | None, state: Path | None) -> None:
    """Show a TaskQueue with its conditions and events, as kubectl describe would."""
    from identtqueue_operator.local import show  # noqa: PLC0415

    folder = state or context.obj
    found = show.named(_ask(folder, "list", plural="taskqueues")["items"], "taskqueues", name)
    events = _ask(folder, "list", plural="events")["items"]
    click.echo("\n\n\n".join(show.description(body, events) for body in found))


@local.command()
@click.argument("name", required=False)
@_state_option
@click.pass_context
@_needs_extra
def explain(context: click.Context, name: str | None, state: Path | None) -> None:
    """Explain the number of workers: the last decisions, as kubectl tq explain would."""
    from identtqueue_operator.local import show  # noqa: PLC0415
    from identtqueue_operator.status.explanation import Explanation  # noqa: PLC0415

    found = _ask(state or context.obj, "list", plural="taskqueues")["items"]
    for body in show.named(found, "taskqueues", name):
        for line in Explanation.of(body).lines(time.time()):
            click.echo(line)


@local.command()
@click.option(
    "-f",
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Take up this file in addition. Default: read the instance's own files again.",
)
@_state_option
@click.pass_context
@_needs_extra
def apply(context: click.Context, file: Path | None, state: Path | None) -> None:
    """Let the running instance take up changes of its files, without a restart."""
    path = None if file is None else str(file.absolute())
    for change in _ask(state or context.obj, "apply", path=path)["changes"]:
        click.echo(change)


@local.command()
@_state_option
@click.pass_context
@_needs_extra
def metrics(context: click.Context, state: Path | None) -> None:
    """Print the operator's metrics in the text format of Prometheus."""
    click.echo(_ask(state or context.obj, "metrics")["text"], nl=False)


def _ask(state: Path | None, verb: str, **arguments: Any) -> Any:
    from identtqueue_operator.local.client import NotRunning, ask  # noqa: PLC0415

    try:
        return ask(_folder(state), verb, **arguments)
    except NotRunning as error:
        raise click.ClickException(str(error)) from None
