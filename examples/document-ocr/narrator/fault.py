"""Kills a worker in the middle of a page, and watches what happens to the page."""

import asyncio
import inspect
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from identtqueue import Client
from identtqueue.task import State, TaskInfo
from narrator.cluster import CommandFailed, Namespace, lines_of
from narrator.observer import NotSeen, Observer, PodSeen

POLL_SECONDS = 0.05
"""How often Redis is asked about the task, which is also how exact the times are."""


@dataclass(frozen=True, slots=True)
class Killed:
    """A worker that was killed, and the task that it ran."""

    task: TaskInfo
    """The task just before the kill."""
    pod: PodSeen
    at: float
    """Time just before the signal was sent, by this machine's clock."""
    pid: str
    """Its process id on the node."""
    misses: int
    """Number of workers that were killed before it too late, when their page was finished."""


class Killer:
    """Processes on the nodes that can kill a worker's container (killer.yaml)."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace

    async def set_up(self) -> None:
        """Start a killer on each node.

        They have a namespace of their own, because they must see the node's processes.
        """
        await self.namespace.create(pod_security="privileged")
        await self.namespace.apply(Path(__file__).with_name("killer.yaml"))

    async def wait_until_ready(self) -> None:
        """Wait until a killer runs on each node."""
        await self.namespace.kubectl(
            "rollout", "status", "daemonset/killer", "--timeout=90s", timeout_seconds=95
        )

    async def pod_names(self) -> dict[str, str]:
        """Return the name of the killer pod of each node."""
        template = '{range .items[*]}{.spec.nodeName} {.metadata.name}{"\\n"}{end}'
        found = await self.namespace.kubectl("get", "pods", "-o", f"jsonpath={template}")
        return dict(line.split() for line in found.splitlines())

    async def kill(self, helper: str, pod_uid: str) -> tuple[str, float]:
        """Send SIGKILL to the first process of a worker's container.

        Returns:
            Its PID on the node, and the time when that arrived here. The killer prints the PID just
            before it sends the signal. So a time that is counted from then includes the way back
            from `kubectl exec`, and is never too short.

        Raises:
            CommandFailed: there is no such process.
        """
        program = f"{inspect.getsource(_kill_worker)}\n_kill_worker({pod_uid!r})"
        pid, at = "", 0.0
        async for line in lines_of(
            *("kubectl", "--namespace", self.namespace.name, "exec", helper, "--"),
            *("python", "-c", program),
        ):
            pid, at = line, time.time()
        if not pid:
            raise CommandFailed(f"no worker of pod {pod_uid} was found")
        return pid, at


def _kill_worker(pod_uid: str) -> None:
    """On the node: kill the container's PID 1, found by the pod UID in its environment."""
    import os
    import signal
    from pathlib import Path

    mark = f"IDENTTQUEUE_POD_UID={pod_uid}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark not in (process / "environ").read_bytes().split(b"\0"):
                continue
            status = (process / "status").read_text()
        except OSError:  # a process of another user, or one that has ended meanwhile
            continue
        numbers = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid"))
        if numbers[-1] == "1":
            print(process.name, flush=True)
            os.kill(int(process.name), signal.SIGKILL)
            return


async def kill_mid_page(
    client: Client, observer: Observer, killer: Killer, task_ids: Sequence[str]
) -> Killed:
    """Kill the worker that has just begun a page.

    If the page is finished just before the signal arrives, another worker is chosen.

    Raises:
        NotSeen: five tries came too late.
    """
    helpers = await killer.pod_names()
    misses = 0
    for _ in range(5):
        task, pod = await _just_begun(client, observer, task_ids)
        try:
            pid, at = await killer.kill(helpers[pod.node], pod.uid)
        except CommandFailed:
            continue  # its container was replaced meanwhile
        now = await client.get_task(task.task_id)
        if now is not None and (now.attempt > task.attempt or not now.state.ended):
            return Killed(task, pod, at, pid, misses)
        misses += 1
    raise NotSeen("tried five times to kill a worker in the middle of a page")


async def _just_begun(
    client: Client, observer: Observer, task_ids: Sequence[str]
) -> tuple[TaskInfo, PodSeen]:
    """Wait until a page is begun, and return it with the pod that reads it."""
    seen_before: set[tuple[str, int]] | None = None
    try:
        async with asyncio.timeout(60):
            while True:
                tasks = [t for t in await infos(client, task_ids) if t.state is State.RUNNING]
                attempts = {(t.task_id, t.attempt) for t in tasks}
                # New since the last look: it has just begun, by whatever clock.
                for task in tasks if seen_before is not None else ():
                    pod = observer.pod_of(task.owner)
                    if pod and (task.task_id, task.attempt) not in (seen_before or ()):
                        return task, pod
                seen_before = attempts
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise NotSeen("waited 60 s for a worker to begin a page") from None


async def infos(client: Client, task_ids: Sequence[str]) -> list[TaskInfo]:
    """Read the tasks from Redis in one round trip; leave out those that it does not know."""
    found = await asyncio.gather(*(client.get_task(task_id) for task_id in task_ids))
    return [info for info in found if info is not None]


async def until_requeued(client: Client, killed: Killed, seconds: float) -> float:
    """Wait until the task is taken from its dead worker, and return the time of this machine.

    Raises:
        NotSeen: that did not happen in time.
    """
    before = killed.task
    await _until(
        lambda now: now.losses > before.losses or now.attempt > before.attempt,
        client,
        before.task_id,
        seconds,
        "to be requeued",
    )
    return time.time()


async def until_running_again(client: Client, killed: Killed, seconds: float) -> TaskInfo:
    """Wait for the task's next attempt, and return the task.

    Raises:
        NotSeen: it did not start in time.
    """
    before = killed.task
    return await _until(
        lambda now: now.attempt > before.attempt,
        client,
        before.task_id,
        seconds,
        "to run again",
    )


async def _until(
    probe: Callable[[TaskInfo], bool], client: Client, task_id: str, seconds: float, what: str
) -> TaskInfo:
    try:
        async with asyncio.timeout(seconds):
            while True:
                now = await client.get_task(task_id)
                if now is not None and probe(now):
                    return now
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise NotSeen(f"waited {seconds:.0f} s for {task_id} {what}") from None
