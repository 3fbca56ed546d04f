"""One pub/sub connection, for any number of channels, across reconnects.

Messages that are published while it is not connected are lost. It calls `on_connected(True)` after
each subscription and resubscription. Its owner must read the current state from Redis then, and
misses nothing until the connection is lost again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection

from identtqueue.errors import (
    EmbeddedServerFailed,
    RedisAuthFailed,
    RedisError,
    RedisTlsFailed,
    RedisTopologyMismatch,
)
from identtqueue.protocol import keys
from identtqueue.transport import refusals, wire
from identtqueue.transport.backoff import backoff_seconds
from identtqueue.transport.home import detached
from identtqueue.transport.link import Link, hang_up
from identtqueue.transport.login import open_connection
from identtqueue.transport.outage import Outage
from identtqueue.transport.settings import RedisSettings

logger = logging.getLogger(__name__)

PING_SECONDS: Final = 5.0
"""After this time of silence a PING is sent, and after the same time again the connection counts as
lost. So a half-open connection is noticed within twice this time."""

_REFUSALS: Final = (RedisAuthFailed, RedisTlsFailed, RedisTopologyMismatch, EmbeddedServerFailed)
"""Errors that are not over before somebody repairs their cause."""


class Subscriber:
    """A pub/sub connection that reconnects by itself.

    Args:
        settings: where Redis is.
        client_name: shown by `CLIENT LIST`.
        on_message: called with channel and data for each message.
        on_connected: called with True when all channels are subscribed, also after a reconnect,
            and with False when the connection is lost.
        on_refused: called when Redis refuses the login or the channels. The subscriber tries
            again, but no message may arrive until the cause is repaired.
        outage: logs failures; shared with other connections.
    """

    def __init__(
        self,
        settings: RedisSettings,
        *,
        client_name: str,
        on_message: Callable[[str, bytes], None],
        on_connected: Callable[[bool], None] = lambda _: None,
        on_refused: Callable[[RedisError], None] = lambda _: None,
        outage: Outage | None = None,
    ) -> None:
        self._settings = settings
        self._database = settings.database
        self._client_name = client_name
        self._on_message = on_message
        self._on_connected = on_connected
        self._on_refused = on_refused
        self._outage = outage or Outage()
        self._refusal: RedisError | None = None
        self._channels: set[str] = set()
        self._confirmed: set[str] = set()
        self._changed = asyncio.Condition()
        self._connection: AbstractConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._announced = False
        self._failures = 0

    def start(self) -> None:
        """Begin to listen; do nothing if it was begun already."""
        if self._task is None:
            self._task = detached(self._run(), f"subscriber {self._client_name}")

    async def close(self) -> None:
        """Stop listening."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def hears(self, channel: str) -> bool:
        """Return whether a channel is subscribed now."""
        return channel in self._confirmed

    async def add(self, *channels: str) -> None:
        """Listen to these channels too; return when Redis has confirmed all of them.

        While Redis can't be reached, this waits for it without a time-out.

        Raises:
            InvalidInput: a channel's name can't be encoded.
            RedisAuthFailed: Redis refuses the login, or these channels.
            RedisTlsFailed, RedisTopologyMismatch: the certificates or the address are wrong.
            EmbeddedServerFailed: the embedded server can't be started.
        """
        if self._confirmed.issuperset(channels):
            return
        self.start()
        fresh = [channel for channel in channels if channel not in self._channels]
        if fresh:
            # This raises for a bad name now, so that it does not fail each reconnect.
            wire.pack_words("SUBSCRIBE", *self._names(fresh))
        self._channels.update(fresh)
        if fresh:
            await self._send("SUBSCRIBE", *self._names(fresh))
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._refusal is not None or self._confirmed.issuperset(channels)
            )
            if not self._confirmed.issuperset(channels):
                self._channels.difference_update(set(channels) - self._confirmed)
                assert self._refusal is not None
                raise self._refusal

    async def remove(self, *channels: str) -> None:
        """Stop listening to these channels."""
        gone = [channel for channel in channels if channel in self._channels]
        self._channels.difference_update(gone)
        self._confirmed.difference_update(gone)
        if gone:
            await self._send("UNSUBSCRIBE", *self._names(gone))

    def _names(self, channels: Iterable[str]) -> list[str]:
        """Return the names of channels in Redis."""
        return [keys.in_database(channel, self._database) for channel in channels]

    def _channel(self, name: bytes) -> str:
        return keys.without_database(name.decode(), self._database)

    async def _send(self, *words: str) -> None:
        """Send a command if the connection is up; a reconnect subscribes all channels anyway."""
        connection = self._connection
        if connection is not None:
            try:
                async with asyncio.timeout(self._settings.response_timeout_seconds):
                    await connection.send_command(*words, check_health=False)
            except refusals.CONNECTION_LOST:
                await hang_up(connection)

    async def _run(self) -> None:
        while True:
            try:
                self._connection = await open_connection(self._settings, self._client_name)
                self._outage.opened(self._client_name)
                link = Link(self._connection, self._settings.response_timeout_seconds)
                if self._channels:
                    await self._send("SUBSCRIBE", *self._names(self._channels))
                else:
                    self._announce(up=True)
                await self._listen(link)
            except Exception as error:  # noqa: BLE001 - retried after any error
                self._failures += 1
                await self._failed(refusals.translate(error))
            finally:
                await self._lost()
            await asyncio.sleep(backoff_seconds(self._failures))

    async def _failed(self, error: RedisError) -> None:
        self._outage.failed(self._client_name, error)
        if isinstance(error, _REFUSALS):
            async with self._changed:
                self._refusal = error
                self._changed.notify_all()
            self._notify(self._on_refused, error)

    async def _lost(self) -> None:
        connection, self._connection = self._connection, None
        self._confirmed.clear()
        self._announce(up=False)
        if connection is not None:
            await hang_up(connection)

    def _announce(self, *, up: bool) -> None:
        if up:
            self._refusal = None
            self._failures = 0  # not at the login: Redis may still refuse the channels
            self._outage.worked(self._client_name)
        if up != self._announced:
            self._announced = up
            self._notify(self._on_connected, up)

    def _notify(self, callback: Callable[..., None], *arguments: Any) -> None:
        """Call a callback. Its errors are logged, so that they do not end the subscription."""
        try:
            callback(*arguments)
        except Exception:
            logger.exception("%s: a callback failed", self._client_name)

    async def _listen(self, link: Link) -> None:
        silent = False
        while True:
            reply = await link.receive(PING_SECONDS)
            if isinstance(reply, Exception):
                raise reply
            if reply is not None:
                silent = False
                await self._handle(reply)
            elif silent:
                raise TimeoutError(f"no sign of life from Redis for {2 * PING_SECONDS:g} s")
            else:
                silent = True
                await self._send("PING")

    async def _handle(self, reply: Any) -> None:
        kind = reply[0] if isinstance(reply, list) else None
        if kind == b"message":
            self._notify(self._on_message, self._channel(reply[1]), reply[2])
        elif kind == b"subscribe":
            channel = self._channel(reply[1])
            async with self._changed:
                if channel in self._channels:  # it may have been removed meanwhile
                    self._confirmed.add(channel)
                self._changed.notify_all()
            if self._confirmed.issuperset(self._channels):
                self._announce(up=True)
