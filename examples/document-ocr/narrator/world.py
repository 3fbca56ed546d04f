"""The place where the chapters play: a cluster, or this machine."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from identtqueue import RedisSettings
from narrator.narrate import Narrator

Json = dict[str, Any]

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE.parents[1]

QUEUE = "pages"
TASK_QUEUE = "document-ocr"


class CommandFailed(Exception):
    """The error of a command that failed or did not end in time."""


@dataclass(slots=True)
class PodSeen:
    """A worker pod, as its status shows it."""

    name: str
    uid: str
    node: str = ""
    ready_at: float | None = None
    restarts: int = 0
    exit_code: int | None = None
    """Exit code of its container's last end."""


@dataclass(frozen=True, slots=True)
class Redis:
    """The Redis that holds the queue.

    Attributes:
        clock_offset: its clock minus this machine's, in seconds.
    """

    settings: RedisSettings
    clock_offset: float


class World(Protocol):
    """A place where TaskQueues are served.

    Attributes:
        deployment: name of the workers' Deployment.
        kubelet: what starts the processes, as it is called there.
        pages: how many pages the producer has to read.
    """

    deployment: str
    kubelet: str
    pages: int

    async def set_up(self, tell: Narrator) -> None:
        """Bring the operator and the TaskQueue up, without a worker."""

    def connect(self) -> AbstractAsyncContextManager[Redis]:
        """Open the way to Redis."""

    def changes(self, kind: str) -> AsyncIterator[Json]:
        """Iterate over all objects of a kind, then over each that has changed, without an end."""

    async def start_producer(self, tell: Narrator) -> None:
        """Start the application."""

    def producer_lines(self) -> AsyncIterator[str]:
        """Iterate over the lines that the application prints."""

    async def show_queue(self, tell: Narrator) -> None:
        """Show the TaskQueue as users see it."""

    async def kill(self, pod: PodSeen) -> tuple[str, float]:
        """Send SIGKILL to the first process of a worker.

        Returns:
            Its process id on its node, and the time of the signal: not before, by this machine's
            clock.

        Raises:
            CommandFailed: there is no such process.
        """

    async def wait_until_workers_are_gone(self) -> None:
        """Wait until no pod is left."""

    async def show_everything(self, tell: Narrator) -> None:
        """Show what one looks at first when something has gone wrong."""

    async def clean_up(self, tell: Narrator, *, keep: bool) -> None:
        """Remove what was set up."""
