"""The machine and the versions that a table was made with."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from agent import MARK
from bench import Bench
from environments import interpreter, python_of
from host import host_facts
from libraries import Library


def facts(bench: Bench, libraries: tuple[Library, ...], command: str) -> dict[str, Any]:
    """What a reader needs to judge the numbers, and to make them again."""
    return host_facts(command) | {
        "python": interpreter().version,
        "redis": bench.redis.info("server")["redis_version"],
        "versions": {library.name: _versions(library) for library in libraries},
    }


def _versions(library: Library) -> dict[str, str]:
    agent = str(Path(__file__).with_name("agent.py"))
    words = [python_of(library.name), agent, library.name, "versions", *library.packages]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout.removeprefix(MARK))
    return found
