"""The control channel of a worker incarnation: requests to drain, and to cancel an attempt."""

from __future__ import annotations

from collections.abc import Callable

from identtqueue.protocol import keys
from identtqueue.protocol.calls import one_task
from identtqueue.transport.connection import AsyncRedis
from identtqueue.transport.outage import Outage
from identtqueue.transport.subscriber import Subscriber
from identtqueue.worker.attempts import Attempts


class Control:
    """Listener on the control channel of one incarnation.

    Args:
        redis: connection for `repeat`. The subscription has a connection of its own.
        worker_id: id of the incarnation.
        attempts: cancels attempts on request.
        on_drain: called with True when the worker is asked to drain, with False when it is called
            back.
        outage: logs trouble with Redis.
    """

    def __init__(
        self,
        redis: AsyncRedis,
        worker_id: str,
        attempts: Attempts,
        *,
        on_drain: Callable[[bool], None],
        outage: Outage,
    ) -> None:
        self._redis = redis
        self._channel = keys.control_channel(worker_id)
        self._attempts = attempts
        self._on_drain = on_drain
        self._subscriber = Subscriber(
            redis.settings,
            client_name="identtqueue-control",
            on_message=lambda _, data: self._hear(data.decode()),
            outage=outage,
        )

    async def open(self) -> None:
        """Subscribe to the channel."""
        await self._subscriber.add(self._channel)

    async def close(self) -> None:
        """Close the connection of the subscription."""
        await self._subscriber.close()

    async def repeat(self) -> None:
        """Ask Redis for requests to cancel that were not heard.

        Such a request is published only once. The worker misses it while the subscription
        reconnects, or while the reply to the task's claim is still in transit.
        """
        running = self._attempts.cancellable
        asked = await self._redis.run_all([one_task.cancel_asked(i) for i in running])
        for task_id, number in zip(running, asked, strict=True):
            if number is not None:
                self._attempts.cancel(task_id, number)

    def _hear(self, message: str) -> None:
        verb, _, rest = message.partition(" ")
        if verb in ("drain", "undrain"):
            self._on_drain(verb == "drain")
        elif verb == "cancel":
            task_id, _, number = rest.rpartition(" ")  # the id may contain spaces
            self._attempts.cancel(task_id, int(number))
