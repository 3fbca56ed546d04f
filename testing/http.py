"""HTTP clients for tests, which wait as long as all other waits of the tests.

httpx' own limit of 5 s is for a service that is in use. A test that runs beside many others asks a
server that may not get a core for that long.
"""

from __future__ import annotations

from typing import Any

import httpx

from testing.waiting import LONG_SECONDS


def connected(base: str, **settings: Any) -> httpx.AsyncClient:
    """Make a client of the server at an address."""
    return httpx.AsyncClient(base_url=base, timeout=LONG_SECONDS, **settings)


def get(url: str, **settings: Any) -> httpx.Response:
    """Ask once, from code that is not asynchronous."""
    return httpx.get(url, timeout=LONG_SECONDS, **settings)
