"""Which pods belong to a Deployment: those that one of its ReplicaSets controls.

Labels do not say so. A copy for debugging (`kubectl debug --copy-to --keep-labels`), the pods of a
Job or of another Deployment may carry the same ones. Such a pod is not counted by the Deployment
and not chosen by its ReplicaSets, and must not be counted or drained here either.

A pod names its ReplicaSet with its UID, and the ReplicaSet names the Deployment. The second half is
asked for once per ReplicaSet, when its first pod is seen. That needs the right to `get`
ReplicaSets, and neither a list nor a watch of them. Without that right the name decides: the
Deployment's controller calls its ReplicaSets `<deployment>-<hash>`.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .kube import ApiError, Kube
from .model import Key, Pod, ReplicaSet, Workload

logger = logging.getLogger(__name__)

OWNED_SECONDS = 600.0
"""How long an answer is believed. A ReplicaSet changes hands only if somebody edits its labels."""
UNOWNED_SECONDS = 10.0
"""The same for a ReplicaSet that nothing controls: a Deployment may be about to adopt it."""
REFUSED_SECONDS = 60.0
"""After which a question that was forbidden is asked again."""
FORBIDDEN = 403


@dataclass(frozen=True, slots=True)
class _Answer:
    owner_uid: str | None
    until: float
    refused: bool = False
    """The operator may not ask."""


class ReplicaSets:
    """Knows which Deployment a ReplicaSet belongs to.

    Args:
        kube: to ask.
        clock: seconds, monotonic.
    """

    def __init__(self, kube: Kube, clock: Callable[[], float]) -> None:
        self._kube = kube
        self._clock = clock
        self._answers: dict[str, _Answer] = {}
        self._warned = False

    async def tell_apart(self, pods: Sequence[Pod], deployment: Workload) -> tuple[Pod, ...]:
        """Mark the pods that do not belong to the Deployment as foreign.

        Raises:
            ApiError: the API server could not be asked about a ReplicaSet seen for the first time.
        """
        now, namespace = self._clock(), deployment.key.namespace
        sets = {pod.replica_set for pod in pods if pod.replica_set is not None}
        unknown = [each for each in sets if not self._knows(each, now)]
        if unknown:
            self._forget(now)
            await asyncio.gather(*(self._ask(each, namespace) for each in unknown))
        own = {each for each in sets if self._belongs(each, deployment)}
        if all(pod.replica_set in own for pod in pods):
            return tuple(pods)
        return tuple(pod if pod.replica_set in own else replace(pod, foreign=True) for pod in pods)

    def _knows(self, replica_set: ReplicaSet, now: float) -> bool:
        answer = self._answers.get(replica_set.uid)
        return answer is not None and now < answer.until

    def _belongs(self, replica_set: ReplicaSet, deployment: Workload) -> bool:
        answer = self._answers[replica_set.uid]
        if answer.refused:
            return replica_set.name.rpartition("-")[0] == deployment.key.name
        return answer.owner_uid == deployment.uid

    async def _ask(self, replica_set: ReplicaSet, namespace: str) -> None:
        try:
            found = await self._kube.get_replica_set_owner(Key(namespace, replica_set.name))
        except ApiError as error:
            if error.status != FORBIDDEN:
                raise
            if not self._warned:
                logger.warning("can't ask for ReplicaSets, so their names decide: %s", error)
            self._warned = True
            until = self._clock() + REFUSED_SECONDS
            self._answers[replica_set.uid] = _Answer(None, until, refused=True)
            return
        uid, owner = found or ("", None)
        if uid != replica_set.uid:
            owner = None  # it is gone, and another one may have its name
        seconds = UNOWNED_SECONDS if owner is None else OWNED_SECONDS
        self._answers[replica_set.uid] = _Answer(owner, self._clock() + seconds)

    def _forget(self, now: float) -> None:
        self._answers = {uid: each for uid, each in self._answers.items() if now < each.until}
