"""A connection for calls that block in Redis, which no other call may share."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from redis.asyncio.connection import AbstractConnection

from identtqueue.errors import RedisError
from identtqueue.protocol.call import Call
from identtqueue.transport import refusals, wire
from identtqueue.transport.link import hang_up
from identtqueue.transport.login import open_connection
from identtqueue.transport.settings import RedisSettings

T = TypeVar("T")


class BlockedConnection:
    """A connection that blocks in one call at a time. It opens at the first call.

    Args:
        settings: how to reach Redis.
        client_name: shown by `CLIENT LIST`.
    """

    def __init__(self, settings: RedisSettings, client_name: str) -> None:
        self._settings = settings
        self._client_name = client_name
        self._connection: AbstractConnection | None = None

    async def run(self, call: Call[T], seconds: float) -> T:
        """Send a call that blocks, and return its parsed reply.

        Args:
            call: the call.
            seconds: how long Redis may block.

        Raises:
            RedisError: Redis cannot be reached, or refused the call. The connection is closed, and
                the next call opens a new one.
        """
        if self._connection is None:
            self._connection = await open_connection(
                self._settings, self._client_name, key=call.keys[0]
            )
        connection = self._connection
        try:
            await connection.send_command(*wire.words(call), check_health=False)
            async with asyncio.timeout(seconds + self._settings.response_timeout_seconds):
                reply = await connection.read_response(disconnect_on_error=False)
        except Exception as error:  # translated
            await self.drop()
            if isinstance(error, RedisError):
                raise
            refusals.fail(error)
        return wire.parse(call, reply)

    async def drop(self) -> None:
        """Close the connection. A reply in transit is lost."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await hang_up(connection)
