"""The ledger: what happened to every task by Redis' counters, beside what the producer enqueued."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from identtqueue import Client
from identtqueue.admin import Admin, QueueDepth
from identtqueue.task import State, TaskInfo

COUNTERS = ("enqueued", "claimed", "succeeded", "failed", "retried", "recovered")


@dataclass(frozen=True, slots=True)
class Ledger:
    """The counters of a queue after the work, and the state of each task.

    Attributes:
        handed_in: number of ids that the producer got for its pages.
        counted: how far the queue's counters rose during the demonstration.
        tasks: the tasks of those ids.
        depth: what is left in the queue.
    """

    handed_in: int
    counted: Mapping[str, int]
    tasks: Sequence[TaskInfo]
    depth: QueueDepth

    @property
    def succeeded(self) -> int:
        """Number of tasks with a recorded result."""
        return self._in_state(State.SUCCEEDED)

    @property
    def dead(self) -> int:
        """Number of dead letters."""
        return self._in_state(State.FAILED)

    @property
    def lost(self) -> int:
        """Number of tasks that were enqueued and ended in neither way."""
        return self.counted["enqueued"] - self.succeeded - self.dead

    @property
    def repeated(self) -> list[TaskInfo]:
        """The tasks that ran more than once."""
        return [task for task in self.tasks if task.attempt > 1]

    @property
    def left_over(self) -> int:
        """Number of tasks that still wait or run."""
        return self.depth.queued + self.depth.in_flight + self.depth.scheduled

    def faults(self) -> list[str]:
        """Return why the ledger does not balance; empty if it does."""
        checks = {
            f"{self.handed_in} handed in, {self.counted['enqueued']} enqueued": (
                self.handed_in == self.counted["enqueued"]
            ),
            f"{self.lost} lost": self.lost == 0,
            f"{self.left_over} left in the queue": self.left_over == 0,
            f"{self.counted['succeeded']} successes counted, {self.succeeded} tasks succeeded": (
                self.counted["succeeded"] == self.succeeded
            ),
            f"{self.depth.dead} dead letters kept, {self.dead} tasks dead": (
                self.depth.dead == self.dead
            ),
        }
        return [fault for fault, fine in checks.items() if not fine]

    def rows(self) -> list[tuple[str, str, str]]:
        """Return name, value and remark of each line, for people."""
        again = ", ".join(f"{t.task_id} x{t.attempt}" for t in self.repeated)
        return [
            ("enqueued", str(self.counted["enqueued"]), f"the producer holds {self.handed_in} ids"),
            ("succeeded", str(self.succeeded), "each with exactly one recorded result"),
            ("dead", str(self.dead), "dead letters"),
            ("lost", str(self.lost), "= enqueued - succeeded - dead"),
            ("left in the queue", str(self.left_over), "queued, in flight or scheduled"),
            ("executions", str(self.counted["claimed"]), "claims by workers"),
            ("recovered", str(self.counted["recovered"]), "taken back from dead workers"),
            ("run more than once", str(len(self.repeated)), again),
        ]

    def _in_state(self, state: State) -> int:
        return sum(task.state is state for task in self.tasks)


async def counters(admin: Admin, queue: str) -> dict[str, int]:
    """Read the queue's counters, which only grow."""
    found = (await admin.depths([queue]))[queue].counters
    return {name: found.get(name, 0) for name in COUNTERS}


async def draw_up(
    admin: Admin,
    client: Client,
    queue: str,
    task_ids: Sequence[str],
    before: Mapping[str, int],
) -> Ledger:
    """Read the ledger from Redis, after the work.

    Args:
        before: the counters before the work.
    """
    found = await asyncio.gather(*(client.get_task(task_id) for task_id in task_ids))
    depth = (await admin.depths([queue]))[queue]
    now = {name: depth.counters.get(name, 0) for name in COUNTERS}
    return Ledger(
        handed_in=len(set(task_ids)),
        counted={name: now[name] - before[name] for name in COUNTERS},
        tasks=[task for task in found if task is not None],
        depth=depth,
    )
