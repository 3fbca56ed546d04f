"""A real gunicorn that imports an example before it forks (`--preload`), and requests to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from testing.processes import environment
from testing.redis_server import free_port


class Gunicorn:
    """gunicorn with two processes, and perhaps a worker for the example's jobs.

    Args:
        example: folder of the example.
        service: the application, as in `service:service`.
        folder: where the logs go.
        address: address of Redis.
        options: more options of gunicorn.
    """

    def __init__(
        self, example: Path, service: str, folder: Path, address: str, *options: str
    ) -> None:
        self.port = free_port()
        path = os.pathsep.join([str(example), environment("")["PYTHONPATH"]])
        self._environment = environment(address, PYTHONPATH=path) | {"PYTHONWARNINGS": "default"}
        self._example, self._folder = example, folder
        self._processes: list[subprocess.Popen[bytes]] = []
        control = f"--control-socket={folder / 'control'}"
        self.server = self.start(
            *("gunicorn", "--preload", "--workers=2", f"--bind=127.0.0.1:{self.port}", control),
            *(*options, service),
        )

    def start(self, module: str, *words: str) -> subprocess.Popen[bytes]:
        """Start a program of Python beside it, with the same environment."""
        with (self._folder / module).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *words],
                cwd=self._example,
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        self._processes.append(process)
        return process

    def said(self, module: str = "gunicorn") -> str:
        """Return the log of a program."""
        return (self._folder / module).read_text()

    def ask(
        self, path: str, data: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Send a request; return the status, and the JSON if it is good."""
        assert self.server.poll() is None, self.said()
        address = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(address, data, dict(headers or {}))
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def end(self) -> list[int]:
        """End all in order; return the exit codes."""
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        return [process.wait(30) for process in self._processes]

    def destroy(self) -> None:
        """End what still runs."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.wait()
