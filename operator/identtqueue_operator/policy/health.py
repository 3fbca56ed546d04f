"""Worker health, pure: what keeps the replicas from working on tasks.

That a workload has its replicas says nothing about work. Its pods may crash again and again, lack
their image, find no node, or be refused by a quota or by Pod Security. They may run something that
is no worker, or a worker of other queues. Each of these is seen in the pods' states, in the
workload's conditions, or in that Redis does not know the pods. The reason that concerns most pods
is reported.

A pod *works* if it is ready, or drains, and a worker in it is registered in one of the queues.

Two findings hold scaling back:

* no pod works, and each one fails in a way that another pod of the same template would too (or the
  API server refuses more pods): the number is not raised;
* pods have been ready for a while and no worker has registered from any of them: the workload may
  be something else altogether, and is left alone.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from identtqueue_operator.model import (
    Container,
    Health,
    Memory,
    Observed,
    Pod,
    Worker,
    WorkerState,
    WorkerTrouble,
    Workload,
)
from identtqueue_operator.timings import DEFAULTS

PENDING_SECONDS = 60.0
"""A pod without a node is reported after so long: until then, the cluster may grow."""
NOT_READY_SECONDS = 120.0
"""A pod that runs is expected to be ready within that, or within three times the usual start."""
MISSING_SECONDS = 60.0
"""A pod that does not exist is reported after so long, unless one that exists is still starting."""
RESTART_SECONDS = 10.0
"""A container that has ended is started anew within that, or waits with a reason."""
STEADY_SECONDS = 60.0
"""A container that was restarted more than once counts as crashing until it has run for so long."""

_IMAGE = {
    *("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"),
    *("ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed"),
}
_NOT_CREATED = {
    *("CreateContainerConfigError", "CreateContainerError", "RunContainerError"),
    *("PreCreateHookError", "PreStartHookError", "PostStartHookError"),
}


def examine(
    seen: Observed, memory: Memory, register_seconds: float = DEFAULTS.register_seconds
) -> Health:
    """Look at all pods of the workload.

    Args:
        seen: with a workload.
        memory: of earlier rounds.
        register_seconds: a pod that has been ready for so long without registering runs no worker.
    """
    workload, pods = seen.workload, seen.own_pods
    assert workload is not None
    if seen.depth is None:
        return Health(WorkerState.NOT_OBSERVED, "workers are not known while Redis can't be read")
    if not workload.replicas and not pods:
        return Health()
    by_pod = seen.workers_by_pod()
    startup = memory.startup.seconds if memory.startup else None
    patience = _Patience(register_seconds, max(NOT_READY_SECONDS, 3 * (startup or 0.0)))
    findings = [_examine_pod(pod, by_pod[pod.uid], seen.at, patience) for pod in pods]
    working = findings.count(_WORKS)
    registered = any(by_pod[pod.uid] for pod in pods)
    fine = [_WORKS, _STARTS]
    if seen.blind:
        fine.append(_UNREGISTERED)  # it may have registered in a Redis that can't be read now
    elif not registered and memory.registered_at is not None:
        # Redis may have lost all registrations at once; workers renew them within a lease.
        lost_seconds = seen.steady - memory.registered_at
        fine += [_UNREGISTERED] if lost_seconds < register_seconds else []
    ailing = Counter(finding for finding in findings if finding not in fine)
    refused = _refusal(workload)
    if ailing and not (refused and working):
        (most, count), *_ = ailing.most_common(1)
        assert most.trouble is not None
        alike = all(each.trouble and each.trouble.same_for_all_pods for each in findings)
        return Health(
            most.trouble,
            f"{count} of {len(pods)} pods: {most.message}",
            working,
            hopeless=not working and alike,
            strange=most.trouble is WorkerTrouble.NO_WORKER_REGISTERED and not registered,
        )
    missing = _unserved(seen, pods, register_seconds)
    return _of_the_whole(seen, memory, pods, working, refused, missing)


class _Finding(NamedTuple):
    """The trouble of one pod."""

    trouble: WorkerTrouble | None
    message: str


_WORKS = _Finding(None, "works")
_STARTS = _Finding(None, "starts")


class _Patience(NamedTuple):
    """For how long a pod may do something before that is a trouble, in seconds."""

    register_seconds: float
    """Be ready without a registered worker."""
    start_seconds: float
    """Exist without being ready."""


def _examine_pod(pod: Pod, workers: Sequence[Worker], at: float, patience: _Patience) -> _Finding:
    """Say what keeps a pod from working."""
    for container in pod.containers:
        finding = _examine_container(container, at)
        if finding is not None:
            return finding
    if pod.hindrance:
        return _examine_waiting(*pod.hindrance)
    if workers and (pod.ready or any(worker.draining for worker in workers)):
        return _WORKS
    if pod.ready:
        since = at - (pod.ready_since or pod.created_at)
        return _UNREGISTERED if since >= patience.register_seconds else _STARTS
    return _examine_start(pod, at - pod.created_at, patience.start_seconds)


def _examine_start(pod: Pod, age: float, patience: float) -> _Finding:
    if pod.unschedulable and age >= PENDING_SECONDS:
        return _Finding(WorkerTrouble.UNSCHEDULABLE, pod.unschedulable)
    if age < patience or not pod.assigned:
        return _STARTS
    text = "its containers have not started; kubectl describe pod says why"
    if pod.phase == "Running":
        text = "running but not ready; check that its worker can reach Redis and log in"
    return _Finding(WorkerTrouble.NOT_READY, text)


_UNREGISTERED = _Finding(
    WorkerTrouble.NO_WORKER_REGISTERED,
    "ready, but no worker has registered for these queues in Redis; check workloadRef and queues",
)


def _examine_container(container: Container, at: float) -> _Finding | None:
    if container.waiting and container.waiting != "CrashLoopBackOff":
        if container.waiting in _IMAGE | _NOT_CREATED:
            return _examine_waiting(container.waiting, f"container {container.name}")
        return None
    if not container.waiting and not _is_restless(container, at):
        return None
    how = f" ({container.how})" if container.how else ""
    killed = container.how.startswith("OOMKilled")
    trouble = WorkerTrouble.OUT_OF_MEMORY if killed else WorkerTrouble.CRASH_LOOP
    return _Finding(trouble, f"container {container.name} keeps restarting{how}")


def _is_restless(container: Container, at: float) -> bool:
    """Return whether it has just been restarted, or has not been started again after its end."""
    if container.running:
        return container.restarts > 1 and at - (container.started_at or at) < STEADY_SECONDS
    return container.ended_at is not None and at - container.ended_at >= RESTART_SECONDS


def _examine_waiting(waiting: str, where: str) -> _Finding:
    if waiting in _IMAGE:
        trouble = WorkerTrouble.IMAGE_PULL_FAILED
    elif waiting in _NOT_CREATED:
        trouble = WorkerTrouble.CONTAINER_NOT_CREATED
    else:
        trouble = WorkerTrouble.CRASH_LOOP
    return _Finding(trouble, f"{where}: {waiting}")


def _refusal(workload: Workload) -> WorkerTrouble | None:
    """Say why the API server refuses more pods, if it does."""
    if not workload.refusal or workload.existing >= workload.replicas:
        return None
    text = workload.refusal
    if "exceeded quota" in text:
        return WorkerTrouble.QUOTA_EXCEEDED
    if "violates PodSecurity" in text:
        return WorkerTrouble.POD_SECURITY_VIOLATED
    return WorkerTrouble.REFUSED


def _of_the_whole(
    seen: Observed,
    memory: Memory,
    pods: Sequence[Pod],
    working: int,
    refused: WorkerTrouble | None,
    unserved: Sequence[str],
) -> Health:
    """Judge the workload as a whole, when no pod has trouble of its own."""
    workload = seen.workload
    assert workload is not None
    counts = f"{working} of {workload.replicas} pods work"
    if refused:
        message = f"{counts}; the API server says: {workload.refusal}"
        return Health(refused, message, working, hopeless=True)
    if workload.stuck:
        message = f"{counts}; the rollout makes no progress: {workload.stuck}"
        return Health(WorkerTrouble.ROLLOUT_STUCK, message, working)
    if unserved:
        message = f"no worker serves {', '.join(unserved)}, which spec.queues names"
        return Health(WorkerTrouble.QUEUE_NOT_SERVED, message, working)
    if working == len(pods) and _stays_short(seen, memory):
        text = f"the missing pods are not created; the events of {workload.key} say why"
        if not pods and workload.existing:
            text = f"no pod's ownerReferences lead to {workload.key}"
        return Health(WorkerTrouble.MISSING, f"{counts}; {text}", working)
    if working >= min(workload.replicas, len(pods)) and len(pods) >= workload.replicas:
        return Health(WorkerState.ALL_WORK, counts, working)
    return Health(WorkerState.STARTING, counts, working)


def _stays_short(seen: Observed, memory: Memory) -> bool:
    """Return whether pods are missing and none has come for a while."""
    return memory.short is not None and seen.steady - memory.short[0] >= MISSING_SECONDS


def _unserved(seen: Observed, pods: Sequence[Pod], register_seconds: float) -> list[str]:
    """List the queues that no worker serves, once workers had time to register."""
    redis = {trigger.name: trigger.redis for trigger in seen.triggers}
    served = {(redis[w.trigger], queue) for w in seen.workers for queue in w.queues}
    missing = {
        queue
        for trigger in seen.triggers
        if trigger.depth is not None
        for queue in trigger.queues
        if (trigger.redis, queue) not in served
    }
    by_pod = seen.workers_by_pod()
    settled = (
        by_pod[pod.uid] and seen.at - (pod.ready_since or math.inf) >= register_seconds
        for pod in pods
    )
    return sorted(missing) if any(settled) else []
