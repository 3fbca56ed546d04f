"""The API server as the benchmark uses it: many objects at once, and watches that note times."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, NamedTuple, Self

import aiohttp
from kubernetes.aio.client import ApiClient

from identtqueue_operator.kube.requests import ApiError, Requests, connect

Json = dict[str, Any]

CORE = "/api/v1"
APPS = "/apis/apps/v1"
OURS = "/apis/identtqueue.dev/v1alpha1"
AT_ONCE = 32
"""Requests at the same time; more only wait in the API server."""


class Api:
    """The requests of a benchmark, over a connection as the operator makes it."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._requests = Requests(client)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._requests.close()

    @classmethod
    async def open(cls) -> Api:
        """By $KUBECONFIG."""
        return cls(await connect())

    async def create(self, path: str, body: Json) -> Json:
        """Create one object; as the API server has it."""
        return await self._requests.call("POST", path, body)

    async def create_all(self, objects: list[tuple[str, Json]], say: Callable[[str], None]) -> None:
        """Create many objects, given as pairs of path and body."""
        gate = asyncio.Semaphore(AT_ONCE)
        done = 0

        async def one(path: str, body: Json) -> None:
            nonlocal done
            async with gate:
                await self.create(path, body)
            done += 1
            if done % 500 == 0:
                say(f"{done} of {len(objects)} objects created")

        await asyncio.gather(*(one(path, body) for path, body in objects))

    async def patch(self, path: str, body: Json) -> Json:
        """Merge-patch one object."""
        return await self._requests.call("PATCH", path, body)

    async def delete(self, path: str, *, grace_seconds: int | None = None) -> None:
        """Delete one object, or all of a collection; one that is gone is fine."""
        query = [] if grace_seconds is None else [("gracePeriodSeconds", str(grace_seconds))]
        try:
            await self._requests.call("DELETE", path, query=query)
        except ApiError as error:
            if not error.missing:
                raise

    async def get(self, path: str, query: Iterable[tuple[str, str]] = ()) -> Json:
        """One object, or a list."""
        return await self._requests.call("GET", path, query=query)

    async def events(self, path: str, since: str) -> AsyncIterator[Json]:
        """Yield the events of a watch, from a resource version on, until it ends."""
        query = [("watch", "true"), ("resourceVersion", since)]
        request = await self._client.param_serialize(
            "GET",
            path,
            query_params=query,
            header_params={"Accept": "application/json"},
            auth_settings=["BearerToken"],
        )
        limit = aiohttp.ClientTimeout(total=None, sock_connect=5)
        answer = await self._client.call_api(*request, _request_timeout=limit)
        async for line in answer.response.content:
            yield json.loads(line)


class Watch:
    """All changes of one collection from now on.

    Times are taken when this process hears of a change, so what it does itself delays them a
    little: the figures err against the operator.

    Args:
        api, path: which collection.
    """

    def __init__(self, api: Api, path: str) -> None:
        self._api = api
        self._path = path
        self._heard = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self.count = 0  # changes so far

    def note(self, at: float, kind: str, body: Json) -> None:
        """A change (ADDED, MODIFIED, DELETED), heard at a time of `time.monotonic()`."""

    async def __aenter__(self) -> Self:
        answer = await self._api.get(self._path, [("limit", "1")])
        since = answer["metadata"]["resourceVersion"]
        self._task = asyncio.create_task(self._listen(since), name=f"watch {self._path}")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self, since: str) -> None:
        while True:  # the API server ends a watch after some minutes
            async for event in self._api.events(self._path, since):
                at, body = time.monotonic(), event["object"]
                if event["type"] == "ERROR":
                    raise RuntimeError(f"watch of {self._path}: {body}")
                since = body["metadata"]["resourceVersion"]
                self.count += 1
                self.note(at, event["type"], body)
                async with self._heard:
                    self._heard.notify_all()

    async def until(self, what: str, found: Callable[[], Any], seconds: float = 60) -> Any:
        """Return what `found` gives, as soon as a change has made it true.

        Raises:
            AssertionError: not within so many seconds; says what was awaited.
        """
        assert self._task is not None
        try:
            async with asyncio.timeout(seconds), self._heard:
                while not (answer := found()):
                    if self._task.done():
                        self._task.result()
                    await self._heard.wait()
        except TimeoutError:
            raise AssertionError(f"not within {seconds:g} s: {what}") from None
        return answer


