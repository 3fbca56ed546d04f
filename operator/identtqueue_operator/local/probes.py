"""Probes of a worker over HTTP, as the kubelet makes them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ANSWER_BYTES = 256
"""The status line is in the first bytes of an answer."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One of the probes of a container."""

    path: str
    period_seconds: float
    timeout_seconds: float
    failures: int
    """How many in a row count."""

    @classmethod
    def read(cls, given: Mapping[str, Any] | None) -> "Probe | None":
        """Read a probe of a container; None if there is none, or none over HTTP."""
        if not given or not given.get("httpGet"):
            return None
        return cls(
            path=str(given["httpGet"].get("path") or "/"),
            period_seconds=float(given.get("periodSeconds") or 10),
            timeout_seconds=float(given.get("timeoutSeconds") or 1),
            failures=int(given.get("failureThreshold") or 3),
        )

    async def succeeds(self, port: int) -> bool:
        """Ask once."""
        try:
            async with asyncio.timeout(self.timeout_seconds):
                return await _get(port, self.path)
        except (OSError, TimeoutError, ValueError):
            return False


async def _get(port: int, path: str) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        await writer.drain()
        words = (await reader.read(ANSWER_BYTES)).split(None, 2)
        return len(words) > 1 and 200 <= int(words[1]) < 400
    finally:
        writer.close()
