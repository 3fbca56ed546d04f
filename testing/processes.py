"""Worker processes: started by the real command, and ended by real signals."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from testing.ledger import VARIABLE, Ledger
from testing.waiting import LONG_SECONDS, eventually

ROOT = Path(__file__).resolve().parents[1]
LEASE_SECONDS = 5.0
"""Shortest lease that the library allows, because most fault tests wait for it to run out."""


def environment(address: str, **more: str) -> dict[str, str]:
    """Make the environment of a child that uses this source tree and a Redis.

    Warnings are errors there too.
    """
    path = os.pathsep.join([str(ROOT / "queue"), str(ROOT)])
    base = {name: value for name, value in os.environ.items() if "IDENTTQUEUE" not in name}
    return base | {
        "PYTHONPATH": path,
        "PYTHONWARNINGS": "error",
        "PYTHONFAULTHANDLER": "1",
        "IDENTTQUEUE_REDIS_ADDRESS": address,
        **more,
    }


class WorkerProcess:
    """`identtqueue worker testing.jobs:app …`, with a log and a ledger.

    Args:
        address: address of Redis.
        queues: its queues.
        ledger: ledger that its jobs write into.
        app: app that has its jobs.
        options: options of the command, such as `concurrency=2`.
        environ: additional environment variables.
    """

    def __init__(
        self,
        address: str,
        queues: Sequence[str],
        ledger: Ledger,
        *,
        app: str = "testing.jobs:app",
        environ: dict[str, str] | None = None,
        **options: float | str,
    ) -> None:
        # DEBUG has a line for each failure; what users see is rarer.
        options = {
            "log_level": "DEBUG",
            "lease_seconds": LEASE_SECONDS,
            "grace_seconds": 20,
        } | options
        self._command = [
            *(sys.executable, "-m", "identtqueue", "worker", app),
            *(word for queue in queues for word in ("--queue", queue)),
            *(f"--{name.replace('_', '-')}={value}" for name, value in options.items()),
        ]
        self._environment = environment(address, **{VARIABLE: str(ledger.path)}, **(environ or {}))
        self._folder = ledger.path.parent
        self._process: subprocess.Popen[bytes] | None = None
        self._log: Path | None = None

    def start(self) -> WorkerProcess:
        """Start it, without waiting for it."""
        self._log = self._folder / f"worker-{os.urandom(4).hex()}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log
            )
        return self

    async def started(self) -> WorkerProcess:
        """Start it; return when it is registered."""
        self.start()
        await self.registered()
        return self

    async def registered(self, times: int = 1) -> str:
        """Wait for its nth registration (it repeats it after a lost lease); return its id."""

        def ids() -> list[str]:
            assert self.process.poll() is None, f"the worker has ended: {self.log}"
            return re.findall(r"worker (\S+): queues", self.log)

        found = await eventually(
            lambda: (seen := ids())[times - 1 :] and seen,
            lambda: f"registered {times} times; its log: {self.log}",
        )
        return str(found[times - 1])

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running process."""
        assert self._process is not None
        return self._process

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self.process.pid

    @property
    def log(self) -> str:
        """Its log so far."""
        assert self._log is not None
        return self._log.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        """Send a real signal."""
        self.process.send_signal(number)

    async def ended(self, *, seconds: float = LONG_SECONDS) -> int:
        """Wait for its end; return its exit code."""
        await eventually(
            lambda: self.process.poll() is not None,
            lambda: f"the worker has ended; its log: {self.log}",
            seconds=seconds,
        )
        return self.process.returncode

    async def terminate(self) -> None:
        """Send SIGTERM, and check that it ends in order."""
        self.send(signal.SIGTERM)
        code = await self.ended()
        assert code == 0, f"exit code {code}; its log: {self.log}"

    async def kill(self) -> None:
        """Send SIGKILL, and wait until it is gone."""
        self.send(signal.SIGKILL)
        await asyncio.to_thread(self.process.wait)

    def destroy(self) -> None:
        """End it, whatever its state."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
