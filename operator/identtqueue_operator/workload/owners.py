"""The pods of a workload: those that it controls, itself or through others.

Labels do not say so. A copy for debugging (`kubectl debug --copy-to --keep-labels`), the pods of a
Job or of another Deployment may carry the same ones. Such a pod is not counted by the workload
and not ended by its controller, and must not be counted or drained here either.

A pod names what controls it, with its UID. Some kinds control their pods directly, so that is all.
Others do so through a ReplicaSet, or through a workload of a watched kind that they have made: see
`Kind.through`. Each link is asked for once, when its first pod is seen; workloads are known by the
watches. The rest needs the right to `get` ReplicaSets, and neither a list nor a watch of them.
Without that right the ReplicaSet's name decides, for a kind whose controller names them after it.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from identtqueue_operator.kube.api import ApiError
from identtqueue_operator.kube.cache import Cluster
from identtqueue_operator.kube.client import Kube
from identtqueue_operator.model import Key, Owner, Pod, RemovalOrder, Workload, WorkloadKey
from identtqueue_operator.workload.kind import REPLICA_SET, Kind
from identtqueue_operator.workload.kinds import LINKS, kind_of, watched_kind_of
from identtqueue_operator.workload.members import Members

logger = logging.getLogger(__name__)

OWNED_SECONDS = 600.0
"""Time for which an answer is cached. A ReplicaSet's owner changes only with its labels."""
UNOWNED_SECONDS = 10.0
"""The same for an object that nothing controls: its workload may be about to adopt it."""
REFUSED_SECONDS = 60.0
"""Time after which a forbidden question is asked again."""
LONGEST_CHAIN = 4
"""Links between a pod and its workload."""


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
        kind = kind_of(workload.key)
        owners = {pod.owner for pod in pods if pod.owner is not None}
        for _ in range(LONGEST_CHAIN):
            unknown = {end for each in owners if (end := self._unknown_end(each, workload, kind))}
            if not unknown:
                break
            self._forget()
            await asyncio.gather(*(self._ask(each, workload.key.namespace) for each in unknown))
        own = {each for each in owners if self._belongs(each, workload, kind)}
        if not all(pod.owner in own for pod in pods):
            pods = [pod if pod.owner in own else replace(pod, foreign=True) for pod in pods]
        active = {pod.owner for pod in pods if pod.active and pod.owner in own}
        watched = watched_kind_of(workload.key) is not None
        through = None if watched else self._through(active, workload)
        return Members(tuple(pods), through, _removal(kind, active))

    def _chain(self, owner: Owner) -> Iterator[Owner]:
        """Follow the owner, what controls it, and so on, as far as that is known."""
        now, link = self._clock(), owner
        for _ in range(LONGEST_CHAIN):
            yield link
            answer = self._answers.get(link.uid)
            if answer is None or answer.until <= now or answer.owner is None:
                return
            link = answer.owner

    def _unknown_end(self, owner: Owner, workload: Workload, kind: Kind) -> Owner | None:
        """Return the last known link of a chain, if what controls it has to be read."""
        *_, end = self._chain(owner)
        askable = LINKS if kind.through is None else kind.through
        if end.uid == workload.uid or (end.group, end.kind) not in askable:
            return None
        answer = self._answers.get(end.uid)
        return end if answer is None or answer.until <= self._clock() else None

    def _belongs(self, owner: Owner, workload: Workload, kind: Kind) -> bool:
        if any(link.uid == workload.uid for link in self._chain(owner)):
            return True
        answer = self._answers.get(owner.uid)
        refused = answer is not None and answer.refused
        return refused and kind.named_for(workload.key.name, owner.name)

    def _through(self, owners: set[Owner], workload: Workload) -> Workload | None:
        found = {
            link
            for owner in owners
            for link in self._chain(owner)
            if watched_kind_of(link) is not None and link.uid != workload.uid
        }
        if len(found) != 1:
            return None
        link = found.pop()
        known = self._cluster.workload(_key(link, workload.key.namespace))
        return known if known is not None and known.uid == link.uid else None

    async def _ask(self, owner: Owner, namespace: str) -> None:
        try:
            above = await self._find(owner, namespace)
        except ApiError as error:
            if not error.forbidden:
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
        key, kind = _key(owner, namespace), watched_kind_of(owner)
        known = self._cluster.workload(key)
        if known is None and kind is not None:
            known = await kind.get(key, self._kube)
        return known.owner if known is not None and known.uid == owner.uid else None

    def _forget(self) -> None:
        now = self._clock()
        self._answers = {uid: each for uid, each in self._answers.items() if now < each.until}


def _removal(kind: Kind, owners: set[Owner]) -> RemovalOrder:
    """Say which pods go first, by the kind, or by the one order of all that control the pods."""
    if kind.removal is not RemovalOrder.UNKNOWN:
        return kind.removal
    orders = {kind_of(owner).removal for owner in owners}
    return orders.pop() if len(orders) == 1 else RemovalOrder.UNKNOWN


def _key(owner: Owner, namespace: str) -> WorkloadKey:
    return WorkloadKey(namespace, owner.name, owner.group, owner.kind)
