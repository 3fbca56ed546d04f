"""The examples for a first try, run by their commands, with nothing installed but the package."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from testing.processes import ROOT, environment

EXAMPLES = ROOT / "examples"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("example", "said"),
    [
        ("quickstart", [r"enqueued mrz:\S+ - its status is (pending|running)", r"result \d+"]),
        ("typed", ["passport L898902C3 of", "told by a task that followed: grace@example.org"]),
    ],
)
def test_an_example(example: str, said: list[str], tmp_path: Path) -> None:
    folder = EXAMPLES / example
    worker, client = commands(folder / "README.md")
    environ = environment("embedded", XDG_STATE_HOME=str(tmp_path))
    environ["PYTHONPATH"] += os.pathsep + str(folder)
    with (tmp_path / "log").open("wb") as log:
        working = subprocess.Popen(worker, cwd=folder, env=environ, stdout=log, stderr=log)
    try:
        done = subprocess.run(
            client, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=60
        )
    finally:
        working.terminate()
        working.wait(60)
    assert done.returncode == 0, done.stderr + (tmp_path / "log").read_text()
    for pattern in said:
        assert re.search(pattern, done.stdout), done.stdout
    assert (tmp_path / "identtqueue" / "embedded" / "appendonlydir").exists()


def commands(page: Path) -> tuple[list[str], list[str]]:
    """The commands of an example's worker, which runs beside, and of its client."""
    worker = re.search(r"^(.+) &$", page.read_text(), re.MULTILINE)
    assert worker is not None
    return _words(worker[1]), _words("python client.py")


def _words(command: str) -> list[str]:
    program, *words = command.split()
    python = [sys.executable] if program == "python" else [sys.executable, "-m", program]
    return [*python, *words]
