"""The machine and the versions that a table was made with."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent import MARK
from bench import Bench
from environments import ROOT, interpreter, python_of
from libraries import Library


def facts(bench: Bench, libraries: tuple[Library, ...], command: str) -> dict[str, Any]:
    """What a reader needs to judge the numbers, and to make them again."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": command,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": interpreter().version,
        "redis": bench.redis.info("server")["redis_version"],
        "commit": _commit(),
        "load": round(os.getloadavg()[0], 1),
        "versions": {library.name: _versions(library) for library in libraries},
    }


def _processor() -> str:
    names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> str:
    words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _versions(library: Library) -> dict[str, str]:
    agent = str(Path(__file__).with_name("agent.py"))
    words = [python_of(library.name), agent, library.name, "versions", *library.packages]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout.removeprefix(MARK))
    return found
