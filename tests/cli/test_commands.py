"""The command `identtqueue` as a whole: its commands, options, variables, documentation."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import click
import pytest
from msgspec import structs

from identtqueue.cli import commands, main
from identtqueue.worker.settings import WorkerSettings

ROOT = Path(__file__).parents[2]


def all_commands() -> list[tuple[tuple[str, ...], click.Command]]:
    """Return each command with its words, including groups."""
    found: list[tuple[tuple[str, ...], click.Command]] = [((), main)]
    for words, command in found:
        if isinstance(command, click.Group):
            found += [((*words, name), sub) for name, sub in command.commands.items()]
    return found


def test_only_documented_variables_mean_something() -> None:
    """Names of options make no variables: IDENTTQUEUE_VERSION may be an image's label, say."""
    documented = "".join(p.read_text("utf-8") for p in (ROOT / "docs/library").glob("*.md"))
    derived = {"IDENTTQUEUE_VERSION", "IDENTTQUEUE_HELP"}
    parameters = [
        (words, parameter)
        for words, command in all_commands()
        for parameter in (*command.params, command.get_help_option(click.Context(command)))
        if parameter is not None
    ]
    for words, parameter in parameters:
        name = parameter.name.upper()
        derived |= {
            "_".join(["IDENTTQUEUE", *(w.upper() for w in words[i:]), name]) for i in (0, 1)
        }
    meant = {str(p.envvar) for _, p in parameters if p.envvar}
    assert {name for name in meant if f"`{name}`" not in documented} == set()
    with pytest.MonkeyPatch.context() as patch:
        for name in derived - meant:
            patch.setenv(name, "1")
        for words, parameter in parameters:
            context = make_context(words)
            assert parameter.envvar or parameter.value_from_envvar(context) is None, parameter.name


def make_context(words: tuple[str, ...]) -> click.Context:
    """Make the context that click makes when the command is called by these words."""
    context, command = click.Context(main, info_name="identtqueue", **main.context_settings), main
    for word in words:
        command = command.commands[word]
        context = click.Context(command, parent=context, info_name=word, **command.context_settings)
    return context


def command_modules() -> list[ModuleType]:
    found = pkgutil.iter_modules(commands.__path__, f"{commands.__name__}.")
    return [importlib.import_module(module.name) for module in found]


def test_every_command_can_be_called() -> None:
    """`commands/__init__.py` lists them; a command that is not listed there would be dead code."""
    called = {command for _, command in all_commands()}
    defined = {
        f"{module.__name__}.{name}": value
        for module in command_modules()
        for name, value in vars(module).items()
        if isinstance(value, click.Command)
    }
    assert len(defined) > 10
    assert [name for name, command in defined.items() if command not in called] == []


def usage(words: tuple[str, ...], command: click.Command) -> str:
    """Return how the command is called, without its options."""
    if isinstance(command, click.Group):
        return " ".join(["identtqueue", *words])
    pieces = command.collect_usage_pieces(make_context(words))
    return " ".join(["identtqueue", *words, *(p for p in pieces if p != "[OPTIONS]")])


def test_help_lists_every_command_once_by_what_it_is_for() -> None:
    listed = [place for section in commands.SECTIONS.values() for place in section]
    assert len(set(listed)) == len(listed)
    assert {name: command.name for name, command in main.commands.items()} == {
        name: name for name in map(commands.name_of, listed)
    }


def test_whatever_shows_rows_has_json() -> None:
    """An act that says one word has none: its exit code tells as much."""
    without = {words for words, command in all_commands() if "as_json" not in names_of(command)}
    assert without == {
        *{(), ("dead",), ("cron",)},  # groups
        *{("worker",), ("bridge",), ("acl",), ("completion",), ("top",)},
        *{("dashboard",), ("dashboard-user",), ("exporter",)},
        *{("pause",), ("resume",), ("drain",), ("undrain",)},
        *{("cron", "run"), ("cron", "pause"), ("cron", "resume")},
    }


def names_of(command: click.Command) -> set[str]:
    return {str(parameter.name) for parameter in command.params}


def test_the_documentation_names_the_option_of_each_variable() -> None:
    page = (ROOT / "docs/library/environment.md").read_text("utf-8")
    table = page.split("\n| variable | option of ")[1]
    rows = [row.split("|")[1:3] for row in table.split("\n\n")[0].splitlines() if row[:3] == "| `"]
    said = {
        variable: option
        for variables, options in rows
        for variable, option in zip(
            re.findall(r"`(\w+)`", variables), re.findall(r"`(--[a-z-]+)`", options), strict=False
        )
    }
    meant = {
        option.envvar: option.opts[0]
        for _, command in all_commands()
        for option in command.params
        if option.envvar
    }
    assert said == meant | {"IDENTTQUEUE_QUEUES": "--queue"}  # it has commas, so `worker` reads it


def test_help_explains_every_command_and_option() -> None:
    silent = [
        f"{usage(words, command)} {option.opts[0]}"
        for words, command in all_commands()
        for option in command.params
        if isinstance(option, click.Option) and not option.help
    ]
    silent += [usage(words, command) for words, command in all_commands() if not command.help]
    assert silent == []


def test_options_of_the_worker_have_the_defaults_of_its_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for option in main.commands["worker"].params:
        if option.envvar:
            monkeypatch.delenv(option.envvar, raising=False)
    settings = {entry.name: entry.default for entry in structs.fields(WorkerSettings)}
    parsed = main.commands["worker"].make_context("worker", ["apps:app"]).params
    assert parsed["keep_arguments"] is None, "as the app says"
    shared = settings.keys() & parsed.keys() - {"queues", "keep_arguments"}
    assert len(shared) > 9
    assert {name: parsed[name] for name in shared} == {name: settings[name] for name in shared}
