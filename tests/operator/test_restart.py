"""The operator is killed at each of its writes, before it takes effect or after, and starts anew.

Each scenario is run again and again: killed at the first write, at the second, and so on, until a
run ends without having come so far. Whatever the moment, the end is the same, and nothing is done
twice. Writes are those to the API server, status and events included, and those to Redis.
"""

from __future__ import annotations

import asyncio
import contextvars
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from identtqueue.admin import Admin
from identtqueue_operator.kube.client import Kube
from testing.api_server import ApiServer, Refusal
from testing.fleet import Fleet
from testing.operating import Operator, Setup
from testing.waiting import eventually

MOST_WRITES = 60
REDIS_WRITES = ("drain", "undrain", "recover", "recover_expired")


class Crash:
    """Kills the operator at its n-th write, and sees to it that another one starts."""

    def __init__(self, operator: Operator, number: int, when: str) -> None:
        self._operator = operator
        self._left = number
        self._when = when
        self.happened = asyncio.Event()
        self.done: list[tuple[str, Any]] = []
        """The calls that took effect: path and answer; or a command to Redis and its answer."""

    def _is_it(self) -> bool:
        self._left -= 1
        return self._left == -1

    def _kill(self) -> None:
        self._operator.kill()
        self.happened.set()

    def at_api_server(self, path: str, write: Callable[[], Any]) -> Any:
        it = self._is_it()
        if it and self._when == "before":
            self._kill()
            raise Refusal(503, "ServiceUnavailable", "nobody is there to hear it")
        answer = write()
        self.done.append((path, answer))
        if it:
            self._kill()
        return answer

    async def at_redis(self, name: str, write: Callable[[], Awaitable[Any]]) -> Any:
        it = self._is_it()
        if not (it and self._when == "before"):
            answer = await write()
            self.done.append((name, answer))
            if not it:
                return answer
        self._kill()
        return await asyncio.Event().wait()  # until the cancellation arrives

    async def restart(self) -> None:
        await self.happened.wait()
        await self._operator.stop()
        await self._operator.start()

    def answers(self, part: str) -> list[Any]:
        return [answer for where, answer in self.done if part in where]


_crash: contextvars.ContextVar[Crash] = contextvars.ContextVar("crash")
"""Of the run that this code belongs to: the controller hands its context on to its parts."""


@pytest.fixture(autouse=True)
def redis_writes_count(monkeypatch):
    """Let the present run's `Crash` know of the operator's writes to Redis."""

    def counted(name: str):
        real = getattr(Admin, name)

        async def call(self: Admin, *args: Any, **kwargs: Any) -> Any:
            return await _crash.get().at_redis(name, lambda: real(self, *args, **kwargs))

        return call

    for name in REDIS_WRITES:
        monkeypatch.setattr(Admin, name, counted(name))


class Run:
    """One run of a scenario."""

    def __init__(self, setup: Setup, operator: Operator, crash: Crash, admin: Admin) -> None:
        self.setup = setup
        self.operator = operator
        self.crash = crash
        self.queues = [setup.queue]
        self._admin = admin

    @property
    def scaled_to(self) -> list[int]:
        """All writes of the number that took effect."""
        return [answer["spec"]["replicas"] for answer in self.crash.answers("/scale")]

    async def draining(self) -> list[str]:
        """Pods whose workers are told to go."""
        found = [info for queue in self.queues for info in await self._admin.workers(queue)]
        return sorted({info.pod_name for info in found if info.draining})

    async def nobody_drains(self) -> None:
        async def look() -> bool:
            marked = any(pod["metadata"].get("annotations") for pod in self.setup.fleet.pods)
            return not marked and not await self.draining()

        await eventually(look, "no worker is told to go, no pod is marked")

    async def told_once(self, reason: str) -> None:
        """Or not at all, if the operator was killed between the deed and the event."""
        killed = self.crash.happened.is_set
        await eventually(lambda: self.setup.events(reason) or killed(), f"event {reason}")
        told = [event for event in self.crash.answers("/events") if event["reason"] == reason]
        assert len(told) <= 1, "its writes are counted: told twice, it is one object all the same"

    async def depth(self):
        return (await self._admin.depths([self.setup.queue]))[self.setup.queue]


@asynccontextmanager
async def a_run(calls, client, address: str, number: int, when: str) -> AsyncIterator[Run]:
    api = await ApiServer().start()
    name = f"worker-{secrets.token_hex(4)}"
    fleet = Fleet(api, name, calls, name)
    async with Kube(api.connect()) as kube, Admin(address) as admin:
        operator = Operator(api, kube)
        crash = Crash(operator, number, when)
        _crash.set(crash)
        api.around_write = crash.at_api_server
        await operator.start()
        restarting = asyncio.ensure_future(crash.restart())
        try:
            yield Run(Setup(api, fleet, client, name, address), operator, crash, admin)
            # What a scenario does not wait for is written too, before the run ends.
            for _ in range(2):
                if crash.happened.is_set():
                    await restarting
                await operator.looks()
            if crash.happened.is_set():
                await restarting
        finally:
            restarting.cancel()
            await asyncio.gather(restarting, return_exceptions=True)
            await operator.stop()
            await fleet.close()
            await api.close()


