"""An open asyncio connection, which sends, reads, and closes when Redis falls silent.

The time-out guards against silence, not against size. A megabyte over a slow link takes long, but
each byte that moves in either direction shows that the other side is alive. On a half-open
connection no byte moves.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final

import hiredis
from redis import exceptions as redis_errors
from redis.asyncio.connection import AbstractConnection

from identtqueue.transport import refusals, wire
from identtqueue.transport.budget import ReplyMeter
from identtqueue.transport.dial import ASYNC_PARSER

READ_BYTES: Final = 65_536
LOOKS_PER_SILENCE: Final = 4
"""How often the link checks for silence within the time-out. So silence is noticed at most a
quarter of the time-out too late."""

_NOTHING: Final = object()


class Link:
    """An open connection that is logged in.

    Args:
        connection: the connection, without a call on its way. From now on only the link uses it.
        silence_seconds: how long no byte may move, in either direction, while a reply is awaited.
        on_lost: called when the connection ends while it is idle, unless `close` was called.
    """

    def __init__(
        self,
        connection: AbstractConnection,
        silence_seconds: float,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        # redis-py opens the connection, but it reads one reply with five coroutines. A busy worker
        # reads tens of thousands per second, so the link takes the streams and reads by itself.
        self._connection = connection
        self._reader: asyncio.StreamReader = connection._reader  # type: ignore[assignment]  # noqa: SLF001
        self._writer: asyncio.StreamWriter = connection._writer  # type: ignore[assignment]  # noqa: SLF001
        self._meter: ReplyMeter | None = getattr(connection, "meter", None)
        self._parser = hiredis.Reader(
            protocolError=redis_errors.InvalidResponse,
            replyError=_error_of,
            notEnoughData=_NOTHING,
        )
        self._loop = asyncio.get_running_loop()
        self._silence = silence_seconds
        self._on_lost = on_lost
        self._received = 0
        self._busy = False
        self._silent = False
        self._sign: object = None  # a value that changes with each byte that moves
        self._alive_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        # asyncio reports only to the reader that the other side has closed the connection.
        self._reader.feed_eof, self._feed_eof = self._note_end, self._reader.feed_eof  # type: ignore[method-assign]

    @property
    def lost(self) -> bool:
        """Whether the connection has ended while it was idle."""
        return self._reader.at_eof() or self._reader.exception() is not None

    async def exchange(self, commands: Sequence[bytes], replies: int | None = None) -> list[Any]:
        """Send encoded commands and return their replies; an error reply is a value among them.

        Args:
            commands: the commands to send together.
            replies: how many replies to read; default: one for each command.

        Raises:
            RedisUnavailable: the connection ended, or Redis was silent for too long.
            RedisProtocolError: the data is not in Redis' protocol, or exceeds the budget.
        """
        self._begin()
        try:
            self._writer.writelines(commands)
            await self._writer.drain()
            return await self._read(len(commands) if replies is None else replies)
        except (redis_errors.InvalidResponse, MemoryError) as error:
            refusals.fail(error)
        except refusals.CONNECTION_LOST as error:
            silent = TimeoutError(f"no sign of life from Redis for {self._silence:g} s")
            refusals.fail(silent if self._silent else error)
        finally:
            self._busy = False
            if self._meter is not None:
                self._meter.begin()

    async def receive(self, seconds: float) -> Any:
        """Read a message that Redis sends by itself, such as one of pub/sub.

        Args:
            seconds: how long to wait for the next byte.

        Returns:
            The message, or None if no byte has arrived for that time.

        Raises:
            OSError, redis.ConnectionError: the connection ended.
            redis.InvalidResponse: the data is not in Redis' protocol, or exceeds the budget.
        """
        if self._meter is not None and self._meter.between_replies:
            self._meter.begin()
        while (reply := self._parser.gets()) is _NOTHING:
            try:
                async with asyncio.timeout(seconds):
                    await self._feed()
            except TimeoutError:
                return None
        return reply

    async def close(self) -> None:
        """Close the connection at once, without a TLS shutdown."""
        self._on_lost = None
        if self._timer is not None:
            self._timer.cancel()
        await hang_up(self._connection)

    async def _read(self, number: int) -> list[Any]:
        replies: list[Any] = []
        take = self._parser.gets  # returns a reply that is complete, else `_NOTHING`
        while len(replies) < number:
            reply = take()
            if reply is not _NOTHING:
                replies.append(reply)
                continue
            await self._feed()
        return replies

    async def _feed(self) -> None:
        data = await self._reader.read(READ_BYTES)
        if not data:
            raise redis_errors.ConnectionError("Connection closed by server.")
        self._received += len(data)
        self._parser.feed(data)

    # --- signs of life ---

    def _begin(self) -> None:
        """Measure silence from now on. A timer of the last exchange may still run: it is reused."""
        self._busy = True
        if self._meter is not None:
            self._meter.begin()
        self._alive_at = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._silence / LOOKS_PER_SILENCE, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._busy:
            return
        sign, now = self._moved(), self._loop.time()
        if sign != self._sign:
            self._sign, self._alive_at = sign, now
        left = self._alive_at + self._silence - now
        if left <= 0:
            self._silent = True
            _abort(self._writer)
            return
        pause = min(left, self._silence / LOOKS_PER_SILENCE)
        self._timer = self._loop.call_later(pause, self._look)

    def _moved(self) -> tuple[int, int, int]:
        """Count the bytes received, and those that wait to be sent, here and in the kernel."""
        transport = self._writer.transport
        plain: socket.socket | None = transport.get_extra_info("socket")
        unsent = 0 if plain is None else wire.unsent_bytes(plain.fileno())
        return self._received, transport.get_write_buffer_size(), unsent

    def _note_end(self) -> None:
        self._feed_eof()
        if self._on_lost is not None and not self._busy:
            self._on_lost()
            self._on_lost = None


def _error_of(text: str) -> Exception:
    """Make the exception for an error reply.

    redis-py parses some of them (`MOVED` has a slot and an address). For one that it can't parse it
    raises errors of many kinds.
    """
    try:
        parsed: Exception = ASYNC_PARSER.parse_error(text)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise redis_errors.InvalidResponse("an error reply can't be read") from error
    return parsed


async def hang_up(connection: AbstractConnection) -> None:
    """Close a connection at once, without a TLS shutdown.

    The event loop may end before the server answers a shutdown.
    """
    writer = connection._writer  # noqa: SLF001 - redis-py can close a connection, but not abort it
    await connection.disconnect(nowait=True)
    if writer is not None:
        _abort(writer)
        await asyncio.sleep(0)  # for the loop to close the socket


def _abort(writer: asyncio.StreamWriter) -> None:
    # Before Python 3.11.4, `abort` raises this for a TLS transport that was closed twice.
    with contextlib.suppress(AttributeError):
        writer.transport.abort()
