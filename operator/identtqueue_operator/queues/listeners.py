"""Which TaskQueues listen to the queues of one Redis, and how each of them is woken."""

from collections.abc import Callable, Iterable, Iterator

Ring = Callable[[], None]
"""Wakes a TaskQueue, so that it looks at its queues."""


class Listeners:
    """The listeners of one Redis, by queue and by owner. An owner is a trigger of a TaskQueue."""

    def __init__(self) -> None:
        self._by_queue: dict[str, dict[str, tuple[float, Ring]]] = {}
        """Per queue and owner: the owner's poll period in seconds, and how to wake it."""
        self._queues_of: dict[str, tuple[str, ...]] = {}

    def __contains__(self, queue: str) -> bool:
        """Return whether anyone listens to a queue."""
        return queue in self._by_queue

    def __iter__(self) -> Iterator[str]:
        """List the queues that have listeners."""
        return iter(self._by_queue)

    def __len__(self) -> int:
        """Count the queues that have listeners."""
        return len(self._by_queue)

    def queues_of(self, owner: str) -> tuple[str, ...]:
        """Return the queues that an owner listens to."""
        return self._queues_of.get(owner, ())

    def period_seconds(self, queue: str) -> float:
        """Return the shortest poll period that a listener of the queue asks for."""
        return min(period for period, _ in self._by_queue[queue].values())

    def put(
        self, owner: str, queues: Iterable[str], period_seconds: float, ring: Ring
    ) -> tuple[list[str], list[str]]:
        """Add an owner, or change what it listens to.

        Returns:
            The queues that have got their first listener, and those that have lost their last one.
        """
        names = tuple(queues)
        gone = [
            queue
            for queue in self.queues_of(owner)
            if queue not in names and self._remove(owner, queue)
        ]
        come = [queue for queue in names if queue not in self]
        self._queues_of[owner] = names
        for queue in names:
            self._by_queue.setdefault(queue, {})[owner] = (period_seconds, ring)
        return come, gone

    def drop(self, owner: str) -> list[str]:
        """Remove an owner; return the queues that have lost their last listener."""
        queues = self._queues_of.pop(owner, ())
        return [queue for queue in queues if self._remove(owner, queue)]

    def _remove(self, owner: str, queue: str) -> bool:
        """Remove an owner from a queue; return whether it was the last one there."""
        del self._by_queue[queue][owner]
        if self._by_queue[queue]:
            return False
        del self._by_queue[queue]
        return True

    def ring(self, queue: str) -> None:
        """Wake the listeners of a queue; do nothing if it has none any more."""
        for _, ring in self._by_queue.get(queue, {}).values():
            ring()

    def ring_all(self) -> None:
        """Wake the listeners of every queue."""
        for queue in self:
            self.ring(queue)
