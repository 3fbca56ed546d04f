"""A cluster as the place where the demonstration plays."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import redis.asyncio
from document_ocr.pages import load_pages

from identtqueue import RedisSettings
from narrator.commands import lines_of, run, run_openly
from narrator.killer import Killer
from narrator.namespace import Namespace
from narrator.narrate import Narrator
from narrator.world import HERE, ROOT, TASK_QUEUE, CommandFailed, Json, PodSeen, Redis

RELEASE = "identtqueue"
REDIS = "identtqueue-redis"
PRODUCER = "document-ocr-producer"
APIS = {
    "deployments": "apis/apps/v1",
    "taskqueues": "apis/identtqueue.dev/v1alpha1",
    "pods": "api/v1",
    "events": "api/v1",
}


class ClusterWorld:
    """The cluster that KUBECONFIG names.

    Args:
        namespace: name of the namespace, which is made anew.
        skip_images: the cluster can pull the images already.
    """

    deployment = "document-ocr-worker"
    kubelet = "the kubelet"

    def __init__(self, namespace: str, *, skip_images: bool) -> None:
        self.pages = len(load_pages())
        self._space = Namespace(namespace)
        self._killer = Killer(Namespace(f"{namespace}-faults"))
        self._helpers: dict[str, str] = {}
        self._skip_images = skip_images

    async def set_up(self, tell: Narrator) -> None:
        """Set up images, namespaces, the chart and the application's manifests."""
        space = self._space
        if not self._skip_images:
            tell.say("building and loading images: operator, redis, document-ocr")
            images = str(ROOT / "e2e/cluster/images.sh")
            await run_openly(
                *(images, "operator", "redis", "example", "document-ocr"), timeout_seconds=1200
            )
        tell.say(f"namespace {space.name}: made anew, Pod Security 'restricted' is enforced in it")
        await asyncio.gather(space.create(pod_security="restricted"), self._killer.set_up())
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
            *("wait", f"tq/{TASK_QUEUE}", "--for=condition=Ready", "--timeout=60s"),
            timeout_seconds=65,
        )
        tell.say("the Deployment starts with one worker, which finds no task: it goes")
        at_zero = "--for=jsonpath={.spec.replicas}=0"
        await space.kubectl(
            *("wait", f"deployment/{self.deployment}", at_zero, "--timeout=180s"),
            timeout_seconds=185,
        )
        await self._killer.wait_until_ready()
        self._helpers = await self._killer.pod_names()

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[Redis]:
        """Open a tunnel to Redis."""
        password = await self._space.secret(REDIS, "password")
        async with self._space.port_forward(REDIS, 6379) as port:
            settings = RedisSettings(address=f"redis://127.0.0.1:{port}", password=password)
            yield Redis(settings, await _clock_offset(port, password))

    async def changes(self, kind: str) -> AsyncIterator[Json]:
        """Iterate over all objects of a kind, then over each that has changed, without an end."""
        async for change in self._space.watch(APIS[kind], kind):
            if change.get("type") in ("ADDED", "MODIFIED"):
                yield change["object"]

    async def start_producer(self, tell: Narrator) -> None:
        """Start a pod of the application."""
        await self._space.apply(HERE / "manifests" / "producer.yaml")
        tell.say("kubectl apply: the producer, a Job: scan pages, enqueue them, await their text")
        selector = f"--selector=job-name={PRODUCER}"
        for condition in ("create", "jsonpath={.status.phase}=Running"):
            await self._space.kubectl(
                *("wait", "pod", selector, f"--for={condition}", "--timeout=60s"),
                timeout_seconds=65,
            )

    def producer_lines(self) -> AsyncIterator[str]:
        """Iterate over the lines that the application prints."""
        name = self._space.name
        return lines_of("kubectl", "--namespace", name, "logs", "-f", f"job/{PRODUCER}")

    async def show_queue(self, tell: Narrator) -> None:
        """Show the output of `kubectl get tq`."""
        tell.show("kubectl get tq", await self._space.kubectl("get", "tq"))

    async def kill(self, pod: PodSeen) -> tuple[str, float]:
        """Let a helper on the pod's node kill it: see `Killer.kill`."""
        return await self._killer.kill(self._helpers[pod.node], pod.uid)

    async def wait_until_workers_are_gone(self) -> None:
        """Wait until no pod is left."""
        await self._space.kubectl(
            *("wait", "pod", "--for=delete", "--selector=app.kubernetes.io/component=worker"),
            "--timeout=60s",
            timeout_seconds=65,
        )

    async def show_everything(self, tell: Narrator) -> None:
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
                output = await self._space.kubectl(*command)
            except CommandFailed as error:
                output = str(error)
            tell.show(f"kubectl {' '.join(command)}", output)

    async def clean_up(self, tell: Narrator, *, keep: bool) -> None:
        """Delete both namespaces. The CRD stays, as the chart promises."""
        if not keep:  # the admission policy is the cluster's, and does not go with the namespace
            uninstall = ("helm", "uninstall", RELEASE, "--namespace", self._space.name)
            await run(*uninstall, "--ignore-not-found", timeout_seconds=60)
        spaces = [self._killer.namespace] if keep else [self._space, self._killer.namespace]
        results = await asyncio.gather(
            *(space.delete(timeout_seconds=90) for space in spaces), return_exceptions=True
        )
        for space, error in zip(spaces, results, strict=True):
            tell.say(f"namespace {space.name}: {error or 'deleted'}")
        if keep:
            tell.say(f"kept: kubectl -n {self._space.name} get tq,deployments,pods")


async def _clock_offset(port: int, password: str) -> float:
    """Measure Redis' clock minus ours: the best of five, each exact to half its round trip."""
    async with redis.asyncio.Redis(host="127.0.0.1", port=port, password=password) as connection:
        samples = []
        for _ in range(5):
            sent = time.time()
            seconds, microseconds = await connection.time()
            back = time.time()
            samples.append((back - sent, seconds + microseconds / 1e6 - (sent + back) / 2))
    return min(samples)[1]
