"""The doorbell: a subscription to the queues that get tasks after they were empty."""

from __future__ import annotations

from collections.abc import Callable

from identtqueue.errors import InvalidInput
from identtqueue.protocol import keys
from identtqueue.transport.settings import RedisSettings
from identtqueue.transport.subscriber import Subscriber


class Doorbell:
    """A subscription that reports when an empty queue gets tasks.

    A ring is only a hint: rings are missed while the doorbell is not connected.

    Args:
        settings: where Redis is.
        on_ring: called with the queue's name when it rings.
        on_connected: called with True as soon as all queues are subscribed, also after a
            reconnect, and with False when the connection is lost. Look at all queues after True,
            since rings may have been missed.
    """

    def __init__(
        self,
        settings: RedisSettings,
        on_ring: Callable[[str], None],
        on_connected: Callable[[bool], None],
    ) -> None:
        self._subscriber = Subscriber(
            settings,
            client_name="identtqueue-doorbell",
            on_message=lambda channel, _: on_ring(keys.queue_of_doorbell(channel)),
            on_connected=on_connected,
        )

    def start(self) -> None:
        """Begin to listen."""
        self._subscriber.start()

    async def add(self, *queues: str) -> None:
        """Listen to these queues too; return when Redis has confirmed all of them.

        Raises:
            InvalidInput: no queue is named, or a name breaks the rule.
            RedisAuthFailed, RedisTlsFailed, RedisTopologyMismatch: see `Subscriber.add`.
        """
        if not queues:
            raise InvalidInput("name at least one queue")
        await self._subscriber.add(*(keys.queue_keys(queue).doorbell for queue in queues))

    async def remove(self, *queues: str) -> None:
        """Stop listening to these queues."""
        await self._subscriber.remove(*(keys.queue_keys(queue).doorbell for queue in queues))

    async def close(self) -> None:
        """Stop listening."""
        await self._subscriber.close()
