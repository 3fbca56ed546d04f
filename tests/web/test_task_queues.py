"""The page of TaskQueues, over an API server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from identtqueue.client import Client
from identtqueue.dashboard import create_dashboard
from identtqueue.dashboard.task_queues import GROUP, NAME
from identtqueue_operator.dashboard import TaskQueueReader, task_queue_source
from testing.api_server import ApiServer
from testing.http import connected
from testing.redis_server import RedisServer
from testing.waiting import eventually
from web.serving import following, live_address, served, text_of


def at(**ago: float) -> str:
    return (
        (datetime.now(UTC) - timedelta(**ago)).isoformat(timespec="seconds").replace("+00:00", "Z")
    )


def status(reason: str = "Steady", ready: str = "True") -> dict[str, Any]:
    return {
        "reason": reason,
        "message": "12 tasks wait, 4 run: 2 replicas of 8 tasks each",
        "workload": "images",
        "replicas": {"desired": 2, "current": 2, "ready": 1, "draining": 1},
        "tasks": {"queued": 12, "inFlight": 4},
        "recovered": {"total": 3, "lastTime": at(hours=1)},
        "startupSeconds": 7,
        "lastScaleTime": at(minutes=10),
        "history": [
            {
                "time": at(minutes=10),
                "from": 1,
                "to": 2,
                "reason": "BacklogAboveTarget",
                "limitedBy": "maxReplicas",
                "message": "<b>16</b> tasks need 3 replicas",
            },
            {
                "time": at(hours=3),
                "from": 0,
                "to": 1,
                "reason": "TasksArrived",
                "limitedBy": "None",
                "message": "the first task",
            },
        ],
        "conditions": [
            {"type": "RedisReachable", "status": "True", "reason": "Connected"},
            {"type": "Ready", "status": ready, "reason": reason, "message": "all is well"},
        ],
    }


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    server = await ApiServer().start()
    yield server
    await server.close()


@pytest.fixture
async def browser(
    api: ApiServer, redis_server: RedisServer, queue: str, client: Client, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
    """Open a dashboard over the API server, with a TaskQueue for the queue."""
    await client.enqueue_job(queue, "resize")
    spec = {"queues": [{"name": queue}], "scaling": {"minReplicas": 0, "maxReplicas": 2}}
    api.put("taskqueues", "images", {"spec": spec, "status": status()})
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(api.kubeconfig()))
    source = TaskQueueReader(["ns"], str(kubeconfig))
    dashboard = create_dashboard(
        redis_server.address, queues=[queue], task_queues=source, interval_seconds=0.2
    )
    async with served(dashboard) as base, connected(base) as made:
        yield made


async def test_replicas_and_why_there_are_so_many(
    api: ApiServer, browser: httpx.AsyncClient, queue: str
) -> None:
    body = {
        "involvedObject": {"kind": "TaskQueue", "name": "images"},
        "type": "Warning",
        "reason": "ScaledUp",
        "message": "from 1 to 2 replicas",
        "lastTimestamp": at(minutes=10),
        "count": 4,
    }
    api.put("events", "one", body)
    listed = text_of((await browser.get("/taskqueues")).text)
    assert "images ns Steady 1/2 0 to 2 12 4" in listed
    page = (await browser.get("/taskqueues/ns/images")).text
    words = text_of(page)
    assert "12 tasks wait, 4 run: 2 replicas of 8 tasks each" in words
    assert "1 → 2" in words
    assert "held back by maxReplicas" in words
    assert words.count("held back") == 1
    assert "&lt;b&gt;16&lt;/b&gt; tasks need 3 replicas" in page
    assert words.index("Ready True") < words.index("RedisReachable True")
    assert "ScaledUp from 1 to 2 replicas 4" in words
    assert f'href="/queues/{queue}"' in page
    series = (await browser.get("/taskqueues/ns/images/series.json")).json()
    assert series["replicas"][-1] == 2
    assert series["replicas"][-20] == 1
    assert series["replicas"][0] == 0
    assert series["depth"][-1] == 1
    assert (await browser.get("/taskqueues/ns/other")).status_code == 404


async def test_a_new_decision_is_pushed(
    api: ApiServer, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("identtqueue.dashboard.pages.task_queues.FRESH_SECONDS", 0.1)
    page = (await browser.get("/taskqueues/ns/images")).text
    async with following(browser, live_address(page)) as tab:
        await eventually(lambda: "Steady" in tab.parts.get("live-head", ""))
        api.change("taskqueues", "images", {"status": status("ScalingUp")})
        await eventually(lambda: "ScalingUp" in tab.parts.get("live-head", ""))


async def test_an_api_server_that_refuses_is_quoted(
    api: ApiServer, browser: httpx.AsyncClient
) -> None:
    await api.close()
    page = await browser.get("/taskqueues")
    assert page.status_code == 200
    assert "No TaskQueues are shown here" in page.text


def test_the_operator_contributes_the_source() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")
    line = f'{NAME} = "{task_queue_source.__module__}:{task_queue_source.__name__}"'
    assert line in text.split(f'[project.entry-points."{GROUP}"]')[1].split("[")[0]
    made = task_queue_source(["a", "b", "a"])
    assert isinstance(made, TaskQueueReader)
