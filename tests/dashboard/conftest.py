"""Fixtures of the dashboard's tests: a real browser.

The browser lives as long as the session, and so does its event loop. Tests and fixtures that use it
are marked with `loop_scope="session"`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser

from testing import browser as browsers


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """Run the browser."""
    async with browsers.chromium() as browser:
        yield browser
