"""Shows what the doctor has found: a table for people, lines for a pipe, JSON for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

import click

from identtqueue.cli.display.terminal import console, is_terminal
from identtqueue.cli.display.text import one_line
from identtqueue.cli.display.values import show_json
from identtqueue.cli.doctor.finding import Finding, Level

_STYLES: Final = {
    Level.OK: "good",
    Level.UNKNOWN: "quiet",
    Level.WARNING: "warn",
    Level.ERROR: "bad",
}


def show_findings(findings: Sequence[Finding], *, as_json: bool) -> None:
    """Print findings, and what they come to.

    Args:
        findings: the findings, in order.
        as_json: print one line of JSON for each instead.
    """
    if as_json:
        for finding in findings:
            show_json(asdict(finding) | {"level": str(finding.level)})
        return
    if is_terminal():
        _draw(findings)
    else:
        for finding in findings:
            for line in lines_of(finding):
                click.echo(line)
    click.echo(f"\n{summary(findings)}")


def lines_of(finding: Finding) -> list[str]:
    """Return a finding as plain text: one line, and one more for what mends it."""
    lines = [f"{finding.level:<8} {finding.check:<15} {one_line(_text(finding))}"]
    if finding.mend:
        lines.append(f"{'':8} {'':15} -> {one_line(finding.mend)}")
    return lines


def summary(findings: Sequence[Finding]) -> str:
    """Return what the findings come to, in one sentence."""
    numbers = {level: sum(f.level is level for f in findings) for level in Level}
    parts = [_many(numbers[level], str(level)) for level in (Level.ERROR, Level.WARNING)]
    parts.append(f"{numbers[Level.OK]} ok")
    if numbers[Level.UNKNOWN]:
        parts.append(f"{numbers[Level.UNKNOWN]} could not be checked")
    return ", ".join(parts)


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _text(finding: Finding) -> str:
    return f"{finding.subject}: {finding.found}" if finding.subject else finding.found


def _draw(findings: Sequence[Finding]) -> None:
    from rich.table import Table  # noqa: PLC0415 - only for a terminal
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        style = _STYLES[finding.level]
        text = Text(one_line(_text(finding)), "quiet" if finding.level is Level.UNKNOWN else "")
        if finding.mend:
            text.append(f"\n→ {one_line(finding.mend)}", "info" if finding.is_bad else "quiet")
        table.add_row(Text(str(finding.level), style), Text(finding.check, "name"), text)
    console().print(table)
