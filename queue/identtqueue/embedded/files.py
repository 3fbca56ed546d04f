"""Files and locks in the folder of an embedded server, and the folder itself."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

from identtqueue.errors import EmbeddedServerFailed


class OpenFile:
    """An open file, and its identity: programs that become services close all files they know of.

    Then the number may already stand for a file of somebody else.

    Args:
        path: the file; it is created if the flags say so.
        flags: those of `os.open`.

    Raises:
        EmbeddedServerFailed: it can't be opened.
    """

    def __init__(self, path: Path, flags: int = os.O_RDWR | os.O_CREAT) -> None:
        try:
            self.number = os.open(path, flags | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise EmbeddedServerFailed(
                f"{path.parent} can't be used for the embedded server: {error.strerror}"
            ) from None
        self._path = path
        self._identity = os.fstat(self.number)

    @property
    def is_ours(self) -> bool:
        """Whether the number still stands for the file that was opened."""
        try:
            return os.path.samestat(os.fstat(self.number), self._identity)
        except OSError:
            return False

    @property
    def is_in_place(self) -> bool:
        """Whether it is the file that its path leads to now."""
        try:
            return self.is_ours and os.path.samestat(self._path.stat(), self._identity)
        except OSError:
            return False

    def lock(self, *, shared: bool = False) -> bool:
        """Try to lock it, without waiting. The lock lasts until no copy of the file is open.

        Raises:
            EmbeddedServerFailed: its file system has no locks.
        """
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(self.number, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise EmbeddedServerFailed(
                f"{self._path} can't be locked: {error.strerror}. An embedded server needs a "
                "folder on a local disk"
            ) from None
        return True

    def close(self) -> None:
        """Close it, unless somebody else has."""
        if self.is_ours:
            os.close(self.number)


def prepare_folder(folder: Path) -> None:
    """Create the folder, or check that it is private to this user.

    Raises:
        EmbeddedServerFailed: it can't be created, or belongs to or is open to others.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise EmbeddedServerFailed(
            f"{folder} can't be used for the embedded server: {error.strerror}. Name a folder that "
            "this process can write, as in embedded:///path/to/folder"
        ) from None
    if found.st_uid != os.geteuid():
        raise EmbeddedServerFailed(
            f"{folder} belongs to user {found.st_uid}, and this process runs as user "
            f"{os.geteuid()}: an embedded server is private to one user"
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise EmbeddedServerFailed(
            f"other users may enter {folder} (mode {stat.S_IMODE(found.st_mode):04o}): chmod 700 "
            "it, or name a folder that does not exist yet"
        )
