"""Pods as they come and go, read piece by piece.

kopf watches what is few. Pods are not: an operator that serves a whole cluster sees all its pods,
each of them ten kilobytes and more of JSON, and needs a few hundred bytes of each. So they are
listed in pages, every page is boiled down before the next one is asked for, and of a watch one
event is in memory at a time. A list of 10,000 pods holds the event loop for no longer than one page
takes, and a slow operator slows down the API server's answers rather than gathering them.

A watch that has fallen too far behind (410) begins with a list again. No event reports what was
deleted meanwhile, so `resync` asks for each pod that is known and not in the list.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from identtqueue_operator.backoff import pause_after
from identtqueue_operator.kube.api import ApiError
from identtqueue_operator.kube.client import Kube
from identtqueue_operator.timings import DEFAULTS, Timings

logger = logging.getLogger(__name__)

SHORTEST_SECONDS = 1.0
"""A watch that ends sooner, with nothing said, is a failure."""
EVENTS_AT_ONCE = 25
"""How many events are taken in before others get the event loop."""
GONE = 410

Body = Mapping[str, Any]


class PodWatch:
    """A watch of the pods of a namespace, or of the cluster, that never ends.

    Args:
        kube: the API server.
        namespace: None: the whole cluster.
        on_change: called with a pod that is there, or has changed.
        on_gone: called with the last state of a pod that is gone.
        on_listed: called after a list, with the namespace, what each pod has of metadata, and the
            time at which the list began.
        clock: seconds, monotonic.
        timings: how soon a list or a watch that failed is repeated.
    """

    def __init__(
        self,
        kube: Kube,
        namespace: str | None,
        *,
        on_change: Callable[[Body], None],
        on_gone: Callable[[Body], None],
        on_listed: Callable[[str | None, list[Body], float], Awaitable[None]],
        clock: Callable[[], float],
        timings: Timings = DEFAULTS,
    ) -> None:
        self._kube = kube
        self._timings = timings
        self._namespace = namespace
        self._on_change = on_change
        self._on_gone = on_gone
        self._on_listed = on_listed
        self._clock = clock
        self._version = ""
        self._unreadable = 0

    async def run(self) -> None:
        """List, follow, and begin anew where that fails."""
        failures = 0
        while True:
            begun = self._clock()
            try:
                if not self._version:
                    await self._list()
                before = self._version
                await self._follow()
                idle = self._version == before and self._clock() - begun < SHORTEST_SECONDS
                failures = failures + 1 if idle else 0
            except ApiError as error:
                if error.status == GONE:
                    self._version = ""
                failures += 1
                if failures == 1 and error.status != GONE:
                    logger.warning("pods of %s: %s", self._namespace or "the cluster", error)
            except Exception:
                self._version = ""
                failures += 1
                logger.exception("pods of %s can't be watched", self._namespace or "the cluster")
            if failures:
                await asyncio.sleep(pause_after(failures, self._timings.pods_retry_seconds))

    async def _list(self) -> None:
        begun, there, version = self._clock(), [], ""
        async for page, version in self._kube.pages_of_pods(self._namespace):  # noqa: B007
            for n, body in enumerate(page):
                self._take(self._on_change, body)
                there.append(_heading(body))
                if n % EVENTS_AT_ONCE == EVENTS_AT_ONCE - 1:
                    await asyncio.sleep(0)
            page.clear()
        await self._on_listed(self._namespace, there, begun)
        self._version = version

    async def _follow(self) -> None:
        number = 0
        async for event in self._kube.watch_pods(self._namespace, self._version):
            kind, body = event.get("type"), event.get("object") or {}
            if kind == "ERROR":
                code = int(body.get("code") or 0)
                raise ApiError(code, str(body.get("reason")), str(body.get("message")))
            if kind in ("ADDED", "MODIFIED"):
                self._take(self._on_change, body)
            elif kind == "DELETED":
                self._take(self._on_gone, body)
            self._version = str((body.get("metadata") or {}).get("resourceVersion") or "")
            number += 1
            if number % EVENTS_AT_ONCE == 0:
                await asyncio.sleep(0)

    def _take(self, take: Callable[[Body], None], body: Body) -> None:
        """Hand a pod on. One that can't be read is left out, and spoils no other."""
        try:
            take(body)
        except Exception:
            self._unreadable += 1
            if self._unreadable == 1:
                logger.exception("a pod can't be read and is ignored; further ones are not logged")


def _heading(body: Body) -> Body:
    metadata = body.get("metadata") or {}
    return {"metadata": {name: metadata.get(name) for name in ("name", "namespace", "uid")}}
