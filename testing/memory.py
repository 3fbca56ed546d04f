"""A real memory limit, enforced by the kernel's OOM killer: a control group, as a pod has."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self

_V2 = Path("/sys/fs/cgroup")
_V1 = _V2 / "memory"


class MemoryLimitUnavailable(Exception):
    """Control groups can't be made here. That needs root and a writable /sys/fs/cgroup."""


class MemoryLimit:
    """A control group with a memory limit. The kernel kills processes in it that need more.

    Args:
        megabytes: the limit.

    Raises:
        MemoryLimitUnavailable: on entering the block.
    """

    def __init__(self, megabytes: int) -> None:
        self._bytes = megabytes << 20
        self._folder: Path | None = None

    def __enter__(self) -> Self:
        v1 = _V1.is_dir()
        folder = (_V1 if v1 else _V2) / f"identtqueue-test-{os.getpid()}-{os.urandom(4).hex()}"
        try:
            folder.mkdir()
            self._folder = folder
            names = ["memory.limit_in_bytes"] if v1 else ["memory.max", "memory.swap.max"]
            for name, size in zip(names, (self._bytes, 0), strict=False):
                (folder / name).write_text(str(size))
        except OSError as error:
            self.__exit__(None, None, None)
            raise MemoryLimitUnavailable(str(error)) from error
        return self

    def add(self, pid: int) -> None:
        """Put a process into the group."""
        assert self._folder is not None
        (self._folder / "cgroup.procs").write_text(str(pid))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.rmdir()  # its processes have ended
