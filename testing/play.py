"""Stories of a fleet that are played on simulated time, with the operator's own stages.

The operator's observe, decide and act run on the tests' API server and a real Redis; Kubernetes'
controllers and the time are modelled (`testing.controllers`, `testing.stateful_set`). The order in
which they act is random, so the operator sees the states that the controllers leave in between.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from identtqueue.admin import RedisSettings
from identtqueue.client import Client
from identtqueue.transport.connect import async_redis
from identtqueue_operator.kube import parse
from identtqueue_operator.kube.cache import Cluster
from identtqueue_operator.kube.client import Kube
from identtqueue_operator.model import Memory, Reference, WorkloadKey
from identtqueue_operator.policy.decide import decide
from identtqueue_operator.queues.connections import Connection
from identtqueue_operator.queues.endpoint import Endpoint
from identtqueue_operator.rounds.act import act
from identtqueue_operator.rounds.observe import observe
from identtqueue_operator.workload.lookup import Workloads
from testing.api_server import ApiServer
from testing.clock import StoppedClock
from testing.controllers import Controllers, Shape
from testing.operating import WATCHED_PLURALS
from testing.taskqueues import spec
from testing.waiting import eventually

LIMIT_SECONDS = 2_000
"""Simulated. The slowest rollout here takes eight pods one by one, 40 s each."""
EPOCH = 1_800_000_000.0


@dataclass(frozen=True)
class Story:
    """The events of a fleet, and the seed of their order."""

    shape: Shape
    before: int
    """Replicas and busy workers at the start."""
    after: int
    """minReplicas: the number that is left when all tasks are done."""
    task_seconds: tuple[int, ...] = (10,)
    """How long the tasks take, in turn; after the last one, the first again."""
    roll_out_at: tuple[int, ...] = (4,)
    more_tasks_at: tuple[int, ...] = ()
    paused: tuple[int, int] | None = None
    """From when until when the Deployment is paused."""
    operator_restarts_at: int | None = None
    seed: int = 0


class OperatorLoop:
    """The stages of a round, which the test runs one after the other."""

    def __init__(self, api: ApiServer, kube: Kube, endpoint: Endpoint, clock, story: Story) -> None:
        self._api, self._kube, self.endpoint, self._clock = api, kube, endpoint, clock
        down = {"stabilizationSeconds": 0, "idleSeconds": 2}
        scaling = {"minReplicas": story.after, "maxReplicas": 8, "concurrencyPerReplica": 1}
        self._spec = spec({**scaling, "scaleDown": down})
        api.listeners.append(self._hear)
        self.restart()

    def restart(self) -> None:
        self._memory = Memory()
        self._cluster = Cluster(lambda _: None, lambda _: None, self._clock)
        self._workloads = Workloads(self._cluster, self._kube, self._clock)
        for (plural, _, _), body in self._api.objects.items():
            self._hear("ADDED", plural, body)

    def _hear(self, event: str, plural: str, body) -> None:
        if (kind := WATCHED_PLURALS.get(plural)) is not None:
            self._cluster.put_workload(kind.read(body))
            self._cluster.watch(kind.key_of(body))
        elif plural == "pods" and event == "DELETED":
            self._cluster.drop_pod(parse.pod(body, self._clock()), body["metadata"]["labels"])
        elif plural == "pods":
            self._cluster.put_pod(parse.pod(body), body["metadata"]["labels"])

    async def round(self, key: WorkloadKey, queue: str) -> bool:
        """Run one round; return whether it changed something."""
        connections = [Connection("main", (queue,), "uid", self.endpoint)]
        seen = await observe(
            Reference(key),
            connections,
            workloads=self._workloads,
            at=self._clock(),
            steady_at=self._clock(),
        )
        assert seen.depth is not None
        decision, self._memory = decide(self._spec, seen, self._memory)
        before = self._kube.writes
        outcome = await act(
            decision,
            seen,
            connections,
            cluster=self._cluster,
            kube=self._kube,
            max_deliveries=5,
        )
        if outcome.scaled_to is not None:
            self._memory = self._memory.scaled(seen.at, decision.current, outcome.scaled_to)
        drain = decision.drain
        return self._kube.writes > before or bool(drain.stop or drain.call_back)


@dataclass
class Play:
    """A story in progress."""

    story: Story
    controllers: Controllers
    operator: OperatorLoop
    client: Client
    queue: str
    clock: StoppedClock
    log: list[str] = field(default_factory=list)

    async def until_at_rest(self) -> None:
        second, random = 0, Random(self.story.seed)
        while not await self._is_over(second):
            assert second < LIMIT_SECONDS, "\n".join(["never at rest", *self.log[-40:]])
            await self._happen(second)
            before = self.controllers.changes
            changed = await self._steps(random)
            self._note(second)
            quiet = not changed and before == self.controllers.changes
            second = self._next(second, quiet=quiet)
            self.clock.now = EPOCH + second

    def _next(self, second: int, *, quiet: bool) -> int:
        """Return the next second; if nothing moves, skip up to five, but not beyond an event."""
        if not quiet:
            return second + 1
        return min([second + 5, *(at for at in self._moments() if at > second)])

    def _moments(self) -> Iterable[int]:
        story = self.story
        yield from (*story.roll_out_at, *story.more_tasks_at, *(story.paused or ()))
        if story.operator_restarts_at is not None:
            yield story.operator_restarts_at

    async def _happen(self, second: int) -> None:
        story = self.story
        if second in story.more_tasks_at:
            await self.client.enqueue_job(self.queue, "job")
        if second in story.roll_out_at:
            self.controllers.roll_out()
        if story.paused is not None and second in story.paused:
            self.controllers.pause(second == story.paused[0])
        if second == story.operator_restarts_at:
            self.operator.restart()

    async def _steps(self, random: Random) -> bool:
        """Let controllers and operator act in random order, some of them several times."""
        everybody = ["deployment", "replica sets", "pods", "operator"] * 2
        random.shuffle(everybody)
        changed = False
        for each in everybody[random.randrange(4) :]:
            if each == "deployment":
                self.controllers.step_deployment()
            elif each == "replica sets":
                self.controllers.step_replica_sets()
            elif each == "pods":
                # A container takes longer to start than controllers to follow a number.
                self.controllers.step_deployment()
                self.controllers.step_replica_sets()
                await self.controllers.step_pods()
            else:
                changed |= await self.operator.round(self.controllers.key, self.queue)
            await asyncio.sleep(0)  # the watches tell
        return changed

    async def _is_over(self, second: int) -> bool:
        if second <= max(self._moments(), default=0):
            return False
        assert not self.controllers.busy_ended, "\n".join(["a busy one was ended", *self.log[-40:]])
        admin = self.operator.endpoint.admin
        depth = (await admin.depths([self.queue]))[self.queue]
        return (
            depth.queued == depth.in_flight == 0
            and self.controllers.number == self.story.after
            and self.controllers.complete
            and not any(info.draining for info in await admin.workers(self.queue))
        )

    def _note(self, second: int) -> None:
        pods = " ".join(
            f"{pod.name.rpartition('-')[2]}/r{pod.replica_set.revision}"
            f"{'+' if pod.ready_since else '-'}{'*' if pod.task_ends_at else ''}"
            f"{'x' if pod.deleting else ''}"
            for pod in self.controllers.pods
        )
        self.log.append(f"{second:4d} s: {self.controllers.number} replicas: {pods}")


async def tell(story: Story, address: str) -> Play:
    """Play a story to its end."""
    queue = name = f"rollout-{secrets.token_hex(4)}"
    api = await ApiServer().start()
    redis_settings = RedisSettings(address=address)
    redis = async_redis(redis_settings, client_name="tests", retry_for_seconds=10)
    endpoint = Endpoint(redis_settings)
    try:
        async with (
            Kube(api.connect()) as kube,
            Client(address) as client,
        ):
            endpoint.start()
            endpoint.listen("uid", [queue], 3600, lambda: None)
            await eventually(lambda: endpoint.hears("uid"))
            return await _play(story, name, queue, api, kube, endpoint, redis, client)
    finally:
        await endpoint.close()
        await redis.close()
        await api.close()


async def _play(story, name, queue, api, kube, endpoint, redis, client) -> Play:
    clock = StoppedClock(EPOCH)
    durations = iter(story.task_seconds * 1000)
    controllers = story.shape.controllers(
        api, name, redis, endpoint.admin, queue, story.shape, clock, lambda: next(durations)
    )
    controllers.create(story.before)
    for _ in range(story.before):
        await client.enqueue_job(queue, "job")
    operator = OperatorLoop(api, kube, endpoint, clock, story)
    play = Play(story, controllers, operator, client, queue, clock)
    try:
        await play.until_at_rest()
    finally:
        await controllers.close()
    return play
