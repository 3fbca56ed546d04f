"""The operator as a process of its own on this machine, and what it uses."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from benchmarks.harness.processes import cpu_seconds, rss_bytes
from testing.redis_server import free_port

LOG_TAIL = 3000
LOOK_SECONDS = 0.2
"""Between two looks at /metrics, which nobody announces."""


class Operator:
    """`python -m identtqueue_operator`, serving one namespace.

    Args:
        namespace: that it serves, and where its Lease is.
        log: where its log goes.
        kubeconfig: of the API server; None: that of the environment.
        settings: more variables of its environment.
    """

    def __init__(
        self, namespace: str, log: Path, kubeconfig: Path | None = None, **settings: str
    ) -> None:
        self._kubeconfig = kubeconfig
        self._settings = settings
        self._namespace = namespace
        self._log = log
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it; return when it leads."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ["HOME"],
            "KUBECONFIG": str(self._kubeconfig or os.environ["KUBECONFIG"]),
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "POD_NAMESPACE": self._namespace,
            "POD_NAME": "benchmark",
            "IDENTTQUEUE_HTTP_PORT": str(self.port),
            "IDENTTQUEUE_LOG_LEVEL": "warning",
            **self._settings,
        }
        self._process = self._spawn(environment)
        async with asyncio.timeout(60):
            while "identtqueue_operator_leading 1.0" not in await self.metrics():
                self.check()
                await asyncio.sleep(0.1)

    def _spawn(self, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "identtqueue_operator"]
        with self._log.open("ab") as log:
            return subprocess.Popen(words, env=environment, stderr=log)

    async def stop(self) -> None:
        """End it in order."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.to_thread(process.wait, 30)
            except subprocess.TimeoutExpired:
                process.kill()
                await asyncio.to_thread(process.wait)

    def check(self) -> None:
        """Raise if it has ended by itself."""
        assert self._process is not None
        if self._process.poll() is not None:
            tail = self._log.read_text(errors="replace")[-LOG_TAIL:]
            raise RuntimeError(f"the operator ended with {self._process.returncode}:\n{tail}")

    async def metrics(self) -> str:
        """Return the numbers of /metrics; none while its port is not open."""
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{self.port}/metrics") as response,
            ):
                return await response.text()
        except aiohttp.ClientError:
            return ""

    async def looked_after(self) -> int:
        """TaskQueues of which it has seen Redis answer since it started."""
        series = "identtqueue_operator_redis_reachable{"
        lines = (await self.metrics()).splitlines()
        return sum(line.startswith(series) and line.endswith(" 1.0") for line in lines)

    async def until_looked_after(self, number: int, seconds: float = 120) -> float:
        """Wait for so many TaskQueues; seconds since this was called.

        Raises:
            AssertionError: it takes longer than `seconds`.
        """
        return await self._until(self.looked_after, number, seconds)

    async def until_refused(self, number: int, seconds: float) -> None:
        """Wait until the specifications of so many TaskQueues are refused.

        Raises:
            AssertionError: it takes longer than `seconds`.
        """
        await self._until(self.refused, number, seconds)

    async def refused(self) -> int:
        """Count the TaskQueues whose specification it refuses."""
        return (await self.metrics()).count('reason="InvalidSpec"')

    async def _until(
        self, count: Callable[[], Awaitable[int]], number: int, seconds: float
    ) -> float:
        begin = time.monotonic()
        while (found := await count()) < number:
            self.check()
            if time.monotonic() - begin > seconds:
                raise AssertionError(f"{found} of {number} TaskQueues in {seconds:g} s")
            await asyncio.sleep(LOOK_SECONDS)
        return time.monotonic() - begin

    async def api_writes(self) -> float:
        """Requests to the API server that change something, since it started."""
        name = "identtqueue_operator_api_writes_total "
        lines = (await self.metrics()).splitlines()
        return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))

    def rss_mb(self) -> float:
        """Resident memory."""
        assert self._process is not None
        return rss_bytes([self._process.pid]) / 1e6

    def peak_mb(self) -> float:
        """The most resident memory that it ever had."""
        assert self._process is not None
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1e3

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        assert self._process is not None
        return cpu_seconds([self._process.pid])
