"""`kubectl tq` with a stand-in for kubectl, the tests' API server, a real operator and Redis."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from identtqueue_operator.gateway.callers import Callers
from identtqueue_operator.gateway.directory import Directory
from identtqueue_operator.gateway.names import PORT_VARIABLE
from identtqueue_operator.gateway.server import Gateway
from identtqueue_operator.plugin.main import group
from testing import kubectl as stand_in

PARTS = ("tasks", "queues", "workers")


class Plugin:
    """The command line, as somebody in front of a terminal uses it."""

    def __init__(self, folder: Path, api: Any) -> None:
        self.folder = folder
        self.api = api
        self.settings: dict[str, Any] = {
            "api": ["127.0.0.1", int(api.url.rpartition(":")[2])],
            "config": api.kubeconfig(),
            "logs": "",
            "gateway": 0,
        }
        self.log_in({"token": "e"})

    def log_in(self, user: dict[str, Any]) -> None:
        """Use a kubeconfig with this user."""
        self.set(config=self.api.kubeconfig() | {"users": [{"name": "test", "user": user}]})

    def set(self, **settings: Any) -> None:
        self.settings |= settings
        stand_in.write_settings(self.folder, **self.settings)

    async def __call__(self, *words: str, typed: str | None = None) -> Result:
        """Run a command; return its result."""
        return await asyncio.to_thread(CliRunner().invoke, group, words, input=typed)

    async def says(self, *words: str) -> str:
        """Run a command that must succeed; return what it prints."""
        result = await self(*words)
        assert result.exit_code == 0, result.output
        return result.stdout

    async def rows(self, *words: str) -> list[dict[str, Any]]:
        """Run a command with `-o json`; return its lines."""
        return [json.loads(line) for line in (await self.says(*words, "-o", "json")).splitlines()]

    async def fails(self, *words: str) -> tuple[int, str]:
        """Run a command that must fail; return its exit code, and what it says."""
        result = await self(*words)
        assert result.exit_code, result.output
        return result.exit_code, result.stderr


@pytest.fixture
async def plugin(tmp_path, monkeypatch, api, kube, operator) -> AsyncIterator[Plugin]:
    """The plugin of an editor, and the gateway of the operator."""
    monkeypatch.setenv("KUBECTL", str(stand_in.install(tmp_path)))
    monkeypatch.delenv("KUBECTL_TQ_TOKEN", raising=False)
    api.tokens |= {"e": {"username": "editor"}, "v": {"username": "viewer"}}
    api.rights["viewer"] |= {("get", part, "ns") for part in PARTS}
    api.rights["editor"] |= {(verb, part, "ns") for verb in ("get", "update") for part in PARTS}
    api.rights["editor"].add(("get", "arguments", "ns"))
    api.put("leases", "identtqueue-operator", {"spec": {"holderIdentity": "operator"}})
    environment = [{"name": PORT_VARIABLE, "value": "8081"}]
    api.put(
        "pods", "operator", {"spec": {"containers": [{"name": "operator", "env": environment}]}}
    )
    directory = Directory(operator.controller.reconcilers)
    gateway = Gateway(directory, Callers(kube, time.monotonic), kube)
    plugin = Plugin(tmp_path, api)
    plugin.set(gateway=await gateway.start(0))
    yield plugin
    await gateway.close()


@pytest.fixture
async def running(setup):
    """A TaskQueue with a worker that runs one of three tasks."""
    return await setup.with_a_busy_worker(tasks=3)
