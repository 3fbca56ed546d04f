"""Type checking: what is wrong fails before anything runs, in mypy and in pyright.

`typing/bad.py` marks each line that has to be refused with the number of its case. The page on
typing has the same cases.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent / "typing"
ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".mypy_cache" / "typing"
PAGE = ROOT / "docs/library/typing.md"
EXAMPLE = ROOT / "examples/typed"
"""An example that both checkers accept as well."""

OTHERS = ("fastapi", "flask", "litestar", "local", "quickstart", "structlog")
"""Other examples. Those of Django need a plugin, and the OCR is not about types."""

MARK = re.compile(r"# refused (\d+)(?:: (.+))?$", re.MULTILINE)


def marked() -> set[tuple[str, int]]:
    """Find the lines that have to be refused."""
    lines = enumerate((HERE / "bad.py").read_text().splitlines(), 1)
    return {("bad.py", number) for number, line in lines if MARK.search(line)}


@pytest.mark.slow
def test_mypy_refuses_exactly_what_is_wrong() -> None:
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--no-error-summary"),
            *("--config-file", os.devnull, "--cache-dir", str(CACHE)),
            *("--follow-imports", "silent", "good.py", "bad.py"),
            *map(str, EXAMPLE.glob("*.py")),
        ],
        cwd=HERE,
        env=os.environ | {"MYPYPATH": os.pathsep.join([str(ROOT / "queue"), str(EXAMPLE)])},
        capture_output=True,
        text=True,
        check=False,
    )
    refused = {
        (Path(name).name, int(line))
        for name, line in re.findall(r"^(\S+\.py):(\d+): error", checked.stdout, re.MULTILINE)
    }
    assert refused == marked(), checked.stdout + checked.stderr


def basedpyright(folder: Path, **settings: Any) -> tuple[set[tuple[str, int]], str]:
    """Run it; return the lines with errors, and all that it says of them.

    Args:
        folder: where its configuration may be written.
        settings: the configuration, besides the version of Python.
    """
    project = folder / "pyrightconfig.json"
    project.write_text(json.dumps({"pythonVersion": "3.11"} | settings))
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "basedpyright", "--outputjson", "--level", "error"),
            *("--project", str(project), "--pythonpath", sys.executable),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    answer = json.loads(checked.stdout)
    assert answer["summary"]["filesAnalyzed"] > 0
    lines = {
        (Path(entry["file"]).name, entry["range"]["start"]["line"] + 1)
        for entry in answer["generalDiagnostics"]
        if entry["severity"] == "error"
    }
    return lines, json.dumps(answer["generalDiagnostics"], indent=1)


@pytest.mark.slow
def test_basedpyright_refuses_exactly_what_is_wrong(tmp_path: Path) -> None:
    """It has all rules of pyright's strict mode switched on, and more."""
    refused, said = basedpyright(
        tmp_path,
        include=[str(HERE), str(EXAMPLE)],
        extraPaths=[str(ROOT / "queue"), str(HERE), str(EXAMPLE)],
        typeCheckingMode="recommended",
    )
    assert refused == marked(), said


@pytest.mark.slow
def test_basedpyright_accepts_the_other_examples(tmp_path: Path) -> None:
    """They are not annotated throughout, so it is asked what an editor shows by default."""
    shared = [str(ROOT / "queue"), str(ROOT / "examples/migrating/shared")]
    folders = [ROOT / "examples" / name for name in OTHERS]
    folders += (ROOT / "examples/migrating").glob("*/after")
    refused, said = basedpyright(
        tmp_path,
        executionEnvironments=[
            {"root": str(folder), "extraPaths": [*shared, str(folder)]} for folder in folders
        ],
        include=[str(folder) for folder in folders],
        typeCheckingMode="standard",
        reportMissingImports=False,
    )
    assert refused == set(), said


def test_the_page_has_each_case() -> None:
    marks = MARK.findall((HERE / "bad.py").read_text())
    cases = {int(number): text for number, text in marks if text}
    rows = re.findall(r"^\| (\d+) \| ([^|]+?) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert {int(number): text.replace("`", "") for number, text in rows} == cases
    assert list(cases) == list(range(1, len(cases) + 1))
    assert len(cases) >= 21


def test_what_is_accepted_runs_as_well() -> None:
    names = runpy.run_path(str(HERE / "good.py"))
    assert "with_state" in names["typed"].jobs
