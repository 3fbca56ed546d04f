"""The Kubernetes API: where objects are in it, what answers requests, and how they are refused.

`Api` is all that the operator asks of it. `requests` sends requests to a real API server; `local`
answers them itself, where the operator runs without Kubernetes.
"""

from collections.abc import AsyncIterator, Iterable
from typing import Any, NamedTuple, Protocol

from identtqueue_operator.model import Key

Json = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
JSON = "application/json"


class ApiResource(NamedTuple):
    """The names that the API has for the objects of a kind."""

    api: str
    """Root of the group and version: `apis/apps/v1`."""
    plural: str

    def listing(self, namespace: str | None) -> str:
        """Return where the objects are, in one namespace or in all."""
        scope = f"namespaces/{namespace}/" if namespace else ""
        return f"/{self.api}/{scope}{self.plural}"

    def path(self, key: Key) -> str:
        """Return where one object is."""
        return f"{self.listing(key.namespace)}/{key.name}"


class ApiError(Exception):
    """The API server refused, or could not be reached (status 0)."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}" if status else message)
        self.status = status
        self.reason = reason

    @property
    def missing(self) -> bool:
        """The object is not there."""
        return self.status == 404

    @property
    def conflict(self) -> bool:
        """The object is not what the request took it for."""
        return self.status == 409

    @property
    def forbidden(self) -> bool:
        """The operator lacks a right, or admission refuses the request."""
        return self.status == 403

    @property
    def terminating(self) -> bool:
        """The namespace is being deleted, and takes nothing new."""
        return self.forbidden and "because it is being terminated" in str(self)

    @property
    def temporary(self) -> bool:
        """The same request may succeed soon."""
        return self.status in (0, 429) or self.status >= 500


class Api(Protocol):
    """Something that answers requests of the Kubernetes API."""

    @property
    def writes(self) -> int:
        """Requests that change something, since the start."""

    async def close(self) -> None:
        """Close the connections."""

    async def get(self, path: str) -> Json | None:
        """Read what is at a path, not from the API server's cache; None if there is nothing."""

    def pages(
        self, resource: ApiResource, namespace: str | None, accept: str = JSON
    ) -> AsyncIterator[tuple[list[Json], str]]:
        """Yield objects of a kind in pages, with the resource version that a watch starts from."""

    def watch(
        self, resource: ApiResource, namespace: str | None, version: str
    ) -> AsyncIterator[Json]:
        """Yield the events of a kind since a resource version, until the API server ends the watch.

        Raises:
            ApiError: it refuses, or is silent for too long; 410: the version is too old.
        """

    async def call(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        query: Iterable[tuple[str, str]] = (),
        patch_type: str = MERGE_PATCH,
        *,
        changes: bool = True,
        warnings: list[str] | None = None,
        accept: str = JSON,
    ) -> Json:
        """Make a request.

        Args:
            method: of HTTP.
            path: where the object, or the list, is in the API.
            body: what to write.
            query: parameters of the URL.
            patch_type: how a PATCH is to be understood.
            changes: whether it counts as a write, unless it is a GET.
            warnings: the API server's warnings are added here.
            accept: in which form the answer may come.

        Raises:
            ApiError: the API server refuses it, or could not be reached.
        """
