"""The questions that the operator asks the API server, and the few things that it writes.

One method each, and nothing more. How a request is made and repeated is the part of `requests`.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Self

from identtqueue_operator.api.v1alpha1 import GROUP, PLURAL, VERSION
from identtqueue_operator.kube.api import (
    APPLY,
    JSON,
    Api,
    ApiError,
    ApiResource,
    Json,
)
from identtqueue_operator.kube.parse import owner_of
from identtqueue_operator.model import Key, Owner

ONLY_METADATA = f"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,{JSON}"
"""Asks for a list of which each object has its metadata only."""
ONLY_ITS_METADATA = f"application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,{JSON}"
"""The same for one object: the answer to a write would be all of it, up to 1.5 MiB."""
REPORTS_AT_ONCE = 4
"""Status and event writes under way at once: in a storm, most of the API server's time is left to
scaling."""

TASK_QUEUES = ApiResource(f"apis/{GROUP}/{VERSION}", PLURAL)
PODS = ApiResource("api/v1", "pods")
SECRETS = ApiResource("api/v1", "secrets")
EVENTS = ApiResource("api/v1", "events")
LEASES = ApiResource("apis/coordination.k8s.io/v1", "leases")
REPLICA_SETS = ApiResource("apis/apps/v1", "replicasets")
AUTOSCALERS = ApiResource("apis/autoscaling/v2", "horizontalpodautoscalers")
SCALED_OBJECTS = ApiResource("apis/keda.sh/v1alpha1", "scaledobjects")


class Kube:
    """The API server, as the operator asks it: a method for each question.

    Args:
        api: answers them; closed with this object.
    """

    def __init__(self, api: Api) -> None:
        self._requests = api
        self._reporting = asyncio.Semaphore(REPORTS_AT_ONCE)

    @property
    def writes(self) -> int:
        """Requests that change something, since the start."""
        return self._requests.writes

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._requests.close()

    async def list_task_queues(self, namespace: str | None) -> list[Json]:
        """List the metadata of all TaskQueues of a namespace, or of the cluster."""
        return await self.list_headings(namespace, TASK_QUEUES)

    async def list_pods(self, namespace: str | None) -> list[Json]:
        """List the metadata of all pods."""
        return await self.list_headings(namespace, PODS)

    def pages_of_pods(self, namespace: str | None) -> AsyncIterator[tuple[list[Json], str]]:
        """Yield all pods in pages, with the resource version that a watch starts from."""
        return self._requests.pages(PODS, namespace)

    def watch_pods(self, namespace: str | None, version: str) -> AsyncIterator[Json]:
        """Yield the events of pods since a resource version, until the API server ends the watch.

        Raises:
            ApiError: it refuses, or is silent for too long; 410: the version is too old.
        """
        return self._requests.watch(PODS, namespace, version)

    async def try_to_list(self, namespace: str | None, *resources: ApiResource) -> None:
        """Make sure that these may be listed.

        Raises:
            ApiError: one of them may not, or there is no such kind; or it is not known whether it
                may.
        """
        for resource in resources:
            await self._requests.call("GET", resource.listing(namespace), query=[("limit", "1")])

    async def list_headings(self, namespace: str | None, resource: ApiResource) -> list[Json]:
        """List all objects of a kind, and keep of each what says which one it is."""
        found: list[Json] = []
        async for page, _ in self._requests.pages(resource, namespace, ONLY_METADATA):
            found += map(heading, page)
        return found

    async def list_autoscalers(self, namespace: str | None) -> list[Json]:
        """List all HorizontalPodAutoscalers."""
        return await self._autoscalers(AUTOSCALERS, namespace)

    async def list_scaled_objects(self, namespace: str | None) -> list[Json]:
        """List all ScaledObjects of KEDA; none where KEDA is not installed."""
        try:
            return await self._autoscalers(SCALED_OBJECTS, namespace)
        except ApiError as error:
            if error.missing:
                return []
            raise

    async def get_object(self, path: str) -> Json | None:
        """Read what is at a path, not from the API server's cache; None if there is nothing."""
        return await self._requests.get(path)

    async def get_secret(self, key: Key) -> Json:
        """Read a Secret."""
        return await self._requests.call("GET", SECRETS.path(key))

    async def get_resources(self, api_version: str) -> list[Json] | None:
        """List what the API has in one group and version; None if it does not exist."""
        root = "apis" if "/" in api_version else "api"
        answer = await self.get_object(f"/{root}/{api_version}")
        return None if answer is None else list(answer.get("resources") or ())

    async def get_scale(self, path: str) -> Json | None:
        """Read the `/scale` of an object; None if there is none."""
        return await self.get_object(f"{path}/scale")

    async def get_pod(self, key: Key) -> Json | None:
        """Read a pod; None if there is none."""
        return await self.get_object(PODS.path(key))

    async def get_task_queue(self, key: Key) -> Json | None:
        """Read a TaskQueue; None if there is none."""
        return await self.get_object(TASK_QUEUES.path(key))

    async def get_replica_set_owner(self, key: Key) -> tuple[str, Owner | None] | None:
        """Read a ReplicaSet's UID and what controls it; None if there is no such ReplicaSet."""
        body = await self.get_object(REPLICA_SETS.path(key))
        return None if body is None else (body["metadata"]["uid"], owner_of(body))

    async def apply(
        self, path: str, wanted: Json, version: str | None
    ) -> tuple[Json, tuple[str, ...]]:
        """Create an object, or make it what it should be (server-side apply).

        What others added (`kubectl rollout restart` writes an annotation) stays; what this operator
        had written before and does not want any more goes.

        Args:
            path: where it is in the API.
            wanted: the fields that the operator sets.
            version: its resource version when it was seen; None if there was none.

        Returns:
            The object, and what the API server warns of: that Pod Security would refuse its pods,
            say.

        Raises:
            ApiError: with `conflict`, when it has changed since it was seen.
        """
        if version is not None:
            wanted = {**wanted, "metadata": {**wanted["metadata"], "resourceVersion": version}}
        query = [("force", "true")]
        warnings: list[str] = []
        answer = await self._requests.call("PATCH", path, wanted, query, APPLY, warnings=warnings)
        return answer, tuple(warnings)

    async def scale(self, path: str, version: str, replicas: int) -> str:
        """Set an object's number of replicas, if it still has the resource version.

        Returns:
            Its new resource version.

        Raises:
            ApiError: with `conflict`, when it has changed since.
        """
        body = {"metadata": {"resourceVersion": version}, "spec": {"replicas": replicas}}
        answer = await self._requests.call("PATCH", f"{path}/scale", body)
        return str(answer["metadata"]["resourceVersion"])

    async def annotate_pod(self, key: Key, annotations: Mapping[str, str | None]) -> None:
        """Set annotations of a pod; None removes one."""
        body = {"metadata": {"annotations": dict(annotations)}}
        await self._requests.call("PATCH", PODS.path(key), body, accept=ONLY_ITS_METADATA)

    async def patch_status(self, key: Key, status: Json) -> None:
        """Write a TaskQueue's status; None removes a field."""
        path = f"{TASK_QUEUES.path(key)}/status"
        async with self._reporting:
            await self._requests.call("PATCH", path, {"status": status}, accept=ONLY_ITS_METADATA)

    async def create_event(self, namespace: str, body: Json) -> None:
        """Create an Event."""
        async with self._reporting:
            await self._requests.call("POST", EVENTS.listing(namespace), body)

    async def patch_event(self, key: Key, body: Json) -> None:
        """Change an Event: its count and time."""
        async with self._reporting:
            await self._requests.call("PATCH", EVENTS.path(key), body)

    async def review_token(self, token: str, audience: str = "") -> Json | None:
        """Find the user of a token, in the form of a SubjectAccessReview; None if it is invalid.

        Args:
            token: of a user or a ServiceAccount.
            audience: for whom the token must have been made. Empty: for the API server.
        """
        spec: Json = {"token": token}
        if audience:
            spec["audiences"] = [audience]
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        path = "/apis/authentication.k8s.io/v1/tokenreviews"
        answer = await self._requests.call("POST", path, body, changes=False)
        status = answer.get("status") or {}
        user = status.get("user") or {}
        if not status.get("authenticated") or not user.get("username"):
            return None
        if audience and audience not in (status.get("audiences") or ()):
            return None  # an authenticator that knows no audiences answers without them
        found = {"user": user["username"]}
        return found | {key: user[key] for key in ("uid", "groups", "extra") if user.get(key)}

    async def may_get(self, user: Json, path: str) -> bool:
        """Say whether a user may `get` a path that is none of the API server's (an RBAC rule)."""
        return await self._may(user, {"nonResourceAttributes": {"path": path, "verb": "get"}})

    async def may_use(self, user: Json, verb: str, part: str, key: Key) -> bool:
        """Say whether a user may read (`get`) or change (`update`) a part of a TaskQueue.

        Args:
            user: from `review_token`.
            verb: `get` or `update`.
            part: the subresource that stands for it in RBAC rules, such as `tasks`.
            key: of the TaskQueue.
        """
        attributes = {
            "group": GROUP,
            "version": VERSION,
            "resource": PLURAL,
            "subresource": part,
            "namespace": key.namespace,
            "name": key.name,
            "verb": verb,
        }
        return await self._may(user, {"resourceAttributes": attributes})

    async def _may(self, user: Json, attributes: Json) -> bool:
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {**user, **attributes},
        }
        review = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        answer = await self._requests.call("POST", review, body, changes=False)
        return (answer.get("status") or {}).get("allowed") is True

    async def release_lease(self, key: Key, identity: str) -> None:
        """Give the leader's Lease back, if it is still ours."""
        path = LEASES.path(key)
        lease = await self._requests.call("GET", path)
        if (lease.get("spec") or {}).get("holderIdentity") == identity:
            body = {
                "metadata": {"resourceVersion": lease["metadata"]["resourceVersion"]},
                "spec": {"holderIdentity": None},
            }
            await self._requests.call("PATCH", path, body)

    async def _autoscalers(self, resource: ApiResource, namespace: str | None) -> list[Json]:
        """List all autoscalers of a kind, and keep of each what it scales."""
        found: list[Json] = []
        async for page, _ in self._requests.pages(resource, namespace):
            found += map(_autoscaler, page)
        return found


def heading(body: Json) -> Json:
    """Keep what identifies an object of a list, and what shows that it has changed."""
    kept: Json = {name: body[name] for name in ("apiVersion", "kind") if name in body}
    names = ("name", "namespace", "uid", "generation", "resourceVersion", "labels")
    metadata = body.get("metadata") or {}
    return {**kept, "metadata": {name: metadata[name] for name in names if name in metadata}}


def _autoscaler(body: Json) -> Json:
    spec, metadata = body.get("spec") or {}, body.get("metadata") or {}
    kept = heading(body)
    kept["metadata"]["annotations"] = metadata.get("annotations") or {}
    return {**kept, "spec": {"scaleTargetRef": spec.get("scaleTargetRef")}}
