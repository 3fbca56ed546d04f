"""The objects that a cluster would store, in memory.

Every change gives the object a new resource version, and a change of its specification a new
generation. Listeners hear of each change at once, in order, so nothing is ever missed.
"""

import copy
import itertools
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from identtqueue_operator.kube.api import ApiError
from identtqueue_operator.model import Key

Json = dict[str, Any]

KINDS = {
    "taskqueues": ("identtqueue.dev/v1alpha1", "TaskQueue"),
    "deployments": ("apps/v1", "Deployment"),
    "pods": ("v1", "Pod"),
    "secrets": ("v1", "Secret"),
    "events": ("v1", "Event"),
}
"""The kinds that are stored, by their plural, with group and version."""
NAMESPACE = "default"
"""The namespace of an object that names none."""
MOST_EVENTS = 1_000
"""Events that are kept; Kubernetes keeps them for an hour."""

Listener = Callable[[str, str, Json], None]
"""Called with `ADDED`, `MODIFIED` or `DELETED`, the plural of the kind, and the object."""


def now() -> str:
    """Return the present time as RFC 3339, to the microsecond."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


class Objects:
    """The store.

    Attributes:
        writes: how many changes there were.
    """

    def __init__(self) -> None:
        self.writes = 0
        self._objects: dict[tuple[str, Key], Json] = {}
        self._versions = itertools.count(1)
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Report each change from now on, after it was made."""
        self._listeners.append(listener)

    # --- reading ---

    def find(self, plural: str, key: Key) -> Json | None:
        """Return a copy of an object; None if there is none."""
        body = self._objects.get((plural, key))
        return None if body is None else copy.deepcopy(body)

    def get(self, plural: str, key: Key) -> Json:
        """Return a copy of an object.

        Raises:
            ApiError: there is none.
        """
        body = self.find(plural, key)
        if body is None:
            raise ApiError(404, "NotFound", f'{plural} "{key.name}" not found')
        return body

    def all(self, plural: str, namespace: str | None = None) -> list[Json]:
        """Return copies of all objects of a kind, in one namespace or in all."""
        return [copy.deepcopy(body) for body in self._of(plural) if _is_in(body, namespace)]

    def _of(self, plural: str) -> Iterator[Json]:
        return (body for (kind, _), body in self._objects.items() if kind == plural)

    # --- writing ---

    def create(self, plural: str, body: Json) -> Json:
        """Store a new object; return it with what the store adds.

        Raises:
            ApiError: there is one of this name.
        """
        body = copy.deepcopy(body)
        metadata = body.setdefault("metadata", {})
        metadata.setdefault("namespace", NAMESPACE)
        key = Key(metadata["namespace"], metadata["name"])
        if (plural, key) in self._objects:
            raise ApiError(409, "AlreadyExists", f'{plural} "{key.name}" already exists')
        metadata.setdefault("uid", str(uuid.uuid4()))
        metadata.setdefault("creationTimestamp", now())
        metadata.setdefault("generation", 1)
        body["apiVersion"], body["kind"] = KINDS[plural]
        stored = self._store("ADDED", plural, key, body)
        if plural == "events":
            self._forget_old_events()
        return stored

    def merge(self, plural: str, key: Key, patch: Json, manager: str = "") -> Json:
        """Merge a patch into an object; None removes a field. Without effect nothing happens.

        Args:
            plural: of its kind.
            key: of the object.
            patch: what to change. With a resource version, the object must still have it.
            manager: the writer, which is noted if the number of replicas changes.

        Raises:
            ApiError: there is no such object, or it has changed since that version.
        """
        before = self.get(plural, key)
        version = (patch.get("metadata") or {}).get("resourceVersion")
        if version not in (None, before["metadata"]["resourceVersion"]):
            text = f'{plural} "{key.name}" has been modified; read it again'
            raise ApiError(409, "Conflict", text)
        return self.replace(plural, key, merged(before, patch), manager)

    def replace(self, plural: str, key: Key, body: Json, manager: str = "") -> Json:
        """Store a new state of an object; see `merge`."""
        before = self.get(plural, key)
        if body == before:
            return before
        metadata = body["metadata"]
        spec, former = body.get("spec") or {}, before.get("spec") or {}
        if spec != former:
            metadata["generation"] = before["metadata"]["generation"] + 1
        if manager and spec.get("replicas") != former.get("replicas"):
            fields: Json = {"f:spec": {"f:replicas": {}}}
            metadata["managedFields"] = [{"manager": manager, "time": now(), "fieldsV1": fields}]
        return self._store("MODIFIED", plural, key, body)

    def remove(self, plural: str, key: Key) -> None:
        """Remove an object, if it is there, and the Deployments that belong to it."""
        body = self._objects.pop((plural, key), None)
        if body is None:
            return
        self._report("DELETED", plural, body)
        uid = body["metadata"]["uid"]
        if plural == "taskqueues":
            for owned in self.all("deployments", key.namespace):
                owners = owned["metadata"].get("ownerReferences") or ()
                if any(owner["uid"] == uid for owner in owners):
                    self.remove("deployments", Key(key.namespace, owned["metadata"]["name"]))

    def _store(self, event: str, plural: str, key: Key, body: Json) -> Json:
        body["metadata"]["resourceVersion"] = str(next(self._versions))
        self._objects[plural, key] = body
        self._report(event, plural, body)
        return copy.deepcopy(body)

    def _report(self, event: str, plural: str, body: Json) -> None:
        self.writes += 1
        for listener in list(self._listeners):
            listener(event, plural, copy.deepcopy(body))

    def _forget_old_events(self) -> None:
        old = [key for kind, key in self._objects if kind == "events"][:-MOST_EVENTS]
        for key in old:
            del self._objects["events", key]


def _is_in(body: Json, namespace: str | None) -> bool:
    return namespace in (None, body["metadata"]["namespace"])


def merged(before: Json, patch: Json) -> Json:
    """Apply a merge patch (RFC 7386); return the result."""
    after = dict(before)
    for name, value in patch.items():
        if value is None:
            after.pop(name, None)
        elif isinstance(value, dict):
            old = after.get(name)
            after[name] = merged(old if isinstance(old, dict) else {}, value)
        else:
            after[name] = copy.deepcopy(value)
    return after
