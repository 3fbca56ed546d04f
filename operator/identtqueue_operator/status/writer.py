"""Writing the status, and then the events, beside the rounds that cause them.

A round notes what it has seen and done, and does not wait for the API server. What several
rounds have noted meanwhile becomes one write. If a write fails, the next one repeats it: no later
look would find again what was done (tasks returned, a number changed). So the next round starts
from the status that was to be written, and events wait until they are sent.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from identtqueue_operator.api.v1alpha1 import API_VERSION, KIND
from identtqueue_operator.kube.api import ApiError
from identtqueue_operator.kube.client import Kube
from identtqueue_operator.logs import about
from identtqueue_operator.model import Key, Problem
from identtqueue_operator.status.events import Event
from identtqueue_operator.status.render import render_status
from identtqueue_operator.status.round import Json, Round
from identtqueue_operator.times import rfc3339
from identtqueue_operator.timings import DEFAULTS, Timings

logger = logging.getLogger(__name__)

AGGREGATE_SECONDS = 600.0
"""Time within which a repeated event is counted up instead of written anew."""
MAX_MESSAGE = 1024
"""The API server's limit on an event's message."""
MAX_UNSENT = 50
"""Most events that wait for an API server that takes none; the oldest ones are dropped."""


class TaskQueueGone(Exception):
    """The TaskQueue does not exist any more."""


class StatusWriter:
    """The writer of one TaskQueue's status and events. `rounds.reporter` says when it writes.

    Args:
        key: of the TaskQueue.
        uid: of the TaskQueue.
        status: as stored when the operator first saw it.
        kube: to write with.
        reporter: name of this operator's pod, for `reportingInstance` of events.
        timings: how often numbers alone are written.
    """

    def __init__(
        self,
        key: Key,
        uid: str,
        status: Mapping[str, Any],
        kube: Kube,
        reporter: str,
        timings: Timings = DEFAULTS,
    ) -> None:
        self._numbers_seconds = timings.numbers_seconds
        self._key = key
        self._kube = kube
        self._uid = uid
        self._reporter = reporter
        # `challengedBy` is written and removed outside the rounds: see `claims`.
        name = (status.get("operator") or {}).get("name")
        self._written = _pack({**status, "operator": {"name": name}} if name else status)
        self._unwritten: bytes | None = None
        """The status that is to be written."""
        self._fingerprint: tuple[Any, ...] | None = None
        """Fingerprint of the status that is written, or to be written."""
        self._noted_at = float("-inf")
        """The time of the last round."""
        self._steady_at = self._written_at = float("-inf")
        """Times of the last round and the last write, on the monotonic clock."""
        self._unsent: tuple[Event, ...] = ()
        self._counted: dict[str, tuple[float, int]] = {}
        """When an event was first sent (monotonic), and how often since, by its name."""
        self.due = False
        """Whether there is something to `tell`."""
        self.verdict: tuple[bool, str] | None = None
        """Whether the TaskQueue is Ready, and the reason, by the last round."""

    def note(self, now: Round, steady_at: float) -> float | None:
        """Take in a round.

        Args:
            now: the round.
            steady_at: its time on the monotonic clock.

        Returns:
            Seconds until numbers that were held back should be written; None if there are none.
        """
        before: Json = json.loads(self._unwritten or self._written)
        told = render_status(now, before)
        self._take_up(told.events)
        ready = next(c for c in told.status["conditions"] if c["type"] == "Ready")
        self.verdict = (ready["status"] == "True", told.status["reason"])
        wait = None
        if told.status != before:
            wait = self._numbers_seconds + (
                0.0 if self._unwritten else self._written_at - steady_at
            )
        if told.events or told.fingerprint != self._fingerprint or (wait is not None and wait <= 0):
            self._unwritten, self._fingerprint = _pack(told.status), told.fingerprint
            wait = None
        self._noted_at, self._steady_at = now.at, steady_at
        self.due = self._unwritten is not None or bool(self._unsent)
        return wait

    async def tell(self) -> None:
        """Write what was noted.

        Raises:
            ApiError: the status could not be written; it is still due.
            TaskQueueGone: there is nothing to write it to.
        """
        self.due = False
        events, self._unsent = self._unsent, ()
        try:
            if self._unwritten is not None:
                await self._write(self._unwritten, self._steady_at)
            events = await self._send_all(events, self._noted_at)
        finally:
            self._unsent = (*events, *self._unsent)[-MAX_UNSENT:]

    def level_of(self, error: ApiError) -> int:
        """Return how loudly a refused write is logged.

        In a namespace that is being deleted, a refusal is no news: the operator's Role and
        RoleBinding there may be deleted before the TaskQueue.
        """
        ending = self.verdict == (False, Problem.NAMESPACE_TERMINATING)
        expected = error.terminating or (ending and error.forbidden)
        return logging.DEBUG if expected else logging.WARNING

    async def _write(self, status: bytes, steady_at: float) -> None:
        patch = difference(json.loads(self._written), json.loads(status))
        if patch:
            try:
                await self._kube.patch_status(self._key, patch)
            except ApiError as error:
                if error.missing:
                    raise TaskQueueGone from None
                self.due = True
                raise
            self._written, self._written_at = status, steady_at
        if self._unwritten is status:  # no later round has replaced it
            self._unwritten = None

    # --- events ---

    def _take_up(self, events: Sequence[Event]) -> None:
        for event in events:
            extra = about(self._key, event.reason)
            logger.info("%s: %s: %s", self._key, event.reason, event.message, extra=extra)
        self._unsent = (*self._unsent, *events)[-MAX_UNSENT:]

    async def _send_all(self, events: tuple[Event, ...], at: float) -> tuple[Event, ...]:
        """Send events in order until the API server refuses more; return those that are left."""
        while events:
            event = events[0]
            try:
                await self._send(event, at)
            except ApiError as error:
                text = "%s: event %s was not sent: %s"
                extra = about(self._key, event.reason)
                logger.log(self.level_of(error), text, self._key, event.reason, error, extra=extra)
                if error.temporary:
                    break
            events = events[1:]
        return events

    async def _send(self, event: Event, at: float) -> None:
        """Create an event, or count it up."""
        message = event.message[:MAX_MESSAGE]
        digest = hashlib.sha256(f"{self._uid}{event.reason}{message}".encode()).hexdigest()[:16]
        name = f"{self._key.name[:200]}.{digest}"
        self._forget_old(self._steady_at)
        started, count = self._counted.get(name, (self._steady_at, 0))
        if count:
            patch = {"count": count + 1, "lastTimestamp": rfc3339(at)}
            try:
                await self._kube.patch_event(Key(self._key.namespace, name), patch)
            except ApiError as error:
                if not error.missing:
                    raise
                started, count = self._steady_at, 0  # it has been deleted
        if not count:
            await self._create(name, event, message, at)
        self._counted[name] = (started, count + 1)

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
            # An earlier operator sent the same event; counting starts again.
            await self._kube.patch_event(Key(namespace, name), {"lastTimestamp": time})

    def _forget_old(self, steady_at: float) -> None:
        for name in [
            n for n, (start, _) in self._counted.items() if steady_at - start > AGGREGATE_SECONDS
        ]:
            del self._counted[name]


def _pack(status: Mapping[str, Any]) -> bytes:
    """Pack a status as text, which takes a fifth of the memory between rounds."""
    return json.dumps(status, separators=(",", ":")).encode()


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Json:
    """Compute the merge patch from one status to another; None removes a field."""
    patch: Json = dict.fromkeys(before.keys() - after.keys())
    for key, value in after.items():
        old = before.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            if old != value:
                patch[key] = difference(old, value)
        elif old != value:
            patch[key] = value
    return patch
