#!/usr/bin/env python3
"""The main job on a real cluster, narrated: documents in, text out, a worker killed on the way.

Run it by `make demo`, or on any cluster that KUBECONFIG names:

    e2e/cluster/exec.sh .venv/bin/python examples/document-ocr/demo.py [--keep] [--skip-images]

Exit code 0 only if every page came back and was read rightly, at least one page was run twice,
nothing was lost by Redis's own books, and the workers went away again.
"""

import argparse
import asyncio
import contextlib
import sys
import time
import traceback
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import redis.asyncio
from narrator import fault, ledger
from narrator.cluster import CommandFailed, Namespace, run, run_openly
from narrator.fault import Killer
from narrator.narrate import Narrator
from narrator.observer import NotSeen, Observer, Stamped

from identtqueue import Client
from identtqueue.admin import Admin, RedisSettings
from identtqueue.errors import IdenttqueueError

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

RELEASE = "identtqueue"
REDIS = "identtqueue-redis"
QUEUE = "pages"
TASK_QUEUE = "document-ocr"
WORKERS = "document-ocr-worker"
PRODUCER = "document-ocr-producer"

PAGES_AT_LEAST = 60
MEAN_ACCURACY, PAGE_ACCURACY = 0.97, 0.90
PAGES_BEFORE_THE_KILL = 8
READ_TIMEOUT_SECONDS = 240


@dataclass(slots=True)
class Demo:
    """What every chapter needs."""

    tell: Narrator
    space: Namespace
    killer: Killer
    faults: list[str] = field(default_factory=list)

    async def show_queue(self) -> None:
        """`kubectl get taskqueue`, as a user would ask."""
        self.tell.show("kubectl get tq", await self.space.kubectl("get", "tq"))

    def tell_event(self, event: Stamped) -> None:
        """What the operator says of the TaskQueue, when it says it."""
        what = event.what
        self.tell.say(f"operator: {what['reason']}: {what['message']}", at=event.at)


@dataclass(slots=True)
class Scene:
    """What the chapters after the set-up need besides."""

    observer: Observer
    client: Client
    admin: Admin
    clock_offset: float
    """Redis's clock minus this machine's, in seconds."""
    counted_before: dict[str, int]
    task_ids: list[str] = field(default_factory=list)

    def here(self, redis_ms: int) -> float:
        """A time of Redis by this machine's clock."""
        return redis_ms / 1000 - self.clock_offset


def main() -> int:
    """Parse, play, clean up."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--namespace", default="identtqueue-demo", help="made anew for the run")
    parser.add_argument("--keep", action="store_true", help="leave the namespace for a look")
    parser.add_argument(
        "--skip-images", action="store_true", help="the cluster can pull the images already"
    )
    options = parser.parse_args()
    space = Namespace(options.namespace)
    demo = Demo(Narrator(), space, Killer(Namespace(f"{options.namespace}-faults")))
    return asyncio.run(play(demo, skip_images=options.skip_images, keep=options.keep))


async def play(demo: Demo, *, skip_images: bool, keep: bool) -> int:
    """All chapters, then the verdict."""
    try:
        await set_up(demo, skip_images=skip_images)
        async with open_scene(demo) as scene:
            await scale_up(demo, scene)
            await kill_a_worker(demo, scene)
            await read_all(demo, scene)
            await scale_to_zero(demo, scene)
            await balance(demo, scene)
    except Exception as error:
        # Whatever it was, the cluster's own words tell the most, and they are gone after this.
        if not isinstance(error, (CommandFailed, NotSeen, IdenttqueueError)):
            traceback.print_exc()
        demo.tell.say(f"FAILED: {error}")
        await show_everything(demo)
        demo.faults.append(f"{type(error).__name__}: {error}")
    finally:
        await clean_up(demo, keep=keep)
    if demo.faults:
        demo.tell.say(f"The demonstration FAILED: {'; '.join(demo.faults)}")
        return 1
    demo.tell.say("The demonstration succeeded: nothing was lost, everything was read.")
    return 0


async def set_up(demo: Demo, *, skip_images: bool) -> None:
    """Images, namespaces, the chart, the application's manifests."""
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
    tell.say("kubectl apply: the workers' Deployment (0 replicas) and its TaskQueue")
    for manifest in ("worker.yaml", "taskqueue.yaml"):
        await space.apply(HERE / "manifests" / manifest)
    await space.kubectl(
        *("wait", f"tq/{TASK_QUEUE}", "--for=condition=Ready", "--timeout=60s"), timeout_seconds=65
    )
    await demo.killer.wait_until_ready()
    await demo.show_queue()


@contextlib.asynccontextmanager
async def open_scene(demo: Demo) -> AsyncIterator[Scene]:
    """Watches and connections to Redis, open before anything happens."""
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
    """Redis's clock minus ours: best of five, each good to half its round trip."""
    async with redis.asyncio.Redis(host="127.0.0.1", port=port, password=password) as connection:
        samples = []
        for _ in range(5):
            sent = time.time()
            seconds, microseconds = await connection.time()
            back = time.time()
            samples.append((back - sent, seconds + microseconds / 1e6 - (sent + back) / 2))
    return min(samples)[1]


