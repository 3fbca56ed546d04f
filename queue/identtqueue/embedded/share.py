"""The share of this process in embedded servers: what starts them, and keeps them running.

A process that has a share in a server holds a shared lock on a file in the server's folder, from
the first connection until it ends. A fork of the process inherits it, and so has a share of its
own. `keeper` ends the server when nobody holds that lock.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Final

from identtqueue.embedded import diagnosis, keeper, launch
from identtqueue.embedded.files import OpenFile, prepare_folder
from identtqueue.embedded.place import ServerPlace
from identtqueue.errors import EmbeddedServerFailed, RedisUnavailable

START_SECONDS: Final = 10.0
"""How long a server may take until it answers. It answers while it loads its data."""
END_SECONDS: Final = keeper.SHUTDOWN_SECONDS + 5
"""How long to wait for a server that is about to end."""
_LOOK_SECONDS: Final = 0.005
_LONGEST_SOCKET_PATH: Final = 107 if sys.platform == "linux" else 103  # bytes


class Share:
    """A share in the server of one folder. It is held until `close`, or until the process ends.

    Args:
        folder: the server's folder. It is created if it does not exist.

    Attributes:
        holders: how many `EmbeddedServer` objects of this process hold it.

    Raises:
        EmbeddedServerFailed: the folder can't be used, or the server takes too long to end.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.holders = 0
        self._log_start: int | None = None  # of the server that this process has started
        prepare_folder(folder)
        self._users = OpenFile(folder / keeper.USERS)
        self._directory = OpenFile(folder, os.O_RDONLY | os.O_DIRECTORY)
        deadline = time.monotonic() + END_SECONDS
        while not self._users.lock(shared=True):
            if time.monotonic() > deadline:
                self.close()
                raise EmbeddedServerFailed(f"the embedded server in {folder} does not end")
            time.sleep(_LOOK_SECONDS)

    @property
    def is_valid(self) -> bool:
        """Whether the lock is still held: nobody has closed the file or replaced the folder."""
        return self._users.is_in_place and self._directory.is_ours

    @property
    def socket_file(self) -> str:
        """A path by which this process can connect to the server.

        A path to a socket has at most about a hundred bytes. Linux can shorten any.
        """
        path = str(self.folder / keeper.SOCKET)
        if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
            return path
        if sys.platform == "linux":
            return f"/proc/self/fd/{self._directory.number}/{keeper.SOCKET}"
        raise EmbeddedServerFailed(
            f"the path of the socket {path} is longer than {_LONGEST_SOCKET_PATH} bytes, which is "
            "the limit of this system: name a shorter folder"
        )

    def reach(self, place: ServerPlace, *, loaded: bool = False) -> str:
        """Start the server unless it runs; return the path of its socket.

        Args:
            place: how to run it.
            loaded: wait until it has loaded its data.

        Raises:
            EmbeddedServerFailed: the server can't be started.
        """
        started = False
        deadline = time.monotonic() + START_SECONDS
        while not (answer := launch.ask(self.socket_file)) or (
            loaded and answer.startswith((launch.LOADING, launch.BUSY))
        ):
            if answer:
                deadline = time.monotonic() + START_SECONDS  # it lives, and needs its time
            elif (lock := launch.take_lock(self.folder)) is not None:
                try:
                    if started:
                        raise diagnosis.describe_failure(self.folder, self._log_start or 0)
                    self._check_last_start()
                    self._log_start = launch.start(place, lock)
                finally:
                    lock.close()
                started = True
            elif time.monotonic() > deadline:
                raise diagnosis.describe_failure(self.folder, self._log_start or 0)
            time.sleep(_LOOK_SECONDS)
        return self.socket_file

    def close(self) -> None:
        """Give the share up. A fork of this process keeps its own."""
        self._users.close()
        self._directory.close()

    def _check_last_start(self) -> None:
        """Raise the reason why the server that this process started could not load its files.

        The next call starts it again, because somebody may have repaired them.
        """
        log_start, self._log_start = self._log_start, None
        reason = None if log_start is None else diagnosis.find_reason(self.folder, log_start)
        if reason is not None:
            raise reason


_lock = threading.Lock()
_shares: Final[dict[Path, Share]] = {}
_stopped: Final[set[Path]] = set()
"""Folders whose server this process has stopped. A connection that is still open must not start it
again: the folder may be temporary, and be gone."""


def _forget_lock() -> None:
    global _lock  # noqa: PLW0603 - another thread of the parent may hold it at the fork
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_lock)


def ensure(place: ServerPlace) -> str:
    """Start the server if it does not run, and hold a share in it until this process ends.

    It blocks while the server starts, and hardly at all if it runs.

    Returns:
        The path of the socket to connect to.

    Raises:
        EmbeddedServerFailed: the server can't be started.
        RedisUnavailable: this process has stopped it.
    """
    with _lock:
        if place.folder in _stopped:
            raise RedisUnavailable(
                f"the embedded server in {place.folder} was stopped by this process: start it "
                "again with EmbeddedServer"
            )
        share = _share(place.folder)
    return share.reach(place)


def hold(place: ServerPlace) -> None:
    """Do as `ensure` does, and count one more holder. Wait until the server has loaded its data.

    Raises:
        EmbeddedServerFailed: the server can't be started.
    """
    with _lock:
        share = _share(place.folder)
        _stopped.discard(place.folder)
        share.holders += 1
    try:
        share.reach(place, loaded=True)
    except BaseException:
        with _lock:
            _give_up(share)
        raise


def release(place: ServerPlace) -> None:
    """Count one holder less. After the last one, give up the share of this process.

    If no other process has one, wait until the server has ended.
    """
    with _lock:
        share = _shares.get(place.folder)
        if share is None or not _give_up(share):
            return
        _stopped.add(place.folder)
    _wait_for_end(place.folder)


def _share(folder: Path) -> Share:
    """Return the share of this process in the server of a folder; take one if it has none."""
    share = _shares.get(folder)
    if share is not None and share.is_valid:
        return share
    fresh = Share(folder)
    if share is not None:
        fresh.holders = share.holders
        share.close()
    _shares[folder] = fresh
    return fresh


def _give_up(share: Share) -> bool:
    """Count one holder less; after the last one, close the share and return True."""
    share.holders -= 1
    if share.holders > 0:
        return False
    _shares.pop(share.folder, None)
    share.close()
    return True


def _wait_for_end(folder: Path) -> None:
    """Return when the server of a folder has ended, or other processes use it."""
    deadline = time.monotonic() + END_SECONDS
    used = 0  # times in a row that others were seen: once may be a keeper on its way out
    while used < 2 and time.monotonic() < deadline:
        try:
            if (lock := launch.take_lock(folder)) is not None:
                lock.close()
                return
            used = used + 1 if _is_used(folder) else 0
        except EmbeddedServerFailed:  # the folder is gone
            return
        time.sleep(_LOOK_SECONDS)


def _is_used(folder: Path) -> bool:
    """Return whether a process has a share in the server of a folder."""
    users = OpenFile(folder / keeper.USERS)
    try:
        if users.lock():
            return False
        return users.lock(shared=True)  # else the keeper has it: the server ends
    finally:
        users.close()
