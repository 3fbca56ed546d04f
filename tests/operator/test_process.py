"""The operator as a process: watches, leadership, its port, and the way it stops."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from testing.metrics_page import documented, explained, helped, served
from testing.redis_server import free_port
from testing.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]


class Process:
    """One replica."""

    def __init__(self, kubeconfig: Path, name: str, **more: str) -> None:
        self.port = free_port()
        self.log = kubeconfig.with_name(f"{name}.log")
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(kubeconfig.parent),
            "PYTHONPATH": os.pathsep.join([str(ROOT / "queue"), str(ROOT / "operator")]),
            "KUBECONFIG": str(kubeconfig),
            "POD_NAMESPACE": "ns",
            "POD_NAME": name,
            "IDENTTQUEUE_HTTP_PORT": str(self.port),
            "PYTHONWARNINGS": "error",
            **more,
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "identtqueue_operator"], env=environment, stderr=log
            )

    async def answer(self, path: str) -> tuple[int, str]:
        """Return the answer of its port; (0, "") if there is none."""
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{self.port}{path}") as response,
            ):
                return response.status, await response.text()
        except aiohttp.ClientError:
            return 0, ""

    async def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self.exit_code()

    async def exit_code(self) -> int:
        """Wait until it has ended by itself."""
        return await asyncio.to_thread(self.process.wait, 30)

    @property
    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def destroy(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def replica(api, tmp_path):
    """Starts replicas of the operator."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(api.kubeconfig()))
    started = []

    def start(name: str, **more: str) -> Process:
        started.append(Process(kubeconfig, name, **more))
        return started[-1]

    yield start
    for process in started:
        process.destroy()


def holder(api) -> str | None:
    lease = api.objects.get(("leases", "ns", "identtqueue-operator"))
    return lease and lease["spec"].get("holderIdentity")


@pytest.mark.slow
async def test_from_start_to_stop(api, setup, replica):
    setup.fleet.create()
    await setup.enqueue(2)
    setup.create()
    before = api.get("taskqueues", setup.name)["metadata"]
    process = replica("one")
    await setup.replicas(2)
    assert holder(api) == "one"
    await setup.fleet.settle()  # pods reach it through its watches
    worker = next(iter(setup.fleet.workers.values()))
    await worker.claim(2)
    await worker.die()
    setup.fleet.container_ended(worker.pod_name, restarted=True)
    await setup.told("TasksRequeued")

    assert (await process.answer("/livez"))[0] == 200
    assert (await process.answer("/readyz"))[0] == 200
    _, metrics = await process.answer("/metrics")
    labels = f'{{namespace="ns",taskqueue="{setup.name}"}}'
    assert f"identtqueue_operator_replicas_desired{labels} 2.0" in metrics
    assert "identtqueue_operator_leading 1.0" in metrics
    for name in (
        *("tasks_queued", "tasks_in_flight", "tasks_scheduled", "tasks_dead"),
        *("oldest_wait_seconds", "replicas_current", "replicas_ready", "redis_reachable"),
        *("workers_working", "workers_failing"),
    ):
        assert f"identtqueue_operator_{name}{labels} " in metrics, name
    assert 'identtqueue_operator_scalings_total{reason="BacklogAboveTarget"} 1.0' in metrics
    assert 'tasks_recovered_total{cause="container ended",fate="requeued"} 2.0' in metrics
    assert "identtqueue_operator_reconcile_seconds_count" in metrics
    assert served(metrics) == documented("Of the operator")
    assert helped(metrics) == explained("Of the operator")

    # kopf has left no trace: no finalizer that blocks deletion, no annotation.
    after = api.get("taskqueues", setup.name)["metadata"]
    assert {**after, "resourceVersion": ""} == {**before, "resourceVersion": ""}

    assert await process.stop() == 0
    assert holder(api) is None
    told = [line for line in process.lines if line.get("reason") == "ScaledUp"]
    assert [line["taskqueue"] for line in told] == [f"ns/{setup.name}"]
    assert "0 -> 2" in told[0]["message"]
    levels = {line["level"] for line in process.lines}
    assert levels <= {"info", "warning"}, process.log.read_text()


@pytest.mark.slow
async def test_one_replica_leads_and_another_takes_over(api, setup, replica):
    setup.fleet.create()
    setup.create()
    first = replica("first")
    await setup.reason("Idle")
    second = replica("second")

    async def answers() -> bool:
        return (await second.answer("/readyz"))[0] != 0

    await eventually(answers, "the second answers")
    await eventually(lambda: any("waiting for the Lease" in x["message"] for x in second.lines))
    assert holder(api) == "first"
    told = len(setup.api.writes("/status"))
    assert await first.stop() == 0
    await eventually(lambda: holder(api) == "second", "the second leads")
    await setup.enqueue(3)
    await setup.replicas(3)
    numbers = [body["spec"]["replicas"] for body in setup.api.writes("/scale")]
    assert numbers == sorted(set(numbers)), "no decision was applied twice"
    assert told
    assert await second.stop() == 0


@pytest.mark.slow
async def test_without_leader_election_there_is_no_lease(api, setup, replica):
    setup.fleet.create()
    setup.create()
    process = replica("alone", IDENTTQUEUE_LEADER_ELECTION="false")
    await setup.reason("Idle")
    assert holder(api) is None
    assert await process.stop() == 0


@pytest.mark.slow
async def test_nonsense_in_the_environment_is_refused(replica):
    process = replica("confused", IDENTTQUEUE_LOG_LEVEL="loud")
    assert await process.exit_code() == 2
    assert "IDENTTQUEUE_LOG_LEVEL" in process.log.read_text()


@pytest.mark.slow
async def test_it_waits_for_the_crd_and_stops_while_it_waits(api, replica):
    api.down = True
    process = replica("early", IDENTTQUEUE_LEADER_ELECTION="false")

    async def not_ready():
        status, text = await process.answer("/readyz")
        return status == 503 and "can't be listed" in text

    await eventually(not_ready)
    assert (await process.answer("/livez"))[0] == 200
    assert await process.stop() == 0
