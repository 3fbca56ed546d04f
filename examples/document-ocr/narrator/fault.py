"""Kills a worker in the middle of a page, and watches what happens to the page."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from identtqueue import Client
from identtqueue.task import State, TaskInfo
from narrator.observer import NotSeen, Observer
from narrator.world import CommandFailed, PodSeen, World

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


async def kill_mid_page(
    client: Client, observer: Observer, world: World, task_ids: Sequence[str]
) -> Killed:
    """Kill the worker that has just begun a page.

    If the page is finished just before the signal arrives, another worker is chosen.

    Raises:
        NotSeen: five tries came too late.
    """
    misses = 0
    for _ in range(5):
        task, pod = await _just_begun(client, observer, task_ids)
        try:
            pid, at = await world.kill(pod)
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
