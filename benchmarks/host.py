"""The machine that a table was made on, and the CPU time of the Redis on it."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis

from testing.revision import commit


def host_facts(command: str) -> dict[str, Any]:
    """Date, commit, machine and its load, and the command that was given."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": command,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "commit": commit(),
        "load": round(os.getloadavg()[0], 1),
    }


def redis_cpu_seconds(raw: redis.Redis) -> float:
    """Return the CPU time of a server so far: of its threads, and of children that have ended."""
    used = raw.info("cpu")
    parts = ("sys", "user", "sys_children", "user_children")
    return sum(float(used[f"used_cpu_{part}"]) for part in parts)


def _processor() -> str:
    names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return names[0] if names else platform.processor() or platform.machine()
