"""The stage: images, chart and manifests before the chapters, connections, and the clean-up."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import redis.asyncio

from identtqueue import Client
from identtqueue.admin import Admin, RedisSettings
from narrator import ledger
from narrator.cluster import CommandFailed, Namespace, run, run_openly
from narrator.fault import Killer
from narrator.narrate import Narrator
from narrator.observer import Observer, Stamped

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE.parents[1]

RELEASE = "identtqueue"
REDIS = "identtqueue-redis"
QUEUE = "pages"
TASK_QUEUE = "document-ocr"
WORKERS = "document-ocr-worker"
PRODUCER = "document-ocr-producer"


@dataclass(slots=True)
class Demo:
    """The parts that every chapter needs.

    Attributes:
        figures: what was measured, for the table at the end.
        faults: what went wrong. The demonstration has succeeded if there is nothing.
    """

    tell: Narrator
    space: Namespace
    killer: Killer
    figures: list[tuple[str, str, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    async def show_queue(self) -> None:
        """Show the output of `kubectl get tq`."""
        self.tell.show("kubectl get tq", await self.space.kubectl("get", "tq"))

    def tell_event(self, event: Stamped) -> None:
        """Print an event of the TaskQueue, by the operator."""
        what = event.what
        self.tell.say(f"operator: {what['reason']}: {what['message']}", at=event.at)


@dataclass(slots=True)
class Scene:
    """The parts that the chapters need after the set-up.

    Attributes:
        clock_offset: Redis' clock minus this machine's, in seconds.
        counted_before: the queue's counters at the beginning.
        task_ids: ids of the producer's tasks, once it has enqueued them.
        first_enqueue: time of the first enqueue by this machine's clock.
    """

    observer: Observer
    client: Client
    admin: Admin
    clock_offset: float
    counted_before: dict[str, int]
    task_ids: list[str] = field(default_factory=list)
    first_enqueue: float = 0.0

    def here(self, redis_ms: int) -> float:
        """Convert a time of Redis to this machine's clock."""
        return redis_ms / 1000 - self.clock_offset


async def set_up(demo: Demo, *, skip_images: bool) -> None:
    """Set up images, namespaces, the chart and the application's manifests."""
    tell, space = demo.tell, demo.space
    tell.chapter("Set-up")
    if not skip_images:
        tell.say("building and loading images: operator, redis, document-ocr")
        images = str(ROOT / "e2e/cluster/images.sh")
        await run_openly(
            *(images, "operator", "redis", "example", "document-ocr"), timeout_seconds=1200
        )
    tell.say(f"namespace {space.name}: made anew, Pod Security 'restricted' is enforced in it")
    await asyncio.gather(space.create(pod_security="restricted"), demo.killer.set_up())
    tell.say("helm upgrade --install: the operator, and a Redis of its own")
    await run(
        *("helm", "upgrade", "--install", RELEASE, str(ROOT / "charts/identtqueue")),
        *("--namespace", space.name, "--values", str(HERE / "values.yaml")),
        # The CRD outlives a release on purpose; this one takes over what an earlier one left.
        *("--take-ownership", "--wait", "--timeout", "120s"),
        timeout_seconds=130,
    )
    tell.say("operator and Redis are ready")
    tell.say("kubectl apply: the workers' Deployment and its TaskQueue")
    for manifest in ("worker.yaml", "taskqueue.yaml"):
        await space.apply(HERE / "manifests" / manifest)
    await space.kubectl(
        *("wait", f"tq/{TASK_QUEUE}", "--for=condition=Ready", "--timeout=60s"), timeout_seconds=65
    )
    tell.say("the Deployment starts with one worker, which finds no task: it goes")
    await space.kubectl(
        *("wait", f"deployment/{WORKERS}", "--for=jsonpath={.spec.replicas}=0", "--timeout=180s"),
        timeout_seconds=185,
    )
    await demo.killer.wait_until_ready()
    await demo.show_queue()


@contextlib.asynccontextmanager
async def open_scene(demo: Demo) -> AsyncIterator[Scene]:
    """Open watches, and connections to Redis, before anything happens."""
    password = await demo.space.secret(REDIS, "password")
    async with contextlib.AsyncExitStack() as stack:
        port = await stack.enter_async_context(demo.space.port_forward(REDIS, 6379))
        settings = RedisSettings(address=f"redis://127.0.0.1:{port}", password=password)
        client = await stack.enter_async_context(Client(settings))
        admin = await stack.enter_async_context(Admin(settings, retry_for_seconds=30))
        observer = await stack.enter_async_context(
            Observer(demo.space, WORKERS, on_event=demo.tell_event)
        )
        yield Scene(
            observer=observer,
            client=client,
            admin=admin,
            clock_offset=await clock_offset(port, password),
            counted_before=await ledger.counters(admin, QUEUE),
        )


async def clock_offset(port: int, password: str) -> float:
    """Measure Redis' clock minus ours: the best of five, each exact to half its round trip."""
    async with redis.asyncio.Redis(host="127.0.0.1", port=port, password=password) as connection:
        samples = []
        for _ in range(5):
            sent = time.time()
            seconds, microseconds = await connection.time()
            back = time.time()
            samples.append((back - sent, seconds + microseconds / 1e6 - (sent + back) / 2))
    return min(samples)[1]


async def show_everything(demo: Demo) -> None:
    """Show what one looks at first when something has gone wrong."""
    for command in (
        ("describe", "tq"),
        ("get", "pods", "-o", "wide"),
        ("get", "events", "--sort-by=.lastTimestamp"),
        ("logs", f"deployment/{RELEASE}", "--tail=80"),
        ("logs", f"job/{PRODUCER}", "--tail=5"),
        ("logs", "--selector=app.kubernetes.io/component=worker", "--prefix", "--tail=15"),
    ):
        try:
            output = await demo.space.kubectl(*command)
        except CommandFailed as error:
            output = str(error)
        demo.tell.show(f"kubectl {' '.join(command)}", output)


async def clean_up(demo: Demo, *, keep: bool) -> None:
    """Delete both namespaces. The CRD stays, as the chart promises."""
    demo.tell.chapter("Clean-up")
    if not keep:  # the admission policy belongs to the cluster, and does not go with the namespace
        uninstall = ("helm", "uninstall", RELEASE, "--namespace", demo.space.name)
        await run(*uninstall, "--ignore-not-found", timeout_seconds=60)
    spaces = [demo.killer.namespace] if keep else [demo.space, demo.killer.namespace]
    results = await asyncio.gather(
        *(space.delete(timeout_seconds=90) for space in spaces), return_exceptions=True
    )
    for space, error in zip(spaces, results, strict=True):
        demo.tell.say(f"namespace {space.name}: {error or 'deleted'}")
    if keep:
        demo.tell.say(f"kept: kubectl -n {demo.space.name} get tq,deployments,pods")
