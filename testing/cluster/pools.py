"""A custom kind with a `/scale`, and its controller, which runs in the test.

The controller knows nothing of workers. It creates pods until there are enough, and ends the oldest
ones, whatever they do, if there are too many.
"""

from __future__ import annotations

import secrets
import threading
from typing import Any

from testing.cluster.cluster import Kubectl

GROUP = "e2e.identtqueue.dev"
PLURAL = "workerpools"
PERIOD_SECONDS = 0.3


def definition() -> dict[str, Any]:
    """Make the CustomResourceDefinition."""
    kept = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": "WorkerPool", "plural": PLURAL, "singular": "workerpool"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {"spec": kept, "status": kept},
                        }
                    },
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                }
            ],
        },
    }


def pool(deployment: dict[str, Any]) -> dict[str, Any]:
    """Make a pool with the pods of a Deployment."""
    name, spec = deployment["metadata"]["name"], deployment["spec"]
    kept = {"replicas": spec["replicas"], "template": spec["template"]}
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "WorkerPool",
        "metadata": {"name": name},
        "spec": kept,
        "status": {"replicas": 0, "selector": f"app={name}"},
    }


class PoolController:
    """The controller of one pool, which creates and ends its pods until it is closed."""

    def __init__(self, kubectl: Kubectl, name: str) -> None:
        self._kubectl = kubectl
        self._name = name
        self._closed = threading.Event()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        assert self.failure is None, f"the pool's controller has ended: {self.failure}"

    def _run(self) -> None:
        try:
            while not self._closed.wait(PERIOD_SECONDS):
                self._sync()
        except BaseException as error:
            self.failure = error

    def _sync(self) -> None:
        owner = self._kubectl.get(PLURAL, self._name)
        pods = [
            pod
            for pod in self._kubectl.list("pods", f"app={self._name}")
            if "deletionTimestamp" not in pod["metadata"]
        ]
        pods.sort(key=lambda pod: pod["metadata"]["creationTimestamp"])
        surplus = len(pods) - owner["spec"]["replicas"]
        for pod in pods[: max(0, surplus)]:
            self._kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false")
        for _ in range(-surplus):
            self._kubectl.apply(self._pod(owner))
        status = {"replicas": owner["spec"]["replicas"], "selector": f"app={self._name}"}
        if owner.get("status") != status:
            patch = (
                f'{{"status":{{"replicas":{status["replicas"]},"selector":"app={self._name}"}}}}'
            )
            words = ("--subresource=status", "--type=merge", "-p", patch)
            self._kubectl("patch", PLURAL, self._name, *words)

    def _pod(self, owner: dict[str, Any]) -> dict[str, Any]:
        template = owner["spec"]["template"]
        reference = {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": self._name,
            "uid": owner["metadata"]["uid"],
            "controller": True,
        }
        metadata = {
            "name": f"{self._name}-{secrets.token_hex(3)}",
            "labels": template["metadata"]["labels"],
            "ownerReferences": [reference],
        }
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
