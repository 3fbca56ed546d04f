"""Type checking: wrong arguments fail before anything runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "typing"
ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".mypy_cache" / "typing"


@pytest.mark.slow
def test_mypy_refuses_exactly_what_is_wrong() -> None:
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--no-error-summary"),
            *("--config-file", os.devnull, "--cache-dir", str(CACHE)),
            *("--follow-imports", "silent", "good.py", "bad.py"),
        ],
        cwd=HERE,
        env=os.environ | {"MYPYPATH": str(ROOT / "queue")},
        capture_output=True,
        text=True,
        check=False,
    )
    refused = {
        (name, int(line))
        for name, line in re.findall(r"^(\w+)\.py:(\d+): error", checked.stdout, re.MULTILINE)
    }
    text = (HERE / "bad.py").read_text().splitlines()
    wanted = {("bad", n) for n, line in enumerate(text, 1) if "# refused" in line}
    assert refused == wanted, checked.stdout + checked.stderr
