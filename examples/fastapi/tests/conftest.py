"""Common to all tests: a web client, and a stand-in for the text recognition of another team."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from passports import tasks
from passports.web import service

EVA = {"number": "C01", "name": "Eva", "valid_until": "2031-05-01"}


@pytest.fixture
def answers() -> list[httpx.Response]:
    """Return the answers of the text recognition, in order. A test may change the list."""
    return [httpx.Response(200, json=EVA)]


@pytest.fixture
def scanner(answers: list[httpx.Response], monkeypatch: pytest.MonkeyPatch) -> httpx.AsyncClient:
    """Return a client that gets these answers, and let workers use it."""
    transport = httpx.MockTransport(lambda _request: answers.pop(0))
    scanner = httpx.AsyncClient(base_url="http://scanner", transport=transport)
    monkeypatch.setattr(tasks, "open_scanner", lambda: scanner)
    return scanner


@pytest.fixture
async def client(scanner: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of the service, whose lifespan has begun."""
    transport = httpx.ASGITransport(app=service)
    async with (
        service.router.lifespan_context(service),
        httpx.AsyncClient(
            transport=transport, base_url="http://test", headers={"x-customer": "acme"}
        ) as client,
    ):
        yield client
