"""The Kubernetes adapter: the few requests that the operator makes, and nothing more.

Thin over `kubernetes.aio`: its connection pool, its configuration and its refreshed service account
token, but plain JSON in and out (its typed models cost ten times the time and memory). Watching is
kopf's part. Each request has a time-out; errors become `ApiError` with the API server's own words.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Self

import aiohttp
from kubernetes.aio import client, config

from identtqueue_operator.api.v1alpha1 import GROUP, PLURAL, VERSION
from identtqueue_operator.kube.parse import FIELD_MANAGER, owner_of
from identtqueue_operator.model import Key, Owner

Json = dict[str, Any]

TIMEOUT = aiohttp.ClientTimeout(total=10, connect=3)
MERGE_PATCH = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
JSON = "application/json"
ONLY_METADATA = f"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,{JSON}"
"""Asks for a list of which each object has its metadata only."""
ONLY_ITS_METADATA = f"application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,{JSON}"
"""The same for one object: the answer to a write would be all of it, up to 1.5 MiB."""
PAGE = 100
"""Objects of a list that are asked for, and in memory, at a time."""
MAX_RESTARTS = 3
"""Restarts of a list that takes longer than the API server remembers it."""
WATCH_SECONDS = 300
"""Time after which the API server ends a watch, and the next one begins."""
WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=10, sock_read=70)
"""A half-open watch is noticed by the missing bookmarks, one a minute."""
READ_BYTES = 64 * 1024
MOST_LINE_BYTES = 8 * 1024 * 1024
"""An event; the API server stores no object larger than 1.5 MiB."""
CONNECTIONS = 32
"""Most connections; each TLS connection holds a quarter of a megabyte of buffers."""
TELLING_AT_ONCE = 4
"""Status and event writes under way at once: in a storm, most of the API server's time is left to
scaling."""

MAX_REPEATS = 2
"""How often a request is repeated after the API server had no time for it (429)."""
MAX_RETRY_AFTER_SECONDS = 10.0
"""Longest pause that is kept before that, whatever the API server asks for."""


class ApiResource(NamedTuple):
    """What the API calls the objects of a kind."""

    api: str
    """Root of the group and version: `apis/apps/v1`."""
    plural: str


TASK_QUEUES = ApiResource(f"apis/{GROUP}/{VERSION}", PLURAL)
PODS = ApiResource("api/v1", "pods")
AUTOSCALERS = ApiResource("apis/autoscaling/v2", "horizontalpodautoscalers")
SCALED_OBJECTS = ApiResource("apis/keda.sh/v1alpha1", "scaledobjects")

_IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


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


def in_cluster() -> bool:
    """Return whether this process runs in a pod with a service account."""
    return _IN_CLUSTER.exists()


async def connect(
    kubeconfig: str | None = None, connections: int = CONNECTIONS
) -> client.ApiClient:
    """Connect with the pod's service account, or else a kubeconfig (default: $KUBECONFIG)."""
    configuration = client.Configuration()
    configuration.connection_pool_maxsize = connections
    if kubeconfig is None and in_cluster():
        config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
    else:
        await config.load_kube_config(  # type: ignore[no-untyped-call]
            kubeconfig, client_configuration=configuration
        )
    return client.ApiClient(configuration)


