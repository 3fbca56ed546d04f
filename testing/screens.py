"""Pictures of the dashboard: `python -m testing.screens` takes them, in `build/screens`.

Each page is taken in light, in dark and at the width of a phone, for a person to look at. With
`--write`, those that the documentation shows are made small and put into `docs/pictures/dashboard`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.async_api import Browser

from identtqueue.admin import Admin
from testing import browser as browsers
from testing.business import ADDRESSES, Business, playing
from testing.dashboard_server import DashboardServer
from testing.dashboard_users import OPERATOR
from testing.redis_server import RedisServer
from testing.shown_cluster import ShownCluster

FOLDER: Final = browsers.ROOT / "build" / "screens"
DOCUMENTED: Final = browsers.ROOT / "docs" / "pictures" / "dashboard"
SHOWN: Final = {"overview": "light", "dead": "light", "task": "dark", "act": "light"}
"""Pages in the documentation, and their colour scheme."""
MOST_BYTES: Final = 150_000
KINDS: Final = {
    "light": ("light", browsers.WIDE),
    "dark": ("dark", browsers.WIDE),
    "phone": ("light", browsers.PHONE),
}


_ANONYMOUS: Final = """
(() => {
  const root = %s;
  const clean = () => {
    const walker = document.createTreeWalker(document, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const node = walker.currentNode;
      if (node.data.includes(root)) node.data = node.data.replaceAll(root, "/app");
    }
  };
  const what = { subtree: true, childList: true, characterData: true };
  new MutationObserver(clean).observe(document, what);
})();
"""
"""Replaces the place of this clone in tracebacks, which is nobody's business, also in what is
pushed after the page was loaded."""


async def take(redis: str) -> None:
    """Take all pictures."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        server = DashboardServer(
            redis, Path(folder), title="production", task_queues=ShownCluster()
        ).start()
        try:
            async with (
                Admin(redis) as admin,
                playing(redis, admin) as business,
                browsers.chromium() as browser,
            ):
                for kind in KINDS:
                    await take_kind(browser, server.base, business, kind)
        finally:
            server.stop()


async def take_kind(browser: Browser, base: str, business: Business, kind: str) -> None:
    """Take each page in one scheme and width, as long as it is."""
    scheme, size = KINDS[kind]
    async with browsers.visiting(
        browser, base, login=OPERATOR, scheme=scheme, size=size
    ) as visitor:
        await visitor.page.add_init_script(_ANONYMOUS % json.dumps(str(browsers.ROOT)))
        for name in ADDRESSES:
            await visitor.open(business.address(name))
            await visitor.page.evaluate("() => document.fonts.ready")
            await visitor.page.wait_for_timeout(300)  # plots are drawn after the page is loaded
            assert str(browsers.ROOT) not in await visitor.page.inner_text("body")
            await visitor.page.screenshot(path=FOLDER / f"{name}-{kind}.png", full_page=True)


def write() -> None:
    """Make the documented ones small: 256 colours, and no more than 150 kB.

    Raises:
        ValueError: one of them is larger all the same.
    """
    DOCUMENTED.mkdir(parents=True, exist_ok=True)
    for name, kind in SHOWN.items():
        picture = Image.open(FOLDER / f"{name}-{kind}.png").convert("RGB")
        cut = picture.crop((0, 0, picture.width, min(picture.height, 900)))
        target = DOCUMENTED / f"{name}.png"
        cut.quantize(256).save(target, optimize=True)
        if target.stat().st_size > MOST_BYTES:
            raise ValueError(f"{target} has {target.stat().st_size:,} bytes")


def main() -> None:
    """Take the pictures, and write those of the documentation if that is asked for."""
    redis = RedisServer()
    try:
        asyncio.run(take(redis.start().address))
    finally:
        redis.destroy()
    if "--write" in sys.argv[1:]:
        write()


if __name__ == "__main__":
    main()
