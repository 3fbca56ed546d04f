"""The process that ends all workers when `identtqueue local` is gone, by whatever means.

SIGKILL cannot be handled, so a second process waits for the end: the kernel closes the pipe between
the two. It reads `+<pid>` and `-<pid>` of process groups that begin and end, and at the end of the
pipe it kills those that are left. On Linux it also looks for processes that carry the instance's
variable: one that was started in the last moment, or has left its group. It holds the lock of the
state folder meanwhile, so the next `identtqueue local` begins when all of them are gone.

It is run as a file of its own, with the standard library only, so it is small and starts at once.
"""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

PATIENCE_SECONDS = 10.0
"""Longest time for the killed processes to end; one in an uninterruptible wait may take longer."""


def main(variable: str) -> None:
    """Wait for the end of the pipe on standard input, then kill.

    Args:
        variable: `NAME=value` in the environment of all processes of the instance.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line[0] == "+":
            groups.add(group)
        else:
            groups.discard(group)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        left = {group for group in groups if _kill_group(group)}
        strays = _find(variable)
        for pid in strays:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if not left and not strays:
            return
        time.sleep(0.01)


def _kill_group(group: int) -> bool:
    """Kill a process group; return whether there was one."""
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        return False
    return not _is_over(group)


def _is_over(pid: int) -> bool:
    """Return whether a process has ended and only its parent has not noticed yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2][1] == "Z"
    except (OSError, IndexError):
        return False


def _find(variable: str) -> list[int]:
    """Find the processes with a variable in their environment. Only Linux tells."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if variable.encode() in entry.read_bytes().split(b"\0"):
                found.append(int(entry.parent.name))
    return [pid for pid in found if pid != os.getpid() and not _is_over(pid)]


if __name__ == "__main__":
    main(sys.argv[1])
