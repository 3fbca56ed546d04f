"""The connection to one node of a cluster.

It never sends a call again by itself: the queue may have moved, so the cluster decides where the
call goes next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from redis import exceptions as redis_errors
from redis.asyncio.connection import AbstractConnection

from identtqueue.errors import RedisError, RedisUnavailable
from identtqueue.transport import refusals, wire
from identtqueue.transport.address import Server
from identtqueue.transport.lanes import Waiting, fail
from identtqueue.transport.link import Link
from identtqueue.transport.login import open_connection
from identtqueue.transport.outage import Outage
from identtqueue.transport.pipeline import Pipeline
from identtqueue.transport.settings import RedisSettings

_ASKING: Final = wire.pack_words("ASKING")


class Router(Protocol):
    """The cluster as its nodes see it: takes back the calls that a node has not run."""

    def put(self, item: Waiting) -> None:
        """Queue a call for its node."""

    def put_off(self, item: Waiting, error: RedisError) -> None:
        """Send a call again later, or fail it with `error` after its deadline."""

    def follow(self, item: Waiting, error: redis_errors.AskError) -> None:
        """Follow a redirect, MOVED or ASK."""


class Node:
    """One node, and the calls on their way to it.

    Args:
        server: where the node is.
        settings: the settings of the cluster.
        router: takes back the calls that this node has not run.
        client_name: shown by `CLIENT LIST`.
        outage: logs failures.
        on_change: called when the connection was lost or opened again.
    """

    def __init__(
        self,
        server: Server,
        settings: RedisSettings,
        router: Router,
        *,
        client_name: str,
        outage: Outage,
        on_change: Callable[[], None],
    ) -> None:
        self.server = server
        self._settings = settings
        self._router = router
        self._client_name = client_name
        self._outage = outage
        self._pipeline = Pipeline(
            self,
            name=client_name,
            silence_seconds=settings.response_timeout_seconds,
            on_change=on_change,
        )
        self.put = self._pipeline.put

    @property
    def is_open(self) -> bool:
        """Whether it is connected, as far as this side knows."""
        return self._pipeline.is_open

    async def close(self) -> None:
        """Close the connection. Calls without a reply fail with RedisUnavailable."""
        await self._pipeline.close()

    async def retire(self) -> None:
        """Close the connection to a node that has left the cluster.

        Calls that were not sent, or that may be repeated, go to other nodes.
        """
        sent, waiting = self._pipeline.withdraw()
        gone = RedisUnavailable(f"Redis can't be reached: {self.server} has left the cluster")
        self._put_off(sent, gone)
        for item in waiting:
            self._router.put(item)
        await self.close()

    # --- as the owner of the pipeline ---

    async def open(self) -> AbstractConnection:
        """Connect and log in: see `Owner.open`."""
        connection = await open_connection(self._settings, self._client_name, self.server)
        self._outage.opened(f"{self._client_name} {self.server}")
        return connection

    async def send(self, link: Link, batch: list[Waiting]) -> list[Any]:
        """Send a batch, with ASKING before each call that needs it: see `Owner.send`."""
        packed: list[bytes] = []
        ours: list[bool] = []
        for item in batch:
            if item.asking:
                packed.append(_ASKING)
                ours.append(False)
            packed.append(item.data)
            ours.append(True)
        replies = await link.exchange(packed)
        return [reply for reply, is_ours in zip(replies, ours, strict=True) if is_ours]

    async def deliver(self, batch: list[Waiting], replies: list[Any]) -> None:
        """Pass the replies to the callers, and calls that were not run to the cluster."""
        for item, reply in zip(batch, replies, strict=True):
            item.asking = False
            if item.future.done():
                continue
            if not isinstance(reply, Exception):
                item.future.set_result(reply)
                self._outage.worked(self._client_name)
            elif isinstance(reply, redis_errors.AskError):
                self._router.follow(item, reply)
            else:
                error = refusals.translate(reply, item.call)
                if isinstance(error, RedisUnavailable):
                    self._router.put_off(item, error)
                else:
                    item.future.set_exception(error)

    async def after_loss(self, batch: list[Waiting], error: RedisError) -> None:
        """Pass the calls that may be sent again to the cluster, and fail the others."""
        _, waiting = self._pipeline.withdraw()
        if isinstance(error, RedisUnavailable):
            self._put_off(batch, error)
            for item in waiting:
                if not item.future.done():
                    self._router.put_off(item, error)
        else:
            fail([*batch, *waiting], error)

    def _put_off(self, sent: list[Waiting], error: RedisUnavailable) -> None:
        """Pass the calls that may be repeated to the cluster, and fail the others."""
        for item in sent:
            if not item.future.done() and item.call.repeatable:
                self._router.put_off(item, error)
            else:
                fail([item], error)
