"""The examples for one machine, run by their commands, on the embedded server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from testing.processes import ROOT, environment

EXAMPLES = ROOT / "examples"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("example", "said"),
    [
        (
            "quickstart",
            [r"enqueued mrz:\S+ - its status is (pending|running|succeeded)", r"result \d+"],
        ),
        ("typed", ["passport L898902C3 of", "told by a task that followed: grace@example.org"]),
    ],
)
def test_an_example(example: str, said: list[str], tmp_path: Path) -> None:
    worker = re.search(r"^(.+) &$", (EXAMPLES / example / "README.md").read_text(), re.MULTILINE)
    assert worker is not None
    printed = play(example, worker[1], "python client.py", tmp_path)
    for pattern in said:
        assert re.search(pattern, printed), printed


@pytest.mark.slow
def test_the_reading_of_documents(tmp_path: Path) -> None:
    """One page by Tesseract. The producer's exit code says whether it was read well."""
    taskqueue = yaml.safe_load((EXAMPLES / "document-ocr/local/taskqueue.yaml").read_text())
    (container,) = taskqueue["spec"]["template"]["spec"]["containers"]
    worker = f"{' '.join(container['command'])} --queue pages --concurrency 1"
    producer = "python -m document_ocr.producer"
    printed = play("document-ocr", worker, producer, tmp_path, PAGES="1")
    finished = json.loads(printed.splitlines()[-1])
    assert (finished["pages"], finished["read"]) == (1, 1)


def play(example: str, worker: str, client: str, tmp_path: Path, **environ: str) -> str:
    """Run the client of an example beside its worker; return what it prints.

    Args:
        example: its folder.
        worker: the command of the worker.
        client: the command of the client, which must succeed.
        tmp_path: holds the embedded server.
        environ: more environment variables.
    """
    folder = EXAMPLES / example
    environ = environment("embedded", XDG_STATE_HOME=str(tmp_path)) | environ
    environ["PYTHONPATH"] += os.pathsep + str(folder)
    with (tmp_path / "log").open("wb") as log:
        working = subprocess.Popen(_words(worker), cwd=folder, env=environ, stdout=log, stderr=log)
    try:
        done = subprocess.run(
            _words(client),
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
    finally:
        working.terminate()
        working.wait(60)
    assert done.returncode == 0, done.stderr + (tmp_path / "log").read_text()
    assert (tmp_path / "identtqueue" / "embedded" / "appendonlydir").exists()
    return done.stdout


def _words(command: str) -> list[str]:
    program, *words = command.split()
    python = [sys.executable] if program == "python" else [sys.executable, "-m", program]
    return [*python, *words]
