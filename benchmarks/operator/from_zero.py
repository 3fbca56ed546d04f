"""From an enqueue on an empty queue without workers to the job's first line, in a real pod.

All processes of the cluster run on this machine, so they share its monotonic clock.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from benchmarks.operator.api import CORE, Api, Json, Watch
from benchmarks.operator.pods import Ward
from benchmarks.operator.stage import say
from testing.cluster.workload import JOBS, deployment, task_queue

SCALING: Final = {"maxReplicas": 1, "scaleDown": {"stabilizationSeconds": 0, "idleSeconds": 1}}

LOAD: Final = """
import os, sys, types
module = types.ModuleType("e2e_jobs")
sys.modules["e2e_jobs"] = module
exec(os.environ["JOBS"], module.__dict__)
from identtqueue.__main__ import main
main()
"""
"""Starts a worker whose module comes by a variable: as quick as one that the image contains."""

Template = dict[str, Any]


def _in_image(pod: Template) -> None:
    """Have the jobs in the image, and nothing mounted."""
    pod.pop("volumes")
    container = pod["containers"][0]
    for key in ("volumeMounts", "workingDir"):
        container.pop(key)
    container["command"] = ["python", "-c", LOAD, *container["command"][1:]]
    container["env"].append({"name": "JOBS", "value": JOBS.read_text("utf-8")})


def _scratch(pod: Template) -> None:
    """Mount an empty folder as well."""
    _in_image(pod)
    pod["volumes"] = [{"name": "tmp", "emptyDir": {}}]
    pod["containers"][0]["volumeMounts"] = [{"name": "tmp", "mountPath": "/tmp"}]


def _token(pod: Template) -> None:
    """Mount the token of the ServiceAccount, as Kubernetes does by default."""
    _in_image(pod)
    pod["automountServiceAccountToken"] = True


def _throttled(pod: Template) -> None:
    """Limit the CPU."""
    _in_image(pod)
    pod["containers"][0]["resources"]["limits"]["cpu"] = "100m"


TEMPLATES: Final[Mapping[str, Callable[[Template], None]]] = {
    "image": _in_image,
    "scratch": _scratch,
    "token": _token,
    "configmap": lambda _: None,
    "throttled": _throttled,
}
"""Templates of a worker that are compared, by name."""


class Pods(Watch):
    """The pods of a namespace by their label `app`, and when each was placed on a node."""

    def __init__(self, api: Api, namespace: str) -> None:
        super().__init__(api, f"{CORE}/namespaces/{namespace}/pods")
        self.there: dict[str, set[str]] = {}
        self.placed: dict[str, float] = {}  # by app: when the last one was

    def note(self, at: float, kind: str, body: Json) -> None:
        app, uid = body["metadata"]["labels"].get("app", ""), body["metadata"]["uid"]
        there = self.there.setdefault(app, set())
        if kind == "DELETED":
            there.discard(uid)
        elif uid not in there and body["spec"].get("nodeName"):
            there.add(uid)
            self.placed[app] = at

    async def none(self, app: str) -> None:
        """Wait until there is none of an app."""
        await self.until(f"no pod of {app}", lambda: not self.there.get(app))


async def from_zero(here: Ward, repetitions: int) -> dict[str, dict[str, list[float]]]:
    """Milliseconds from before the enqueue until the job runs, and of each part of that."""
    namespace = here.release.namespace
    found: dict[str, dict[str, list[float]]] = {}
    async with await Api.open() as api, Pods(api, namespace) as pods:
        for name, change in TEMPLATES.items():
            body = copy.deepcopy(deployment(here.release, name, name, grace_seconds=30))
            change(body["spec"]["template"]["spec"])
            await here.apply(body, task_queue(here.release, name, name, scaling=SCALING))
            await _once(here, pods, name)  # the first one finds caches that are cold
        for number in range(repetitions):
            for name in TEMPLATES:
                parts = await _once(here, pods, name)
                for part, milliseconds in parts.items():
                    found.setdefault(f"zero: {name}", {}).setdefault(part, []).append(milliseconds)
            say(f"{number + 1} of {repetitions} starts of each template")
        for name in TEMPLATES:
            await here.shut(name)
    return found


async def _once(here: Ward, pods: Pods, name: str) -> dict[str, float]:
    """Enqueue one task, wait for its result, and then until there is no pod again."""
    began = time.monotonic()
    (task_id,) = await here.enqueue(name, job="clocks")
    patched = await here.replicas.raised(name, began)
    process, ran = await here.client.wait_for_result(task_id, 120)
    placed = pods.placed[name]
    times = {
        "patch": patched - began,
        "placed": placed - patched,
        "process": process - placed,
        "job": ran - process,
        "all": ran - began,
    }
    await here.replicas.at(name, 0)
    await pods.none(name)
    return {f"{part}_ms": seconds * 1000 for part, seconds in times.items()}
