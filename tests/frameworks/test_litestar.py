"""The Litestar example: its real application, a real worker, a real Redis."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest
from httpx import ASGITransport, AsyncClient

from testing.processes import ROOT
from testing.redis_server import RedisServer
from testing.serving import serving
from testing.waiting import eventually

EXAMPLE = ROOT / "examples" / "litestar"


@pytest.fixture
def example(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> tuple[ModuleType, ModuleType]:
    """Import the example's modules, whose names other examples have too."""
    monkeypatch.setenv("IDENTTQUEUE_REDIS_ADDRESS", redis_server.address)
    made = []
    for name in ("tasks", "service"):
        spec = importlib.util.spec_from_file_location(name, EXAMPLE / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        made.append(module)
    return made[0], made[1]


async def test_the_service(example: tuple[ModuleType, ModuleType]) -> None:
    tasks, service = example
    async with (
        serving(tasks.app.worker()),
        service.service.lifespan(),
        AsyncClient(transport=ASGITransport(service.service), base_url="http://here") as http,
    ):
        answer = await http.post("/texts/now", json={"text": "one two three"})
        assert (answer.status_code, answer.json()) == (200, {"words": 3, "characters": 13})
        placed = await http.post("/texts", json={"text": "one two"})
        assert placed.status_code == 202
        task_id = placed.json()["id"]

        async def state() -> bool:
            shown = await http.get(f"/texts/{task_id}")
            return bool(shown.json()["state"] == "succeeded")

        await eventually(state)
        for unknown in ("texts:none", "no-id"):
            assert (await http.get(f"/texts/{unknown}")).status_code == 404
        failed = await http.post("/texts/now", json={"text": " "})
        assert failed.status_code == 502
        assert failed.json()["detail"] == "there is no word"
