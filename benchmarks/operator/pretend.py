"""The tests' API server as a process of its own, full of objects: `-m benchmarks.operator.pretend`.

A real one would spend minutes on ten thousand pods, and both cores. What is measured is the
operator, which reads them over HTTP either way. Prints its address, and serves until it is ended.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
from typing import Any

from testing.api_server import ApiServer

NAMESPACES = 200
PADDING = "x" * 60


def pod(number: int) -> dict[str, Any]:
    """A pod of somebody else, about as large as they are."""
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"web-{number % 900}-5d4f"}
    fields = {f"f:{PADDING}{n}": {".": {}, "f:name": {}, "f:value": {}} for n in range(40)}
    env = [{"name": f"SETTING_{n}", "value": PADDING} for n in range(30)]
    container = {
        "name": "web",
        "image": f"registry.example/{PADDING}",
        "env": env,
        "volumeMounts": [{"name": f"v{n}", "mountPath": f"/{PADDING}"} for n in range(6)],
    }
    state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    return {
        "metadata": {
            "labels": {"app": f"web-{number % 900}", "pod-template-hash": f"5d4f{number % 900}"},
            "annotations": {f"example.com/{n}": PADDING * 2 for n in range(6)},
            "ownerReferences": [{**owner, "uid": f"rs-{number % 900}", "controller": True}],
            "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": fields}}],
        },
        "spec": {"nodeName": f"node-{number % 100}", "containers": [container]},
        "status": {
            "phase": "Running",
            "conditions": [
                {"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
                for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
            ],
            "containerStatuses": [{"name": "web", "ready": True, "state": state}],
        },
    }


def put_task_queue(api: ApiServer, name: str, address: str) -> None:
    """A TaskQueue with a Deployment of its own, at zero."""
    selector = {"matchLabels": {"app": name}}
    api.put("deployments", name, {"spec": {"replicas": 0, "selector": selector}, "status": {}})
    spec = {
        "workloadRef": {"name": name},
        "queues": [{"name": name}],
        "redis": {"address": address.removeprefix("redis://")},
        "scaling": {"scaleDown": {"stabilizationSeconds": 0, "idleSeconds": 0}},
    }
    api.put("taskqueues", name, {"spec": spec})


class _NeverChanged(list[Any]):
    """A list that the pretended API server need not copy, which would take it 0.2 s each time."""

    def __deepcopy__(self, _: object) -> _NeverChanged:
        return self


def put_huge_task_queue(api: ApiServer, name: str, size: int) -> None:
    """A TaskQueue whose pod template takes so many bytes as JSON, in as many objects as may be."""
    variable = {"name": "A", "value": "1"}
    each = len(json.dumps(variable, separators=(",", ":"))) + 1
    env = _NeverChanged([variable] * (size // each))
    spec = {
        "template": {"spec": {"containers": [{"name": "worker", "image": "worker", "env": env}]}},
        "queues": [{"name": name}],
        "redis": {"address": "redis.example:6379"},
    }
    api.put("taskqueues", name, {"spec": spec})


async def main(args: argparse.Namespace) -> None:
    api = await ApiServer().start()
    for number in range(args.pods):
        api.put("pods", f"web-{number}", pod(number), f"team-{number % NAMESPACES}")
    for name, count, address in args.task_queues:
        for number in range(int(count)):
            # With a number of its own each is a Redis of its own, as far as the operator knows.
            where = address.replace("{}", str(number))
            put_task_queue(api, f"{name}-{number}", where)
    for number in range(args.huge[0]):
        put_huge_task_queue(api, f"huge-{number}", args.huge[1])
    # Millions of objects that stay: without this, each collection would hold up the server.
    gc.collect()
    gc.freeze()
    sys.stdout.write(f"{api.url}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=0)
    parser.add_argument(
        "--task-queues",
        nargs=3,
        action="append",
        default=[],
        metavar=("NAME", "COUNT", "ADDRESS"),
        help="NAME-0, NAME-1, …; {} in the address is the number",
    )
    parser.add_argument(
        "--huge", nargs=2, type=int, default=(0, 0), metavar=("COUNT", "BYTES"), help="huge-0, …"
    )
    asyncio.run(main(parser.parse_args()))
