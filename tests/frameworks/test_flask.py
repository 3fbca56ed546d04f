"""The Flask example under a real gunicorn that forks after the service was imported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from testing.processes import ROOT, environment
from testing.redis_server import RedisServer, free_port
from testing.waiting import wait_until

EXAMPLE = ROOT / "examples" / "flask"


class Service:
    """gunicorn with the example, and a worker for its jobs."""

    def __init__(self, folder: Path, address: str) -> None:
        self.port = free_port()
        path = os.pathsep.join([str(EXAMPLE), environment("")["PYTHONPATH"]])
        self._environment = environment(address, PYTHONPATH=path) | {"PYTHONWARNINGS": "default"}
        self._folder = folder
        self.log = ""
        self.gunicorn = self._start(
            *("gunicorn", "--preload", "--workers=2", "--threads=8", "--log-level=info"),
            *(f"--bind=127.0.0.1:{self.port}", "--no-control-socket", "service:service"),
        )
        self.worker = self._start("identtqueue", "worker", "tasks:app", "--lease-seconds=5")

    def _start(self, module: str, *words: str) -> subprocess.Popen[bytes]:
        with (self._folder / module).open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", module, *words],
                cwd=EXAMPLE,
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    def said(self, module: str) -> str:
        """Return the log of a process."""
        return (self._folder / module).read_text()

    def answers(self) -> bool:
        """Return whether gunicorn serves requests."""
        assert self.gunicorn.poll() is None, self.said("gunicorn")
        return self.ask("/texts/documents:none")[0] == 404

    def ask(self, path: str, **form: str) -> tuple[int, Any]:
        """Send a request; return the status, and the JSON if it is good."""
        data = urllib.parse.urlencode(form).encode() if form else None
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def end(self) -> list[int]:
        """End both in order; return their exit codes."""
        for process in (self.gunicorn, self.worker):
            process.send_signal(signal.SIGTERM)
        return [process.wait(30) for process in (self.gunicorn, self.worker)]


@pytest.fixture
def service(tmp_path: Path, redis_server: RedisServer) -> Iterator[Service]:
    made = Service(tmp_path, redis_server.address)
    try:
        wait_until("gunicorn answers", made.answers, ignore=OSError)
        yield made
    finally:
        for process in (made.gunicorn, made.worker):
            if process.poll() is None:
                process.kill()
                process.wait()


@pytest.mark.slow
def test_blocking_views_in_processes_that_were_forked(service: Service) -> None:
    texts = ["word " * n for n in range(1, 33)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda text: service.ask("/texts/now", text=text), texts))
    assert [status for status, _ in answers] == [200] * 32, service.said("gunicorn")
    assert [found["words"] for _, found in answers] == list(range(1, 33))
    processes = {found["process"] for _, found in answers}
    assert len(processes) == 2, "both processes of gunicorn have worked"
    assert service.gunicorn.pid not in processes

    status, placed = service.ask("/texts", text="one two")
    assert status == 202

    def state() -> bool:
        return bool(service.ask(f"/texts/{placed['id']}")[1]["state"] == "succeeded")

    wait_until("the task has succeeded", state)
    assert service.ask("/texts/no-id")[0] == 404
    assert service.end() == [0, 0]
    assert "Traceback" not in service.said("gunicorn")


@pytest.mark.slow
def test_a_failure_is_shown_without_its_traceback(service: Service) -> None:
    status, page = service.ask("/texts/now", text=" ")
    assert status == 502
    assert "there is no word" in page
    assert "tasks.py" not in page
