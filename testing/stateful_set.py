"""Kubernetes' StatefulSet controller, modelled as `controllers` models that of the Deployment.

As in kubernetes/pkg/controller/statefulset/stateful_set_control.go (1.34): pods have ordinals; the
highest go first; unless pods are managed in parallel, nothing is created or ended while another pod
is not ready, except for the lowest unready one; a rollout replaces the highest outdated pod and
waits for each pod that is not ready; `status.replicas` counts pods that are on their way out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from testing.controllers import Controllers, Pod, ReplicaSet, Shape


@dataclass(frozen=True)
class SetShape(Shape):
    """The way in which a StatefulSet starts, ends and replaces its pods."""

    parallel: bool = False
    partition: int = 0
    on_delete: bool = False
    first_ordinal: int = 0

    @property
    def controllers(self) -> type[Controllers]:
        return StatefulSetController


class StatefulSetController(Controllers):
    """One StatefulSet and everything that Kubernetes does for it."""

    plural = "statefulsets"
    kind = "StatefulSet"
    shape: SetShape

    def create(self, replicas: int) -> None:
        strategy: dict[str, Any] = {"type": "OnDelete"}
        if not self.shape.on_delete:
            strategy = {"type": "RollingUpdate"}
            strategy["rollingUpdate"] = {"partition": self.shape.partition}
        spec = {
            "replicas": replicas,
            "selector": {"matchLabels": self._labels},
            "podManagementPolicy": "Parallel" if self.shape.parallel else "OrderedReady",
            "updateStrategy": strategy,
            "minReadySeconds": self.shape.min_ready_seconds,
            "ordinals": {"start": self.shape.first_ordinal},
            "template": {"metadata": {"labels": self._labels, "annotations": {"revision": "1"}}},
        }
        self.api.put(self.plural, self.name, {"spec": spec})

    @property
    def complete(self) -> bool:
        wanted = set(range(self.number))
        return (
            {self._position(pod) for pod in self.pods} == wanted
            and all(self._is_available(pod) and not pod.deleting for pod in self.pods)
            and not any(self._is_outdated(pod) for pod in self.pods)
        )

    # --- the controller ---

    def step_deployment(self) -> None:
        """Let the StatefulSet controller sync once."""
        self._sync()
        self._write_status()

    def step_replica_sets(self) -> None:
        """Do as `step_deployment`: there are no ReplicaSets, and one controller does it all."""
        self.step_deployment()

    def _sync(self) -> None:
        by_position = {self._position(pod): pod for pod in self.pods}
        for position in range(self.number):
            blocked = self._process_replica(position, by_position.get(position))
            if blocked and not self.shape.parallel:
                return
        condemned = sorted(
            (pod for pod in self.pods if not 0 <= self._position(pod) < self.number),
            key=self._position,
            reverse=True,
        )
        if self._end_condemned(condemned) or self.shape.on_delete:
            return
        self._roll_out_further(by_position)

    def _process_replica(self, position: int, pod: Pod | None) -> bool:
        """Create the pod of this position if it is missing; return whether the others must wait."""
        if pod is None:
            outdated = position < self.shape.partition and self._revision > 1
            revision = 1 if outdated else self._revision
            name = f"{self.name}-{position + self.shape.first_ordinal}"
            labels = self._labels | {"controller-revision-hash": f"rev{revision}"}
            self._put_pod(name, self._of(revision), labels)
            return True
        return pod.deleting or not self._is_available(pod)

    def _end_condemned(self, condemned: Sequence[Pod]) -> bool:
        """End pods beyond the number; return whether the sync ends here."""
        for pod in condemned:
            if self.shape.parallel:
                if not pod.deleting:
                    self._end_by_number(pod)
                continue
            if not pod.deleting and (self._is_available(pod) or pod is self._first_unhealthy()):
                self._end_by_number(pod)
            return True
        return False

    def _first_unhealthy(self) -> Pod | None:
        """Return the lowest unhealthy pod within the number, or else the lowest beyond it."""
        found = [pod for pod in self.pods if pod.deleting or pod.ready_since is None]
        return min(
            found,
            key=lambda pod: (self._position(pod) >= self.number, self._position(pod)),
            default=None,
        )

    def _roll_out_further(self, by_position: dict[int, Pod]) -> None:
        for position in reversed(range(self.shape.partition, self.number)):
            pod = by_position.get(position)
            if pod is None:
                return
            if self._is_outdated(pod) and not pod.deleting:
                self._delete(pod, pod.replica_set)
                return
            if pod.deleting or pod.ready_since is None:
                return

    def _end_by_number(self, pod: Pod) -> None:
        pod.replica_set.by_number = True
        self._delete(pod, pod.replica_set)
        pod.replica_set.by_number = False

    def _write_status(self) -> None:
        staying = [pod for pod in self.pods if not pod.deleting]
        status = {
            "observedGeneration": self._deployment["metadata"]["generation"],
            "replicas": len(self.pods),
            "readyReplicas": sum(pod.ready_since is not None for pod in self.pods),
            "availableReplicas": sum(self._is_available(pod) for pod in self.pods),
            "updatedReplicas": sum(pod.replica_set.revision == self._revision for pod in staying),
            "updateRevision": f"rev{self._revision}",
        }
        if self._deployment.get("status") != status:
            self.changes += 1
            self.api.change(self.plural, self.name, {"status": status})

    # --- pods ---

    def _of(self, revision: int) -> ReplicaSet:
        """Return all pods of one revision; the StatefulSet itself controls them."""
        for each in self.replica_sets:
            if each.revision == revision:
                return each
        self.replica_sets.append(ReplicaSet(revision, self._deployment))
        return self.replica_sets[-1]

    @property
    def _rolling(self) -> bool:
        return any(self._is_outdated(pod) for pod in self.pods)

    def _position(self, pod: Pod) -> int:
        return int(pod.name.rpartition("-")[2]) - self.shape.first_ordinal

    def _is_outdated(self, pod: Pod) -> bool:
        return (
            not self.shape.on_delete
            and pod.replica_set.revision != self._revision
            and self._position(pod) >= self.shape.partition
        )

    def _is_available(self, pod: Pod) -> bool:
        if pod.ready_since is None:
            return False
        return self._clock() >= pod.ready_since + self.shape.min_ready_seconds
