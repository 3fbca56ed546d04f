"""Upgrades of operator, chart and CRD: from an earlier release to this one, back, and again."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from identtqueue import Client, RedisSettings
from identtqueue.admin import Admin
from testing.cluster import redis_pods
from testing.cluster.cluster import ROOT, SCRIPTS, Kubectl, run
from testing.cluster.release import CHART, RELEASE, Release, helm, namespace, release_in, state_of
from testing.cluster.workload import deployment, jobs_config_map, pod_spec, task_queue
from testing.waiting import wait_until

pytestmark = pytest.mark.alone
"""The CRD is everybody's."""

EARLIER = ROOT / ".cluster" / "before" / "charts" / "identtqueue"
IMAGE = "identtqueue/operator:before"


@pytest.fixture
def earlier(release: Release) -> Iterator[Release]:
    """Install the earlier release beside the tests' own; put today's CRD back at the end."""
    run(SCRIPTS / "images.sh", "before", timeout=600)
    try:
        with namespace(f"e2e-upgrade-{secrets.token_hex(3)}") as kubectl:
            found = release_in(kubectl)
            install(found, "install", EARLIER, "before")
            kubectl.apply(jobs_config_map())
            try:
                yield found
            except BaseException:
                print(state_of(kubectl))
                raise
    finally:
        helm(release, "upgrade", "--wait", "--timeout", "3m")


def install(release: Release, verb: str, chart: Path, tag: str) -> None:
    values = f"image.tag={tag},redis.enabled=false"
    helm(release, verb, "--wait", "--timeout", "3m", "--set", values, chart=chart)


def roll_back(release: Release) -> None:
    words = ("--force-conflicts", "--wait", "--timeout", "3m")
    run("helm", "-n", release.namespace, "rollback", RELEASE, "1", *words)


class Work:
    """A steady stream of tasks in two queues."""

    def __init__(self, client: Client, queues: list[str]) -> None:
        self._client = client
        self._queues = queues
        self._fresh = asyncio.Queue[str]()
        self.tasks: list[str] = []

    async def run(self) -> None:
        """Enqueue tasks until cancelled."""
        while True:
            for queue in self._queues:
                self.tasks.append(await self._client.enqueue_job(queue, "nap", seconds=1.5))
                self._fresh.put_nowait(self.tasks[-1])
            await asyncio.sleep(1)

    async def done_from_now(self, number: int) -> None:
        """Wait until this many tasks, all enqueued from now on, succeeded at once."""
        while not self._fresh.empty():
            self._fresh.get_nowait()
        for _ in range(number):
            task = await asyncio.wait_for(self._fresh.get(), 60)
            assert await self._client.wait_for_result(task, 90) == 1


@asynccontextmanager
async def working(client: Client, queues: list[str]) -> AsyncIterator[Work]:
    work = Work(client, queues)
    running = asyncio.create_task(work.run())
    try:
        yield work
    finally:
        running.cancel()
        await asyncio.wait([running])


STEADY = {"scaleDown": {"stabilizationSeconds": 20, "idleSeconds": 2}}
"""No worker is removed in its first second. Python has no signal handler yet then, and the kernel
drops a SIGTERM for process 1 of a container: the worker would work until its grace time ends."""

REDIS = "lasting-redis"
"""Apart from the release: the chart's own is restarted by an upgrade that changes its pod."""


@contextmanager
def redis_of_its_own(kubectl: Kubectl) -> Iterator[str]:
    command = ["redis-server", "--dir", "/data", "--save", "", "--protected-mode", "no"]
    server = redis_pods.container("redis", command, redis_pods.PORT)
    with redis_pods.running(kubectl, REDIS, *redis_pods.servers(REDIS, 1, [server])):
        yield f"redis://{REDIS}.{kubectl.namespace}.svc:{redis_pods.PORT}"


def log_in_at(workers: dict[str, Any], address: str) -> None:
    """Point the workers to a Redis without a password."""
    container = workers["spec"]["template"]["spec"]["containers"][0]
    env = {item["name"]: item for item in container["env"]}
    del env["IDENTTQUEUE_REDIS_PASSWORD"]
    env["IDENTTQUEUE_REDIS_ADDRESS"]["value"] = address
    container["env"] = list(env.values())


def conditions(kubectl: Kubectl, name: str) -> set[str]:
    status = kubectl.get("taskqueue", name).get("status") or {}
    return {each["type"] for each in status.get("conditions", [])}


def operator_image(kubectl: Kubectl) -> str:
    operators = kubectl.list("deployments", "app.kubernetes.io/component=operator")
    return operators[0]["spec"]["template"]["spec"]["containers"][0]["image"]


def replicas(kubectl: Kubectl, names: list[str]) -> list[int]:
    return [kubectl.get("deployment", name)["spec"]["replicas"] for name in names]


def workers_of(kubectl: Kubectl, names: list[str]) -> list[str]:
    pods = [pod["metadata"]["name"] for pod in kubectl.list("pods")]
    return [pod for pod in pods if pod.startswith(tuple(names))]


@pytest.mark.timeout(600, func_only=True)
async def test_there_and_back_while_work_runs(earlier):
    """No task is cut off, none is lost, and each operator goes on from the other's status."""
    kubectl, names = earlier.kubectl, ["by-ref", "by-template"]
    workers = deployment(earlier, names[0], names[0])
    workers["spec"].pop("replicas")
    template = pod_spec()
    for pod in (workers["spec"]["template"]["spec"], template):
        pod["containers"][0]["image"] = IMAGE
    queues = [
        task_queue(earlier, *([names[0]] * 2), scaling=STEADY),
        task_queue(
            earlier,
            *([names[1]] * 2),
            scaling=STEADY,
            workloadRef=None,
            template={"spec": template},
        ),
    ]
    with redis_of_its_own(kubectl) as address:
        for queue in queues:
            queue["spec"]["redis"] = {"address": address}
        log_in_at(workers, address)
        kubectl.apply(workers, *queues)
        with kubectl.port_forward(f"svc/{REDIS}", redis_pods.PORT) as port:
            await there_and_back(earlier, names, port)


async def there_and_back(earlier: Release, names: list[str], port: int) -> None:
    """Upgrade, roll back and upgrade again, with Redis at that local port."""
    kubectl = earlier.kubectl
    async with Client(RedisSettings(address=f"redis://127.0.0.1:{port}")) as client:
        async with working(client, names) as work:
            await work.done_from_now(6)
            assert operator_image(kubectl) == IMAGE

            await asyncio.to_thread(install, earlier, "upgrade", CHART, "dev")
            assert operator_image(kubectl) != IMAGE
            await work.done_from_now(6)
            await asyncio.to_thread(
                wait_until,
                "it goes on from the other's status",
                lambda: all("WorkersReady" in conditions(kubectl, name) for name in names),
            )

            await asyncio.to_thread(roll_back, earlier)
            assert operator_image(kubectl) == IMAGE
            await work.done_from_now(6)
            await asyncio.to_thread(install, earlier, "upgrade", CHART, "dev")
            await work.done_from_now(6)
        async with Admin(f"redis://127.0.0.1:{port}") as admin:
            for task in work.tasks:
                attempt = await client.wait_for_result(task, 90)
                assert attempt == 1, f"it was cut off: {await admin.task(task)}"
        await asyncio.to_thread(
            wait_until, "both at zero", lambda: replicas(kubectl, names) == [0, 0], 120
        )
        # Without their Redis, the last workers would use up their grace time (of 60 s).
        await asyncio.to_thread(
            wait_until, "no workers", lambda: not workers_of(kubectl, names), 120
        )
