"""Deployments: the part of Kubernetes' controllers, which make and end pods.

The number of pods follows `spec.replicas`. When the template has changed, new pods come before old
ones go, within maxSurge and maxUnavailable. Which pods go first is the ReplicaSet's rule, on which
the operator relies: see `policy.victims`.
"""

import asyncio
import hashlib
import json
import logging
import math
import secrets
import socket
from collections.abc import Sequence

from identtqueue_operator.kube import parse
from identtqueue_operator.kube.parse import key_of
from identtqueue_operator.local.objects import Json, Objects, now
from identtqueue_operator.local.pods import mark_deleted
from identtqueue_operator.model import Key
from identtqueue_operator.policy.victims import replicaset_order

logger = logging.getLogger(__name__)

HASH_LABEL = "pod-template-hash"
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""Letters of the random part of a pod's name, as Kubernetes has them: they spell no words."""


class Deployments:
    """The controller of all Deployments.

    Args:
        objects: the store.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._due: set[Key] = set()
        self._alarm = asyncio.Event()
        self._stopped = False
        objects.listen(self._hear)

    async def run(self) -> None:
        """Follow the store, without end."""
        while True:
            await self._alarm.wait()
            self._alarm.clear()
            due, self._due = self._due, set()
            for key in due:
                try:
                    self._sync(key)
                except Exception:
                    # One object of an unforeseen form must not stop the service for all.
                    logger.exception("Deployment %s cannot be followed", key.name)

    def stop(self) -> None:
        """Make no more pods, because this process ends."""
        self._stopped = True

    def _hear(self, _event: str, plural: str, body: Json) -> None:
        """Note which Deployment a change concerns."""
        if plural == "deployments":
            self._due.add(key_of(body))
        elif plural == "pods":
            owner = parse.owner_of(body)
            if owner is None:
                return
            self._due.add(Key(body["metadata"]["namespace"], owner.name))
        else:
            return
        self._alarm.set()

    def _sync(self, key: Key) -> None:
        """Make and end pods of one Deployment, then write its status."""
        body = self._objects.find("deployments", key)
        uid = body["metadata"]["uid"] if body else ""
        pods = self._pods_of(key)
        strays = [pod for pod in pods if _owner_uid(pod) != uid]  # of one that was deleted
        self._end(strays, len(strays))
        if body is None:
            return
        if not self._stopped and not body["spec"].get("paused"):
            self._follow(body, [pod for pod in pods if _owner_uid(pod) == uid])
        self._write_status(key, body, [p for p in self._pods_of(key) if _owner_uid(p) == uid])

    def _pods_of(self, key: Key) -> list[Json]:
        """List the pods of a Deployment of this name that are not on their way out."""
        return [
            pod
            for pod in self._objects.all("pods", key.namespace)
            if (owner := parse.owner_of(pod)) is not None
            and owner.name == key.name
            and not pod["metadata"].get("deletionTimestamp")
        ]

    def _follow(self, body: Json, pods: Sequence[Json]) -> None:
        """Make and end as many pods as the specification allows now."""
        spec, wanted = body["spec"], replicas_of(body)
        digest = template_hash(body)
        new = [pod for pod in pods if pod["metadata"]["labels"].get(HASH_LABEL) == digest]
        old = [pod for pod in pods if pod not in new]
        surge, unavailable = _bounds(spec, wanted) if old else (0, 0)
        recreates = (spec.get("strategy") or {}).get("type") == "Recreate"
        if not (old and recreates):
            missing = min(wanted - len(new), wanted + surge - len(pods))
            for _ in range(max(0, missing)):
                self._make(body, digest)
        if old:
            ready = sum(map(_is_ready, pods))
            not_ready = [pod for pod in old if not _is_ready(pod)]
            may_go = len(not_ready) + max(0, ready - (wanted - unavailable))
            self._end(old, len(old) if recreates else may_go)
        self._end(new, len(new) - wanted)

    def _make(self, deployment: Json, digest: str) -> None:
        template, metadata = deployment["spec"]["template"], deployment["metadata"]
        given = template.get("metadata") or {}
        tail = "".join(secrets.choice(_LETTERS) for _ in range(5))
        name = f"{metadata['name'][:46]}-{digest[:10]}-{tail}"
        owner = {"apiVersion": "apps/v1", "kind": "Deployment", "controller": True}
        pod = {
            "metadata": {
                "name": name,
                "namespace": metadata["namespace"],
                "labels": {**(given.get("labels") or {}), HASH_LABEL: digest},
                "annotations": dict(given.get("annotations") or {}),
                "ownerReferences": [{**owner, "name": metadata["name"], "uid": metadata["uid"]}],
                "creationTimestamp": now(),
            },
            "spec": {**template["spec"], "nodeName": socket.gethostname()},
            "status": {"phase": "Pending"},
        }
        self._objects.create("pods", pod)

    def _end(self, pods: Sequence[Json], count: int) -> None:
        """End some pods, in the ReplicaSet's order."""
        in_order = sorted(pods, key=lambda pod: replicaset_order(parse.pod(pod)))
        for pod in in_order[: max(0, count)]:
            self._objects.merge("pods", key_of(pod), mark_deleted(pod))

    def _write_status(self, key: Key, body: Json, pods: Sequence[Json]) -> None:
        digest = template_hash(body)
        ready = sum(map(_is_ready, pods))
        status = {
            "observedGeneration": body["metadata"]["generation"],
            "replicas": len(pods),
            "updatedReplicas": sum(
                pod["metadata"]["labels"].get(HASH_LABEL) == digest for pod in pods
            ),
            "readyReplicas": ready,
            "availableReplicas": ready,
        }
        self._objects.merge("deployments", key, {"status": status})


def replicas_of(deployment: Json) -> int:
    """Return how many pods a Deployment asks for."""
    given = deployment["spec"].get("replicas")
    return 1 if given is None else int(given)


def template_hash(deployment: Json) -> str:
    """Compute the mark by which pods of another template are known."""
    text = json.dumps(deployment["spec"]["template"], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _bounds(spec: Json, wanted: int) -> tuple[int, int]:
    """Return maxSurge and maxUnavailable of a rollout, as numbers of pods."""
    given = (spec.get("strategy") or {}).get("rollingUpdate") or {}
    surge = math.ceil(_share(given.get("maxSurge", "25%"), wanted))
    unavailable = math.floor(_share(given.get("maxUnavailable", "25%"), wanted))
    return (surge, unavailable) if surge or unavailable else (1, 0)


def _share(value: int | str, of: int) -> float:
    """Return a number of pods that is given as such, or in percent."""
    return value if isinstance(value, int) else int(value.removesuffix("%")) * of / 100


def _is_ready(pod: Json) -> bool:
    return parse.pod(pod).ready


def _owner_uid(pod: Json) -> str:
    owner = parse.owner_of(pod)
    return owner.uid if owner else ""