async def scale_up(demo: Demo, scene: Scene) -> None:
    """From the first enqueue to the first page."""
    tell, observer = demo.tell, scene.observer
    tell.chapter("From zero: an application enqueues its documents")
    await demo.space.apply(HERE / "manifests" / "producer.yaml")
    tell.say("kubectl apply: the producer, a Job that scans pages, enqueues them, awaits the text")
    selector = f"--selector=job-name={PRODUCER}"
    for condition in ("create", "jsonpath={.status.phase}=Running"):
        await demo.space.kubectl(
            *("wait", "pod", selector, f"--for={condition}", "--timeout=60s"), timeout_seconds=65
        )
    observer.follow_producer(PRODUCER)
    scanned = await first(observer, "scanned", 120)
    tell.say(
        f"producer: {scanned.what['pages']} pages scanned in {scanned.what['seconds']} s, "
        f"{scanned.what['kib'] / 1024:.0f} MiB",
        at=scanned.at,
    )
    with tell.in_order():
        enqueued = await first(observer, "enqueued", 60)
        scene.task_ids = [page["task_id"] for page in enqueued.what["pages"]]
        tasks = await fault.infos(scene.client, scene.task_ids)
        first_enqueue = scene.here(min(task.enqueued_at_ms for task in tasks))
        tell.say("FIRST ENQUEUE (the queue was empty, the workers zero)", at=first_enqueue)
        patched_at, replicas = await observer.until(
            lambda: next((change for change in observer.replicas if change[1] > 0), None),
            30,
            "replicas to rise",
        )
        tell.say(
            f"REPLICAS PATCHED 0 -> {replicas}, seen by a watch "
            f"{(patched_at - first_enqueue) * 1000:.0f} ms after the first enqueue",
            at=patched_at,
        )
        tell.say(
            f"producer: all {len(scene.task_ids)} pages enqueued in {enqueued.what['seconds']} s",
            at=enqueued.at,
        )
    ready_at = await observer.until(
        lambda: min((p.ready_at for p in observer.pods.values() if p.ready_at), default=None),
        90,
        "a worker pod to be ready",
    )
    tell.say(f"FIRST POD READY {ready_at - first_enqueue:.1f} s after the enqueue", at=ready_at)
    page = await first(observer, "read", 60)
    tell.say(
        f"first page read, {page.at - first_enqueue:.1f} s after the enqueue: "
        f'{page.what["page"]}, "{page.what["first_words"]} ..."',
        at=page.at,
    )
    await observer.until(
        lambda: observer.ready_replicas >= replicas, 90, f"all {replicas} workers to be ready"
    )
    await demo.show_queue()


async def first(observer: Observer, event: str, seconds: float) -> Stamped:
    """The producer's first word of this kind."""
    return await observer.until(
        lambda: (observer.said(event) or [None])[0], seconds, f"the producer to say '{event}'"
    )


async def kill_a_worker(demo: Demo, scene: Scene) -> None:
    """SIGKILL in the middle of a page: who takes the page back, how fast, and where it goes on."""
    tell, observer = demo.tell, scene.observer
    tell.chapter("A worker is killed in the middle of a page")
    await observer.until(
        lambda: len(observer.said("read")) >= PAGES_BEFORE_THE_KILL,
        120,
        f"{PAGES_BEFORE_THE_KILL} pages to be read",
    )
    with tell.in_order():
        killed = await fault.kill_mid_page(scene.client, observer, demo.killer, scene.task_ids)
        task, pod = killed.task, killed.pod
        assert task.started_at_ms is not None
        tell.say(
            f"SIGKILL to {pod.name} (process {killed.pid} on {pod.node}), "
            f"{killed.at - scene.here(task.started_at_ms):.1f} s into {task.task_id}",
            at=killed.at,
        )
        requeued_at = await fault.until_requeued(scene.client, killed, 40)
        again = await fault.until_running_again(scene.client, killed, 60)
        assert again.started_at_ms is not None
        await observer.until(
            lambda: pod.restarts > 0 and pod.exit_code is not None,
            30,
            "the kubelet to report the end",
        )
        by = await who_requeued(observer, pod.name, killed.at)
        tell.say(
            f"TASK REQUEUED {requeued_at - killed.at:.1f} s after the kill, {by}", at=requeued_at
        )
        started_at = scene.here(again.started_at_ms)
        where = observer.pod_of(again.owner)
        place = where.name if where else again.owner
        if where is pod:
            place = f"{place}, the same pod's next container"
        tell.say(
            f"TASK RUNNING AGAIN {started_at - killed.at:.1f} s after the kill: "
            f"attempt {again.attempt} on {place}",
            at=started_at,
        )
    tell.say(f"kubelet: {pod.name}: exit code {pod.exit_code}, restarts {pod.restarts}")
    await demo.show_queue()


