"""The stage: what the chapters share, in whichever world they play."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from identtqueue import Client
from identtqueue.admin import Admin
from narrator import ledger
from narrator.narrate import Narrator
from narrator.observer import Observer, Stamped
from narrator.world import QUEUE, World


@dataclass(slots=True)
class Demo:
    """The parts that every chapter needs.

    Attributes:
        figures: what was measured, for the table at the end.
        faults: what went wrong. The demonstration has succeeded if there is nothing.
    """

    tell: Narrator
    world: World
    figures: list[tuple[str, str, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def tell_event(self, event: Stamped) -> None:
        """Print an event of the TaskQueue, by the operator."""
        what = event.what
        self.tell.say(f"operator: {what['reason']}: {what['message']}", at=event.at)


@dataclass(slots=True)
class Scene:
    """The parts that the chapters need after the set-up.

    Attributes:
        clock_offset: Redis' clock minus this machine's, in seconds.
        counted_before: the queue's counters at the beginning.
        task_ids: ids of the producer's tasks, once it has enqueued them.
        first_enqueue: time of the first enqueue by this machine's clock.
    """

    observer: Observer
    client: Client
    admin: Admin
    clock_offset: float
    counted_before: dict[str, int]
    task_ids: list[str] = field(default_factory=list)
    first_enqueue: float = 0.0

    def here(self, redis_ms: int) -> float:
        """Convert a time of Redis to this machine's clock."""
        return redis_ms / 1000 - self.clock_offset


@contextlib.asynccontextmanager
async def open_scene(demo: Demo) -> AsyncIterator[Scene]:
    """Open watches, and connections to Redis, before anything happens."""
    async with contextlib.AsyncExitStack() as stack:
        redis = await stack.enter_async_context(demo.world.connect())
        client = await stack.enter_async_context(Client(redis.settings))
        admin = await stack.enter_async_context(Admin(redis.settings, retry_for_seconds=30))
        observer = await stack.enter_async_context(Observer(demo.world, on_event=demo.tell_event))
        yield Scene(
            observer=observer,
            client=client,
            admin=admin,
            clock_offset=redis.clock_offset,
            counted_before=await ledger.counters(admin, QUEUE),
        )
