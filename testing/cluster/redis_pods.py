"""Redis in pods of the tests' own: one server, some with Sentinels, or the nodes of a cluster.

Nothing is on a disk, so a server that dies loses all its data, as if its node had burnt down.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from testing.cluster.cluster import Kubectl
from testing.cluster.workload import pod_spec

IMAGE = "identtqueue/redis:dev"
PORT = 6379
SENTINEL_PORT = 26379


def container(name: str, command: list[str], port: int, *mounts: dict[str, Any]) -> dict[str, Any]:
    """Make the container of a server, which is ready when its port is open."""
    return {
        "name": name,
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
        "securityContext": pod_spec()["containers"][0]["securityContext"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}, *mounts],
    }


def servers(
    name: str, replicas: int, containers: list[dict[str, Any]], *volumes: dict[str, Any]
) -> list[dict[str, Any]]:
    """Make pods `name-0`, `name-1` …, all started at once, each with a DNS name of its own."""
    labels = {"app": name}
    pod = {
        "automountServiceAccountToken": False,
        "securityContext": pod_spec()["securityContext"],
        "terminationGracePeriodSeconds": 0,
        "containers": containers,
        "volumes": [{"name": "data", "emptyDir": {}}, *volumes],
    }
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": name},
            "spec": {
                "serviceName": name,
                "replicas": replicas,
                "podManagementPolicy": "Parallel",
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {
                "clusterIP": "None",
                "publishNotReadyAddresses": True,  # they look for each other before they are ready
                "selector": labels,
                "ports": [{"port": PORT}],
            },
        },
    ]


@contextlib.contextmanager
def running(kubectl: Kubectl, name: str, *objects: dict[str, Any]) -> Iterator[None]:
    """Apply the servers, wait until all are ready, and delete them at the end."""
    kubectl.apply(*objects)
    try:
        kubectl("rollout", "status", f"statefulset/{name}", "--timeout=120s")
        yield
    finally:
        kubectl("delete", "statefulset,service", name, "--ignore-not-found")


def ask(kubectl: Kubectl, pod: str, *commands: str, port: int = PORT) -> list[str]:
    """Run commands with redis-cli in that pod, over one connection; return the answers by line."""
    words = ("exec", "-i", pod, "--", "redis-cli", "-p", str(port))
    return kubectl(*words, stdin="\n".join(commands)).split("\n")[:-1]
