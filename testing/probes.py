"""Requests to a worker's HTTP server."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request


async def ask(port: int, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
    """Get a path; return status and text."""

    def get() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return await asyncio.to_thread(get)
