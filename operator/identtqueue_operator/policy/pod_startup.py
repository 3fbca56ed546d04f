"""The start-up time of a pod, pure: measured from the workload's own pods.

A scheduled task needs a worker when it falls due, and a worker that is not there yet needs a pod's
start-up time first. So tasks that fall due within that time count as waiting now. The start-up time
lasts from the creation of a pod until it is ready: scheduling, image, process, probes.
"""

from collections.abc import Iterable
from dataclasses import replace

from identtqueue_operator.api.v1alpha1 import TaskQueueSpec
from identtqueue_operator.model import Pod, Startup

UNKNOWN_SECONDS = 5.0
"""Assumed until a pod was measured: its image is on the node, its process starts in seconds."""
LONGEST_SECONDS = 600.0
"""A pod that took longer waited for a node, or was not ready in between: no measure for others."""
WEIGHT = 0.3
"""Weight of the newest pod in the average."""
GRAIN_SECONDS = 1.0
"""Added because the API server and the kubelet report whole seconds: better early than late."""


def startup_seconds(spec: TaskQueueSpec, measured: Startup | None) -> float:
    """Return how far ahead of a task its pod has to be started."""
    if spec.scaling.startup_seconds is not None:
        return float(spec.scaling.startup_seconds)
    if measured is None or measured.seconds is None:
        return UNKNOWN_SECONDS
    return measured.seconds + GRAIN_SECONDS


def measure_startup(before: Startup | None, pods: Iterable[Pod], at: float) -> Startup:
    """Take in the pods that became ready since the last look; each counts once."""
    now = before or Startup(begun_at=at)
    pods = tuple(pods)
    fresh = [pod for pod in pods if _is_fresh(pod, now)]
    for pod in sorted(fresh, key=lambda pod: pod.ready_since or 0.0):
        now = _add(now, pod)
    present = {pod.uid for pod in pods}
    return now if now.measured <= present else replace(now, measured=now.measured & present)


def _is_fresh(pod: Pod, now: Startup) -> bool:
    return pod.ready_since is not None and pod.active and pod.uid not in now.measured


def _add(now: Startup, pod: Pod) -> Startup:
    assert pod.ready_since is not None
    took = pod.ready_since - pod.created_at
    now = replace(now, measured=now.measured | {pod.uid})
    restarted = any(container.ended_at is not None for container in pod.containers)
    if restarted or not 0 <= took <= LONGEST_SECONDS:
        return now
    if now.seconds is None:
        return replace(now, seconds=took)
    if pod.ready_since < now.begun_at - GRAIN_SECONDS:
        return now  # it may have been unready for a while since: the stored average knows better
    return replace(now, seconds=now.seconds + WEIGHT * (took - now.seconds))
