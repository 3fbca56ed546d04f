"""The reference page of the command line, from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from docsite.pages import DOCS
from identtqueue.cli import main
from identtqueue.cli.commands import SECTIONS, name_of

PAGE = DOCS / "reference" / "commands.md"
JSON_PAGE = DOCS / "reference" / "json.md"
Words = tuple[str, ...]
"""How a command is called: `identtqueue`, then its own name, and those of the groups around it."""
HEAD = """# Commands

Every command of `identtqueue` with its arguments and options. `identtqueue COMMAND --help` shows
the same texts. [The command line](../library/commands.md) says what all of them have in common: how
they find Redis, what they print, their exit codes.

<!-- Written by `python -m docsite commands`. Do not edit. -->
"""


def render() -> str:
    """Make the page."""
    parts = [HEAD, "## identtqueue", "", *_body(("identtqueue",), main, None)]
    for title, places in SECTIONS.items():
        parts += [f"## {title}", ""]
        for command in (main.commands[name_of(place)] for place in places):
            parts += _chapter(("identtqueue", str(command.name)), command, _context(main, None))
    return "\n".join(parts).rstrip() + "\n"


def _chapter(
    words: tuple[str, ...], command: click.Command, parent: click.Context
) -> Iterator[str]:
    """Yield the text about a command, and then about those below it."""
    yield from (f"### {' '.join(words)}", "")
    yield from _body(words, command, parent)
    if isinstance(command, click.Group):
        context = _context(command, parent)
        for name, below in command.commands.items():
            yield from _chapter((*words, name), below, context)


def _body(
    words: tuple[str, ...], command: click.Command, parent: click.Context | None
) -> Iterator[str]:
    context = _context(command, parent)
    if not isinstance(command, click.Group):
        pieces = command.collect_usage_pieces(context)
        yield from ("```text", " ".join([*words, *pieces]), "```", "")
    yield from (inspect.cleandoc(command.help or ""), "")
    rows = [_row(option, context) for option in command.get_params(context)]
    shown = [row for row in rows if row and not row.startswith("| `--help`")]
    if shown:
        yield from ("| option | meaning |", "|---|---|", *shown, "")
    if any(option.name == "as_json" for option in command.params):
        anchor = "-".join(words[1:])
        yield from (f"[What `--json` prints](json.md#{anchor}).", "")


def _row(option: click.Parameter, context: click.Context) -> str:
    record = option.get_help_record(context) if isinstance(option, click.Option) else None
    if record is None:
        return ""
    name, text = record
    plain = " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
    return f"| `{name.replace('|', chr(92) + '|')}` | {plain} |"


def _context(command: click.Command, parent: click.Context | None) -> click.Context:
    settings = command.context_settings
    return click.Context(command, parent=parent, info_name=command.name, **settings)
