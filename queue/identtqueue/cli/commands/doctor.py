"""`identtqueue doctor`: find out what is wrong with an installation, and what mends it."""

from __future__ import annotations

import click

from identtqueue.cli.exits import Exit
from identtqueue.cli.session import run
from identtqueue.protocol.roles import Role


@click.command()
@click.option("--queue", "queues", multiple=True, help="Repeatable. Default: all that are known.")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default=Role.ADMIN.value,
    help="Check that the user of Redis may do all that this role needs.",
)
@click.option("--strict", is_flag=True, help="Let a warning count as an error.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per finding.")
@click.pass_obj
def doctor(address: str, queues: tuple[str, ...], role: str, strict: bool, as_json: bool) -> None:
    """Check Redis, the queues and the workers, and say what mends what is wrong.

    Nothing is changed. The exit code is 1 if there is an error, else 0.
    """
    # The other commands need none of the checks.
    from identtqueue.cli.doctor.examination import examine  # noqa: PLC0415
    from identtqueue.cli.doctor.finding import Level  # noqa: PLC0415
    from identtqueue.cli.doctor.report import show_findings  # noqa: PLC0415

    async def work() -> None:
        findings = await examine(address, queues, Role(role))
        show_findings(findings, as_json=as_json)
        bad = {Level.ERROR, Level.WARNING} if strict else {Level.ERROR}
        if any(finding.level in bad for finding in findings):
            raise click.exceptions.Exit(Exit.FAILED)

    run(work())
