"""Blocks of code in the documentation agree with the code: Python, commands, TaskQueues."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import click
import pytest
import yaml

from docs.interface import unknown_words
from identtqueue.cli import main
from identtqueue_operator.api import crd
from identtqueue_operator.api.v1alpha1 import TaskQueueSpec
from testing.markdown import ROOT, Block, blocks, pages

PAGES = pages()
SHELL = {"console", "sh", "bash", "shell"}
SPAN = re.compile(r"`identtqueue ([^`]+)`")
MADE_IN_THE_EXERCISE = {"oldest"}
"""Commands that docs/first-change.md adds."""
SCHEMA = crd.root_schema()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
CONTRIBUTED = PROJECT.get("entry-points", {}).get("identtqueue.commands", {})
RUN_ELSEWHERE = "docs/moving/"
"""Pages with code for other libraries too; tests/migrating and tests/v02 run it."""
FRAGMENTS = {
    "spec": SCHEMA["properties"]["spec"],
    "scaling": SCHEMA["properties"]["spec"]["properties"]["scaling"],
}
"""Parts of a TaskQueue that a page may show by themselves."""


def of(*languages: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page) if block.language in languages]


def place(block: Block) -> str:
    return block.place


@pytest.mark.parametrize("block", of("python", "py"), ids=place)
def test_python(block: Block) -> None:
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    tree = compile(block.text, block.place, "exec", flags)
    if not (block.page.startswith(RUN_ELSEWHERE) or is_quoted(block)):
        assert list(unknown_words(tree)) == []


def is_quoted(block: Block) -> bool:
    """Return whether the block is quoted from a file, which has tests of its own."""
    above = (ROOT / block.page).read_text("utf-8").splitlines()[block.line - 2]
    return above.startswith("<!-- from ")


def commands(block: Block) -> Iterator[list[str]]:
    """Yield the words of each command in a block of shell."""
    text = re.sub(r"\\\n", " ", block.text)
    for line in text.splitlines():
        for part in re.split(r"&&|;|\|(?![^{]*\})|&(?!\d)", line.removeprefix("$ ")):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:  # a quotation over several lines is no command of ours
                continue
            while words and re.fullmatch(r"\w+=.*", words[0]):
                words = words[1:]
            if words:
                yield words


def misuse(words: list[str]) -> str:
    """Return what is wrong with the words after `identtqueue`; empty if nothing is."""
    command: click.Command = main
    options = _options(main)
    left = iter(words)
    for word in left:
        name, has_value, _ = word.partition("=")
        if name.startswith("-"):
            if name not in options:
                return f"no option {name}"
            if not has_value and not options[name].is_flag:
                next(left, None)
        elif isinstance(command, click.Group):
            known = subcommand(command, word)
            if known is None:
                return "" if word.isupper() or word == "…" else f"no command {word}"
            command = known
            options |= _options(command)
    return ""


def subcommand(group: click.Group, name: str) -> click.Command | None:
    """Return a command of a group; also one that another package contributes by an entry point."""
    if group is main and name in CONTRIBUTED:
        module, _, attribute = CONTRIBUTED[name].partition(":")
        return getattr(import_module(module), attribute)
    return group.commands.get(name)


def _options(command: click.Command) -> dict[str, click.Option]:
    found = [each for each in command.params if isinstance(each, click.Option)]
    shown = command.get_help_option(click.Context(command))
    assert shown is not None
    return {
        name: option
        for option in [*found, shown]
        for name in (*option.opts, *option.secondary_opts)
    }


@pytest.mark.parametrize("block", of(*SHELL), ids=place)
def test_commands(block: Block) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for words in commands(block):
        if words[0] == "identtqueue":
            assert misuse(words[1:]) == "", words
        if words[0] == "make":
            named = [word for word in words[1:] if "=" not in word]
            assert set(named) <= targets, words


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_text(page: str) -> None:
    for span in SPAN.findall((ROOT / page).read_text("utf-8")):
        words = re.sub(r"[{}|\[\]\\]", " ", span).split()
        assert misuse(words) == "" or words[0] in MADE_IN_THE_EXERCISE, span


@pytest.mark.parametrize("block", of("yaml"), ids=place)
def test_yaml(block: Block) -> None:
    if "{{" in block.text:
        return  # a template of Helm
    for document in yaml.safe_load_all(block.text):
        if isinstance(document, dict):
            assert list(_misfits(document)) == []


def _misfits(document: dict[str, Any]) -> Iterator[str]:
    if document.get("kind") == "TaskQueue":
        yield from _unknown(document, SCHEMA, "")
        yield from TaskQueueSpec.model_validate(document["spec"]).problems()
        return
    for name, schema in FRAGMENTS.items():
        if document.keys() <= schema["properties"].keys():
            yield from _unknown(document, schema, name)
            return
    if document.keys() == {"spec"} and "queues" in document["spec"]:
        yield from _unknown(document, {"properties": {"spec": FRAGMENTS["spec"]}}, "")


def _unknown(value: object, schema: dict[str, object], path: str) -> Iterator[str]:
    """Yield the fields that the resource does not have."""
    if isinstance(value, list):
        for item in value:
            yield from _unknown(item, schema.get("items", {}), path)
    if not isinstance(value, dict) or "properties" not in schema or path == ".metadata":
        return
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    for name, inner in value.items():
        if name not in schema["properties"]:
            yield f"{path}.{name}"
        else:
            yield from _unknown(inner, schema["properties"][name], f"{path}.{name}")


@pytest.mark.parametrize(
    "words",
    ["worker tasks:app --concurency 3", "oldest mrz", "dead lst mrz", "depth mrz --limit 3"],
)
def test_a_wrong_command_is_found(words: str) -> None:
    assert misuse(words.split())


@pytest.mark.parametrize(
    "code",
    [
        "from identtqueue import Aplication",
        "app.worker(concurency=3)",
        "job.options(delay=3)",
        "@app.task(max_retry=3)\ndef f(ctx): ...",
        "ctx.report(3)",
        "client.wait_for_results('x')",
        "from identtqueue import RateLimit\nRateLimit(3, per_second=1)",
    ],
)
def test_a_wrong_name_is_found(code: str) -> None:
    assert list(unknown_words(ast.parse(code)))


def test_a_wrong_field_is_found() -> None:
    assert list(_misfits({"scaling": {"maxReplica": 3}}))
