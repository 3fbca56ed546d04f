"""Who else scales our Deployments: HorizontalPodAutoscalers and KEDA's ScaledObjects.

Two autoscalers on one Deployment undo each other's work for ever, so the operator looks for others
and keeps its hands off what they scale. They are rare and change rarely: one list per namespace
every twenty seconds is enough, and costs nothing while a queue is being served. But no TaskQueue is
decided on before a list that is younger than it: its Deployment may have been scaled by another
hand all along. A HorizontalPodAutoscaler that comes, goes or turns to another Deployment is heard
of by a watch and causes a look at once; KEDA makes one for each ScaledObject that is active.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from .kube import ApiError, Kube
from .model import Key
from .views import key_of

logger = logging.getLogger(__name__)

PERIOD_SECONDS = 20.0

_List = Callable[[str | None], Awaitable[list[dict[str, Any]]]]


class Autoscalers:
    """The other autoscalers of the served namespaces.

    Args:
        namespaces: the served ones; (None,) means the whole cluster.
        on_change: called with a Deployment that got another autoscaler, or lost it.
    """

    def __init__(
        self, kube: Kube, namespaces: Sequence[str | None], on_change: Callable[[Key], None]
    ) -> None:
        self._kube = kube
        self._namespaces = namespaces
        self._on_change = on_change
        self._found: dict[Key, str] = {}
        self._heard: dict[Key, str] = {}
        self._refused: set[str] = set()
        self._begun = self._ended = 0  # looks
        self._wanted = asyncio.Event()
        self._one_ended = asyncio.Condition()

    def scaling(self, deployment: Key) -> str:
        """Who else scales the Deployment, in words; empty if nobody does."""
        return self._found.get(deployment, "")

    def heard(self, body: Mapping[str, Any], *, gone: bool) -> None:
        """A HorizontalPodAutoscaler came, went or changed. Most changes are of its status."""
        key, target = key_of(body), "" if gone else _target(body) or ""
        if self._heard.get(key, "") != target:
            self._heard[key] = target
            self._wanted.set()
        if gone:
            self._heard.pop(key, None)

    async def run(self) -> None:
        """Look now and then, and when asked to, for ever."""
        while True:
            self._wanted.clear()
            await self.look()
            try:
                async with asyncio.timeout(PERIOD_SECONDS):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    async def look_anew(self) -> None:
        """Have `run` look; returns when a look that began after this call has ended."""
        number = self._begun + 1
        self._wanted.set()
        async with self._one_ended:
            await self._one_ended.wait_for(lambda: self._ended >= number)

    async def look(self) -> None:
        """Look once."""
        self._begun += 1
        found: dict[Key, str] = {}
        for namespace in self._namespaces:
            for kind, listing in (
                ("HorizontalPodAutoscaler", self._kube.list_autoscalers),
                ("ScaledObject", self._kube.list_scaled_objects),
            ):
                for body in await self._list(kind, listing, namespace):
                    _add(found, kind, body)
        before, self._found = self._found, found
        for key in before.keys() ^ found.keys():
            self._on_change(key)
        async with self._one_ended:
            self._ended += 1
            self._one_ended.notify_all()

    async def _list(self, kind: str, listing: _List, namespace: str | None) -> list[dict[str, Any]]:
        try:
            return await listing(namespace)
        except ApiError as error:
            # Not being allowed to look is no reason not to scale; it is said once.
            what = f"{kind} in {namespace or 'the cluster'}: {error.status}"
            if what not in self._refused:
                self._refused.add(what)
                logger.warning("can't look for other autoscalers: %s: %s", what, error)
            return []


def _target(body: Mapping[str, Any]) -> str | None:
    """Name of the Deployment that an autoscaler scales; None if it scales something else."""
    target = (body.get("spec") or {}).get("scaleTargetRef") or {}
    return target.get("name") if target.get("kind", "Deployment") == "Deployment" else None


def _add(found: dict[Key, str], kind: str, body: dict[str, Any]) -> None:
    target = _target(body)
    if not target:
        return
    namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
    key = Key(namespace, target)
    # KEDA makes an HPA of its own; the ScaledObject, found later, is the better name for both.
    found[key] = f"{kind} {name} scales Deployment {key.name} too"
