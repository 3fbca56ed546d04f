"""A small Kubernetes API server over HTTP: objects in memory, with what the operator relies on.

It has resource versions and the conflicts they cause, generations, merge patches, server-side apply
(as far as creating and merging goes), the status and scale subresources, lists, watches that
continue from a version, and discovery. It has no validation and no controllers: `fleet` and
`controllers` play their part.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import copy
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from kubernetes.aio import client as kubernetes_client

from identtqueue_operator.kube.requests import Requests
from testing.tls import some_authority

Json = dict[str, Any]

GROUPS: dict[str, dict[str, str]] = {
    "v1": {"namespaces": "Namespace", "pods": "Pod", "secrets": "Secret", "events": "Event"},
    "apiextensions.k8s.io/v1": {"customresourcedefinitions": "CustomResourceDefinition"},
    "apps/v1": {
        "deployments": "Deployment",
        "replicasets": "ReplicaSet",
        "statefulsets": "StatefulSet",
    },
    "autoscaling/v2": {"horizontalpodautoscalers": "HorizontalPodAutoscaler"},
    "coordination.k8s.io/v1": {"leases": "Lease"},
    "example.com/v1": {"workerpools": "WorkerPool", "heaps": "Heap"},
    "identtqueue.dev/v1alpha1": {"taskqueues": "TaskQueue"},
    "keda.sh/v1alpha1": {"scaledobjects": "ScaledObject"},
}
SCALABLE = ("deployments", "replicasets", "statefulsets", "workerpools")
"""With a `/scale`."""


class Refusal(Exception):
    """An error answer of the server."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.body = {"kind": "Status", "code": code, "reason": reason, "message": message}


