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

from identtqueue_operator.model import (
    SAME_FOR_ALL_PODS,
    Container,
    Health,
    Memory,
    Observed,
    Pod,
    Worker,
    Workload,
)

REGISTER_SECONDS = 60.0
"""A pod that has been ready for so long without registering runs no worker."""
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


def examine(seen: Observed, memory: Memory) -> Health:
    """Look at all pods of the workload."""
    workload, pods = seen.workload, seen.own_pods
    assert workload is not None
    if seen.depth is None:
        return Health("NotObserved", "workers are not known while Redis can't be read")
    if not workload.replicas and not pods:
        return Health()
    by_pod = seen.workers_by_pod()
    startup = memory.startup.seconds if memory.startup else None
    patience = max(NOT_READY_SECONDS, 3 * (startup or 0.0))
    causes = {pod.uid: _cause(pod, by_pod[pod.uid], seen.at, patience) for pod in pods}
    working = sum(cause == _WORKS for cause in causes.values())
    registered = any(by_pod[pod.uid] for pod in pods)
    fine = [_WORKS, _STARTS]
    if seen.blind:
        fine.append(_UNREGISTERED)  # it may have registered in a Redis that can't be read now
    elif not registered and memory.registered_at is not None:
        # Redis may have lost all registrations at once; workers renew them within a lease.
        lost_seconds = seen.steady - memory.registered_at
        fine += [_UNREGISTERED] if lost_seconds < REGISTER_SECONDS else []
    found = Counter(cause for cause in causes.values() if cause not in fine)
    refused = _refusal(workload)
    if found and not (refused and working):
        reason, message = found.most_common(1)[0][0]
        count = found[reason, message]
        alike = all(cause[0] in SAME_FOR_ALL_PODS for cause in causes.values())
        return Health(
            reason,
            f"{count} of {len(pods)} pods: {message}",
            working,
            hopeless=not working and alike,
            strange=reason == "NoWorkerRegistered" and not registered,
        )
    return _of_the_whole(seen, memory, pods, working, refused)


_Cause = tuple[str, str]
_WORKS: _Cause = ("", "")
_STARTS: _Cause = ("Starting", "")


def _cause(pod: Pod, workers: Sequence[Worker], at: float, patience: float) -> _Cause:
    """Say what keeps a pod from working, in a word and in a sentence."""
    for container in pod.containers:
        cause = _container_cause(container, at)
        if cause is not None:
            return cause
    if pod.problem:
        return _waiting_cause(*pod.problem)
    if workers and (pod.ready or any(worker.draining for worker in workers)):
        return _WORKS
    if pod.ready:
        since = at - (pod.ready_since or pod.created_at)
        return _UNREGISTERED if since >= REGISTER_SECONDS else _STARTS
    return _starting_cause(pod, at - pod.created_at, patience)


def _starting_cause(pod: Pod, age: float, patience: float) -> _Cause:
    if pod.unschedulable and age >= PENDING_SECONDS:
        return "PodsUnschedulable", pod.unschedulable
    if age < patience or not pod.assigned:
        return _STARTS
    if pod.phase == "Running":
        return "NotReady", "running but not ready; check that its worker can reach Redis and log in"
    return "NotReady", "its containers have not started; kubectl describe pod says why"


_UNREGISTERED: _Cause = (
    "NoWorkerRegistered",
    "ready, but no worker has registered for these queues in Redis; check workloadRef and queues",
)


def _container_cause(container: Container, at: float) -> _Cause | None:
    if container.waiting and container.waiting != "CrashLoopBackOff":
        if container.waiting in _IMAGE | _NOT_CREATED:
            return _waiting_cause(container.waiting, f"container {container.name}")
        return None
    if not container.waiting and not _is_restless(container, at):
        return None
    how = f" ({container.how})" if container.how else ""
    reason = "OutOfMemory" if container.how.startswith("OOMKilled") else "CrashLoop"
    return reason, f"container {container.name} keeps restarting{how}"


def _is_restless(container: Container, at: float) -> bool:
    """Return whether it has just been restarted, or has not been started again after its end."""
    if container.running:
        return container.restarts > 1 and at - (container.started_at or at) < STEADY_SECONDS
    return container.ended_at is not None and at - container.ended_at >= RESTART_SECONDS


def _waiting_cause(waiting: str, where: str) -> _Cause:
    if waiting in _IMAGE:
        return "ImagePullFailed", f"{where}: {waiting}"
    if waiting in _NOT_CREATED:
        return "ContainerNotCreated", f"{where}: {waiting}"
    return "CrashLoop", f"{where}: {waiting}"


def _refusal(workload: Workload) -> _Cause | None:
    """Say why the API server refuses more pods, if it does."""
    if not workload.refusal or workload.existing >= workload.replicas:
        return None
    text = workload.refusal
    if "exceeded quota" in text:
        return "QuotaExceeded", text
    if "violates PodSecurity" in text:
        return "PodSecurityViolated", text
    return "PodsRefused", text


def _of_the_whole(
    seen: Observed,
    memory: Memory,
    pods: Sequence[Pod],
    working: int,
    refused: _Cause | None,
) -> Health:
    """Judge the workload as a whole, when no pod has trouble of its own."""
    workload = seen.workload
    assert workload is not None
    counts = f"{working} of {workload.replicas} pods work"
    if refused:
        reason, message = refused
        return Health(reason, f"{counts}; the API server says: {message}", working, hopeless=True)
    if workload.stuck:
        message = f"{counts}; the rollout makes no progress: {workload.stuck}"
        return Health("RolloutStuck", message, working)
    missing = _unserved(seen, pods)
    if missing:
        message = f"no worker serves {', '.join(missing)}, which spec.queues names"
        return Health("QueueNotServed", message, working)
    if working == len(pods) and _stays_short(seen, memory):
        text = f"the missing pods are not created; the events of {workload.key} say why"
        if not pods and workload.existing:
            text = f"no pod's ownerReferences lead to {workload.key}"
        return Health("PodsMissing", f"{counts}; {text}", working)
    if working >= min(workload.replicas, len(pods)) and len(pods) >= workload.replicas:
        return Health("AllWork", counts, working)
    return Health("Starting", counts, working)


def _stays_short(seen: Observed, memory: Memory) -> bool:
    """Return whether pods are missing and none has come for a while."""
    return memory.short is not None and seen.steady - memory.short[0] >= MISSING_SECONDS


def _unserved(seen: Observed, pods: Sequence[Pod]) -> list[str]:
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
        by_pod[pod.uid] and seen.at - (pod.ready_since or math.inf) >= REGISTER_SECONDS
        for pod in pods
    )
    return sorted(missing) if any(settled) else []
