"""The machine and the versions that a table was made with."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from benchmarks.harness.agent import MARK
from benchmarks.harness.environments import ROOT, interpreter, python_of
from benchmarks.harness.libraries import Library
from benchmarks.host import host_facts


def facts(redis: str, libraries: tuple[Library, ...], command: str) -> dict[str, Any]:
    """Find the facts that a reader needs to judge the numbers, and to make them again.

    Args:
        redis: the server's version.
        libraries: that are compared.
        command: that was typed.
    """
    return host_facts(command) | {
        "python": interpreter().version,
        "redis": redis,
        "versions": {library.name: _versions(library) for library in libraries},
    }


def _versions(library: Library) -> dict[str, str]:
    words = [python_of(library.name), "-m", "benchmarks.harness.agent", library.name, "versions"]
    done = subprocess.run(
        [*words, *library.packages],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, str] = json.loads(done.stdout.removeprefix(MARK))
    return found
