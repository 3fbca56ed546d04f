"""The pods of a workload: those that it controls, itself or through others.

Labels do not say so. A copy for debugging (`kubectl debug --copy-to --keep-labels`), the pods of a
Job or of another Deployment may carry the same ones. Such a pod is not counted by the workload
and not ended by its controller, and must not be counted or drained here either.

A pod names what controls it, with its UID. For the pods of a StatefulSet that is all. Those of a
Deployment name a ReplicaSet, and that names the Deployment. Other kinds may control pods directly,
by a ReplicaSet, or by a Deployment or StatefulSet that they have made. Each link is asked for once,
when its first pod is seen; Deployments and StatefulSets are known by the watches. The rest needs
the right to `get` ReplicaSets, and neither a list nor a watch of them. Without that right the name
decides for a Deployment: its controller calls its ReplicaSets `<deployment>-<hash>`.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from identtqueue_operator.kube.cache import Cluster
from identtqueue_operator.kube.client import ApiError, Kube
from identtqueue_operator.model import Key, Owner, Pod, Workload, WorkloadKey

logger = logging.getLogger(__name__)

OWNED_SECONDS = 600.0
"""Time for which an answer is cached. A ReplicaSet's owner changes only with its labels."""
UNOWNED_SECONDS = 10.0
"""The same for an object that nothing controls: a Deployment may be about to adopt it."""
REFUSED_SECONDS = 60.0
"""Time after which a forbidden question is asked again."""
LONGEST_CHAIN = 4
"""Links between a pod and its workload."""
FORBIDDEN = 403

REPLICA_SET = ("apps", "ReplicaSet")
WATCHED = {("apps", "Deployment"), ("apps", "StatefulSet")}


class Members(NamedTuple):
    """The pods around a workload."""

    pods: tuple[Pod, ...]
    """All pods with its labels; those that do not belong to it are marked as foreign."""
    through: Workload | None
    """The one Deployment or StatefulSet through which the workload controls all of its pods."""


@dataclass(frozen=True, slots=True)
class _Answer:
    owner: Owner | None
    until: float
    refused: bool = False
    """Whether the operator lacks the right to ask."""


class Owners:
    """A cache of the owners of pods' controllers.

    Args:
        cluster: the watches' cache.
        kube: for what the cache does not have.
        clock: seconds, monotonic.
    """

    def __init__(self, cluster: Cluster, kube: Kube, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._kube = kube
        self._clock = clock
        self._answers: dict[str, _Answer] = {}
        self._warned = False

    async def tell_apart(self, pods: Sequence[Pod], workload: Workload) -> Members:
        """Mark the pods that do not belong to the workload as foreign.

        Raises:
            ApiError: the API server could not be asked about an owner seen for the first time.
        """
        owners = {pod.owner for pod in pods if pod.owner is not None}
        for _ in range(LONGEST_CHAIN):
            unknown = {end for each in owners if (end := self._unknown_end(each, workload))}
            if not unknown:
                break
            self._forget()
            await asyncio.gather(*(self._ask(each, workload.key.namespace) for each in unknown))
        own = {each for each in owners if self._belongs(each, workload)}
        if not all(pod.owner in own for pod in pods):
            pods = [pod if pod.owner in own else replace(pod, foreign=True) for pod in pods]
        active = {pod.owner for pod in pods if pod.active and pod.owner in own}
        return Members(tuple(pods), self._through(active, workload))

    def _chain(self, owner: Owner) -> Iterator[Owner]:
        """Follow the owner, what controls it, and so on, as far as that is known."""
        now, link = self._clock(), owner
        for _ in range(LONGEST_CHAIN):
            yield link
            answer = self._answers.get(link.uid)
            if answer is None or answer.until <= now or answer.owner is None:
                return
            link = answer.owner

    def _unknown_end(self, owner: Owner, workload: Workload) -> Owner | None:
        """Return the last known link of a chain, if what controls it has to be read."""
        *_, end = self._chain(owner)
        if end.uid == workload.uid or (end.group, end.kind) not in _askable(workload.key):
            return None
        answer = self._answers.get(end.uid)
        return end if answer is None or answer.until <= self._clock() else None

    def _belongs(self, owner: Owner, workload: Workload) -> bool:
        if any(link.uid == workload.uid for link in self._chain(owner)):
            return True
        answer = self._answers.get(owner.uid)
        if answer is None or not answer.refused or not workload.key.is_deployment:
            return False
        return owner.name.rpartition("-")[0] == workload.key.name

    def _through(self, owners: set[Owner], workload: Workload) -> Workload | None:
        found = {
            link
            for owner in owners
            for link in self._chain(owner)
            if (link.group, link.kind) in WATCHED and link.uid != workload.uid
        }
        if len(found) != 1 or (workload.key.group, workload.key.kind) in WATCHED:
            return None
        link = found.pop()
        known = self._cluster.workload(_key(link, workload.key.namespace))
        return known if known is not None and known.uid == link.uid else None

    async def _ask(self, owner: Owner, namespace: str) -> None:
        try:
            above = await self._find(owner, namespace)
        except ApiError as error:
            if error.status != FORBIDDEN:
                raise
            if not self._warned:
                logger.warning(
                    "ReplicaSets can't be read, so their names decide whose they are: %s",
                    error,
                )
            self._warned = True
            until = self._clock() + REFUSED_SECONDS
            self._answers[owner.uid] = _Answer(None, until, refused=True)
            return
        seconds = UNOWNED_SECONDS if above is None else OWNED_SECONDS
        self._answers[owner.uid] = _Answer(above, self._clock() + seconds)

    async def _find(self, owner: Owner, namespace: str) -> Owner | None:
        """Find what controls it, in the cache or by asking the API server.

        None also for one that is gone, whose name another object may have now.
        """
        if (owner.group, owner.kind) == REPLICA_SET:
            found = await self._kube.get_replica_set_owner(Key(namespace, owner.name))
            return found[1] if found is not None and found[0] == owner.uid else None
        key = _key(owner, namespace)
        known = self._cluster.workload(key) or await self._kube.get_workload(key)
        return known.owner if known is not None and known.uid == owner.uid else None

    def _forget(self) -> None:
        now = self._clock()
        self._answers = {uid: each for uid, each in self._answers.items() if now < each.until}


def _askable(workload: WorkloadKey) -> set[tuple[str, str]]:
    """Return which kinds of links may lie between a workload of this kind and its pods."""
    if workload.is_deployment:
        return {REPLICA_SET}
    if (workload.group, workload.kind) in WATCHED:
        return set()
    return {REPLICA_SET, *WATCHED}


def _key(owner: Owner, namespace: str) -> WorkloadKey:
    return WorkloadKey(namespace, owner.name, owner.group, owner.kind)