class ApiServer:
    """The server. Tests read `objects`; `put`, `change` and `remove` do what kubectl does."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Json] = {}
        self.requests: list[tuple[str, str, Json | None]] = []
        """Method, path and body of every request that was not a GET."""
        self.anonymous: list[str] = []
        """Writes that named no `fieldManager`."""
        self.reads: Counter[str] = Counter()
        """How often each path was asked for."""
        self.watched: Counter[str] = Counter()
        """How often each kind was watched."""
        self.answered: Counter[str] = Counter()
        """Bytes of the answers to writes, by path."""
        self.down = False
        """Answer everything with 503."""
        self.forbidden = ""
        """Refuse writes to paths with this end, as if a permission were missing."""
        self.held: dict[str, asyncio.Event] = {}
        """Accept writes to paths with this end only once the event is set."""
        self.tokens: dict[str, Json] = {}
        """Token -> its user, as a TokenReview answers."""
        self.readers: set[str] = set()
        """Names of the users that may `get` /metrics."""
        self.warnings: dict[str, str] = {}
        """`Warning` headers of the answers to writes, by the end of the path."""
        self.busy: dict[str, int] = {}
        """Answer this many requests, by the end of their path, with 429 and `Retry-After: 0`."""
        self.terminating = False
        """Refuse every creation, as in a namespace that is being deleted."""
        self.unreadable: dict[str, int] = {}
        """Refuse reads, by the end of the path, with this status."""
        self.stale: dict[str, list[Json]] = {}
        """Objects, by kind, that a list from the cache returns instead of the present ones."""
        self.forgetful = 0
        """Refuse this many pages of lists, except first ones, as if they came too late (410)."""
        self.compacted = 0
        """Watches that have seen nothing since this version are too old (410)."""
        self.listeners: list[Callable[[str, str, Json], None]] = []
        """Called with event, plural and object for each change, as a watch would."""
        self.around_write: Callable[[str, Callable[[], Json]], Json] = lambda path, write: write()
        """Called for each request that changes something, with its path and what writes it."""
        self.audiences: dict[str, str] = {}
        """For whom a token was made, if not for the API server."""
        self.rights: dict[str, set[tuple[str, str, str]]] = defaultdict(set)
        """Verb, part of a TaskQueue and namespace, by user."""
        self.unknown_groups: set[str] = set()
        """Groups and versions that are not installed."""
        self._groups = {name: dict(kinds) for name, kinds in GROUPS.items()}
        self._scalable = set(SCALABLE)
        self._versions = itertools.count(1)
        self._history: list[tuple[int, str, str, Json]] = []
        self._news = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self.url = ""

    # --- start and stop ---

    async def start(self) -> ApiServer:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def close(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def connect(self) -> Requests:
        """Make a connection as the operator has it."""
        configuration = kubernetes_client.Configuration(self.url, ca_cert_data=some_authority())
        return Requests(kubernetes_client.ApiClient(configuration))

    def kubeconfig(self) -> Json:
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": self.url}}],
            "users": [{"name": "test", "user": {"token": "none"}}],
            "contexts": [
                {"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "ns"}}
            ],
            "current-context": "test",
        }

    # --- kubectl's part ---

    def install(self, api_version: str, plural: str, kind: str, *, scalable: bool = True) -> None:
        """Make a kind known, as its CustomResourceDefinition would."""
        self._groups.setdefault(api_version, {})[plural] = kind
        if scalable:
            self._scalable.add(plural)

    def get(self, plural: str, name: str, namespace: str = "ns") -> Json:
        return self.objects[plural, namespace, name]

    def all(self, plural: str) -> list[Json]:
        return [body for (kind, _, _), body in self.objects.items() if kind == plural]

    def put(self, plural: str, name: str, body: Json | None = None, namespace: str = "ns") -> Json:
        """Create an object."""
        body = copy.deepcopy(body or {})
        metadata = body.setdefault("metadata", {})
        metadata |= {"name": name, "namespace": namespace}
        metadata.setdefault("uid", f"uid-{name}-{next(self._versions)}")
        metadata.setdefault("creationTimestamp", datetime.now(UTC).isoformat(timespec="seconds"))
        metadata["generation"] = 1
        groups = self._groups.items()
        body["apiVersion"] = next(name for name, kinds in groups if plural in kinds)
        body["kind"] = self._groups[body["apiVersion"]][plural]
        return self._store("ADDED", plural, body)

    def change(
        self,
        plural: str,
        name: str,
        patch: Json,
        namespace: str = "ns",
        manager: str = "kubectl-client-side-apply",
    ) -> Json:
        """Merge a patch into an object of any version. A patch without effect causes no event."""
        before = self.get(plural, name, namespace)
        after = _merge(before, patch)
        if after == before:
            return before
        if "replicas" in (patch.get("spec") or {}):
            fields = {"f:spec": {"f:replicas": {}}}
            after["metadata"]["managedFields"] = [{"manager": manager, "fieldsV1": fields}]
        if after.get("spec") != before.get("spec"):
            after["metadata"]["generation"] = before["metadata"].get("generation", 1) + 1
        return self._store("MODIFIED", plural, after)

    def remove(self, plural: str, name: str, namespace: str = "ns") -> None:
        """Delete an object."""
        body = self.objects.pop((plural, namespace, name))
        self._store("DELETED", plural, body, keep=False)

    def remove_unnoticed(self, plural: str, name: str, namespace: str = "ns") -> None:
        """Delete an object without an event for the watches."""
        del self.objects[plural, namespace, name]

    def put_unnoticed(self, plural: str, name: str, body: Json, namespace: str = "ns") -> None:
        """Create an object without an event for the watches."""
        listeners, self.listeners = self.listeners, []
        self.put(plural, name, body, namespace)
        self.listeners = listeners

    def _store(self, event: str, plural: str, body: Json, *, keep: bool = True) -> Json:
        version = next(self._versions)
        body = copy.deepcopy(body)
        metadata = body["metadata"]
        metadata["resourceVersion"] = str(version)
        if keep:
            self.objects[plural, metadata["namespace"], metadata["name"]] = body
        self._history.append((version, event, plural, body))
        loop = asyncio.get_running_loop()
        loop.call_soon(self._wake)
        for listener in self.listeners:
            loop.call_soon(listener, event, plural, copy.deepcopy(body))
        return body

    def _wake(self) -> None:
        async def notify() -> None:
            async with self._news:
                self._news.notify_all()

        self._waking = asyncio.ensure_future(notify())

    # --- HTTP ---

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        for end, left in self.busy.items():
            if left > 0 and request.path.endswith(end):
                self.busy[end] -= 1
                body = Refusal(429, "TooManyRequests", "too many requests").body
                return web.json_response(body, status=429, headers={"Retry-After": "0"})
        try:
            if self.down:
                raise Refusal(503, "ServiceUnavailable", "down for a test")
            body = json.loads(await request.read() or "null")
            if request.method == "GET":
                self._note_read(request.path)
            else:
                self.requests.append((request.method, request.path, body))
                if request.query.get("fieldManager") != "identtqueue-operator":
                    self.anonymous.append(f"{request.method} {request.path}")
                if self.forbidden and request.path.endswith(self.forbidden):
                    raise Refusal(403, "Forbidden", f"{self.forbidden} is forbidden for a test")
                for end, event in self.held.items():
                    if request.path.endswith(end):
                        await event.wait()
            if "watch" in request.query:
                return await self._watch(request)
            if request.method == "GET":
                answer = self._answer(request, body)
            else:
                answer = self.around_write(request.path, lambda: self._answer(request, body))
        except Refusal as refusal:
            return web.json_response(refusal.body, status=refusal.body["code"])
        warned = [text for end, text in self.warnings.items() if request.path.endswith(end)]
        headers = {"Warning": warned[0]} if warned and request.method != "GET" else None
        if "as=PartialObjectMetadata" in request.headers.get("Accept", ""):
            answer = _only_metadata(answer)
        response = web.json_response(answer, headers=headers)
        if request.method != "GET":
            assert response.text is not None
            self.answered[request.path] += len(response.text)
        return response

    def _note_read(self, path: str) -> None:
        self.reads[path] += 1
        for end, status in self.unreadable.items():
            if path.endswith(end):
                raise Refusal(status, "Refused", f"{end} is not to be read, for a test")

    def _answer(self, request: web.Request, body: Json | None) -> Json:
        parts = request.path.strip("/").split("/")
        if "/".join(parts[1:3]) in self.unknown_groups:
            raise Refusal(404, "NotFound", "404 page not found")
        if len(parts) <= (2 if parts[0] == "api" else 3):
            return self._discover(parts)
        rest = parts[2:] if parts[0] == "api" else parts[3:]
        if rest[0] in ("tokenreviews", "subjectaccessreviews") and body is not None:
            return {**body, "status": self._review(body["spec"])}
        namespace = None
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        plural, name, sub = (*rest, "", "")[:3]
        if not any(plural in kinds for kinds in self._groups.values()):
            raise Refusal(404, "NotFound", f"no resource {plural}")
        if request.method == "GET" and not name and plural in self.stale:
            return {"metadata": {"resourceVersion": "1"}, "items": self.stale[plural]}
        if request.method == "GET" and not name:
            items = [
                body
                for (kind, where, _), body in self.objects.items()
                if kind == plural and namespace in (None, where)
            ]
            return self._page(request, items)
        assert namespace is not None
        return self._one(request, plural, namespace, name, sub, body)

    def _discover(self, parts: list[str]) -> Json:
        """Return which groups there are, or which kinds a group has."""
        if parts == ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"]}
        if parts == ["apis"]:
            return {"kind": "APIGroupList", "groups": [_group(n) for n in self._groups if "/" in n]}
        name = parts[-1] if parts[0] == "api" else "/".join(parts[1:])
        if name not in self._groups:
            raise Refusal(404, "NotFound", f"no group {name}")
        resources = [
            {
                "name": plural,
                "kind": kind,
                "singularName": kind.lower(),
                "namespaced": plural not in ("namespaces", "customresourcedefinitions"),
                "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
            }
            for plural, kind in self._groups[name].items()
        ]
        resources += [
            {"name": f"{plural}/scale", "kind": "Scale", "namespaced": True}
            for plural in self._groups[name]
            if plural in self._scalable
        ]
        return {"kind": "APIResourceList", "groupVersion": name, "resources": resources}

    def _review(self, spec: Json) -> Json:
        """Answer whether a token is valid, or whether a user has a permission."""
        if "token" in spec:
            user = self.tokens.get(spec["token"])
            audience = self.audiences.get(spec["token"], "api")
            if user is None or [audience] != spec.get("audiences", ["api"]):
                return {"authenticated": False, "user": {}}
            return {"authenticated": True, "user": user, "audiences": [audience]}
        if "resourceAttributes" in spec:
            what = spec["resourceAttributes"]
            assert what["group"] == "identtqueue.dev"
            assert what["resource"] == "taskqueues"
            right = (what["verb"], what["subresource"], what["namespace"])
            return {"allowed": right in self.rights[spec["user"]]}
        what = spec["nonResourceAttributes"]
        assert what == {"path": "/metrics", "verb": "get"}
        return {"allowed": spec["user"] in self.readers}

    def _page(self, request: web.Request, items: list[Json]) -> Json:
        """Return a list, or the requested page of it."""
        metadata: Json = {"resourceVersion": str(self._last_version())}
        token, limit = request.query.get("continue"), int(request.query.get("limit") or 0)
        begin = 0
        if token:
            if self.forgetful > 0:
                self.forgetful -= 1
                raise Refusal(410, "Expired", "The provided continue parameter is too old")
            begin, metadata["resourceVersion"] = int(token.split("@")[0]), token.split("@")[1]
        end = begin + limit if limit else len(items)
        if end < len(items):
            metadata["continue"] = f"{end}@{metadata['resourceVersion']}"
        return {"metadata": metadata, "items": items[begin:end]}

    def _one(
        self,
        request: web.Request,
        plural: str,
        namespace: str,
        name: str,
        sub: str,
        body: Json | None,
    ) -> Json:
        missing = (plural, namespace, name) not in self.objects
        if self.terminating and missing and request.method in ("POST", "PATCH"):
            text = f"unable to create new content in namespace {namespace} because it is being"
            raise Refusal(403, "Forbidden", f"{text} terminated")
        if request.method == "POST":
            assert body is not None
            name = body["metadata"]["name"]
            if (plural, namespace, name) in self.objects:
                raise Refusal(409, "AlreadyExists", f"{plural} {name} already exists")
            return self.put(plural, name, body, namespace)
        apply = "apply-patch" in request.headers.get("Content-Type", "")
        if (plural, namespace, name) not in self.objects:
            if apply and body is not None and "resourceVersion" not in body["metadata"]:
                return self.put(plural, name, body, namespace)
            raise Refusal(404, "NotFound", f'{plural} "{name}" not found')
        known = self.get(plural, name, namespace)
        if sub == "scale" and plural not in self._scalable:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        if request.method == "GET":
            return _scale(known) if sub == "scale" else known
        assert body is not None
        self._check_version(known, body)
        if sub == "scale":
            body = {"spec": {"replicas": body["spec"]["replicas"]}}
        elif sub == "status":
            body = {"status": body["status"]}
        else:
            body = {key: value for key, value in body.items() if key != "status"}
        manager = request.query.get("fieldManager", "")
        return self.change(plural, name, body, namespace, manager)

    def _check_version(self, known: Json, body: Json) -> None:
        wanted = (body.get("metadata") or {}).get("resourceVersion")
        if wanted is not None and wanted != known["metadata"]["resourceVersion"]:
            raise Refusal(409, "Conflict", "the object has been modified")

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        parts = request.path.strip("/").split("/")
        plural = parts[-1]
        namespace = parts[-2] if "namespaces" in parts else None
        since = int(request.query.get("resourceVersion") or 0)
        self.watched[plural] += 1
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):  # the watcher has gone
            await self._stream(response, plural, namespace, since)
        return response

    async def _stream(
        self, response: web.StreamResponse, plural: str, namespace: str | None, since: int
    ) -> None:
        position = bisect.bisect_right(self._history, since, key=lambda entry: entry[0])
        while True:
            if since < self.compacted:
                gone = Refusal(410, "Expired", "too old resource version").body
                line = json.dumps({"type": "ERROR", "object": gone})
                await response.write(line.encode() + b"\n")
                return
            while position < len(self._history):
                since, event, kind, body = self._history[position]
                position += 1
                if kind == plural and namespace in (None, body["metadata"]["namespace"]):
                    line = json.dumps({"type": event, "object": body})
                    await response.write(line.encode() + b"\n")
            async with self._news:
                await self._news.wait_for(
                    lambda seen=position, of=since: of < self.compacted or seen < len(self._history)
                )

    def _last_version(self) -> int:
        return self._history[-1][0] if self._history else 0

    def writes(self, part: str) -> list[Json | None]:
        """Return the bodies of all writes to paths that contain this text."""
        return [body for _, path, body in self.requests if part in path]


def _only_metadata(answer: Json) -> Json:
    """Reduce an object, or each object of a list, to its metadata."""
    if "items" in answer:
        return {**answer, "items": [_only_metadata(each) for each in answer["items"]]}
    head = {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata"}
    return {**head, "metadata": answer["metadata"]}


def _scale(body: Json) -> Json:
    """Make the `/scale` of an object."""
    status, kept = body.get("status") or {}, ("name", "namespace", "uid", "resourceVersion")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: body["metadata"][name] for name in kept},
        "spec": {"replicas": body["spec"]["replicas"]},
        "status": {"replicas": status.get("replicas", 0), "selector": status.get("selector", "")},
    }


def _group(name: str) -> Json:
    """Describe a group and its only version, as discovery does, by the group's name."""
    group, _, version = name.partition("/")
    entry = {"groupVersion": name, "version": version}
    return {"name": group, "versions": [entry], "preferredVersion": entry}


def _merge(target: Any, patch: Any) -> Any:
    """Merge a patch into an object, as RFC 7386 says."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merge(result.get(key), value)
    return result
