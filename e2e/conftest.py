"""One release for all tests; each test has a Deployment, a TaskQueue and a queue of its own.

With `-n`, each of pytest's processes installs a release in a namespace of its own. A test that
affects more than that namespace (a node, the CRD) is marked `alone`, and runs by itself.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from identtqueue import Client, RedisSettings, State
from identtqueue.admin import Admin
from testing.cluster.cluster import Kubectl, kill_container, ready_pods
from testing.cluster.release import Release, installed, state_of
from testing.cluster.watch import DeploymentWatch
from testing.cluster.workload import jobs_config_map
from testing.waiting import wait_until


@pytest.fixture(scope="session")
def release() -> Iterator[Release]:
    with installed() as release:
        release.kubectl.apply(jobs_config_map())
        yield release


@pytest.fixture
def kubectl(release: Release) -> Kubectl:
    return release.kubectl


@pytest.fixture
def name(release: Release) -> Iterator[str]:
    """Name the test's Deployment, TaskQueue and queue; delete what is left of them at the end."""
    name = f"t-{secrets.token_hex(3)}"
    yield name
    release.kubectl(
        *("delete", "taskqueue,deployment", name, "--ignore-not-found", "--timeout=60s")
    )


@pytest.fixture(scope="session")
def redis_settings(release: Release) -> Iterator[RedisSettings]:
    """Provide the settings that reach the release's Redis from this machine."""
    with release.kubectl.port_forward("svc/identtqueue-redis", 6379) as port:
        yield RedisSettings(address=f"redis://127.0.0.1:{port}", password=release.redis_password())


@pytest.fixture
async def client(redis_settings: RedisSettings) -> AsyncIterator[Client]:
    async with Client(redis_settings) as client:
        yield client


@pytest.fixture
async def admin(redis_settings: RedisSettings) -> AsyncIterator[Admin]:
    async with Admin(redis_settings, retry_for_seconds=30) as admin:
        yield admin


class Scene:
    """The objects of one test, and questions about them that many tests ask."""

    def __init__(self, kubectl: Kubectl, client: Client, admin: Admin, name: str) -> None:
        self.kubectl = kubectl
        self.client = client
        self.admin = admin
        self.name = name

    def replicas(self) -> int:
        """Return the number of replicas that the Deployment asks for."""
        return self.kubectl.get("deployment", self.name)["spec"]["replicas"]

    def recovered(self) -> int:
        """Return how many tasks the operator has recovered from dead workers."""
        status = self.kubectl.get("taskqueue", self.name)["status"]
        return status.get("recovered", {}).get("total", 0)

    def pods(self) -> list[dict]:
        return self.kubectl.list("pods", f"app={self.name}")

    def ready(self) -> list[dict]:
        return ready_pods(self.pods())

    async def kill(self, pod: dict) -> float:
        """SIGKILL the container of a pod; return the time."""
        return await asyncio.to_thread(kill_container, self.kubectl, pod["metadata"]["name"])

    async def until(self, what: str, look, seconds: float = 60):
        """Do as `wait_until`, without blocking the event loop."""
        return await asyncio.to_thread(wait_until, what, look, seconds)

    async def until_async(self, what: str, look, seconds: float = 60) -> None:
        """Wait until a coroutine returns true, as for what only Redis knows: it sends no events."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not await look():
            assert asyncio.get_running_loop().time() < deadline, f"not within {seconds:g} s: {what}"
            await asyncio.sleep(0.1)

    async def until_told(self, *reasons: str) -> None:
        """Wait until the TaskQueue has events with all these reasons; they follow the status."""
        await self.until(f"events {reasons}", lambda: self.told(*reasons), 20)

    def told(self, *reasons: str) -> bool:
        """Return whether the TaskQueue has events with all these reasons."""
        return set(reasons) <= {reason for reason, _ in self.kubectl.events(self.name)}

    async def until_looked_after(self) -> None:
        """Wait until the operator has seen the TaskQueue and listens to its doorbell."""
        await self.until(
            "TaskQueue is Ready",
            lambda: self.kubectl.condition(self.name, "Ready").get("status") == "True",
        )

    async def until_running(self, task_id: str, attempt: int = 1, seconds: float = 90):
        """Wait until that attempt of the task runs; return the task's state."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            info = await self.client.get_task(task_id)
            begun = info is not None and info.state in (State.RUNNING, State.SUCCEEDED)
            if info is not None and begun and info.attempt >= attempt:
                return info
            assert asyncio.get_running_loop().time() < deadline, f"{attempt=} runs not: {info}"
            await asyncio.sleep(0.05)

    async def pod_of(self, task_id: str) -> dict:
        """Return the pod whose worker owns the task."""
        info = await self.client.get_task(task_id)
        assert info is not None
        assert info.owner is not None
        uid = info.owner.rpartition(".")[0]
        return next(pod for pod in self.pods() if pod["metadata"]["uid"] == uid)


@pytest.fixture
def scene(kubectl: Kubectl, client: Client, admin: Admin, name: str) -> Scene:
    return Scene(kubectl, client, admin, name)


@pytest.fixture
def watch(release: Release, name: str) -> Iterator[Callable[[], DeploymentWatch]]:
    """Provide a function that begins to watch the test's Deployment."""
    watches: list[DeploymentWatch] = []

    def begin() -> DeploymentWatch:
        watches.append(DeploymentWatch(release.namespace, name))
        return watches[-1]

    yield begin
    for each in watches:
        each.close()


@pytest.fixture
def figure(record_property) -> Callable[[str], None]:
    """Provide a function that notes a measured figure; all figures are printed at the end."""
    return lambda line: record_property("measured", line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Limit the time of the tests, but not of the set-up and removal of the release."""
    for item in items:
        item.add_marker(pytest.mark.timeout(120, func_only=True))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Add to the report of a failed test what a person would look at first."""
    report = yield
    release = getattr(item, "funcargs", {}).get("release")
    if report.when == "call" and report.failed and release is not None:
        report.sections.append(("cluster", state_of(release.kubectl, item.funcargs.get("name"))))
    return report


def pytest_terminal_summary(terminalreporter) -> None:
    ended = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    figures = [
        text for report in ended for key, text in report.user_properties if key == "measured"
    ]
    if figures:
        terminalreporter.section("measured")
        for line in figures:
            terminalreporter.write_line(line)
