"""The dashboard under test: a real uvicorn, in a thread of its own, with two users."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from pathlib import Path
from typing import Any, Final

import uvicorn

from identtqueue.dashboard import BasicAuth, create_dashboard
from testing.redis_server import free_port

VIEWER: Final = ("vera", "may look")
OPERATOR: Final = ("otto", "may act")
_START_SECONDS: Final = 30.0
_END_SECONDS: Final = 30.0


def user_line(login: tuple[str, str], role: str) -> str:
    """Make a line of a file of users. Its hash is quick to check, and so no good one."""
    name, password = login
    digest = hashlib.scrypt(password.encode(), salt=b"salt", n=2, r=8, p=1, dklen=32)
    words = (base64.b64encode(part).decode().rstrip("=") for part in (b"salt", digest))
    return f"{name}:{role}:scrypt$1$8$1${'$'.join(words)}\n"


def users_file(folder: Path) -> Path:
    """Write the file with the two users."""
    path = folder / "users"
    path.write_text(user_line(VIEWER, "viewer") + user_line(OPERATOR, "operator"))
    return path


class DashboardServer:
    """A dashboard that serves on a port of the loopback interface.

    Args:
        redis: address of Redis.
        folder: gets the file of users.
        root: where it is mounted, as behind a proxy that takes this prefix away.
        **settings: of `create_dashboard`.
    """

    def __init__(self, redis: str, folder: Path, *, root: str = "", **settings: Any) -> None:
        settings.setdefault("auth", BasicAuth(users_file(folder)))
        settings.setdefault("interval_seconds", 0.2)
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        config = uvicorn.Config(
            create_dashboard(redis, **settings),
            host="127.0.0.1",
            port=self.port,
            root_path=root,
            log_level="warning",
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="dashboard")

    def start(self) -> DashboardServer:
        """Start it, and wait until it answers."""
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started:
            assert self._thread.is_alive(), "uvicorn has ended"
            assert time.monotonic() < deadline, "uvicorn does not start"
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        """End it in order."""
        self._server.should_exit = True
        self._thread.join(_END_SECONDS)
        assert not self._thread.is_alive(), "uvicorn does not end"
