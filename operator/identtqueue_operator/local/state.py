"""The state folder of one `identtqueue local`: its lock, its socket, and what it remembers.

The default is a folder for each working directory, below the user's state folder, so that the
commands find the instance that was started in the same directory.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import socket
import time
from pathlib import Path

from identtqueue_operator.local.objects import Json

SOCKET = "control.sock"
WAIT_SECONDS = 12.0
"""How long the processes of an instance that was killed may take to end; its keeper ends them."""
PAUSE_SECONDS = 0.02


class StateFolderError(Exception):
    """The folder cannot be used; the message says why, and what to do."""


def default_folder() -> Path:
    """Return the state folder of the working directory."""
    given = os.environ.get("XDG_STATE_HOME", "")
    state = Path(given) if Path(given).is_absolute() else Path.home() / ".local" / "state"
    here = Path.cwd()
    name = re.sub(r"[^A-Za-z0-9._-]", "-", here.name)[:32] or "root"
    digest = hashlib.sha256(str(here).encode()).hexdigest()[:8]
    return state / "identtqueue" / "local" / f"{name}-{digest}"


class StateFolder:
    """A state folder, which one instance at a time has.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.secrets = self.path / "secrets"
        self._memory = self.path / "state.json"

    def take(self) -> int:
        """Lock the folder for this process and its keeper; return the lock's descriptor.

        Raises:
            StateFolderError: it cannot be written, or another instance has it.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            text = f"the state folder {self.path} cannot be used: {error.strerror}"
            raise StateFolderError(f"{text}; name another one by --state") from None
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            self._check_answers(lock, late=time.monotonic() > deadline)
            time.sleep(PAUSE_SECONDS)

    def _check_answers(self, lock: int, *, late: bool) -> None:
        """Raise if the folder belongs to an instance that lives."""
        try:
            self.connect(0.5).close()
        except OSError:
            if not late:
                return  # it was killed, and its keeper is about to end its processes
        os.close(lock)
        raise StateFolderError(
            f"another `identtqueue local` uses the state folder {self.path}: end that one, or name "
            "another folder by --state"
        )

    # --- the socket ---

    def listen(self) -> socket.socket:
        """Make the socket on which this instance answers."""
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # The name of a socket may have 108 characters at most; a relative one is short.
        with contextlib.chdir(self.path):
            Path(SOCKET).unlink(missing_ok=True)
            listening.bind(SOCKET)
        listening.listen()
        return listening

    def connect(self, timeout_seconds: float) -> socket.socket:
        """Connect to the instance that has this folder.

        Raises:
            OSError: there is none.
        """
        connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connecting.settimeout(timeout_seconds)
        try:
            with contextlib.chdir(self.path):
                connecting.connect(SOCKET)
        except OSError:
            connecting.close()
            raise
        return connecting

    # --- memory ---

    def load(self) -> Json:
        """Read what an earlier instance has saved; empty if there was none."""
        try:
            found = json.loads(self._memory.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def save(self, memory: Json) -> None:
        """Save what the next instance has to know."""
        new = self._memory.with_suffix(".new")
        new.touch(0o600)
        new.write_text(json.dumps(memory), "utf-8")
        new.replace(self._memory)
