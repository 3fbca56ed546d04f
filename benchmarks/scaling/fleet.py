"""One queue and the pods that serve it: what every scaler acts on, and what is measured.

The pods belong to a Deployment. Its ReplicaSet creates and deletes them at once when the number
changes; a new pod takes its start-up time until it is ready and fetches. Pods fetch from the head
of one FIFO, up to `concurrency` tasks each; of several with room, the one that has waited longest
gets the next task, as a list's blocked readers in Redis do.

Whom a ReplicaSet deletes: `getPodsToDelete` and `ActivePodsWithRanks` in
kubernetes/pkg/controller (1.34): not ready before ready, lower deletion cost, ready for a shorter
time (in powers of two), then arbitrary. What its pods are doing, it does not know. A pod that is
deleted stops fetching and has the grace period to finish; what still runs then is killed.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from benchmarks.scaling.engine import Events
from benchmarks.scaling.service import Sampler

REPLICASET_SECONDS = 0.05
"""From a written number to created or deleted pods."""


@dataclass(frozen=True)
class Pods:
    """The properties of the pods of a Deployment."""

    concurrency: int
    """Tasks that one runs at once."""
    start: Sampler
    """Seconds from creation until it is ready: scheduling, image, process, first fetch."""
    grace_seconds: float = 30.0
    """`terminationGracePeriodSeconds`; Kubernetes' default. 0: a worker that ignores its end."""
    killed: Literal["lost", "rerun"] = "rerun"
    """The fate of a task whose pod is killed: gone, as with a plain list; or back to the head
    of the queue at once, as with a queue that delivers at least once."""


class Pod:
    """One pod, and the worker in it."""

    __slots__ = (
        *("cost", "created_at", "deleting", "draining_since", "in_room", "number", "ready_at"),
        *("room", "running", "tie"),
    )

    def __init__(self, number: int, created_at: float, room: int, tie: float) -> None:
        self.number = number
        self.created_at = created_at
        self.ready_at: float | None = None
        self.deleting = False
        self.draining_since: float | None = None
        """Told by a scaler to stop fetching."""
        self.cost = 0
        self.running: dict[int, float] = {}
        """Task and since when it runs."""
        self.room = room
        self.in_room = False
        self.tie = tie

    @property
    def ready(self) -> bool:
        return self.ready_at is not None

    @property
    def fetches(self) -> bool:
        return self.ready_at is not None and not self.deleting and self.draining_since is None


