"""The Kubernetes API as the operator uses it, answered from the store in this process."""

from collections.abc import AsyncIterator, Iterable
from typing import NamedTuple

from identtqueue_operator.kube.api import APPLY, JSON, MERGE_PATCH, ApiError, ApiResource, Json
from identtqueue_operator.kube.parse import FIELD_MANAGER
from identtqueue_operator.local.objects import KINDS, Objects, merged
from identtqueue_operator.model import Key

EMPTY_KINDS = ("horizontalpodautoscalers", "scaledobjects", "statefulsets")
"""Kinds that the operator lists, and of which there is nothing without Kubernetes."""


class LocalApi:
    """The requests of the operator, without an API server.

    Args:
        objects: the store.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    @property
    def writes(self) -> int:
        """Changes of the store, since the start."""
        return self._objects.writes

    async def close(self) -> None:
        """Do nothing: there are no connections."""

    async def get(self, path: str) -> Json | None:
        """Read what is at a path; None if there is nothing."""
        try:
            return await self.call("GET", path)
        except ApiError as error:
            if error.missing:
                return None
            raise

    async def pages(
        self, resource: ApiResource, namespace: str | None, accept: str = JSON
    ) -> AsyncIterator[tuple[list[Json], str]]:
        """Yield all objects of a kind in one page."""
        answer = await self.call("GET", resource.listing(namespace), accept=accept)
        yield answer["items"], ""

    async def watch(
        self, resource: ApiResource, namespace: str | None, version: str
    ) -> AsyncIterator[Json]:
        """Refuse: the store reports each change to its listeners."""
        raise ApiError(405, "MethodNotAllowed", f"{resource.plural} of {namespace} at {version}")
        yield {}

    async def call(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        query: Iterable[tuple[str, str]] = (),  # noqa: ARG002 - the store has no pages
        patch_type: str = MERGE_PATCH,
        *,
        changes: bool = True,  # noqa: ARG002
        warnings: list[str] | None = None,  # noqa: ARG002 - it never warns
        accept: str = JSON,  # noqa: ARG002 - whole objects cost nothing here
    ) -> Json:
        """Make a request. See `kube.api.Api`.

        Raises:
            ApiError: the object is not there, is there already, or has changed.
        """
        at = _Place.read(path)
        if method == "GET":
            return self._read(at, path)
        assert body is not None
        match method, at.sub:
            case "POST", "":
                return self._objects.create(at.plural, body)
            case "PATCH", "" if patch_type == APPLY:
                return self._apply(at, body)
            case "PATCH", "scale" | "" | "status":
                return self._objects.merge(at.plural, at.key, body, FIELD_MANAGER)
        raise ApiError(405, "MethodNotAllowed", f"{method} {path}")

    def _read(self, at: "_Place", path: str) -> Json:
        if at.plural in EMPTY_KINDS and not at.name:
            return {"items": []}
        if at.plural not in KINDS:
            raise ApiError(404, "NotFound", f"there is no {path} without Kubernetes")
        if not at.name:
            return {"items": self._objects.all(at.plural, at.namespace or None)}
        return self._objects.get(at.plural, at.key)

    def _apply(self, at: "_Place", wanted: Json) -> Json:
        """Create an object, or give it the fields that the operator wants it to have."""
        known = self._objects.find(at.plural, at.key)
        if known is None:
            return self._objects.create(at.plural, wanted)
        version = wanted["metadata"].get("resourceVersion")
        if version not in (None, known["metadata"]["resourceVersion"]):
            raise ApiError(409, "Conflict", f'{at.plural} "{at.name}" has been modified')
        changed = {**known, "spec": wanted["spec"]}
        changed["metadata"] = merged(known["metadata"], wanted["metadata"])
        return self._objects.replace(at.plural, at.key, changed, FIELD_MANAGER)


class _Place(NamedTuple):
    """The parts of a path: `/apis/apps/v1/namespaces/<namespace>/<plural>/<name>/<sub>`."""

    namespace: str
    plural: str
    name: str
    sub: str

    @property
    def key(self) -> Key:
        return Key(self.namespace, self.name)

    @classmethod
    def read(cls, path: str) -> "_Place":
        root, *parts = path.strip("/").split("/")
        rest, namespace = parts[1 if root == "api" else 2 :], ""
        if rest[:1] == ["namespaces"]:
            namespace, rest = rest[1], rest[2:]
        plural, name, sub = (*rest, "", "", "")[:3]
        return cls(namespace, plural, name, sub)
