"""Requests over HTTP: how one is made, repeated, read in pages or as a stream, and refused.

Thin over `kubernetes.aio`: its connection pool, its configuration and its refreshed service account
token, but plain JSON in and out (its typed models cost ten times the time and memory). Each request
has a time-out; errors become `ApiError` with the API server's own words.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, NoReturn

import aiohttp
from kubernetes.aio import client, config

from identtqueue_operator.kube.api import (
    JSON,
    MERGE_PATCH,
    ApiError,
    ApiResource,
    Json,
)
from identtqueue_operator.kube.parse import FIELD_MANAGER

__all__ = ["ApiError", "Requests", "connect", "in_cluster", "own_namespace", "parse_answer"]

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_IN_CLUSTER = _ACCOUNT / "token"
_OWN_NAMESPACE = _ACCOUNT / "namespace"
TIMEOUT = aiohttp.ClientTimeout(total=10, connect=3)
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
MAX_REPEATS = 2
"""How often a request is repeated after the API server had no time for it (429)."""
MAX_RETRY_AFTER_SECONDS = 10.0
"""Longest pause that is kept before that, whatever the API server asks for."""


def in_cluster() -> bool:
    """Return whether this process runs in a pod with a service account."""
    return _IN_CLUSTER.exists()


def own_namespace() -> str | None:
    """Return the pod's namespace, or that of the kubeconfig's current context; None: no cluster."""
    if in_cluster():
        return _OWN_NAMESPACE.read_text().strip()
    try:
        _, current = config.list_kube_config_contexts()  # type: ignore[no-untyped-call]
    except (config.ConfigException, OSError):
        return None
    return str((current.get("context") or {}).get("namespace") or "default")


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


class Requests:
    """Requests over one pool of connections."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api
        self.writes = 0
        """Requests that change something, since the start."""

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()  # type: ignore[no-untyped-call]

    async def get(self, path: str) -> Json | None:
        """Read what is at a path, not from the API server's cache; None if there is nothing."""
        try:
            return await self.call("GET", path)
        except ApiError as error:
            if error.missing:
                return None
            raise

    async def pages(
        self, resource: ApiResource, namespace: str | None, accept: str = JSON
    ) -> AsyncIterator[tuple[list[Json], str]]:
        """Yield objects of a kind in pages, with the resource version that a watch starts from.

        Not from the API server's cache, which knows no pages. A list that takes longer than the
        API server remembers begins anew, so that objects may come twice.
        """
        path, token, restarts = resource.listing(namespace), "", 0
        while True:
            query = [("limit", str(PAGE)), *([("continue", token)] if token else ())]
            try:
                answer = await self.call("GET", path, query=query, accept=accept)
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

    async def watch(
        self, resource: ApiResource, namespace: str | None, version: str
    ) -> AsyncIterator[Json]:
        """Yield the events of a kind since a resource version, until the API server ends the watch.

        Raises:
            ApiError: it refuses, or is silent for too long; 410: the version is too old.
        """
        query = [
            *(("watch", "true"), ("resourceVersion", version)),
            *(("allowWatchBookmarks", "true"), ("timeoutSeconds", str(WATCH_SECONDS))),
        ]
        try:
            response = await self._begin(resource.listing(namespace), query)
            stream = response.response
            try:
                if response.status >= 400:
                    _refuse(response, await response.read())
                async for line in _lines(stream.content):
                    yield parse_answer(line)
            finally:
                stream.close()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            what = str(error) or type(error).__name__
            raise ApiError(0, "Unreachable", f"API server: {what}") from error

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
        """Make a request, and repeat it while the API server has no time for it.

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
        return parse_answer(text)

    async def _begin(self, path: str, query: list[tuple[str, str]]) -> Any:
        """Begin a request whose answer goes on for a while."""
        request = await self._api.param_serialize(
            "GET",
            path,
            query_params=query,
            header_params={"Accept": JSON},
            auth_settings=["BearerToken"],
        )
        return await self._api.call_api(*request, _request_timeout=WATCH_TIMEOUT)


def _refuse(response: Any, text: bytes) -> NoReturn:
    answer = parse_answer(text)
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


def parse_answer(text: bytes) -> Json:
    """Parse an answer. What is no object becomes an empty one."""
    try:
        answer = json.loads(text)
    except ValueError:
        return {}  # something in front of the API server answered
    return answer if isinstance(answer, dict) else {}
