"""A namespace with TaskQueues on a real API server, a Redis, and the operator between them.

The Deployments are paused and new, so that the Deployment controller makes no ReplicaSet for them
(https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#pausing-and-resuming-a-rollout-of-a-deployment):
their `spec.replicas` is PATCHed as ever, and not a single pod starts. `pods.py` has real ones.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from benchmarks.operator.api import APPS, CORE, OURS, Api, Json, Removals
from benchmarks.operator.process import Operator
from identtqueue import Client
from identtqueue_operator.kube.requests import ApiError
from testing.redis_server import RedisServer

ROOT = Path(__file__).resolve().parents[2]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAME = "taskqueues.identtqueue.dev"
"""Name of the CRD."""
PREFIX = "bench-"
"""Of the namespaces' names."""
CRD = ROOT / "manifests" / "crd.yaml"


def say(text: str) -> None:
    """Progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Stage:
    """See the module.

    Args:
        api: the API server.
        namespace: of everything here.
        redis: holds the queues. A queue is named as its TaskQueue and its Deployment.
        client: enqueues.
        operator: not started yet.
    """

    def __init__(
        self, api: Api, namespace: str, redis: RedisServer, client: Client, operator: Operator
    ) -> None:
        self.api = api
        self.namespace = namespace
        self.redis = redis
        self.client = client
        self.operator = operator

    def path(self, group: str, plural: str, name: str = "") -> str:
        """Of a collection in the namespace, or of one object in it."""
        return f"{group}/namespaces/{self.namespace}/{plural}{f'/{name}' if name else ''}"

    async def create(self, names: list[str], **scaling: Any) -> None:
        """TaskQueues, each with its Deployment."""
        deployments = [(self.path(APPS, "deployments"), deployment(name)) for name in names]
        task_queues = [
            (self.path(OURS, "taskqueues"), task_queue(name, self.redis.address, scaling))
            for name in names
        ]
        await self.api.create_all(deployments + task_queues, say)

    async def remove_all(self) -> None:
        """Every TaskQueue and Deployment of the namespace."""
        await self.api.delete(self.path(OURS, "taskqueues"))
        await self.api.delete(self.path(APPS, "deployments"))


def deployment(name: str) -> Json:
    labels = {"app": name}
    container = {"name": "worker", "image": "example.invalid/never-pulled:0"}
    return {
        "metadata": {"name": name},
        "spec": {
            "paused": True,
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def task_queue(name: str, address: str, scaling: Json) -> Json:
    """Ready to shrink at once, so that the next repetition may begin."""
    quick = {"scaleDown": {"stabilizationSeconds": 0, "idleSeconds": 0}}
    return {
        "apiVersion": "identtqueue.dev/v1alpha1",
        "kind": "TaskQueue",
        "metadata": {"name": name},
        "spec": {
            "workloadRef": {"name": name},
            "queues": [{"name": name}],
            "redis": {"address": address},
            "scaling": {"maxReplicas": 20, "concurrencyPerReplica": 10} | quick | scaling,
        },
    }


@asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    """Set it all up, without TaskQueues and with the operator not started; and clear it away."""
    namespace = f"{PREFIX}{secrets.token_hex(3)}"
    redis = RedisServer(aof=True).start()
    try:
        async with await Api.open() as api, Client(redis.address) as client:
            await api.create(f"{CORE}/namespaces", {"metadata": {"name": namespace}})
            with tempfile.TemporaryDirectory(prefix="identtqueue-bench-") as folder:
                operator = Operator(namespace, Path(folder) / "operator.log")
                try:
                    yield Stage(api, namespace, redis, client, operator)
                finally:
                    await operator.stop()
                    await api.delete(f"{CORE}/namespaces/{namespace}")
    finally:
        redis.destroy()


@asynccontextmanager
async def definition() -> AsyncIterator[None]:
    """The CRD of this commit, for the time of the run; one that is there already stays.

    Helm would refuse to change what somebody else brought.
    """
    async with await Api.open() as api:
        try:
            await api.create(CRDS, yaml.safe_load(CRD.read_text()))
        except ApiError as error:
            if not error.conflict:
                raise
            say("uses the CRD that is in the cluster")
            yield
            return
        try:
            yield
        finally:
            found = (await api.get(f"{OURS}/taskqueues"))["items"]
            if all(item["metadata"]["namespace"].startswith(PREFIX) for item in found):
                async with Removals(api, CRDS) as removals:
                    await api.delete(f"{CRDS}/{NAME}")
                    await removals.until("the CRD is gone", lambda: NAME in removals.gone, 300)
