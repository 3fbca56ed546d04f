"""docs/scenarios.md: everything that it names exists, and no important situation is missing."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from testing.metrics_page import documented

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "scenarios.md"

MATTERS = (
    *(
        "misses an event",
        "Two writers",
        "API server is slow",
        "429",
        "clock is set",
        "Deletion cost",
    ),
    *("`minReadySeconds`", "slow readiness", "`maxSurge: 1`", "`Recreate`", "`template`"),
    *("paused Deployment", "Foreign pods", "StatefulSet", "comes later"),
    *("with a PDB", "without a PDB"),
    *("spot node", "graceful node shutdown", "native sidecar", "ephemeral container", "OOM loop"),
    *("Crash loop", "image is missing", "quota", "Pod Security", "No node", "namespace is deleted"),
    *(
        "with the CRD",
        "one release to the next and back",
        "GitOps",
        "Two releases",
        "Rights are lost",
    ),
    *("does not reach Redis", "names the operator", "another queue", "for one queue"),
)
"""Words of the situations that must have a row."""


def rows() -> dict[str, list[str]]:
    """Return the cells of each row, by its situation."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {row[0]: row[1:] for row in cells if row[0] != "situation"}


@cache
def functions_of(file: str) -> set[str]:
    """Return the names of the functions in a file."""
    tree = ast.parse((ROOT / file).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


@cache
def words_of_the_operator() -> set[str]:
    """Return each word in a string of the operator's source: reasons, conditions, limits."""
    sources = (ROOT / "operator" / "identtqueue_operator").rglob("*.py")
    strings = (
        node.value
        for source in sources
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    return {word for text in strings for word in re.findall(r"\w+", text)}


@pytest.mark.parametrize("situation", rows())
def test_a_scenario_is_handled_told_tested_and_documented(situation: str) -> None:
    handled, told, tests, page = rows()[situation]
    assert handled
    assert told
    named = re.findall(r"`((?:tests|e2e)/\S+\.py)::(\w+)`", tests)
    assert named, "a scenario without a test"
    assert tests.count("`") == 2 * len(named), "every test has a file and a name"
    for file, name in named:
        assert name in functions_of(file), f"{file} has no {name}"
    metrics = documented("Of the operator")
    for word in re.findall(r"`(\w+)`", told):
        assert word in metrics or word in words_of_the_operator(), word
    ((target, anchor),) = re.findall(r"\]\(([^)#]+)(?:#([^)]+))?\)", page)
    text = (PAGE.parent / target).read_text()
    assert not anchor or anchor in anchors_of(text), f"{target} has no section {anchor}"


def anchors_of(text: str) -> set[str]:
    """Return the anchors that GitHub makes for headings, and those that the page sets itself."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    named = set(re.findall(r'<a id="([^"]+)">', text))
    return named | {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in headings}


def test_nothing_that_matters_is_left_out() -> None:
    situations = "\n".join(rows())
    assert [words for words in MATTERS if words not in situations] == []
