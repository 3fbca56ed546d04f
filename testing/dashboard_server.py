"""The dashboard under test: a real uvicorn, in a thread of its own."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Final

import uvicorn

from identtqueue.dashboard import BasicAuth, create_dashboard
from testing.dashboard_users import users_file
from testing.redis_server import free_port

_START_SECONDS: Final = 30.0
_END_SECONDS: Final = 30.0


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
