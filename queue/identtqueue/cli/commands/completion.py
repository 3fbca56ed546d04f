"""`identtqueue completion`: let a shell complete commands, options, queues and jobs."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "fish", "zsh")
PROGRAM = "identtqueue"
VARIABLE = "_IDENTTQUEUE_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    r"""Print what makes a shell complete commands, options, queues and jobs.

    \b
    bash: identtqueue completion bash > ~/.local/share/bash-completion/completions/identtqueue
    zsh:  identtqueue completion zsh > "${fpath[1]}/_identtqueue"
    fish: identtqueue completion fish > ~/.config/fish/completions/identtqueue.fish

    Names of queues and jobs come from Redis. A Redis that does not answer within 0.3 s completes
    nothing.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    command = context.find_root().command
    click.echo(kind(command, {}, PROGRAM, VARIABLE).source())
