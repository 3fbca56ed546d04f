"""Dashboards on a real port, in the event loop of the test, and tabs that follow streams."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import httpx
import uvicorn
from starlette.types import ASGIApp

from testing.waiting import LONG_SECONDS

INTERVAL_SECONDS: Final = 0.2


class _TestServer(uvicorn.Server):
    """A server that leaves signals alone: it would put back a handler of a loop that has ended."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def served(app: ASGIApp, **settings: Any) -> AsyncIterator[str]:
    """Serve an application on a free port, and yield its address."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_config=None, timeout_graceful_shutdown=1, **settings
    )
    server = _TestServer(config)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(LONG_SECONDS):
        while not server.started:
            assert not task.done(), task
            await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, LONG_SECONDS)


class Tab:
    """A browser's tab that follows the stream of a page.

    Attributes:
        parts: what it shows: HTML by the id of the element.
        received: the ids of each message, in order.
        trouble: the last trouble that was reported.
    """

    def __init__(self) -> None:
        self.parts: dict[str, str] = {}
        self.received: list[set[str]] = []
        self.trouble = ""

    async def follow(self, client: httpx.AsyncClient, path: str) -> None:
        """Follow a stream until it ends."""
        kind = ""
        async with client.stream("GET", path, timeout=httpx.Timeout(LONG_SECONDS)) as answer:
            assert answer.status_code == 200, await answer.aread()
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for text in answer.aiter_lines():
                if text.startswith("event: "):
                    kind = text.removeprefix("event: ")
                elif text.startswith("data: "):
                    self._take(kind, json.loads(text.removeprefix("data: ")))

    def _take(self, kind: str, data: Any) -> None:
        if kind == "trouble":
            self.trouble = data
        else:
            self.parts |= data
            self.received.append(set(data))


@asynccontextmanager
async def following(client: httpx.AsyncClient, path: str) -> AsyncIterator[Tab]:
    """Follow a stream in the background."""
    tab = Tab()
    task = asyncio.create_task(tab.follow(client, path))
    try:
        yield tab
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def live_address(page: str) -> str:
    """Return the address of the stream that a page names."""
    found = re.search(r'data-live="([^"]+)"', page)
    assert found, page
    return found[1].replace("&amp;", "&")


def token(page: str) -> str:
    """Return the token of a page's forms."""
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', page)
    assert found, page
    return found[1]


def text_of(html: str) -> str:
    """Return the words of a page, with single blanks."""
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())
