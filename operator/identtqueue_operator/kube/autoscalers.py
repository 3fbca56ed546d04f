"""Other autoscalers of our workloads: HorizontalPodAutoscalers and KEDA's ScaledObjects.

Two autoscalers on one workload undo each other's work forever, so the operator looks for others and
leaves alone what they scale. They are few and change rarely, so one list per namespace every twenty
seconds is enough. It costs nothing while a queue is being served.

A TaskQueue is not scaled until other autoscalers have been listed at least once since it appeared:
its workload may have had another autoscaler all along. If a list fails, the last successful one
stays in use, and the next attempt follows soon. A list that is refused (no permission, no such
kind) counts as empty. A watch reports each HorizontalPodAutoscaler that comes, goes or turns to
another workload, and causes a look at once. KEDA makes one for each active ScaledObject.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from identtqueue_operator.backoff import pause_after
from identtqueue_operator.kube.api import ApiError
from identtqueue_operator.kube.client import Kube
from identtqueue_operator.kube.parse import key_of
from identtqueue_operator.model import Key, WorkloadKey
from identtqueue_operator.timings import DEFAULTS, Timings

logger = logging.getLogger(__name__)

FAILURES_TO_REPORT = 6
"""How many looks in a row must fail before `look_anew` returns with the failure."""
MOST_WARNINGS = 100
"""Most warnings about objects that can't be read, over the life of this process."""

_List = Callable[[str | None], Awaitable[list[dict[str, Any]]]]


class Autoscalers:
    """The other autoscalers of the served namespaces.

    Args:
        kube: lists them.
        namespaces: the served ones; (None,) means the whole cluster.
        on_change: called with a workload that got another autoscaler, or lost it.
        timings: how often to look.
    """

    def __init__(
        self,
        kube: Kube,
        namespaces: Sequence[str | None],
        on_change: Callable[[WorkloadKey], None],
        timings: Timings = DEFAULTS,
    ) -> None:
        self._kube = kube
        self._timings = timings
        self._namespaces = namespaces
        self._on_change = on_change
        self._found: dict[WorkloadKey, str] = {}
        self._answers: dict[tuple[str, str | None], dict[WorkloadKey, str]] = {}
        self._heard: dict[Key, WorkloadKey | None] = {}
        self._refused: set[str] = set()
        self._begun = self._ended = 0  # looks
        self._failures = 0
        self._failure = ""
        self._wanted = asyncio.Event()
        self._one_ended = asyncio.Condition()

    def scaling(self, workload: WorkloadKey) -> str:
        """Name the other autoscaler of the workload, in words; empty if there is none."""
        return self._found.get(workload, "")

    def heard(self, body: Mapping[str, Any], *, gone: bool) -> None:
        """Take in that a HorizontalPodAutoscaler came, went or changed, if only its status."""
        key, target = key_of(body), None if gone else _target(body)
        if self._heard.get(key) != target:
            self._heard[key] = target
            self._wanted.set()
        if gone:
            self._heard.pop(key, None)

    async def run(self) -> None:
        """Look periodically and on request, without end."""
        while True:
            self._wanted.clear()
            await self.look()
            if self._failures:
                pauses = self._timings.autoscalers_retry_seconds
                await asyncio.sleep(pause_after(self._failures, pauses))
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._timings.autoscalers_period_seconds):
                    await self._wanted.wait()

    async def look_anew(self) -> str:
        """Ask `run` for a look, and wait until one that began after this call has ended.

        Returns:
            An empty text if that look succeeded; else why one look after the other fails.
        """
        number = self._begun + 1
        self._wanted.set()
        async with self._one_ended:
            await self._one_ended.wait_for(
                lambda: (
                    self._ended >= number
                    and (not self._failures or self._failures >= FAILURES_TO_REPORT)
                )
            )
        return self._failure

    async def look(self) -> None:
        """Look once."""
        self._begun += 1
        found: dict[WorkloadKey, str] = {}
        failure = ""
        for namespace in self._namespaces:
            for kind, listing in (
                ("HorizontalPodAutoscaler", self._kube.list_autoscalers),
                # KEDA makes an HPA of its own; the ScaledObject, found later, is the better name.
                ("ScaledObject", self._kube.list_scaled_objects),
            ):
                try:
                    self._answers[kind, namespace] = await self._list(kind, listing, namespace)
                except ApiError as error:
                    failure = f"can't look for {kind}s in {namespace or 'the cluster'}: {error}"
                found |= self._answers.get((kind, namespace), {})
        before, self._found = self._found, found
        for key in before.keys() ^ found.keys():
            self._on_change(key)
        if failure and not self._failures:
            logger.warning("%s; the last successful list stays in use", failure)
        async with self._one_ended:
            self._ended, self._failure = self._begun, failure
            self._failures = self._failures + 1 if failure else 0
            self._one_ended.notify_all()

    async def _list(
        self, kind: str, listing: _List, namespace: str | None
    ) -> dict[WorkloadKey, str]:
        try:
            bodies = await listing(namespace)
        except ApiError as error:
            if error.status not in (403, 404):
                raise
            # Not being allowed to look is no reason not to scale; it is said once.
            what = f"{kind} in {namespace or 'the cluster'}: {error.status}"
            if what not in self._refused:
                self._refused.add(what)
                logger.warning("can't look for other autoscalers: %s: %s", what, error)
            return {}
        entries = (self._read(kind, body) for body in bodies)
        return dict(entry for entry in entries if entry is not None)

    def _read(self, kind: str, body: dict[str, Any]) -> tuple[WorkloadKey, str] | None:
        """Read one object. A changed CRD may let in objects of an unexpected form."""
        try:
            return _entry(kind, body)
        except (AttributeError, TypeError, LookupError, ValueError):
            what = f"{kind} {body.get('metadata')}"[:200] if isinstance(body, dict) else kind
            if what not in self._refused and len(self._refused) < MOST_WARNINGS:
                self._refused.add(what)
                logger.warning("%s can't be read and is ignored", what)
            return None


def _target(body: Mapping[str, Any]) -> WorkloadKey | None:
    """Read what an autoscaler scales; None if it does not say."""
    target = (body.get("spec") or {}).get("scaleTargetRef") or {}
    if not target.get("name"):
        return None
    # KEDA's own defaults; an HPA has both.
    version, kind = target.get("apiVersion") or "apps/v1", target.get("kind") or "Deployment"
    return WorkloadKey.referred(body["metadata"]["namespace"], target["name"], version, kind)


def _entry(kind: str, body: dict[str, Any]) -> tuple[WorkloadKey, str] | None:
    """Read which workload an autoscaler scales, and describe the autoscaler."""
    workload = _target(body)
    if workload is None:
        return None
    text = f"{kind} {body['metadata']['name']} scales {workload} too"
    if _is_paused(body["metadata"].get("annotations") or {}):
        text += " (it is paused, but may resume at any time: delete it to hand over)"
    return workload, text


def _is_paused(annotations: Mapping[str, str]) -> bool:
    """Tell whether KEDA's annotations pause a ScaledObject, if only in one direction."""
    return any(
        name.startswith("autoscaling.keda.sh/paused") and value.lower() != "false"
        for name, value in annotations.items()
    )
