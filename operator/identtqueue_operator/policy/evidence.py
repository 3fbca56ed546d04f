"""The search for dead worker incarnations, pure: what counts as evidence, and why.

A worker's tasks are taken back when its lease runs out. That needs no witness, but takes up to a
lease (15 s). With evidence of death the lease is waived. A wrong waiver is not a lost task: the
living worker is fenced (its results are refused, it starts over) and the task runs once more. So
evidence has to be good, and is never a guess from silence.

There are two witnesses. **The kubelet** reports in the pod's status that a process ended. **Redis**
knows whether an incarnation still has its control connection: a worker subscribes before it
registers, and when its process ends, by whatever means, the kernel closes the socket. What they say
separately and together:

dead          the pod is ending or over, and the container terminated after the incarnation
              registered: the kubelet starts nothing in such a pod again
dead          the container ended or restarted in a pod that lives on, and Redis sees no connection:
              the next incarnation has the same pod UID, but is connected, and registered after the
              end. While Redis still sees a connection, look again in 0.2 s: report and close race
dead          the pod object is gone without a report of its end, and Redis has seen no connection
              for 1 s (why that is sound: below)
lease decides the pod is gone, Redis sees a connection: a force-deleted pod on a cut-off node may
              well run on
lease decides the node is silent, the pod there or Terminating: no end was seen
lease decides the pod lives, Redis sees no connection: a cut connection looks the same

*Pod gone without a report.* A force delete removes the object at once; the kubelet kills the
processes a moment later and has no object left to report to. A missing object shows that a
user with that right gave the pod up, but not that the process ended. The closed connection
does: a cut-off node cannot close it (no packet arrives; Redis would notice only after its keepalive
of minutes), and a living worker with a working network is back within a second. Together, and
lasting, they are sound. Connections that end for other reasons (Redis restarted, a proxy reset all)
are ruled out by `Source.trusted_seconds`: without an unbroken lease of it, this case is not used.

*A worker that does not know its container's name* may live in any container of its pod. So all of
them must have ended since it registered: that a sidecar restarted once says nothing about it.

*`ContainerStatusUnknown`* is the kubelet saying that it does not know the container;
`kube/parse.py` does not count it as an end.

*Leases* are acted on only after Redis was reachable, and up, for one whole lease: a worker that
could not reach Redis either must get the chance to renew first.

*Several Redis.* A pod may have registered in more than one. What Redis sees, and for how long it
can be trusted, is said by each for itself: a row that was read from one of them is judged by that
one alone, and its tasks are taken back there alone.
"""

from collections.abc import Sequence

from identtqueue_operator.model import Container, Death, Evidence, Observed, Pod, Worker

GONE_SECONDS = 1.0
"""Time for which a pod is gone and its worker has no connection until it counts as dead."""
CLOCK_GRAIN_SECONDS = 1.0
"""The kubelet reports whole seconds, rounded down. A time with a fraction is exact."""


def find_dead(seen: Observed, lease_seconds: float) -> Evidence:
    """Find the workers that are dead, those that may be, and whether leases may be acted on."""
    trusted = {each.name: each.source.trusted_seconds >= lease_seconds for each in seen.triggers}
    deaths: list[Death] = []
    suspects: list[Worker] = []
    workers = seen.workers_by_pod()
    for pod in seen.pods:
        for worker in workers[pod.uid]:
            cause = _cause(worker, pod, seen.steady, trusted=trusted[worker.trigger])
            if cause is None:
                continue
            if cause:
                deaths.append(Death(worker, pod.key.name, cause))
            else:
                suspects.append(worker)
    expired = frozenset(
        worker.trigger
        for worker in seen.workers
        if worker.lease_left_seconds <= 0 and trusted[worker.trigger]
    )
    return Evidence(tuple(deaths), tuple(suspects), expired)


def _cause(worker: Worker, pod: Pod, at: float, *, trusted: bool) -> str | None:
    """Say how the worker died; empty if that is not certain yet; None without any sign of it."""
    containers = _containers(worker, pod)
    ended = bool(containers) and all(_ended_since(worker, c) for c in containers)
    over = pod.gone_at is not None or pod.deleting or pod.phase in ("Succeeded", "Failed")
    if ended and over and not any(c.running for c in containers):
        return _words(containers, "pod deleted" if pod.gone_at or pod.deleting else "pod ended")
    if ended:
        return "" if worker.connected else _words(containers, "container ended")
    if pod.gone_at is None or not trusted:
        return None
    if worker.connected:
        return None
    lasting = at - pod.gone_at >= GONE_SECONDS
    return "pod gone and connection closed" if lasting else ""


def _containers(worker: Worker, pod: Pod) -> Sequence[Container]:
    """Return the worker's container, or all of them if it does not know its container's name."""
    mine = [c for c in pod.containers if c.name == worker.container]
    return mine or pod.containers


def _ended_since(worker: Worker, container: Container) -> bool:
    """Return whether the container's process ended after the worker had registered.

    Both times are of the node's clock: the worker's own, and the kubelet's.
    """
    if container.ended_at is None:
        return False
    grain_seconds = 0.0 if container.ended_at % 1 else CLOCK_GRAIN_SECONDS
    return worker.registered_at < container.ended_at + grain_seconds


def _words(ended: Sequence[Container], what: str) -> str:
    how = ", ".join(f"{c.name}: {c.how}" for c in ended if c.how)
    return f"{what} ({how})" if how else what
