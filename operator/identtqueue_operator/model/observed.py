"""The observation on which one decision rests."""

from dataclasses import dataclass

from identtqueue_operator.model.cluster import Pod, Workload
from identtqueue_operator.model.queues import Depth, Source, Trigger, Worker


@dataclass(frozen=True, slots=True)
class Observed:
    """All that one decision rests on."""

    at: float
    triggers: tuple[Trigger, ...] = (Trigger(),)
    """In the order of the specification; the first one is `main`."""
    depth: Depth | None = None
    """The queues of all triggers that can be read, each counted once. None: none can be read."""
    workers: tuple[Worker, ...] = ()
    workload: Workload | None = None
    pods: tuple[Pod, ...] = ()
    """All pods with the workload's labels, and those that vanished a short while ago."""
    conflict: str = ""
    """Another autoscaler of the workload, in words; empty if there is none."""
    rival: bool = False
    """Whether that is an older TaskQueue, which drains workers and calls them back itself."""
    shared: str = ""
    """Which other TaskQueue counts the same tasks, in words."""
    flaws: tuple[str, ...] = ()
    """The flaws of workers' entries in Redis, one text for each entry."""
    steady_at: float | None = None
    """The time on the monotonic clock. None: `at` stands for it, as in tests."""

    @property
    def steady(self) -> float:
        """The time, for what is compared with other times of this process."""
        return self.at if self.steady_at is None else self.steady_at

    @property
    def blind(self) -> tuple[Trigger, ...]:
        """The triggers that could not be read."""
        return tuple(trigger for trigger in self.triggers if trigger.depth is None)

    def blind_by_cause(self) -> list[tuple[str, str]]:
        """Name the triggers that could not be read, those with the same cause together.

        Returns:
            For each cause, the triggers in words and the cause.
        """
        names: dict[str, list[str]] = {}
        for trigger in self.blind:
            cause = trigger.source.message or str(trigger.source.trouble)
            names.setdefault(cause, []).append(trigger.name)
        return [
            (f"{'trigger' if len(found) == 1 else 'triggers'} {', '.join(found)}", cause)
            for cause, found in names.items()
        ]

    @property
    def source(self) -> Source:
        """The connection that has trouble, the first of several; else the first trigger's."""
        troubled = (each.source for each in self.triggers if each.source.trouble is not None)
        return next(troubled, self.triggers[0].source)

    @property
    def own_pods(self) -> tuple[Pod, ...]:
        """The pods that the workload's controller counts."""
        return tuple(pod for pod in self.pods if pod.active and not pod.foreign)

    def workers_by_pod(self) -> dict[str, tuple[Worker, ...]]:
        """Group the incarnations by the UID of the pod that they live in.

        They know it from the Downward API; one that does not know it is found by its host name,
        which is the pod's name unless the pod is on the host network. One pass over each side: a
        look at a thousand pods must not cost a million comparisons.
        """
        by_uid: dict[str, list[Worker]] = {}
        by_host: dict[str, list[Worker]] = {}
        for worker in self.workers:
            if worker.pod_uid:
                by_uid.setdefault(worker.pod_uid, []).append(worker)
            else:
                by_host.setdefault(worker.host, []).append(worker)
        return {
            pod.uid: (*by_uid.get(pod.uid, ()), *by_host.get(pod.key.name, ())) for pod in self.pods
        }
