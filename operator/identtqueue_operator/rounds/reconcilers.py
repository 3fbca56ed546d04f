"""The running reconcilers: a named task for each TaskQueue, from its first round to its release."""

import asyncio
import contextvars
from collections.abc import Iterable, Iterator, Mapping

from identtqueue_operator.metrics import Snapshot
from identtqueue_operator.model import Key
from identtqueue_operator.rounds.reconciler import Reconciler


class Reconcilers(Mapping[Key, Reconciler]):
    """The reconcilers of all TaskQueues that the operator looks after, by TaskQueue."""

    def __init__(self) -> None:
        self._running: dict[Key, Reconciler] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._releasing: dict[asyncio.Task[None], Reconciler] = {}
        """Those whose TaskQueue is gone."""
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closing = False
        self._context = contextvars.copy_context()

    def __getitem__(self, key: Key) -> Reconciler:
        """Return the reconciler of a TaskQueue."""
        return self._running[key]

    def __iter__(self) -> Iterator[Key]:
        """List the TaskQueues."""
        return iter(self._running)

    def __len__(self) -> int:
        """Count the TaskQueues."""
        return len(self._running)

    @property
    def releasing(self) -> int:
        """How many TaskQueues are gone and still call their workers back."""
        return len(self._releasing)

    def start(self, reconciler: Reconciler) -> None:
        """Run a reconciler until its TaskQueue is gone or the operator stops."""
        key = reconciler.resource.key
        self._running[key] = reconciler
        # Not in the watch's context: kopf keeps the whole resource in it, and a task (and each of
        # its callbacks) keeps its context for life.
        task = asyncio.get_running_loop().create_task(
            reconciler.run(), name=f"reconcile {key}", context=self._context.copy()
        )
        task.add_done_callback(self._ended, context=self._context)
        self._tasks[key] = task

    def release(self, key: Key) -> bool:
        """Let a reconciler end, because its TaskQueue is gone; return whether there was one."""
        reconciler = self._running.pop(key, None)
        if reconciler is None:
            return False
        reconciler.gone = True
        task = self._tasks.pop(key)
        self._releasing[task] = reconciler
        task.add_done_callback(lambda ended: self._releasing.pop(ended, None))
        task.cancel()
        return True

    def look(self, keys: Iterable[Key]) -> None:
        """Have the reconcilers of some TaskQueues look soon."""
        for key in keys:
            self._running[key].look()

    def snapshots(self) -> Iterator[Snapshot]:
        """Return the last round of each TaskQueue. Any thread may call it: rounds are immutable."""
        for key, reconciler in list(self._running.items()):
            verdict = reconciler.verdict
            if verdict is not None:
                yield Snapshot(key, *verdict, reconciler.seen, reconciler.decision)

    async def failure(self) -> None:
        """Wait until a reconciler fails, which it never should.

        Raises:
            Exception: whatever ended it.
        """
        await self._failed

    async def close(self) -> None:
        """Stop every reconciler where it stands: any round can be repeated."""
        self._closing = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        for reconciler in self._releasing.values():
            reconciler.hurry()
        await asyncio.gather(*tasks, *self._releasing, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._closing or self._failed.done():
            return
        error = task.exception()
        if error is not None:
            self._failed.set_exception(error)
