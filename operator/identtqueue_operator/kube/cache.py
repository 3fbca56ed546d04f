"""The part of the cluster that is known without asking: workloads and pods, kept up by the watches.

A hint, not the truth: a workload that is missing here is asked for before it counts as missing,
and every write carries the resource version it rests on. Watches can also miss deletions (when the
API server has forgotten the version a watch stopped at, the list that follows has no word about
what vanished), so `resync` compares with a full list now and then, and asks for what differs.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Set
from dataclasses import replace

from identtqueue_operator.kube import parse
from identtqueue_operator.kube.packed_pods import Labels, PackedPods
from identtqueue_operator.model import Key, Pod, Selector, Workload, WorkloadKey

REMEMBER_MISSING_SECONDS = 60.0
"""Time for which "there is no such workload" is believed; a watch reports when there is one."""
REMEMBER_GONE_SECONDS = 600.0
"""Time for which the last status of a vanished pod is kept as evidence."""


class Cluster:
    """Workloads and pods of the served namespaces.

    Args:
        on_workload: called with the key of a workload that changed, came or went.
        on_pods: called with the workload's key when one of its pods changed, came or went.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        on_workload: Callable[[WorkloadKey], None],
        on_pods: Callable[[WorkloadKey], None],
        clock: Callable[[], float],
    ) -> None:
        self._on_workload = on_workload
        self._on_pods = on_pods
        self._clock = clock
        self._workloads: dict[WorkloadKey, Workload] = {}
        self._missing: dict[WorkloadKey, float] = {}
        self._pods = PackedPods()
        self._seen_at: dict[str, float] = {}
        self._wanted: set[WorkloadKey] = set()
        self._watched: dict[WorkloadKey, _Watched] = {}
        self._by_label: dict[tuple[str, str, str], set[WorkloadKey]] = defaultdict(set)

    # --- reading ---

    def workload(self, key: WorkloadKey) -> Workload | None:
        """Return the workload as last seen."""
        return self._workloads.get(key)

    @property
    def watched(self) -> frozenset[WorkloadKey]:
        """The workloads whose pods are kept account of."""
        return frozenset(self._watched)

    def is_missing(self, key: WorkloadKey) -> bool:
        """Return whether the API server said a short while ago that there is no such workload."""
        since = self._missing.get(key)
        return since is not None and self._clock() - since < REMEMBER_MISSING_SECONDS

    def pods(self, workload: Workload) -> tuple[Pod, ...]:
        """Return the workload's pods as last seen, and those that vanished a short while ago."""
        watched = self._watched.get(workload.key)
        if watched is None or watched.selector != workload.selector:
            watched = self._watch(workload)
        too_old = self._clock() - REMEMBER_GONE_SECONDS
        for uid in [u for u, p in watched.pods.items() if p.gone_at and p.gone_at < too_old]:
            del watched.pods[uid]
        return tuple(watched.pods.values())

    def known_pods(self, namespace: str | None) -> dict[str, Key]:
        """Return the names of all pods by UID, in one namespace or in all."""
        return self._pods.keys(namespace)

    def watch(self, key: WorkloadKey) -> None:
        """Keep account of the workload's pods until `unwatch`. This begins no Kubernetes watch."""
        self._wanted.add(key)

    def unwatch(self, key: WorkloadKey) -> None:
        """Forget which pods belong to the workload. A later question leaves no trace."""
        self._wanted.discard(key)
        self._missing.pop(key, None)
        self._forget(key)

    def _forget(self, key: WorkloadKey) -> None:
        watched = self._watched.pop(key, None)
        if watched is not None:
            for label in _index(key.namespace, watched.selector):
                self._by_label[label].discard(key)
                if not self._by_label[label]:
                    del self._by_label[label]

    def _watch(self, workload: Workload) -> "_Watched":
        self._forget(workload.key)
        watched = _Watched(workload.selector)
        for pod, labels in self._pods.of(workload.key.namespace):
            if workload.selector.matches(labels):
                watched.pods[pod.uid] = pod
        if workload.key not in self._wanted:
            return watched
        self._watched[workload.key] = watched
        for label in _index(workload.key.namespace, workload.selector):
            self._by_label[label].add(workload.key)
        return watched

    # --- writing ---

    def put_workload(self, workload: Workload) -> None:
        """Take in a workload, unless a later state of it is known (from the operator's write)."""
        before = self._workloads.get(workload.key)
        if before is not None and before.uid == workload.uid and _older(workload, before):
            return
        self._workloads[workload.key] = workload
        self._missing.pop(workload.key, None)
        self._seen_at[workload.uid] = self._clock()
        if before != workload:
            self._on_workload(workload.key)

    def note_scaled(self, seen: Workload, version: str, replicas: int) -> None:
        """Take in that the operator has written a number; the answer was this version."""
        known = self._workloads.get(seen.key)
        now = seen if known is None or known.uid != seen.uid else known
        if not _is_older(version, now.resource_version):
            now = replace(now, resource_version=version, replicas=replicas, lagging=True)
            self.put_workload(now)

    def drop_workload(self, key: WorkloadKey) -> None:
        """Take in that a workload is gone."""
        gone = self._workloads.pop(key, None)
        if gone is not None:
            self._seen_at.pop(gone.uid, None)
            self._on_workload(key)

    def note_missing(self, key: WorkloadKey) -> None:
        """Take in that the API server knows no such workload."""
        if key in self._wanted:
            self._missing[key] = self._clock()

    def put_pod(self, pod: Pod, labels: Labels) -> None:
        """Take in a pod."""
        changed = self._pods.put(pod, labels)
        self._seen_at[pod.uid] = self._clock()
        if changed:
            self._spread(pod, labels)

    def drop_pod(self, pod: Pod, labels: Labels) -> None:
        """Take in that a pod is gone; `pod` is how it was last seen."""
        self._pods.pop(pod)
        self._seen_at.pop(pod.uid, None)
        if pod.gone_at is None:
            pod = replace(pod, gone_at=self._clock())
        self._spread(pod, labels)

    def _spread(self, pod: Pod, labels: Labels) -> None:
        namespace = pod.key.namespace
        candidates: set[WorkloadKey] = set()
        for label in ((namespace, k, v) for k, v in labels.items()):
            candidates |= self._by_label.get(label, set())
        candidates |= self._by_label.get((namespace, "", ""), set())
        for key in candidates:
            watched = self._watched[key]
            if watched.selector.matches(labels):
                watched.pods[pod.uid] = pod
                self._on_pods(key)

    # --- resync ---

    def doubtful_workloads(
        self,
        namespace: str | None,
        kind: tuple[str, str],
        present: Set[WorkloadKey],
        listed_at: float,
    ) -> set[WorkloadKey]:
        """Find where a full list of a kind and the watches say different things.

        Neither is believed: a list from the API server's cache may be old, and a watch may have
        missed something. So `resync` asks for each of these workloads.

        Args:
            namespace: None: the whole cluster.
            kind: its group and name.
            present: the workloads in the list.
            listed_at: when the list was begun, on the monotonic clock.
        """
        known = {
            key
            for key in self._workloads
            if (key.group, key.kind) == kind and namespace in (None, key.namespace)
        }
        silent = {key for key in known if self._seen_at[self._workloads[key].uid] < listed_at}
        return set(present - known) | (silent - present)

    def doubtful_pods(
        self, namespace: str | None, bodies: Iterable[parse.Body], listed_at: float
    ) -> set[Key]:
        """Find the same for pods. One that was made anew under its name is another pod."""
        present = {body["metadata"]["uid"]: parse.key_of(body) for body in bodies}
        known = self.known_pods(namespace)
        doubtful = {key for uid, key in present.items() if uid not in known}
        return doubtful | {
            key
            for uid, key in known.items()
            if uid not in present and self._seen_at[uid] < listed_at
        }

    def drop_pods_called(self, key: Key, other_than: str = "") -> None:
        """Take in that no pod of this name exists, other than one with this UID."""
        for pod, labels in self._pods.called(key):
            if pod.uid != other_than:
                self.drop_pod(pod, labels)


class _Watched:
    """The pods of one workload."""

    def __init__(self, selector: Selector) -> None:
        self.selector = selector
        self.pods: dict[str, Pod] = {}


def _index(namespace: str, selector: Selector) -> list[tuple[str, str, str]]:
    """Choose the label under which a selector is found, so that a pod asks few selectors."""
    key, value = selector.labels[0] if selector.labels else ("", "")
    return [(namespace, key, value)]


def _older(one: Workload, other: Workload) -> bool:
    """Return whether `one` was written before `other`. Versions of one object are ordered."""
    return _is_older(one.resource_version, other.resource_version)


def _is_older(one: str, other: str) -> bool:
    return one.isdecimal() and other.isdecimal() and int(one) < int(other)
