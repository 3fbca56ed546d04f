"""The books: what Redis says became of every task, compared with what was handed in."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from identtqueue import Client
from identtqueue.admin import Admin, QueueDepth
from identtqueue.task import State, TaskInfo

COUNTERS = ("enqueued", "claimed", "succeeded", "failed", "retried", "recovered")


@dataclass(frozen=True, slots=True)
class Ledger:
    """One queue after the work, from Redis: its counters, and the state of each task.

    Attributes:
        handed_in: ids that the producer got for its pages.
        counted: the queue's counters since the beginning of the demonstration.
        tasks: what Redis knows of those ids.
        depth: what is left in the queue.
    """

    handed_in: int
    counted: Mapping[str, int]
    tasks: Sequence[TaskInfo]
    depth: QueueDepth

    @property
    def succeeded(self) -> int:
        """Tasks with a recorded result."""
        return self._in_state(State.SUCCEEDED)

    @property
    def dead(self) -> int:
        """Dead letters."""
        return self._in_state(State.FAILED)

    @property
    def lost(self) -> int:
        """Tasks that were accepted and ended in neither way."""
        return self.counted["enqueued"] - self.succeeded - self.dead

    @property
    def repeated(self) -> list[TaskInfo]:
        """Tasks that were run more than once."""
        return [task for task in self.tasks if task.attempt > 1]

    @property
    def left_over(self) -> int:
        """Tasks that still wait or run."""
        return self.depth.queued + self.depth.in_flight + self.depth.scheduled

    def faults(self) -> list[str]:
        """Why the books do not balance; empty if they do."""
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
        """For people."""
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
    """The queue's monotone counters now."""
    found = (await admin.depths([queue]))[queue].counters
    return {name: found.get(name, 0) for name in COUNTERS}


async def draw_up(
    admin: Admin,
    client: Client,
    queue: str,
    task_ids: Sequence[str],
    before: Mapping[str, int],
) -> Ledger:
    """Read everything from Redis once the work is done."""
    found = await asyncio.gather(*(client.get_task(task_id) for task_id in task_ids))
    depth = (await admin.depths([queue]))[queue]
    now = {name: depth.counters.get(name, 0) for name in COUNTERS}
    return Ledger(
        handed_in=len(set(task_ids)),
        counted={name: now[name] - before[name] for name in COUNTERS},
        tasks=[task for task in found if task is not None],
        depth=depth,
    )
