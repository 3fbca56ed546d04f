"""A kind of workload as an object: all that the operator has to know of it.

A kind is one of two sorts. The operator watches a few kinds and reads their whole objects
(`WatchedKind`). Of any other kind it reads and writes the `/scale` and nothing else (`ScaledKind`).
The rest of the operator asks the object, so a new kind is one more object in this folder.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

from identtqueue_operator.kube.api import ApiResource
from identtqueue_operator.kube.client import Kube
from identtqueue_operator.kube.parse import Body, key_of, parse_selector
from identtqueue_operator.model import Key, Problem, RemovalOrder, Workload, WorkloadKey

KindId = tuple[str, str]
"""Group and kind, as an owner reference names them."""

REPLICA_SET: KindId = ("apps", "ReplicaSet")


class WorkloadTrouble(Exception):
    """The workload can't be read or scaled, and it is known what to do about it."""

    def __init__(self, reason: Problem, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Kind(ABC):
    """A kind of workload."""

    group: str
    name: str
    """Its `kind` in Kubernetes, and the word for it in messages."""
    removal: RemovalOrder = RemovalOrder.UNKNOWN
    """Which pods its controller ends first. Unknown: inferred from what controls the pods."""
    through: frozenset[KindId] | None = None
    """The kinds of objects through which it controls its pods, if not directly. None: unknown, so
    every owner is followed that can be read."""
    names_sets: bool = False
    """Whether it calls its ReplicaSets `<its name>-<hash>`. The name decides where the operator may
    not read ReplicaSets."""

    @property
    def id(self) -> KindId:
        """Group and kind."""
        return self.group, self.name

    @abstractmethod
    def path_of(self, workload: Workload) -> str:
        """Return where the workload is in the API."""

    @abstractmethod
    async def read_again(self, seen: Workload, kube: Kube) -> Workload | None:
        """Read a workload anew; None if it is gone.

        Raises:
            ApiError: the API server could not be asked.
        """

    @abstractmethod
    def grant(self, path: str) -> str:
        """Say how to give the operator the right to scale the workload at this path."""

    def named_for(self, workload: str, replica_set: str) -> bool:
        """Return whether a ReplicaSet's name says that it belongs to the workload."""
        return self.names_sets and replica_set.rpartition("-")[0] == workload

    def forbidden(self, key: WorkloadKey, path: str, error: str) -> str:
        """Say what to do about a workload that the operator may not read or scale.

        Args:
            key: of the workload.
            path: where it is in the API.
            error: what the API server says.
        """
        return f"the operator lacks a right to scale {key}; {self.grant(path)} ({error})"


@dataclass(frozen=True, kw_only=True)
class WatchedKind(Kind):
    """A kind whose objects are watched and read as a whole."""

    plural: str
    read: Callable[[Body], Workload] = field(repr=False)
    """Makes a workload of an object, with those of its conditions that mean trouble."""
    version: str = "v1"
    required: bool = False
    """Whether every operator needs the right to list it. Otherwise only one with a TaskQueue that
    names it does, because the operator's Role may be older than the kind's support."""

    @property
    def resource(self) -> ApiResource:
        """The API's name for its objects."""
        return ApiResource(f"apis/{self.group}/{self.version}", self.plural)

    def key_of(self, body: Body) -> WorkloadKey:
        """Read the key of an object. Items of a list do not say their kind themselves."""
        return WorkloadKey(*key_of(body), *self.id)

    def path(self, key: WorkloadKey) -> str:
        """Return where an object is in the API."""
        return self.resource.path(Key(key.namespace, key.name))

    def path_of(self, workload: Workload) -> str:
        """Return where the workload is in the API."""
        return self.path(workload.key)

    async def get(self, key: WorkloadKey, kube: Kube) -> Workload | None:
        """Read an object; None if there is none.

        Raises:
            ApiError: the API server could not be asked.
        """
        body = await kube.get_object(self.path(key))
        return None if body is None else self.read(body)

    async def read_again(self, seen: Workload, kube: Kube) -> Workload | None:
        """Read a workload anew; None if it is gone."""
        return await self.get(seen.key, kube)

    def grant(self, path: str) -> str:  # noqa: ARG002 - other kinds need it
        """Say how to give the operator the right to scale one."""
        return "upgrade the chart, whose Role grants it"


@dataclass(frozen=True, kw_only=True)
class ScaledKind(Kind):
    """A kind of which only the `/scale` is read and written."""

    def path_of(self, workload: Workload) -> str:
        """Return where the workload is in the API, as discovery said."""
        return workload.path

    def read(self, body: Body, key: WorkloadKey, path: str) -> Workload:
        """Read a workload by its `/scale`. Owners say which pods belong to it.

        Raises:
            ValueError: the selector is none.
        """
        metadata, status = body["metadata"], body.get("status") or {}
        return Workload(
            key=key,
            path=path,
            uid=str(metadata.get("uid") or ""),
            resource_version=str(metadata["resourceVersion"]),
            selector=parse_selector(status.get("selector") or ""),
            replicas=(body.get("spec") or {}).get("replicas") or 0,
            existing=status.get("replicas") or 0,
            counts_ending=True,
            removal=RemovalOrder.UNKNOWN,
        )

    async def read_again(self, seen: Workload, kube: Kube) -> Workload | None:
        """Read a workload anew; None if it is gone."""
        body = await kube.get_scale(seen.path)
        return None if body is None else self.read(body, seen.key, seen.path)

    def grant(self, path: str) -> str:
        """Say which rule gives the operator the right. The path says the kind's plural."""
        rule = f"{{apiGroup: {self.group!r}, resource: {path.split('/')[-2]}}}"
        return f"add {rule} to the chart's rbac.scaleTargets"