# --- the scenarios --------------------------------------------------------------------------------


async def grows(run: Run) -> None:
    run.setup.fleet.create()
    await run.setup.enqueue(5)
    run.setup.create({"maxReplicas": 5})
    await run.setup.replicas(5)
    await run.setup.fleet.settle()
    await run.setup.reason("Working")
    assert run.scaled_to == [5]
    await run.told_once("ScaledUp")


async def shrinks(run: Run) -> None:
    chosen = await until_one_drains(run)
    (busy,) = [name for name in run.setup.fleet.workers if name != chosen]
    await run.setup.fleet.workers[chosen].finish()
    await run.setup.replicas(1)
    await run.setup.fleet.settle()
    assert list(run.setup.fleet.workers) == [busy], "the one that holds nothing went"
    await run.nobody_drains()
    assert [ack.recorded for ack in await run.setup.fleet.workers[busy].finish()] == [True]
    assert run.scaled_to == [1]


async def calls_back(run: Run) -> None:
    await until_one_drains(run)
    run.setup.api.change("taskqueues", run.setup.name, {"spec": {"scaling": {"maxReplicas": 2}}})
    await run.nobody_drains()
    assert run.setup.fleet.replicas == 2
    assert run.scaled_to == []


async def calls_back_from_two_queues(run: Run) -> None:
    """Cut off between the queues, the worker is told in one of them: it fetches from none."""
    run.setup.fleet.more_queues = (f"{run.setup.queue}-too",)
    run.queues += run.setup.fleet.more_queues
    await calls_back(run)


async def until_one_drains(run: Run) -> str:
    """Two busy workers, of which one is to go; the name of its pod."""
    run.setup.fleet.create(2)
    await run.setup.fleet.settle()
    await run.setup.enqueue(2)
    for worker in run.setup.fleet.workers.values():
        await worker.claim()
    run.setup.create({"maxReplicas": 1}, queues=[{"name": queue} for queue in run.queues])
    (chosen,) = await eventually(run.draining, "a worker is told to go")
    return chosen


async def recovers(run: Run) -> None:
    setup = run.setup
    setup.fleet.create(1)
    await setup.fleet.settle()
    tasks = await setup.enqueue(2)
    (worker,) = setup.fleet.workers.values()
    await worker.claim(2)
    setup.create({"minReplicas": 1, "maxReplicas": 1})
    await worker.die()
    setup.fleet.container_ended(worker.pod_name, restarted=True)

    async def back() -> bool:
        return (await run.depth()).queued == 2

    await eventually(back, "both tasks wait again")
    found = [await setup.client.get_task(task) for task in tasks]
    assert [task.losses for task in found] == [1, 1], "taken back once"
    await run.told_once("TasksRequeued")


async def keeps_its_deployment(run: Run) -> None:
    def image() -> str:
        pod = run.setup.api.get("deployments", run.setup.name)["spec"]["template"]["spec"]
        return pod["containers"][0]["image"]

    def template(name: str):
        return {"spec": {"containers": [{"name": "worker", "image": name}]}}

    run.setup.create(workloadRef=None, template=template("one"))
    await eventually(lambda: ("deployments", "ns", run.setup.name) in run.setup.api.objects)
    uid = run.setup.api.get("deployments", run.setup.name)["metadata"]["uid"]
    two = {"spec": {"template": template("two")}}
    run.setup.api.change("taskqueues", run.setup.name, two)
    await eventually(lambda: image() == "two")
    theirs = {"spec": {"template": template("theirs")}}
    run.setup.api.change("deployments", run.setup.name, theirs)
    await eventually(lambda: image() == "two")
    assert run.setup.api.get("deployments", run.setup.name)["metadata"]["uid"] == uid


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "scenario",
    [
        *(grows, shrinks, calls_back, calls_back_from_two_queues),
        *(recovers, keeps_its_deployment),
    ],
)
async def test_killed_at_each_of_its_writes(calls, client, redis_server, scenario, when):
    for number in range(MOST_WRITES):
        async with a_run(calls, client, redis_server.address, number, when) as run:
            await scenario(run)
        if not run.crash.happened.is_set():
            assert number >= 2, "the scenario makes no writes"
            return
    raise AssertionError(f"still writing after {MOST_WRITES} writes")
