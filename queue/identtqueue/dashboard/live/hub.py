"""One look at Redis for all browsers that show the same."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final

from identtqueue.dashboard.live.parts import Block, changes
from identtqueue.dashboard.live.view import Visit

logger = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS: Final = 15.0
"""How long a browser hears nothing: less than proxies wait before they cut a silent connection."""
LONGEST_READ_SECONDS: Final = 30.0
MOST_BROWSERS: Final = 500
"""Browsers that are fed at the same time, in all."""
_SHARE: Final = 5
"""A look that takes long is repeated later: Redis gets at least this many times as long a rest."""

Look = Callable[[Visit], Awaitable[Mapping[str, str]]]
"""Reads a page again: the HTML of its live blocks. An error that it raises is shown."""


class Browser:
    """One browser that is fed. What it has not taken yet is merged: a slow one costs no memory."""

    def __init__(self) -> None:
        self._waiting: dict[str, str] = {}
        self._trouble: str | None = None
        self._news = asyncio.Event()
        self.is_over = False

    def put(self, changed: Mapping[str, str]) -> None:
        """Add what has changed. The newest comes last: a block replaces the rows in it."""
        for key, html in changed.items():
            self._waiting.pop(key, None)
            self._waiting[key] = html
        if changed:
            self._news.set()

    def report(self, trouble: str) -> None:
        """Say that the page is not up to date, and why; "": it is again."""
        self._trouble = trouble
        self._news.set()

    def end(self) -> None:
        """End the feed."""
        self.is_over = True
        self._news.set()

    async def take(self) -> tuple[dict[str, str], str | None]:
        """Wait for news, and return what has changed and any trouble. Both are empty after a while.

        Returns:
            HTML by the id of the element, and the trouble; None: as before.
        """
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), KEEP_ALIVE_SECONDS)
        self._news.clear()
        changed, self._waiting = self._waiting, {}
        trouble, self._trouble = self._trouble, None
        return changed, trouble


class _Feed:
    """All browsers that show the same, and the loop that looks for them."""

    def __init__(self, visit: Visit, look: Look, interval_seconds: float) -> None:
        self.browsers: set[Browser] = set()
        self._visit = visit
        self._look = look
        self._interval = interval_seconds
        self._parts: dict[str, Block] = {}
        self._trouble = ""
        self.task = asyncio.create_task(self._run(), name=f"dashboard: {visit.page}")

    def add(self, browser: Browser) -> None:
        """Feed one more browser. Its page may be older than this feed, so it gets everything."""
        self.browsers.add(browser)
        browser.put(changes({}, self._parts))
        if self._trouble:
            browser.report(self._trouble)

    async def _run(self) -> None:
        while True:
            started = time.monotonic()
            try:
                async with asyncio.timeout(LONGEST_READ_SECONDS):
                    blocks = await self._look(self._visit)
            except TimeoutError:
                self._report(f"Redis has not answered for {LONGEST_READ_SECONDS:.0f} s.")
            except Exception as error:  # noqa: BLE001 - shown on the page, and tried again
                self._report(str(error) or type(error).__name__)
            else:
                self._publish({name: Block.of(html) for name, html in blocks.items()})
                self._report("")
            took = time.monotonic() - started
            await asyncio.sleep(max(self._interval, _SHARE * took))

    def _publish(self, parts: dict[str, Block]) -> None:
        changed, self._parts = changes(self._parts, parts), parts
        for browser in self.browsers:
            browser.put(changed)

    def _report(self, trouble: str) -> None:
        if trouble == self._trouble:
            return
        if trouble:
            logger.warning(
                "the dashboard's page %s is not up to date: %s", self._visit.page, trouble
            )
        self._trouble = trouble
        for browser in self.browsers:
            browser.report(trouble)


class Hub:
    """The feeds of all live pages. Where nobody looks, nothing is asked.

    Args:
        look: reads a page again.
        interval_seconds: time between two looks.
    """

    def __init__(self, look: Look, interval_seconds: float) -> None:
        self._look = look
        self._interval = interval_seconds
        self._feeds: dict[Visit, _Feed] = {}
        self._closed = False

    @property
    def browsers(self) -> int:
        """How many browsers are fed."""
        return sum(len(feed.browsers) for feed in self._feeds.values())

    @property
    def feeds(self) -> int:
        """How many pages are looked at, each in its own words."""
        return len(self._feeds)

    @property
    def is_open(self) -> bool:
        """Whether one more browser is fed."""
        return not self._closed and self.browsers < MOST_BROWSERS

    async def follow(self, visit: Visit) -> AsyncGenerator[tuple[dict[str, str], str | None]]:
        """Yield what changes on a page, until the hub is closed."""
        browser = Browser()
        feed = self._feeds.get(visit)
        if feed is None:
            feed = self._feeds[visit] = _Feed(visit, self._look, self._interval)
        feed.add(browser)
        try:
            while not (self._closed or browser.is_over):
                yield await browser.take()
        finally:
            feed.browsers.discard(browser)
            if not feed.browsers and self._feeds.get(visit) is feed:
                del self._feeds[visit]
                feed.task.cancel()

    def close(self) -> None:
        """End all feeds, and feed nobody any more."""
        self._closed = True
        for feed in self._feeds.values():
            for browser in feed.browsers:
                browser.end()
