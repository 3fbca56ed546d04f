"""What is known of the cluster without asking: Deployments and pods, kept up by the watches.

A hint, not the truth: a Deployment that is missing here is asked for before it counts as missing,
and every write carries the resource version it rests on. Watches can also miss deletions (when the
API server has forgotten the version a watch stopped at, the list that follows has no word about
what vanished), so the controller compares with a full list now and then, and asks for what differs.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from . import views
from .model import Deployment, Key, Pod, Selector

REMEMBER_MISSING_SECONDS = 60.0
"""How long an answer "there is no such Deployment" is believed; a watch tells when there is."""
REMEMBER_GONE_SECONDS = 600.0
"""How long the last status of a vanished pod is kept as evidence."""

Labels = Mapping[str, str]


class Cluster:
    """Deployments and pods of the served namespaces.

    Args:
        on_deployment: called with the key of a Deployment that changed, came or went.
        on_pods: called with the Deployment's key when one of its pods changed, came or went.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        on_deployment: Callable[[Key], None],
        on_pods: Callable[[Key], None],
        clock: Callable[[], float],
    ) -> None:
        self._on_deployment = on_deployment
        self._on_pods = on_pods
        self._clock = clock
        self._deployments: dict[Key, Deployment] = {}
        self._missing: dict[Key, float] = {}
        self._pods: dict[str, dict[str, tuple[Pod, Labels]]] = defaultdict(dict)
        self._seen_at: dict[str, float] = {}
        self._wanted: set[Key] = set()
        self._watched: dict[Key, _Watched] = {}
        self._by_label: dict[tuple[str, str, str], set[Key]] = defaultdict(set)

    # --- reading ---

    def deployment(self, key: Key) -> Deployment | None:
        """The Deployment as last seen."""
        return self._deployments.get(key)

    def is_missing(self, key: Key) -> bool:
        """Whether the API server said a short while ago that there is no such Deployment."""
        since = self._missing.get(key)
        return since is not None and self._clock() - since < REMEMBER_MISSING_SECONDS

    def pods(self, deployment: Deployment) -> tuple[Pod, ...]:
        """The Deployment's pods as last seen, and those that vanished a short while ago."""
        watched = self._watched.get(deployment.key)
        if watched is None or watched.selector != deployment.selector:
            watched = self._watch(deployment)
        too_old = self._clock() - REMEMBER_GONE_SECONDS
        for uid in [u for u, p in watched.pods.items() if p.gone_at and p.gone_at < too_old]:
            del watched.pods[uid]
        return tuple(watched.pods.values())

    def watch(self, key: Key) -> None:
        """Keep account of which pods belong to the Deployment, until `unwatch`."""
        self._wanted.add(key)

    def unwatch(self, key: Key) -> None:
        """Forget which pods belong to the Deployment. Whoever asks once more leaves no trace."""
        self._wanted.discard(key)
        self._missing.pop(key, None)
        self._forget(key)

    def _forget(self, key: Key) -> None:
        watched = self._watched.pop(key, None)
        if watched is not None:
            for label in _index(key.namespace, watched.selector):
                self._by_label[label].discard(key)
                if not self._by_label[label]:
                    del self._by_label[label]

    def _watch(self, deployment: Deployment) -> "_Watched":
        self._forget(deployment.key)
        watched = _Watched(deployment.selector)
        for pod, labels in self._pods[deployment.key.namespace].values():
            if deployment.selector.matches(labels):
                watched.pods[pod.uid] = pod
        if deployment.key not in self._wanted:
            return watched
        self._watched[deployment.key] = watched
        for label in _index(deployment.key.namespace, deployment.selector):
            self._by_label[label].add(deployment.key)
        return watched

    # --- writing ---

    def put_deployment(self, deployment: Deployment) -> None:
        """Take in a Deployment, unless a later state of it is known (from the operator's write)."""
        before = self._deployments.get(deployment.key)
        if before is not None and before.uid == deployment.uid and _older(deployment, before):
            return
        self._deployments[deployment.key] = deployment
        self._missing.pop(deployment.key, None)
        self._seen_at[deployment.uid] = self._clock()
        if before != deployment:
            self._on_deployment(deployment.key)

    def drop_deployment(self, key: Key) -> None:
        """Take in that a Deployment is gone."""
        gone = self._deployments.pop(key, None)
        if gone is not None:
            self._seen_at.pop(gone.uid, None)
            self._on_deployment(key)

    def note_missing(self, key: Key) -> None:
        """Take in that the API server knows no such Deployment."""
        if key in self._wanted:
            self._missing[key] = self._clock()

    def put_pod(self, pod: Pod, labels: Labels) -> None:
        """Take in a pod."""
        known = self._pods[pod.key.namespace].get(pod.uid)
        labels = known[1] if known and known[1] == labels else dict(labels)
        self._pods[pod.key.namespace][pod.uid] = (pod, labels)
        self._seen_at[pod.uid] = self._clock()
        if known is None or known[0] != pod:
            self._spread(pod, labels)

    def drop_pod(self, pod: Pod, labels: Labels) -> None:
        """Take in that a pod is gone; `pod` is how it was last seen."""
        self._pods[pod.key.namespace].pop(pod.uid, None)
        self._seen_at.pop(pod.uid, None)
        if pod.gone_at is None:
            pod = replace(pod, gone_at=self._clock())
        self._spread(pod, labels)

    def _spread(self, pod: Pod, labels: Labels) -> None:
        namespace = pod.key.namespace
        candidates: set[Key] = set()
        for label in ((namespace, k, v) for k, v in labels.items()):
            candidates |= self._by_label.get(label, set())
        candidates |= self._by_label.get((namespace, "", ""), set())
        for key in candidates:
            watched = self._watched[key]
            if watched.selector.matches(labels):
                watched.pods[pod.uid] = pod
                self._on_pods(key)

    # --- resync ---

    def doubtful_deployments(
        self, namespace: str | None, bodies: Iterable[views.Body], listed_at: float
    ) -> set[Key]:
        """Find where a full list, begun at `listed_at`, and the watches say different things.

        Neither is believed: a list from the API server's cache may be old, and a watch may have
        missed something. What is doubtful is asked for one by one.
        """
        present = {views.key_of(body) for body in bodies}
        known = {key for key in self._deployments if namespace in (None, key.namespace)}
        silent = {key for key in known if self._seen_at[self._deployments[key].uid] < listed_at}
        return (present - known) | (silent - present)

    def doubtful_pods(
        self, namespace: str | None, bodies: Iterable[views.Body], listed_at: float
    ) -> set[Key]:
        """Find the same for pods. One that was made anew under its name is another pod."""
        present = {body["metadata"]["uid"]: views.key_of(body) for body in bodies}
        known: dict[str, Key] = {}
        for name, pods in self._pods.items():
            if namespace in (None, name):
                known |= {uid: pod.key for uid, (pod, _) in pods.items()}
        doubtful = {key for uid, key in present.items() if uid not in known}
        return doubtful | {
            key
            for uid, key in known.items()
            if uid not in present and self._seen_at[uid] < listed_at
        }

    def drop_pods_called(self, key: Key, other_than: str = "") -> None:
        """Take in that no pod of this name exists, other than one with this UID."""
        for uid, (pod, labels) in list(self._pods[key.namespace].items()):
            if pod.key == key and uid != other_than:
                self.drop_pod(pod, labels)


class _Watched:
    """The pods of one Deployment."""

    def __init__(self, selector: Selector) -> None:
        self.selector = selector
        self.pods: dict[str, Pod] = {}


def _index(namespace: str, selector: Selector) -> list[tuple[str, str, str]]:
    """Under which label a selector is found: its first, so that a pod asks few selectors."""
    key, value = selector.labels[0] if selector.labels else ("", "")
    return [(namespace, key, value)]


def _older(one: Deployment, other: Deployment) -> bool:
    """Whether `one` was written before `other`. Resource versions of one object are ordered."""
    versions = (one.resource_version, other.resource_version)
    return all(v.isdecimal() for v in versions) and int(versions[0]) < int(versions[1])
