"""The example of a service with a dashboard inside."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from identtqueue import App
from testing.dashboard_users import OPERATOR, users_file
from testing.http import connected
from testing.processes import ROOT
from testing.redis_server import RedisServer
from testing.serving import serving
from testing.waiting import eventually
from web.serving import served, text_of


async def test_a_service_shows_its_queues_to_those_who_log_in(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTTQUEUE_REDIS_ADDRESS", redis_server.address)
    monkeypatch.setenv("DASHBOARD_USERS", str(users_file(tmp_path)))
    spec = importlib.util.spec_from_file_location(
        "dashboard_example", ROOT / "examples/dashboard/service.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app: App = module.app
    async with (
        served(module.service) as base,
        connected(base) as client,
        serving(app.worker()),
    ):
        assert (await client.post("/mails/nobody")).status_code == 202
        assert (await client.get("/queues/")).status_code == 401

        async def is_shown() -> bool:
            page = await client.get("/queues/queues/mail", auth=OPERATOR)
            return "ValueError" in text_of(page.text)

        await eventually(is_shown, "the failure is shown")
