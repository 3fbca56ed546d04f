"""The browser of the tests notices what must not happen on a page."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.async_api import Browser

from testing import browser as browsers

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

POLICY = "default-src 'self'"
PAGE = "<!doctype html><html lang=en><title>t</title><main><h1>t</h1>{}</main>"
GOOD = "<p>Nothing happens here.</p>"


class _Handler(SimpleHTTPRequestHandler):
    """Serves a folder with the policy of the dashboard, but files named `open` without it."""

    def end_headers(self) -> None:
        if "open" not in self.path:
            self.send_header("Content-Security-Policy", POLICY)
        super().end_headers()

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def base(folder: Path) -> Iterator[str]:
    handler = functools.partial(_Handler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("name", "body", "noticed"),
    [
        ("open", "<script>alert('seen')</script>", "dialog: seen"),
        ("open", "<script>throw new Error('broken')</script>", "error: broken"),
        ("open", "<script>console.error('told')</script>", "console: told"),
        (
            "open",
            "<img alt='' src='http://127.0.0.2:9/x.png'>",
            "request: http://127.0.0.2:9/x.png",
        ),
        ("strict", "<script>alert('not run')</script>", "policy: script-src-elem: inline"),
        ("strict", "<p onclick='x()' style='color:red'>x</p>", "policy: style-src-attr: inline"),
    ],
)
async def test_it_notices(
    name: str, body: str, noticed: str, chromium: Browser, base: str, folder: Path
) -> None:
    (folder / f"{name}.html").write_text(PAGE.format(body))
    async with browsers.visiting(chromium, base) as visitor:
        await visitor.open(f"/{name}.html")
        with pytest.raises(AssertionError, match=noticed):
            await visitor.check()


async def test_it_notices_nothing_else(chromium: Browser, base: str, folder: Path) -> None:
    (folder / "good.html").write_text(PAGE.format(GOOD))
    (folder / "favicon.ico").write_bytes(b"")
    async with browsers.visiting(chromium, base) as visitor:
        await visitor.open("/good.html")
        await visitor.check()
        assert await visitor.axe() == []
        assert await visitor.overflow() == []
        assert visitor.received >= len(GOOD)


async def test_axe_and_overflow(chromium: Browser, base: str, folder: Path) -> None:
    wide = "<img src=favicon.ico><div style='width:3000px'>wide</div>"
    (folder / "open.html").write_text(PAGE.format(wide))
    (folder / "favicon.ico").write_bytes(b"")
    async with browsers.visiting(chromium, base) as visitor:
        await visitor.open("/open.html")
        assert [found["rule"] for found in await visitor.axe()] == ["image-alt"]
        assert [found[:4] for found in await visitor.overflow()] == ["<div"]
