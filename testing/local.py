"""`identtqueue local` as a real process, with worker processes of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner, Result

from identtqueue_operator.local.cli import local
from identtqueue_operator.local.client import ask
from testing.ledger import VARIABLE, Ledger, Line
from testing.processes import ROOT, environment
from testing.waiting import LONG_SECONDS, eventually

Json = dict[str, Any]

COMMAND = (sys.executable, "-m", "identtqueue_operator.local")
WORKER = ["python", "-m", "identtqueue", "worker", "testing.jobs:app"]


def task_queue(name: str, queue: str, address: str | None, **spec: Any) -> Json:
    """Make a TaskQueue that scales up and down at once, one task for each worker."""
    scaling = {
        "concurrencyPerReplica": 1,
        "maxReplicas": 2,
        "scaleDown": {"stabilizationSeconds": 0, "idleSeconds": 0},
    } | spec.pop("scaling", {})
    if "workloadRef" not in spec:
        container = {"name": "worker", "image": "none", "command": WORKER}
        spec.setdefault("template", {"spec": {"containers": [container]}})
    return {
        "apiVersion": "identtqueue.dev/v1alpha1",
        "kind": "TaskQueue",
        "metadata": {"name": name},
        "spec": {
            "queues": [{"name": queue}],
            **({} if address is None else {"redis": {"address": address}}),
            "drain": {"timeoutSeconds": 20},
            "scaling": scaling,
            **spec,
        },
    }


def write(path: Path, *bodies: Json) -> Path:
    """Write a file of several documents."""
    path.write_text(yaml.safe_dump_all(bodies))
    return path


class LocalInstance:
    """One `identtqueue local`, with its state folder, its log and a ledger of the workers.

    Args:
        folder: for all of these; the next instance may have the same.
        environ: more environment variables.

    Attributes:
        environ: the whole environment.
    """

    def __init__(self, folder: Path, **environ: str) -> None:
        self.ledger = Ledger(folder / "ledger")
        self.state = folder / "state"
        self._log = folder / "log"
        path = os.pathsep.join([str(ROOT / "queue"), str(ROOT / "operator"), str(ROOT)])
        self.environ = environment("redis://localhost:1") | {
            "PYTHONPATH": path,
            VARIABLE: str(self.ledger.path),
            **environ,
        }
        del self.environ["IDENTTQUEUE_REDIS_ADDRESS"]
        self._process: subprocess.Popen[bytes] | None = None

    def call(self, *words: str) -> Result:
        """Call a command of `identtqueue local` in this process, which costs a tenth."""
        return CliRunner(env={"IDENTTQUEUE_LOCAL_STATE": str(self.state)}).invoke(local, words)

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command of `identtqueue local` as a process, to its end."""
        return subprocess.run(
            [*COMMAND, *map(str, words)],
            env=self.environ | {"IDENTTQUEUE_LOCAL_STATE": str(self.state)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    async def start(self, *files: Path) -> LocalInstance:
        """Start it, and wait until it runs."""
        begun = len(self.log)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
                [*COMMAND, *(f"--file={file}" for file in files), f"--state={self.state}"],
                env=self.environ,
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        await self.logged("running; ", since=begun)
        return self

    async def logged(self, text: str, since: int = 0) -> str:
        """Wait for a text in the log; return the log from there on."""

        def look() -> str:
            found = self.log.find(text, since)
            assert found >= 0 or self.process.poll() is None, f"it has ended: {self.log}"
            return self.log[found:] if found >= 0 else ""

        return str(await eventually(look, lambda: f"{text!r} in the log: {self.log}"))

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running process."""
        assert self._process is not None
        return self._process

    @property
    def log(self) -> str:
        """The log of all instances in this folder, with the workers' output."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the instance, and to nothing else."""
        self.process.send_signal(number)

    async def ended(self, seconds: float = LONG_SECONDS) -> int:
        """Wait for its end; return its exit code."""
        what = "identtqueue local has ended"
        await eventually(lambda: self.process.poll() is not None, what, seconds=seconds)
        return self.process.returncode

    def destroy(self) -> None:
        """End it, whatever its state; its keeper ends the workers."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    # --- what it says ---

    def items(self, plural: str) -> list[Json]:
        """Ask for all objects of a kind."""
        found: list[Json] = ask(self.state, "list", plural=plural)["items"]
        return found

    def status(self, name: str) -> Json:
        """Ask for the status of a TaskQueue."""
        bodies = {body["metadata"]["name"]: body for body in self.items("taskqueues")}
        found: Json = bodies[name].get("status") or {}
        return found

    async def started(self, task_id: str, times: int = 1) -> Line:
        """Wait until a task has started so many times; return the last start."""

        def look() -> list[Line]:
            return [line for line in self.ledger.starts() if line.task_id == task_id][times - 1 :]

        found = await eventually(look, lambda: f"start {times} of {task_id}; the log: {self.log}")
        return found[-1]


def alive(pids: Iterable[int]) -> set[int]:
    """Return those processes that have not ended."""

    def runs(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    return {pid for pid in pids if runs(pid)}