class Kube:
    """Requests, one method each."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api
        self._telling = asyncio.Semaphore(TELLING_AT_ONCE)
        self.writes = 0
        """Requests that change something, since the start."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._api.close()  # type: ignore[no-untyped-call]

    async def list_task_queues(self, namespace: str | None) -> list[Json]:
        """List the metadata of all TaskQueues of a namespace, or of the cluster."""
        return await self.list_headings(namespace, TASK_QUEUES)

    async def list_pods(self, namespace: str | None) -> list[Json]:
        """List the metadata of all pods."""
        return await self.list_headings(namespace, PODS)

    def pages_of_pods(self, namespace: str | None) -> AsyncIterator[tuple[list[Json], str]]:
        """Yield all pods in pages, with the resource version that a watch starts from."""
        return self._pages(PODS, namespace)

    async def watch_pods(self, namespace: str | None, version: str) -> AsyncIterator[Json]:
        """Yield the events of pods since a resource version, until the API server ends the watch.

        Raises:
            ApiError: it refuses, or is silent for too long; 410: the version is too old.
        """
        query = [
            *(("watch", "true"), ("resourceVersion", version)),
            *(("allowWatchBookmarks", "true"), ("timeoutSeconds", str(WATCH_SECONDS))),
        ]
        try:
            response = await self._send("GET", _listing(PODS, namespace), query)
            stream = response.response
            try:
                if response.status >= 400:
                    _refuse(response, await response.read())
                async for line in _lines(stream.content):
                    yield _parse(line)
            finally:
                stream.close()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            what = str(error) or type(error).__name__
            raise ApiError(0, "Unreachable", f"API server: {what}") from error

    async def try_to_list(self, namespace: str | None, *resources: ApiResource) -> None:
        """Make sure that these may be listed.

        Raises:
            ApiError: one of them may not, or there is no such kind; or it is not known whether it
                may.
        """
        for resource in resources:
            await self._call("GET", _listing(resource, namespace), query=[("limit", "1")])

    async def list_headings(self, namespace: str | None, resource: ApiResource) -> list[Json]:
        """List all objects of a kind, and keep of each what says which one it is."""
        found: list[Json] = []
        async for page, _ in self._pages(resource, namespace, ONLY_METADATA):
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
        try:
            return await self._call("GET", path)
        except ApiError as error:
            if error.missing:
                return None
            raise

    async def get_secret(self, key: Key) -> Json:
        """Read a Secret."""
        return await self._call("GET", f"/api/v1/namespaces/{key.namespace}/secrets/{key.name}")

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
        return await self.get_object(f"/api/v1/namespaces/{key.namespace}/pods/{key.name}")

    async def get_task_queue(self, key: Key) -> Json | None:
        """Read a TaskQueue; None if there is none."""
        return await self.get_object(
            f"/apis/{GROUP}/{VERSION}/namespaces/{key.namespace}/{PLURAL}/{key.name}"
        )

    async def get_replica_set_owner(self, key: Key) -> tuple[str, Owner | None] | None:
        """Read a ReplicaSet's UID and what controls it; None if there is no such ReplicaSet."""
        path = f"/apis/apps/v1/namespaces/{key.namespace}/replicasets/{key.name}"
        body = await self.get_object(path)
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
        answer = await self._call("PATCH", path, wanted, query, APPLY, warnings=warnings)
        return answer, tuple(warnings)

    async def scale(self, path: str, version: str, replicas: int) -> str:
        """Set an object's number of replicas, if it still has the resource version.

        Returns:
            Its new resource version.

        Raises:
            ApiError: with `conflict`, when it has changed since.
        """
        body = {"metadata": {"resourceVersion": version}, "spec": {"replicas": replicas}}
        answer = await self._call("PATCH", f"{path}/scale", body)
        return str(answer["metadata"]["resourceVersion"])

    async def annotate_pod(self, key: Key, annotations: Mapping[str, str | None]) -> None:
        """Set annotations of a pod; None removes one."""
        path = f"/api/v1/namespaces/{key.namespace}/pods/{key.name}"
        body = {"metadata": {"annotations": dict(annotations)}}
        await self._call("PATCH", path, body, accept=ONLY_ITS_METADATA)

    async def patch_status(self, key: Key, status: Json) -> None:
        """Write a TaskQueue's status; None removes a field."""
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{key.namespace}/{PLURAL}/{key.name}/status"
        async with self._telling:
            await self._call("PATCH", path, {"status": status}, accept=ONLY_ITS_METADATA)

    async def create_event(self, namespace: str, body: Json) -> None:
        """Create an Event."""
        async with self._telling:
            await self._call("POST", f"/api/v1/namespaces/{namespace}/events", body)

    async def patch_event(self, key: Key, body: Json) -> None:
        """Change an Event: its count and time."""
        path = f"/api/v1/namespaces/{key.namespace}/events/{key.name}"
        async with self._telling:
            await self._call("PATCH", path, body)

    async def review_token(self, token: str) -> Json | None:
        """Find the user of a token, in the form of a SubjectAccessReview; None if it is invalid."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token},
        }
        path = "/apis/authentication.k8s.io/v1/tokenreviews"
        answer = await self._call("POST", path, body, changes=False)
        status = answer.get("status") or {}
        user = status.get("user") or {}
        if not status.get("authenticated") or not user.get("username"):
            return None
        found = {"user": user["username"]}
        return found | {key: user[key] for key in ("uid", "groups", "extra") if user.get(key)}

    async def may_get(self, user: Json, path: str) -> bool:
        """Say whether a user may `get` a path that is none of the API server's (an RBAC rule)."""
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {**user, "nonResourceAttributes": {"path": path, "verb": "get"}},
        }
        review = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        answer = await self._call("POST", review, body, changes=False)
        return (answer.get("status") or {}).get("allowed") is True

    async def release_lease(self, key: Key, identity: str) -> None:
        """Give the leader's Lease back, if it is still ours."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{key.namespace}/leases/{key.name}"
        lease = await self._call("GET", path)
        if (lease.get("spec") or {}).get("holderIdentity") == identity:
            body = {
                "metadata": {"resourceVersion": lease["metadata"]["resourceVersion"]},
                "spec": {"holderIdentity": None},
            }
            await self._call("PATCH", path, body)

    async def _autoscalers(self, resource: ApiResource, namespace: str | None) -> list[Json]:
        """List all autoscalers of a kind, and keep of each what it scales."""
        found: list[Json] = []
        async for page, _ in self._pages(resource, namespace):
            found += map(_autoscaler, page)
        return found

    async def _pages(
        self, resource: ApiResource, namespace: str | None, accept: str = JSON
    ) -> AsyncIterator[tuple[list[Json], str]]:
        """Yield objects of a kind in pages, with the resource version that a watch starts from.

        Not from the API server's cache, which knows no pages. A list that takes longer than the
        API server remembers begins anew, so that objects may come twice.
        """
        path, token, restarts = _listing(resource, namespace), "", 0
        while True:
            query = [("limit", str(PAGE)), *([("continue", token)] if token else ())]
            try:
                answer = await self._call("GET", path, query=query, accept=accept)
            except ApiError as error:
                if error.status != 410 or not token or restarts == MAX_RESTARTS:
                    raise
                token, restarts = "", restarts + 1
                continue
            metadata = answer.get("metadata") or {}
            yield list(answer.get("items") or ()), str(metadata.get("resourceVersion") or "")
            token = str(metadata.get("continue") or "")
            if not token:
                return
            await asyncio.sleep(0)

    async def _call(
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
        headers = {"Accept": accept}
        headers["Content-Type"] = patch_type if method == "PATCH" else "application/json"
        query = list(query)
        if method != "GET":
            self.writes += changes
            query.append(("fieldManager", FIELD_MANAGER))
        for repeat in range(MAX_REPEATS + 1):
            try:
                request = await self._api.param_serialize(
                    method,
                    path,
                    query_params=query,
                    header_params=dict(headers),
                    body=body,
                    auth_settings=["BearerToken"],
                )
                response = await self._api.call_api(*request, _request_timeout=TIMEOUT)
                text: bytes = await response.read()  # type: ignore[no-untyped-call]
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                what = str(error) or type(error).__name__
                raise ApiError(0, "Unreachable", f"API server: {what}") from error
            wait = _retry_after(response)
            if wait is None or repeat == MAX_REPEATS:
                break
            await asyncio.sleep(wait)
        if response.status >= 400:
            _refuse(response, text)
        if warnings is not None:
            warnings += map(_warning, response.headers.getall("Warning", ()))
        return _parse(text)

    async def _send(self, method: str, path: str, query: list[tuple[str, str]]) -> Any:
        """Begin a request whose answer goes on for a while."""
        request = await self._api.param_serialize(
            method,
            path,
            query_params=query,
            header_params={"Accept": JSON},
            auth_settings=["BearerToken"],
        )
        return await self._api.call_api(*request, _request_timeout=WATCH_TIMEOUT)


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


def _listing(resource: ApiResource, namespace: str | None) -> str:
    scope = f"namespaces/{namespace}/" if namespace else ""
    return f"/{resource.api}/{scope}{resource.plural}"


def _refuse(response: Any, text: bytes) -> NoReturn:
    answer = _parse(text)
    reason = answer.get("reason") or response.reason or "Error"
    message = answer.get("message") or text.decode(errors="replace")[:300]
    raise ApiError(response.status, str(reason), str(message))


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Yield the lines of a stream, each as soon as it is complete."""
    rest = bytearray()
    async for piece in stream.iter_chunked(READ_BYTES):
        *whole, last = piece.split(b"\n")
        for line in whole:
            rest += line
            if rest:
                yield bytes(rest)
            rest = bytearray()
        rest += last
        if len(rest) > MOST_LINE_BYTES:
            raise aiohttp.ClientPayloadError("an event is too large")


def _warning(header: str) -> str:
    """Take the text out of a header `299 - "text"`, where quotation marks are escaped."""
    found = re.fullmatch(r'\d{3} \S+ "(.*)".*', header, re.DOTALL)
    return re.sub(r"\\(.)", r"\1", found[1]) if found else header


def _retry_after(response: Any) -> float | None:
    """Return the seconds to wait before the same request; None if the API server took this one."""
    value = response.headers.get("Retry-After", "")
    if response.status != 429 or not value.isdecimal():
        return None
    return min(float(value), MAX_RETRY_AFTER_SECONDS)


def _parse(text: bytes) -> Json:
    try:
        answer = json.loads(text)
    except ValueError:
        return {}  # something in front of the API server answered
    return answer if isinstance(answer, dict) else {}
