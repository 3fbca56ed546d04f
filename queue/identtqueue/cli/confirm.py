"""The question before something is destroyed."""

from __future__ import annotations

import sys

import click

from identtqueue.cli.exits import CommandFailed, Exit


def confirm(question: str, *, yes: bool) -> None:
    """Ask a person on the terminal; return if the answer is yes.

    Args:
        question: what would be done, to how many tasks.
        yes: the answer was given on the command line.

    Raises:
        CommandFailed: there is no terminal to ask on, and `--yes` was not given.
        Abort: the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        text = f"{question} There is no terminal to ask on: give --yes if you want it."
        raise CommandFailed(text, Exit.USAGE)
    click.confirm(question, abort=True, err=True)
