"""The blocking connection, for threads and for programs without an event loop."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, NoReturn, TypeVar, cast

from redis import exceptions as redis_errors
from redis.connection import AbstractConnection, UnixDomainSocketConnection

from identtqueue.errors import RedisError, RedisUnavailable
from identtqueue.protocol import commands
from identtqueue.protocol.call import Call
from identtqueue.transport import slot_map, wire
from identtqueue.transport.address import Server, Topology
from identtqueue.transport.combine import Combiner
from identtqueue.transport.dial import BlockingConnection, BlockingTlsConnection
from identtqueue.transport.sentinel import find_master_blocking
from identtqueue.transport.server import check_server, introduce, is_new
from identtqueue.transport.settings import RedisSettings
from identtqueue.transport.slot_map import SlotMap
from identtqueue.transport.tls import find_trouble

T = TypeVar("T")

PIECE_BYTES: Final = 64 * 1024
"""Size of the pieces that are written to the socket. The response time-out holds for each piece."""

KNOCK_SECONDS: Final = 0.25
"""How long, at most, a failed attempt to connect counts for all threads, so that the others fail at
once instead of trying again themselves."""


def open_blocking(
    settings: RedisSettings, client_name: str, server: Server | None = None
) -> AbstractConnection:
    """Connect, log in and check the server, like `pipeline.open_connection`.

    Args:
        settings: where Redis is.
        client_name: shown by `CLIENT LIST`.
        server: the server to connect to. It is required for a cluster.

    Raises:
        RedisUnavailable, RedisAuthFailed, RedisTlsFailed, RedisTooOld, RedisTopologyMismatch:
            Redis cannot be reached or refuses the connection.
    """
    connection: Any = None
    try:
        if settings.topology is Topology.SENTINEL:
            server = find_master_blocking(settings)
        connection = _new_connection(settings, client_name, server)
        connection.connect()
        info = _ask(connection, commands.server_info())
        check_server(info, settings.topology)
        if is_new(info):
            memory = _ask(connection, commands.memory_info())
            introduce(info, memory, settings, server)
        if settings.topology is Topology.SENTINEL and server is not None:
            wire.check_master(_ask(connection, commands.role()), server)
        wire.note_login(settings)
    except Exception as error:  # noqa: BLE001 - it is translated and raised
        if connection is not None:
            connection.disconnect()
        _fail(settings, server, error)
    return cast("AbstractConnection", connection)


def fetch_slots_blocking(settings: RedisSettings) -> SlotMap:
    """Ask the nodes of a cluster for the slot map, like `pipeline.fetch_slots`.

    Raises:
        RedisUnavailable: no node answers.
        RedisError: a node refuses the connection.
    """
    reason: RedisError = RedisUnavailable("Redis can't be reached: no node is known")
    for server in slot_map.candidates(settings):
        try:
            connection = open_blocking(settings, "identtqueue-slots", server)
        except RedisUnavailable as error:
            reason = error
            continue
        try:
            return slot_map.learn(settings, _ask(connection, commands.cluster_slots()), server)
        except (RedisUnavailable, *wire.CONNECTION_LOST) as error:
            reason = wire.translate(error)
        finally:
            connection.disconnect()
    raise reason


def _fail(settings: RedisSettings, server: Server | None, error: Exception) -> NoReturn:
    """Raise the translated error. If TLS may be the cause, find out more first."""
    translated: RedisError = wire.translate(error)
    server = server or next(iter(settings.place.servers), None)
    if settings.uses_tls and isinstance(translated, RedisUnavailable) and server is not None:
        translated = find_trouble(settings, server) or translated
    raise wire.as_outage(translated, settings) from error


def _new_connection(settings: RedisSettings, client_name: str, server: Server | None) -> Any:
    kind: type[BlockingConnection | UnixDomainSocketConnection] = BlockingConnection
    if settings.uses_tls:
        kind = BlockingTlsConnection
    elif settings.uses_socket_file:
        kind = UnixDomainSocketConnection
    return kind(
        **settings.connection_arguments(server),
        protocol=2,
        socket_timeout=settings.response_timeout_seconds,
        socket_connect_timeout=settings.connect_timeout_seconds,
        client_name=client_name,
        driver_info=None,
    )


def _ask(connection: Any, call: Call[T]) -> T:
    connection.send_command(*wire.words(call), check_health=False)
    try:
        return wire.parse(call, connection.read_response())
    except redis_errors.NoPermissionError as error:
        raise wire.translate(error, call) from error


class Packed(NamedTuple):
    """A call, and its encoded form."""

    call: Call[Any]
    data: bytes

    @property
    def size_bytes(self) -> int:
        """Bytes that it moves in both directions, as far as they are known beforehand."""
        return len(self.data) + self.call.reply_bytes


class SyncRedis:
    """A blocking connection that runs calls, one batch at a time.

    Threads may share it; then they share round trips, too.

    Args:
        settings: where Redis is.
        client_name: shown by `CLIENT LIST`.
        retry_for_seconds: how long a batch is retried while Redis can't be reached.
        pause: waits between attempts; with the `wait` of an event the pause can be interrupted.
    """

    def __init__(
        self,
        settings: RedisSettings,
        *,
        client_name: str,
        retry_for_seconds: float,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self.settings = settings
        self._database = settings.database
        self._client_name = client_name
        self._retry_for = retry_for_seconds
        self._pause = pause
        self._combiner = Combiner(self._exchange, lambda item: item.size_bytes)
        self._connection: AbstractConnection | None = None
        self._failures = 0  # in a row
        self._refusal = ""  # why the last attempt to connect failed
        self._not_before = 0.0

    def run(self, call: Call[T], *, retry_for_seconds: float | None = None) -> T:
        """Send one call and return its parsed reply.

        Args:
            call: the call to send.
            retry_for_seconds: how long to retry; None: as long as the connection's own setting.

        Raises:
            InvalidInput: the call can't be encoded; nothing was sent.
            RedisUnavailable: Redis could not be reached within `retry_for_seconds`.
            RedisError: Redis refused the call, or the call's parser raised it.
        """
        return self.run_all([call], retry_for_seconds=retry_for_seconds)[0]

    def run_all(
        self, calls: Sequence[Call[T]], *, retry_for_seconds: float | None = None
    ) -> list[T]:
        """Send many calls in one batch and return their parsed replies in order.

        Raises:
            InvalidInput, RedisUnavailable, RedisError: for the first call that failed; see `run`.
        """
        patience = self._retry_for if retry_for_seconds is None else retry_for_seconds
        packed = [Packed(call, self._pack(call)) for call in calls]
        deadline = time.monotonic() + patience
        while True:
            try:
                replies = self._combiner.run(packed)
                _raise_first(replies)
                break
            except RedisUnavailable:
                left = deadline - time.monotonic()
                if left <= 0 or not all(call.repeatable for call in calls):
                    raise
                self._pause(min(left, wire.backoff_seconds(max(1, self._failures))))
        return [wire.parse(call, reply) for call, reply in zip(calls, replies, strict=True)]

    def close(self) -> None:
        """Close the connection; the next call opens it again."""
        self._combiner.alone(self._drop)

    def _exchange(self, batch: Sequence[Packed]) -> list[Any]:
        """Send a batch and read the replies. The reply to a call that Redis refuses is an error."""
        replies = self._replies(batch)
        passing = False
        for i, (item, reply) in enumerate(zip(batch, replies, strict=True)):
            if isinstance(reply, Exception):
                replies[i] = error = wire.translate(reply, item.call)
                error.__cause__ = reply
                passing = passing or isinstance(error, RedisUnavailable)
                if not wire.keeps_connection(reply):
                    self._drop()
        self._failures = self._failures + 1 if passing else 0
        return replies

    def _replies(self, batch: Sequence[Packed]) -> list[Any]:
        """Send a batch and read its raw replies; load scripts that Redis does not have."""
        if self._connection is None:
            self._connection = self._connect()
        try:
            replies = self._talk([item.data for item in batch])
            missing = wire.missing_scripts(replies)
            if missing:
                wire.check_loaded(self._talk(wire.pack_load()))
                again = self._talk([batch[i].data for i in missing])
                for i, reply in zip(missing, again, strict=True):
                    replies[i] = reply
        except BaseException:  # also an interrupt: its late reply must not answer the next call
            self._failures += 1
            self._drop()
            raise
        return replies

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
            self._failures += 1
            self._refusal = str(error)
            pause = min(wire.backoff_seconds(self._failures) / 2, KNOCK_SECONDS)
            self._not_before = time.monotonic() + pause
            raise
        return connection

    def _open(self) -> AbstractConnection:
        return open_blocking(self.settings, self._client_name)

    def _pack(self, call: Call[Any]) -> bytes:
        return wire.pack(call, database=self._database)

    def _talk(self, packed: Sequence[bytes]) -> list[Any]:
        connection = self._connection
        assert connection is not None
        try:
            unsent = _send(connection, b"".join(packed))
            return [_reply(connection, unsent) for _ in packed]
        except (*wire.CONNECTION_LOST, redis_errors.InvalidResponse) as error:
            wire.fail(error)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()


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
    except wire.CONNECTION_LOST:
        raise
    except redis_errors.InvalidResponse:
        raise
    except Exception as error:  # noqa: BLE001 - redis-py raises error replies
        return error


def _socket_of(connection: AbstractConnection) -> socket.socket:
    return cast("Any", connection)._sock  # type: ignore[no-any-return]  # noqa: SLF001


def _raise_first(replies: Sequence[Any]) -> None:
    for reply in replies:
        if isinstance(reply, RedisError):
            raise reply
