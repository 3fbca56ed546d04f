"""docs/operations/conditions.md says what to do about each condition, and about each reason."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from identtqueue_operator.model import Limit, Problem
from identtqueue_operator.model.decision import WorkerTrouble
from identtqueue_operator.model.queues import SourceTrouble
from identtqueue_operator.status import conditions

PAGE = (Path(__file__).parents[2] / "docs/operations/conditions.md").read_text("utf-8")


def conditions_of_a_status() -> list[str]:
    """Return the types of the conditions, in the order of the status."""
    tree = ast.parse(Path(conditions.__file__).read_text("utf-8"))
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    found = [node for node in ast.walk(functions["_findings"]) if isinstance(node, ast.Dict)]
    return [key.value for node in found for key in node.keys if isinstance(key, ast.Constant)]


def test_every_condition_has_a_section() -> None:
    assert len(conditions_of_a_status()) > 10
    assert re.findall(r"^## (\w+)$", PAGE, re.MULTILINE) == conditions_of_a_status()


def test_every_reason_is_named() -> None:
    reasons = [*Problem, *Limit, *SourceTrouble, *WorkerTrouble]
    assert [str(reason) for reason in reasons if f"`{reason}`" not in PAGE] == []