async def who_requeued(observer: Observer, pod_name: str, since: float) -> str:
    """The operator says when it did it. If nobody says so, a worker did."""

    def said() -> Stamped | None:
        return next(
            (
                event
                for event in observer.events
                if event.at >= since
                and event.what["reason"] == "TasksRequeued"
                and pod_name in event.what["message"]
            ),
            None,
        )

    try:
        event = await observer.until(said, 5, "the operator's event")
    except NotSeen:
        return "by another worker, or the pod's next container (the operator did not claim it)"
    return f"by the operator ({event.what['message'].rpartition(': ')[2]})"


async def read_all(demo: Demo, scene: Scene) -> None:
    """Until the producer has all its pages, and how well they were read."""
    tell, observer = demo.tell, scene.observer
    tell.chapter("All pages")
    total = len(scene.task_ids)
    for mark in (*range(10, total, 10), total):
        await observer.until(
            lambda mark=mark: (
                len(observer.said("read")) + len(observer.said("failed")) >= mark
                or bool(observer.said("finished"))
            ),
            READ_TIMEOUT_SECONDS,
            f"page {mark} of {total}",
        )
        read = observer.said("read")
        if len(read) < mark + 10 or mark == total:  # not those that were passed long ago
            mean = sum(page.what["accuracy"] for page in read) / max(1, len(read))
            tell.say(f"{len(read)} of {total} pages read, {mean:.2%} of the words right so far")
    finished = await first(observer, "finished", 30)
    facts = finished.what
    seconds = sorted(page.what["seconds"] for page in observer.said("read"))
    workers = {page.what["worker"] for page in observer.said("read")}
    tell.say(
        f"ALL PAGES RECOGNISED: {facts['read']} of {facts['pages']}; words right: "
        f"mean {facts['accuracy_mean']:.2%}, worst page {facts['accuracy_min']:.2%}",
        at=finished.at,
    )
    if seconds:
        tell.say(
            f"read by {len(workers)} workers, {seconds[len(seconds) // 2]} s per page "
            f"({seconds[0]} to {seconds[-1]} s)"
        )
    for failed in observer.said("failed"):
        tell.say(f"NOT READ: {failed.what['page']}: {failed.what['error']}", at=failed.at)
    if facts["read"] != facts["pages"] or facts["pages"] < PAGES_AT_LEAST:
        demo.faults.append(f"{facts['read']} of {facts['pages']} pages were read")
    if facts["accuracy_mean"] < MEAN_ACCURACY or facts["accuracy_min"] < PAGE_ACCURACY:
        demo.faults.append(
            f"recognition is not good enough: wanted are {MEAN_ACCURACY:.0%} on average "
            f"and {PAGE_ACCURACY:.0%} on each page"
        )


async def scale_to_zero(demo: Demo, scene: Scene) -> None:
    """Until no worker is wanted, and none is left."""
    tell, observer = demo.tell, scene.observer
    tell.chapter("Back to zero")
    zero_at, _ = await observer.until(
        lambda: observer.replicas[-1] if observer.replicas[-1][1] == 0 else None,
        90,
        "replicas to be zero",
    )
    finished = await first(observer, "finished", 1)
    tell.say(f"ZERO REPLICAS, {zero_at - finished.at:.1f} s after the last page", at=zero_at)
    await demo.space.kubectl(
        *("wait", "pod", "--for=delete", "--selector=app.kubernetes.io/component=worker"),
        "--timeout=60s",
        timeout_seconds=65,
    )
    tell.say("the last worker pod is gone")
    await demo.show_queue()


async def balance(demo: Demo, scene: Scene) -> None:
    """The books, from Redis."""
    demo.tell.chapter("The ledger, from Redis")
    books = await ledger.draw_up(
        scene.admin, scene.client, QUEUE, scene.task_ids, scene.counted_before
    )
    demo.tell.table(books.rows())
    demo.faults += [f"the ledger does not balance: {what}" for what in books.faults()]
    if not books.repeated:
        demo.faults.append("no page was run twice, though a worker was killed over one")


async def show_everything(demo: Demo) -> None:
    """What one would look at first when something went wrong."""
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
    """Both namespaces. The CRD stays, as the chart promises."""
    demo.tell.chapter("Clean-up")
    spaces = [demo.killer.namespace] if keep else [demo.space, demo.killer.namespace]
    results = await asyncio.gather(
        *(space.delete(timeout_seconds=90) for space in spaces), return_exceptions=True
    )
    for error in results:
        if error is not None:
            demo.tell.say(f"not cleaned up: {error}")
    if keep:
        demo.tell.say(f"kept: kubectl -n {demo.space.name} get tq,deployments,pods")
    else:
        demo.tell.say(f"namespace {demo.space.name} is deleted")


if __name__ == "__main__":
    sys.exit(main())
