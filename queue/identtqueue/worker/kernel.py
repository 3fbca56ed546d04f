"""What the kernel tells of processes (proc(5)): who this one is, and whether another one is gone.

Only Linux tells; elsewhere nothing is known, and nothing is concluded.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")


def started(pid: int) -> str | None:
    """When a process started, in clock ticks since the host did; None: it can't be told."""
    fields = _stat(pid)
    return None if fields is None else fields[19]


def domain() -> str | None:
    """Where process ids mean the same: one start of one host, and one PID namespace in it."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot}:{(PROC / 'self/ns/pid').stat().st_ino}"
    except OSError:
        return None


def itself() -> str | None:
    """This process: `<pid>:<start>`, which no other one in its `domain` ever is."""
    pid = os.getpid()
    at = started(pid)
    return None if at is None else f"{pid}:{at}"


def is_gone(process: str) -> bool:
    """Whether a process of this `domain` has certainly ended.

    Args:
        process: as `itself` gave it there.
    """
    pid, _, at = process.partition(":")
    if not (pid.isascii() and pid.isdigit()):
        return False
    try:
        os.kill(int(pid), 0)  # sends nothing; asked because /proc may hide other users' processes
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass  # another user's: it lives, or its id is in use again
    fields = _stat(int(pid))
    # A zombie has ended, and nobody has asked how; or the id was given to another process.
    return fields is not None and (fields[0] == "Z" or fields[19] != at)


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat from the third (its state) on."""
    try:
        text = (PROC / str(pid) / "stat").read_text("ascii", errors="replace")
    except OSError:
        return None
    # The second, its name, may hold anything, even a ')'.
    fields = text.rpartition(")")[2].split()
    return fields if len(fields) > 19 else None
