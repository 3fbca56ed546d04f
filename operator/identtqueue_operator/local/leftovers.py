"""Pods of an instance that was killed: their end is certain, and is the evidence for their tasks.

The keeper has ended their processes. If it was killed too, they are ended here. They are put into
the store as pods that have ended, so that the operator finds the workers dead in its first round
and requeues their tasks, without waiting for a lease.
"""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from identtqueue_operator.local.objects import Json, now

PATIENCE_SECONDS = 5.0
"""Longest time for a killed process to end."""


def identify(pid: int) -> str:
    """Tell a process from a later one with the same id; empty if there is no such process."""
    try:
        # The second field, the name, may contain anything, even a ')'.
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        return "" if fields[0] == "Z" else f"{pid}:{fields[19]}"
    except (OSError, IndexError):
        pass
    if Path("/proc/self/stat").exists():
        return ""
    asked = subprocess.run(  # noqa: S603 - macOS has no /proc
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    started = asked.stdout.strip()
    return f"{pid}:{started}" if started else ""


def end(processes: list[str]) -> None:
    """Kill the groups of those processes that still run, and wait for their end."""
    left = [each for each in processes if _runs(each)]
    for each in left:
        with contextlib.suppress(OSError):
            os.killpg(int(each.partition(":")[0]), signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(map(_runs, left)) and time.monotonic() < deadline:
        time.sleep(0.01)


def _runs(process: str) -> bool:
    return identify(int(process.partition(":")[0])) == process


def as_ended(pod: Json) -> Json:
    """Return a pod as it is after its end."""
    at = now()
    statuses: list[Any] = (pod.get("status") or {}).get("containerStatuses") or []
    ended = {"exitCode": 137, "reason": "Error", "finishedAt": at}
    return {
        **pod,
        "metadata": {**pod["metadata"], "deletionTimestamp": at},
        "status": {
            "phase": "Failed",
            "containerStatuses": [
                {**each, "ready": False, "state": {"terminated": ended}} for each in statuses
            ],
        },
    }
