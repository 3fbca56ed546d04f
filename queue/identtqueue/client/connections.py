"""The connections of a client, and what wakes its waits.

A client has two connections: one for calls, and one for its subscription. Four events wake waits:

- A message arrives.
- The subscription is made again, so messages may have been missed.
- The connection for calls was lost or opened again, so Redis may have lost data.
- Redis refuses the subscription, so no message will arrive.
"""

from __future__ import annotations

import os

from identtqueue.client.gathering import Gatherer
from identtqueue.client.progress import Watches
from identtqueue.client.results import Results
from identtqueue.errors import RedisError
from identtqueue.protocol import keys
from identtqueue.transport.connect import async_redis
from identtqueue.transport.outage import Outage
from identtqueue.transport.settings import RedisSettings
from identtqueue.transport.subscriber import Subscriber


class Connections:
    """The connections that a client has open in one event loop, and the waits on them.

    Args:
        settings: where Redis is.
        retry_for_seconds: how long a call is retried while Redis can't be reached.

    Attributes:
        redis: runs calls.
        gatherer: runs enqueues of single tasks.
        subscriber: the one subscription for all waits and watches.
        results: the waits for results.
        watches: the watches of progress.
    """

    def __init__(self, settings: RedisSettings, retry_for_seconds: float) -> None:
        outage = Outage()
        self.redis = async_redis(
            settings,
            client_name="identtqueue-client",
            retry_for_seconds=retry_for_seconds,
            outage=outage,
            on_change=self._on_change,
        )
        self.gatherer = Gatherer(self.redis)
        self.subscriber = Subscriber(
            settings,
            client_name="identtqueue-results",
            on_message=self._on_message,
            on_connected=self._on_connected,
            on_refused=self._on_refused,
            outage=outage,
        )
        channel = keys.reply_channel(os.urandom(8).hex())
        self.results = Results(self.redis, self.subscriber, channel, retry_for_seconds)
        self.watches = Watches(self.redis, self.subscriber, self.results)
        self.results.on_look = self.watches.look_again

    async def close(self) -> None:
        """Close them. Open waits raise RedisUnavailable."""
        await self.results.close()
        await self.watches.close()
        await self.subscriber.close()
        await self.redis.close()

    def _on_change(self) -> None:
        """Ask for the results again: the connection for calls changed."""
        self.results.look_again_soon()

    def _on_message(self, channel: str, message: bytes) -> None:
        """Pass a message on: from the reply channel to the waits, from others to the watches."""
        if channel == self.results.channel:
            self.results.on_message(message)
        else:
            self.watches.on_message(channel, message)

    def _on_connected(self, up: bool) -> None:
        """Note that the subscription is made or lost; the waits ask again, or give up in time."""
        self.results.on_connected(up)

    def _on_refused(self, error: RedisError) -> None:
        """Fail the waits: Redis refuses the subscription, so nothing would wake them."""
        self.results.fail(error)