class Fleet:
    """Queue, Deployment and pods.

    Args:
        events: the simulated time.
        rng: for start-up times and whom the ReplicaSet deletes.
        arrivals: when tasks come, sorted, seconds.
        durations: how long each runs, seconds; as many.
        pods: what the pods are like.
        replicas: at the beginning, ready at once.
    """

    def __init__(
        self,
        events: Events,
        rng: Random,
        arrivals: Sequence[float],
        durations: Sequence[float],
        pods: Pods,
        replicas: int = 0,
    ) -> None:
        if len(arrivals) != len(durations):
            raise ValueError(f"{len(arrivals)} arrivals, but {len(durations)} durations")
        self.events, self.kind = events, pods
        self.arrivals, self.durations = arrivals, durations
        self.rang: Callable[[], None] = lambda: None
        """Called when a task came to an empty queue."""
        self.pod_changed: Callable[[], None] = lambda: None
        """Called when a pod became ready or is gone."""

        self.pending: deque[int] = deque()
        self.pending_since: dict[int, float] = {}
        self.pods: dict[int, Pod] = {}
        self.replicas = replicas
        self.in_flight = self.arrived = self.done = self.lost = 0
        self.kills = self.pods_killed = 0
        self.ended_seconds = self.wasted_seconds = self.pod_seconds = 0.0
        self.first_start: list[float | None] = [None] * len(arrivals)
        self.last_end = 0.0
        self.changes: list[tuple[float, int]] = [(0.0, replicas)]
        """(moment, replicas) of each number that was written."""

        self._rng, self._attempt = rng, [0] * len(arrivals)
        self._room: deque[Pod] = deque()
        self._made = self._active = 0
        for _ in range(replicas):
            self._begin(self._create())
        if arrivals:
            events.at(arrivals[0], self._arrive, 0)

    # --- what a scaler sees and does ---

    @property
    def waiting(self) -> int:
        return len(self.pending)

    @property
    def oldest_wait_seconds(self) -> float | None:
        """How long the head of the queue has waited."""
        return self.events.now - self.pending_since[self.pending[0]] if self.pending else None

    @property
    def over(self) -> bool:
        """Whether all tasks came and ended, and no pod is left."""
        return (
            self.arrived == len(self.arrivals)
            and not (self.pending or self.in_flight or self.pods)
            and self.replicas == 0
        )

    def scale(self, replicas: int) -> None:
        """Write the number of replicas."""
        if replicas == self.replicas:
            return
        self.replicas = replicas
        self.changes.append((self.events.now, replicas))
        self.events.after(REPLICASET_SECONDS, self._reconcile)

    def drain(self, pod: Pod, cost: int) -> None:
        """Tell a worker to stop fetching, and its ReplicaSet that it goes first."""
        pod.draining_since, pod.cost = self.events.now, cost

    def call_back(self, pod: Pod) -> None:
        """Let it fetch again."""
        pod.draining_since, pod.cost = None, 0
        self._feed(pod)

    def balance(self) -> tuple[int, int]:
        """Tasks that came, and tasks accounted for: the two are equal at any moment."""
        return self.arrived, self.done + self.lost + len(self.pending) + self.in_flight

    # --- tasks ---

    def _arrive(self, task: int) -> None:
        self.arrived += 1
        if self.arrived < len(self.arrivals):
            self.events.at(self.arrivals[self.arrived], self._arrive, self.arrived)
        self._enqueue(task, head=False)

    def _enqueue(self, task: int, *, head: bool) -> None:
        was_empty = not self.pending
        (self.pending.appendleft if head else self.pending.append)(task)
        self.pending_since[task] = self.events.now
        if was_empty:
            self.rang()
        self._hand_out()

    def _hand_out(self) -> None:
        room = self._room
        while self.pending and room:
            pod = room.popleft()
            pod.in_room = False
            if pod.room and pod.fetches:
                self._run(pod)
                self._offer(pod)

    def _offer(self, pod: Pod) -> None:
        if pod.room and not pod.in_room and pod.fetches:
            pod.in_room = True
            self._room.append(pod)

    def _feed(self, pod: Pod) -> None:
        while self.pending and pod.room and pod.fetches:
            self._run(pod)
        self._offer(pod)

    def _run(self, pod: Pod) -> None:
        task = self.pending.popleft()
        del self.pending_since[task]
        now = self.events.now
        if self.first_start[task] is None:
            self.first_start[task] = now
        pod.running[task] = now
        pod.room -= 1
        self.in_flight += 1
        self.events.at(now + self.durations[task], self._end, pod, task, self._attempt[task])

    def _end(self, pod: Pod, task: int, attempt: int) -> None:
        if self._attempt[task] != attempt:
            return  # killed meanwhile
        self.ended_seconds += self._leave(pod, task)
        self.done += 1
        self.last_end = self.events.now
        if pod.deleting and not pod.running:
            self._gone(pod)
        else:
            self._feed(pod)

    def _leave(self, pod: Pod, task: int) -> float:
        """The attempt is over; how long it ran."""
        pod.room += 1
        self.in_flight -= 1
        self._attempt[task] += 1
        return self.events.now - pod.running.pop(task)

    # --- pods ---

    def _reconcile(self) -> None:
        while self._active < self.replicas:
            pod = self._create()
            self.events.after(self.kind.start(self._rng), self._begin, pod)
        surplus = self._active - self.replicas
        if surplus > 0:
            active = [pod for pod in self.pods.values() if not pod.deleting]
            for pod in sorted(active, key=self._rank)[:surplus]:
                self._delete(pod)

    def _rank(self, pod: Pod) -> tuple[bool, int, int, float]:
        age = self.events.now - pod.ready_at if pod.ready_at is not None else 0.0
        return pod.ready, pod.cost, math.floor(math.log2(age + 1)), pod.tie

    def _create(self) -> Pod:
        self._made += 1
        self._active += 1
        pod = Pod(self._made, self.events.now, self.kind.concurrency, self._rng.random())
        self.pods[pod.number] = pod
        return pod

    def _begin(self, pod: Pod) -> None:
        if pod.deleting:
            return
        pod.ready_at = self.events.now
        self._feed(pod)
        self.pod_changed()

    def _delete(self, pod: Pod) -> None:
        pod.deleting = True
        self._active -= 1
        if not pod.running:
            self._gone(pod)
        else:
            self.events.after(self.kind.grace_seconds, self._kill, pod)

    def _kill(self, pod: Pod) -> None:
        if pod.number not in self.pods:
            return  # it finished in time
        self.pods_killed += 1
        for task in sorted(pod.running, reverse=True):
            self.wasted_seconds += self._leave(pod, task)
            self.kills += 1
            if self.kind.killed == "rerun":
                self._enqueue(task, head=True)
            else:
                self.lost += 1
                self.last_end = self.events.now
        self._gone(pod)

    def _gone(self, pod: Pod) -> None:
        del self.pods[pod.number]
        self.pod_seconds += self.events.now - pod.created_at
        self.pod_changed()

    def close(self) -> None:
        """The end of the run: pods that are still there are paid for until now."""
        self.pod_seconds += sum(self.events.now - pod.created_at for pod in self.pods.values())
