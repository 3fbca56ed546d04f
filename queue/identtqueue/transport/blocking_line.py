"""One blocking connection to one server."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from redis import exceptions as redis_errors
from redis.connection import AbstractConnection

from identtqueue.errors import RedisUnavailable
from identtqueue.transport import refusals, wire
from identtqueue.transport.backoff import backoff_seconds
from identtqueue.transport.blocking import Packed

PIECE_BYTES: Final = 64 * 1024
"""Size of the pieces that are written to the socket. The response time-out holds for each piece."""

KNOCK_SECONDS: Final = 0.25
"""How long, at most, a failed attempt to connect counts for all threads, so that the others fail at
once instead of trying again themselves."""

_ASKING: Final = wire.pack_words("ASKING")


class Line:
    """A connection that opens for the first batch, and again for the first batch after each loss.

    Args:
        open_: connects and logs in.

    Attributes:
        failures: how many batches or attempts to connect have failed in a row. Its owner counts a
            batch that Redis answered, but could not run.
    """

    def __init__(self, open_: Callable[[], AbstractConnection]) -> None:
        self.failures = 0
        self._open = open_
        self._connection: AbstractConnection | None = None
        self._refusal = ""  # why the last attempt to connect failed
        self._not_before = 0.0

    def ask(self, batch: Sequence[Packed], *, asking: bool = False) -> list[Any]:
        """Send a batch and read its raw replies; load scripts that Redis does not have.

        Args:
            batch: the calls; only one if `asking`.
            asking: whether to send ASKING first, for a slot that is on its way to this node.

        Raises:
            RedisError: Redis could not be reached or refuses the connection.
        """
        if self._connection is None:
            self._connection = self._connect()
        try:
            if asking:
                return self._talk([_ASKING, batch[0].data])[1:]
            replies = self._talk([item.data for item in batch])
            missing = wire.missing_scripts(replies)
            if missing:
                wire.check_loaded(self._talk(wire.pack_load()))
                again = self._talk([batch[i].data for i in missing])
                for i, reply in zip(missing, again, strict=True):
                    replies[i] = reply
        except BaseException:  # also an interrupt: its late reply must not answer the next call
            self.failures += 1
            self.drop()
            raise
        return replies

    def drop(self) -> None:
        """Close the connection; the next batch opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()

    def _connect(self) -> AbstractConnection:
        """Open the connection, but after a failure no sooner than a single caller would.

        Each thread retries for itself. Without this, a hundred threads would try to connect a
        hundred times as often.
        """
        if time.monotonic() < self._not_before:
            raise RedisUnavailable(self._refusal)
        try:
            connection = self._open()
        except RedisUnavailable as error:
            self.failures += 1
            self._refusal = str(error)
            pause = min(backoff_seconds(self.failures) / 2, KNOCK_SECONDS)
            self._not_before = time.monotonic() + pause
            raise
        return connection

    def _talk(self, packed: Sequence[bytes]) -> list[Any]:
        connection = self._connection
        assert connection is not None
        try:
            unsent = _send(connection, b"".join(packed))
            return [_reply(connection, unsent) for _ in packed]
        except (*refusals.CONNECTION_LOST, redis_errors.InvalidResponse) as error:
            refusals.fail(error)


def _send(connection: AbstractConnection, data: bytes) -> int:
    """Send data in pieces, each with its own time-out, and return how much the kernel still holds.

    Python's `sendall` has one time-out for all its data, even while bytes keep moving.
    """
    if len(data) <= PIECE_BYTES:
        connection.send_packed_command([data], check_health=False)
        return 0
    view = memoryview(data)
    for start in range(0, len(data), PIECE_BYTES):
        connection.send_packed_command([view[start : start + PIECE_BYTES]], check_health=False)
    return wire.unsent_bytes(_socket_of(connection).fileno())


def _reply(connection: AbstractConnection, unsent: int) -> Any:
    """Read one reply; an error reply is a value. Silence counts from the last byte that moved."""
    while True:
        try:
            return _read(connection)
        except redis_errors.TimeoutError:
            left = wire.unsent_bytes(_socket_of(connection).fileno()) if unsent else 0
            if left >= unsent:
                raise
            unsent = left


def _read(connection: AbstractConnection) -> Any:
    try:
        return connection.read_response(disconnect_on_error=False)
    except redis_errors.BusyLoadingError as error:
        return error  # for redis-py it is a lost connection, but it is only an error reply
    except refusals.CONNECTION_LOST:
        raise
    except redis_errors.InvalidResponse:
        raise
    except Exception as error:  # noqa: BLE001 - redis-py raises error replies
        return error


def _socket_of(connection: AbstractConnection) -> socket.socket:
    return cast("Any", connection)._sock  # type: ignore[no-any-return]  # noqa: SLF001
