"""The start of an embedded server, and the question whether one runs."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path
from typing import Final

from identtqueue.embedded import diagnosis, keeper
from identtqueue.embedded.files import OpenFile
from identtqueue.embedded.place import Durability, ServerPlace
from identtqueue.embedded.program import find_python, find_server
from identtqueue.errors import EmbeddedServerFailed

LOCK: Final = "server.lock"
"""File that is locked while a server is being started or runs in its folder."""
APPEND_ONLY_FOLDER: Final = "appendonlydir"

LOADING: Final = b"-LOADING"
"""Beginning of the answer of a server that loads its data."""
BUSY: Final = b"-BUSY"
"""Answer that stands for none: something listens, and has not answered in time."""

_ANSWER_SECONDS: Final = 1.0
_PASSED_ON: Final = ("PATH", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""Variables that the server may need. Others, such as passwords, are kept from it."""


def ask(socket_file: str) -> bytes:
    """Return how the server answers a PING; empty if none runs."""
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(_ANSWER_SECONDS)
            link.connect(socket_file)
            link.sendall(b"PING\r\n")
            return link.recv(64)
    except TimeoutError:
        return BUSY
    except OSError:
        return b""


def take_lock(folder: Path) -> OpenFile | None:
    """Take the lock of a folder; return None if a server is starting, runs or ends there.

    Raises:
        EmbeddedServerFailed: the folder can't be used.
    """
    lock = OpenFile(folder / LOCK)
    taken = False
    try:
        taken = lock.lock()
    finally:
        if not taken:
            lock.close()
    return lock if taken else None


def start(place: ServerPlace, lock: OpenFile) -> int:
    """Start a keeper, which starts the server, and pass the lock of the folder on to it.

    Returns:
        The position in the server's log at which it begins to write.

    Raises:
        EmbeddedServerFailed: that is not possible.
    """
    _check_durability(place)
    command = [find_python(), "-I", "-S", keeper.__file__, str(place.folder), find_server()]
    log_start = diagnosis.prepare_log(place.folder)
    log = OpenFile(place.folder / diagnosis.LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        subprocess.run(  # noqa: S603 - it ends at once: the keeper is its fork
            [*command, str(lock.number), *_options(place.durability)],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=log.number,
            stderr=log.number,
            pass_fds=[lock.number],
            env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            start_new_session=True,  # a Ctrl-C in the terminal is for its users
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedServerFailed(
            f"the embedded server in {place.folder} can't be started: {error}"
        ) from error
    finally:
        log.close()
    return log_start


def _options(durability: Durability) -> list[str]:
    """Return the options of the server: a socket, no port, an append-only file or nothing."""
    is_kept = durability is not Durability.NONE
    return [
        *("--port", "0", "--unixsocket", keeper.SOCKET, "--unixsocketperm", "700"),
        *("--dir", ".", "--save", "", "--appendonly", "yes" if is_kept else "no"),
        *("--appendfsync", durability.value if is_kept else "no"),
        *("--appenddirname", APPEND_ONLY_FOLDER, "--shutdown-timeout", "0"),
        *("--maxmemory-policy", "noeviction", "--always-show-logo", "no"),
    ]


def _check_durability(place: ServerPlace) -> None:
    """Refuse to leave data that was to be kept behind unseen."""
    if place.durability is Durability.NONE and (place.folder / APPEND_ONLY_FOLDER).exists():
        raise EmbeddedServerFailed(
            f"{place.folder} holds data, which a server with durability=none would not load: leave "
            "the option out, or name another folder"
        )
