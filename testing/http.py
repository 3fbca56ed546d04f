"""HTTP clients for tests, which wait as long as all other waits of the tests.

httpx' own limit of 5 s is for a service that is in use. A test that runs beside many others asks a
server that may not get a core for that long.
"""

from __future__ import annotations

from typing import Any

import httpx

from testing.tls import unused_context
from testing.waiting import LONG_SECONDS


def connected(base: str, **settings: Any) -> httpx.AsyncClient:
    """Make a client of the server at an address."""
    settings = {"timeout": LONG_SECONDS, "verify": unused_context()} | settings
    return httpx.AsyncClient(base_url=base, **settings)


def get(url: str, **settings: Any) -> httpx.Response:
    """Ask once, from code that is not asynchronous."""
    settings = {"timeout": LONG_SECONDS, "verify": unused_context()} | settings
    return httpx.get(url, **settings)
