"""A real browser for the tests and the pictures of the dashboard: Chromium, driven by Playwright.

The executable is Debian's, so no browser is downloaded. `Visitor` is a page that notes everything
that must not happen: a dialog, an error, a violation of the content security policy, a request to
elsewhere.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser, Page, Request, async_playwright

ROOT: Final = Path(__file__).resolve().parents[1]
AXE: Final = ROOT / "tests" / "dashboard" / "vendor" / "axe-core" / "axe.min.js"

PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome")
WIDE: Final = (1280, 800)
PHONE: Final = (375, 667)
SCHEMES: Final = ("light", "dark")

_FLAGS: Final = (
    # Nothing that a page asks for leaves this machine, whatever a payload tries.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--disable-gpu",
    "--font-render-hinting=none",
)

_NOTE_VIOLATIONS: Final = """
window.violations = [];
document.addEventListener("securitypolicyviolation", event =>
  window.violations.push(`${event.effectiveDirective}: ${event.blockedURI} ${event.sample}`));
"""

_RUN_AXE: Final = """
async () => (await axe.run(document, {resultTypes: ["violations"]})).violations.map(found => ({
  rule: found.id, impact: found.impact, help: found.help, nodes: found.nodes.map(node => node.html),
}))
"""

_OVERFLOW: Final = """
() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  return [...document.body.querySelectorAll("*")]
    .filter(one => one.getBoundingClientRect().right > width + 1)
    .map(one => one.outerHTML.slice(0, 200));
}
"""


def executable() -> str:
    """Return the path of the browser.

    Raises:
        FileNotFoundError: the system has none.
    """
    for name in PROGRAMS:
        if found := shutil.which(name):
            return found
    raise FileNotFoundError("no chromium on PATH: `make setup` installs it on Debian")


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Run a browser within a `with` block."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable(), args=[*_FLAGS])
        try:
            yield browser
        finally:
            await browser.close()


class Visitor:
    """A page of the dashboard in a context of its own, with notes of what must not happen.

    Args:
        page: the page.
        base: address of the dashboard; requests to anywhere else are noted.

    Attributes:
        page: the page, for everything else that Playwright can do.
        trouble: what must not happen and did.
        received: bytes of the bodies that the browser got, without files that it keeps.
    """

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.base = base
        self.trouble: list[str] = []
        self.received = 0
        page.on("dialog", self._on_dialog)
        page.on("pageerror", lambda error: self.trouble.append(f"error: {error}"))
        page.on("console", self._on_console)
        page.on("request", self._on_request)
        page.on("requestfinished", self._on_finished)

    async def _on_dialog(self, dialog: Any) -> None:
        self.trouble.append(f"dialog: {dialog.message}")
        await dialog.dismiss()

    def _on_console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.trouble.append(f"console: {message.text}")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith(self.base):
            self.trouble.append(f"request: {request.url[:200]}")

    async def _on_finished(self, request: Request) -> None:
        if "/static/" not in request.url:
            self.received += (await request.sizes())["responseBodySize"]

    async def open(self, path: str) -> None:
        """Open a page of the dashboard, and wait until it is loaded."""
        await self.page.goto(self.base + path, wait_until="load")

    async def violations(self) -> list[str]:
        """Return the violations of the content security policy on the page that is open."""
        found: list[str] = await self.page.evaluate("() => window.violations || []")
        return found

    async def check(self) -> None:
        """Check that nothing has happened that must not.

        Raises:
            AssertionError: something has; the text lists it.
        """
        trouble = self.trouble + [f"policy: {one}" for one in await self.violations()]
        assert not trouble, "\n".join(trouble)

    async def axe(self) -> list[dict[str, Any]]:
        """Return what axe-core objects to on the page that is open, at any impact."""
        await self.page.evaluate(AXE.read_text("utf-8") + "; undefined")
        found: list[dict[str, Any]] = await self.page.evaluate(_RUN_AXE)
        return found

    async def overflow(self) -> list[str]:
        """Return the elements that are wider than the page: it must never scroll sideways.

        After a change of the width the plots follow in one of the next frames, so this looks again
        until nothing is too wide, for some seconds.
        """
        found: list[str] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAYOUT_SECONDS):
                while found := await self.page.evaluate(_OVERFLOW):
                    await self.page.evaluate("() => new Promise(requestAnimationFrame)")
        return found


_LAYOUT_SECONDS: Final = 10.0


@asynccontextmanager
async def visiting(
    browser: Browser,
    base: str,
    *,
    login: tuple[str, str] | None = None,
    scheme: str = "light",
    size: tuple[int, int] = WIDE,
    script: bool = True,
) -> AsyncIterator[Visitor]:
    """Open a context of its own in the browser, with one page, within a `with` block.

    Args:
        browser: the running browser.
        base: address of the dashboard.
        login: name and password; None: without a login.
        scheme: preferred colours: `light` or `dark`.
        size: width and height of the page in CSS pixels.
        script: False: a browser without JavaScript.
    """
    context = await browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": size[0], "height": size[1]},
        http_credentials=login and {"username": login[0], "password": login[1]},
        reduced_motion="reduce",
        timezone_id="UTC",
        locale="en-GB",
        java_script_enabled=script,
    )
    try:
        await context.add_init_script(_NOTE_VIOLATIONS)
        page = await context.new_page()
        page.set_default_timeout(20_000)
        yield Visitor(page, base)
    finally:
        await context.close()
