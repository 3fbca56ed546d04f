"""`identtqueue acl`: print what a role may do in Redis."""

from __future__ import annotations

import click

from identtqueue.cli.exits import errors_in_one_line
from identtqueue.protocol.roles import Role, rules


@click.command()
@click.argument("role", type=click.Choice([role.value for role in Role]))
@click.option("--queue", "queues", multiple=True, help="Repeatable. Default: all queues.")
def acl(role: str, queues: tuple[str, ...]) -> None:
    """Print the Redis ACL rules that a role needs, for `ACL SETUSER name on >password …`."""
    with errors_in_one_line():
        click.echo(" ".join(rules(Role(role), queues)))