class Removals(Watch):
    """The objects that have been deleted from a collection since it is watched."""

    def __init__(self, api: Api, path: str) -> None:
        super().__init__(api, path)
        self.gone: set[str] = set()

    def note(self, at: float, kind: str, body: Json) -> None:
        if kind == "DELETED":
            self.gone.add(body["metadata"]["name"])


class Step(NamedTuple):
    """A Deployment asks for another number of replicas."""

    at: float  # time.monotonic()
    replicas: int


class Replicas(Watch):
    """The replicas that the Deployments of a namespace ask for, and every change of them."""

    def __init__(self, api: Api, namespace: str) -> None:
        super().__init__(api, f"{APPS}/namespaces/{namespace}/deployments")
        self.steps: dict[str, list[Step]] = defaultdict(list)

    def note(self, at: float, kind: str, body: Json) -> None:
        steps, replicas = self.steps[body["metadata"]["name"]], body["spec"]["replicas"]
        if not steps or steps[-1].replicas != replicas:
            steps.append(Step(at, replicas))

    def now(self, name: str) -> int:
        """The newest number heard of; a Deployment that never changed was made with none."""
        return self.steps[name][-1].replicas if self.steps[name] else 0

    def lowered(self, name: str) -> int:
        """How often it was."""
        steps = self.steps[name]
        return sum(b.replicas < a.replicas for a, b in itertools.pairwise(steps))

    async def raised(self, name: str, since: float, seconds: float = 60) -> float:
        """When it was first raised after that time."""
        return float(
            await self.until(
                f"{name} is raised",
                lambda: next((s.at for s in self.steps[name] if s.at > since and s.replicas), None),
                seconds,
            )
        )

    async def at(self, name: str, replicas: int, seconds: float = 60) -> float:
        """When it came to that number, or now if it is there."""
        await self.until(f"{name} at {replicas}", lambda: self.now(name) == replicas, seconds)
        return self.steps[name][-1].at if self.steps[name] else time.monotonic()


class Rollouts(Watch):
    """Which Deployments of a namespace the Deployment controller has seen as they are now."""

    def __init__(self, api: Api, namespace: str) -> None:
        super().__init__(api, f"{APPS}/namespaces/{namespace}/deployments")
        self.observed: set[str] = set()

    def note(self, at: float, kind: str, body: Json) -> None:
        name, metadata = body["metadata"]["name"], body["metadata"]
        if body.get("status", {}).get("observedGeneration") == metadata["generation"]:
            self.observed.add(name)
        else:
            self.observed.discard(name)


class Conditions(Watch):
    """The conditions of the TaskQueues of a namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        super().__init__(api, f"{OURS}/namespaces/{namespace}/taskqueues")
        self.latest: dict[str, dict[str, str]] = {}  # name -> type -> status
        self.observed: set[str] = set()  # those whose status says that they were looked at

    def note(self, at: float, kind: str, body: Json) -> None:
        status = body.get("status") or {}
        name = body["metadata"]["name"]
        self.latest[name] = {c["type"]: c["status"] for c in status.get("conditions", ())}
        if status.get("observedGeneration") == body["metadata"]["generation"]:
            self.observed.add(name)

    def all_have(self, names: Iterable[str], kind: str, status: str) -> bool:
        """Whether the condition has that status with all of them."""
        return all(self.latest.get(name, {}).get(kind) == status for name in names)
