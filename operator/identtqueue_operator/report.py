"""Telling: write the status once, at the end of a round, and then the events.

A write that fails is made good in the next round; events of a status that was not written are not
sent, because the next round finds the same difference again.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Mapping
from typing import Any

from .api.v1alpha1 import API_VERSION, KIND
from .kube import ApiError, Kube
from .logs import about
from .model import Key
from .status import Event, Round, Told, tell
from .views import rfc3339

logger = logging.getLogger(__name__)

NUMBERS_SECONDS = 30.0
"""Numbers that move, with nothing else to say, are written at most so often."""
AGGREGATE_SECONDS = 600.0
"""An event that is repeated within this time is counted up instead of written anew."""
MAX_MESSAGE = 1024
"""The API server's limit on an event's message."""

Json = dict[str, Any]


class TaskQueueGone(Exception):
    """The TaskQueue does not exist any more."""


class Reporter:
    """Tells about one TaskQueue.

    Args:
        key: of the TaskQueue.
        uid: of the TaskQueue.
        status: as stored when the operator first saw it.
        kube: to write with.
        reporter: name of this operator's pod.
    """

    def __init__(
        self, key: Key, uid: str, status: Mapping[str, Any], kube: Kube, reporter: str
    ) -> None:
        self._key = key
        self._kube = kube
        self._uid = uid
        self._reporter = reporter
        self._written = _pack(status)
        self._fingerprint: tuple[Any, ...] | None = None
        self._written_at = float("-inf")
        self._counted: dict[str, tuple[float, int]] = {}

    async def report(self, now: Round) -> float | None:
        """Write what is worth it.

        Returns:
            Seconds until numbers that were held back should be written; None if there are none.

        Raises:
            ApiError: the status could not be written.
            TaskQueueGone: there is nothing to write it to.
        """
        before: Json = json.loads(self._written)
        told = tell(now, before)
        if told.fingerprint == self._fingerprint and not told.events:
            if told.status == before:
                return None
            wait = self._written_at + NUMBERS_SECONDS - now.at
            if wait > 0:
                return wait
        await self._write(told, difference(before, told.status), now.at)
        return None

    async def _write(self, told: Told, patch: Json, at: float) -> None:
        if patch:
            try:
                await self._kube.patch_status(self._key, patch)
            except ApiError as error:
                if error.missing:
                    raise TaskQueueGone from None
                raise
            self._written, self._written_at = _pack(told.status), at
        self._fingerprint = told.fingerprint
        await asyncio.gather(*(self._send(event, at) for event in told.events))

    # --- events ---

    async def _send(self, event: Event, at: float) -> None:
        """Create an event, or count it up. One that can't be sent is logged: it is no state."""
        told = about(self._key, event.reason)
        logger.info("%s: %s: %s", self._key, event.reason, event.message, extra=told)
        message = event.message[:MAX_MESSAGE]
        digest = hashlib.sha256(f"{self._uid}{event.reason}{message}".encode()).hexdigest()[:16]
        name = f"{self._key.name[:200]}.{digest}"
        self._forget_old(at)
        started, count = self._counted.get(name, (at, 0))
        self._counted[name] = (started, count + 1)
        try:
            if count:
                patch = {"count": count + 1, "lastTimestamp": rfc3339(at)}
                await self._kube.patch_event(Key(self._key.namespace, name), patch)
            else:
                await self._create(name, event, message, at)
        except ApiError as error:
            text = "%s: event %s was not sent: %s"
            logger.warning(text, self._key, event.reason, error, extra=told)

    async def _create(self, name: str, event: Event, message: str, at: float) -> None:
        namespace, time = self._key.namespace, rfc3339(at)
        body: Json = {
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "name": self._key.name,
                "namespace": namespace,
                "uid": self._uid,
            },
            "type": event.type,
            "reason": event.reason,
            "message": message,
            "source": {"component": "identtqueue-operator"},
            "reportingComponent": "identtqueue.dev/operator",
            "reportingInstance": self._reporter,
            "firstTimestamp": time,
            "lastTimestamp": time,
            "count": 1,
        }
        try:
            await self._kube.create_event(namespace, body)
        except ApiError as error:
            if not error.conflict:
                raise
            # The operator before this one sent the same; it counts from here again.
            await self._kube.patch_event(Key(namespace, name), {"lastTimestamp": time})

    def _forget_old(self, at: float) -> None:
        for name in [
            n for n, (start, _) in self._counted.items() if at - start > AGGREGATE_SECONDS
        ]:
            del self._counted[name]


def _pack(status: Mapping[str, Any]) -> bytes:
    """A status as it is kept between rounds: as text, it takes a fifth of the memory."""
    return json.dumps(status, separators=(",", ":")).encode()


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Json:
    """The merge patch from one status to another; None removes a field."""
    patch: Json = dict.fromkeys(before.keys() - after.keys())
    for key, value in after.items():
        old = before.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            if old != value:
                patch[key] = difference(old, value)
        elif old != value:
            patch[key] = value
    return patch
