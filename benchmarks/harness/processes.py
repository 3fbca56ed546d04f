"""Starting, watching and ending the processes of a run.

Linux: /proc tells what they use, and which belong together.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
STOP_SECONDS = 15.0


class Group:
    """A process with all that it starts, as a container holds them.

    Args:
        words, environment, folder: how and where it is started.
        log: where its output goes.
        waits: it waits for a line on its standard input, which `release` writes.
    """

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        folder: Path | None = None,
        *,
        waits: bool = False,
    ) -> None:
        self._mark = f"BENCH_GROUP={secrets.token_hex(8)}"
        name, _, value = self._mark.partition("=")
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                words,
                env={**environment, name: value},
                cwd=folder,
                stdin=subprocess.PIPE if waits else subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self._log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None: it runs; negative: the signal that ended it."""
        return self._process.poll()

    def check(self) -> None:
        """Raise if it has ended by itself."""
        if self.exit_code is not None:
            tail = self._log.read_text(errors="replace")[-3000:]
            raise RuntimeError(f"the worker ended with {self.exit_code}:\n{tail}")

    def release(self) -> None:
        """Let it go on."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(b"\n")
            self._process.stdin.close()

    def terminate(self) -> None:
        """SIGTERM to the first process, as the kubelet sends it; does not wait."""
        if self.exit_code is None:
            self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> bool:
        """Whether the first process has ended by then."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self.exit_code is not None

    def kill(self) -> None:
        """SIGKILL to all of them, also to those that have left the tree or the session."""
        end = time.monotonic() + STOP_SECONDS
        while (pids := self._members()) and time.monotonic() < end:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.wait(0.01)
        self._process.wait(STOP_SECONDS)

    def stop(self) -> None:
        """In order at first, then for sure, with all that it left behind."""
        self.terminate()
        self.wait(STOP_SECONDS)
        self.kill()

    def _members(self) -> list[int]:
        """Known by a variable that children inherit; an ended process has none any more."""
        mark = self._mark.encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
        return found


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system time of these processes and all their descendants, the ended ones too."""
    return sum(_cpu_ticks(pid) for pid in _with_descendants(pids)) / TICKS


def rss_bytes(pids: Sequence[int]) -> int:
    """Resident memory of these processes and all their descendants."""
    return sum(_stat_fields(pid)[21] for pid in _with_descendants(pids)) * PAGE


def _cpu_ticks(pid: int) -> int:
    # utime, stime, and those of children that were waited for (a forking worker's): fields 14-17.
    return sum(_stat_fields(pid)[11:15])


def _stat_fields(pid: int) -> list[int]:
    """/proc/<pid>/stat from its third field on, as numbers; zeros if it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return [0] * 50
    return [0, *map(int, text.rpartition(")")[2].split()[1:])]


def _with_descendants(pids: Sequence[int]) -> list[int]:
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            pid = int(entry.name)
            children[_stat_fields(pid)[1]].append(pid)
    found, queue = [], list(pids)
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue.extend(children[pid])
    return found
