"""The blocking connection: for threads, and for programs without an event loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar, cast

from redis import exceptions as redis_errors
from redis.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)

from identtqueue.errors import RedisError, RedisUnavailable
from identtqueue.protocol import commands
from identtqueue.protocol.commands import Call, Word
from identtqueue.transport import slots, wire
from identtqueue.transport.address import Server, Topology
from identtqueue.transport.combine import Combiner
from identtqueue.transport.sentinel import find_master_blocking
from identtqueue.transport.server import check_server, introduce, is_new
from identtqueue.transport.settings import RedisSettings
from identtqueue.transport.slots import SlotMap
from identtqueue.transport.tls import find_trouble

T = TypeVar("T")


def open_blocking(
    settings: RedisSettings, client_name: str, server: Server | None = None
) -> AbstractConnection:
    """As `aio.open_connection`; of a cluster, name the server.

    Raises:
        RedisUnavailable, RedisAuthFailed, RedisTlsFailed, RedisTooOld, RedisTopologyMismatch: it
            is not to be had.
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
    except Exception as error:  # noqa: BLE001 - translated
        if connection is not None:
            connection.disconnect()
        _fail(settings, server, error)
    return cast("AbstractConnection", connection)


def fetch_slots_blocking(settings: RedisSettings) -> SlotMap:
    """As `aio.fetch_slots`."""
    reason: RedisError = RedisUnavailable("Redis can't be reached: no node is known")
    for server in slots.candidates(settings):
        try:
            connection = open_blocking(settings, "identtqueue-slots", server)
        except RedisUnavailable as error:
            reason = error
            continue
        try:
            return slots.learn(settings, _ask(connection, commands.cluster_slots()), server)
        except (RedisUnavailable, *wire.CONNECTION_LOST) as error:
            reason = wire.translate(error)
        finally:
            connection.disconnect()
    raise reason


def _fail(settings: RedisSettings, server: Server | None, error: Exception) -> NoReturn:
    """Raise the translated error; if TLS may be the trouble, look closer."""
    translated: RedisError = wire.translate(error)
    server = server or next(iter(settings.place.servers), None)
    if settings.uses_tls and isinstance(translated, RedisUnavailable) and server is not None:
        translated = find_trouble(settings, server) or translated
    raise wire.as_outage(translated, settings) from error


def _new_connection(settings: RedisSettings, client_name: str, server: Server | None) -> Any:
    kind: type[Connection | UnixDomainSocketConnection] = Connection
    if settings.uses_tls:
        kind = SSLConnection
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
        return call.parse(connection.read_response())
    except redis_errors.NoPermissionError as error:
        raise wire.translate(error, call) from error


class SyncRedis:
    """Runs calls, one batch at a time. Threads may share it: they share round trips, too.

    Args:
        settings: where Redis is.
        client_name: shown by `CLIENT LIST`.
        retry_for_seconds: how long a batch is retried while Redis can't be reached.
        pause: how it waits between attempts; an event's `wait` lets it be interrupted.
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
        self._client_name = client_name
        self._retry_for = retry_for_seconds
        self._pause = pause
        self._combiner = Combiner(self._exchange)
        self._connection: AbstractConnection | None = None

    def run(self, call: Call[T], *, retry_for_seconds: float | None = None) -> T:
        """Send one call; gives its parsed reply.

        Raises:
            RedisUnavailable: not reached within `retry_for_seconds`.
            RedisError: Redis refused it.
        """
        return self.run_all([call], retry_for_seconds=retry_for_seconds)[0]

    def run_all(
        self, calls: Sequence[Call[T]], *, retry_for_seconds: float | None = None
    ) -> list[T]:
        """Send many calls in one batch; gives their parsed replies in order."""
        patience = self._retry_for if retry_for_seconds is None else retry_for_seconds
        deadline, failures = time.monotonic() + patience, 0
        while True:
            try:
                replies = self._combiner.run(calls)
                _raise_first(replies)
                break
            except RedisUnavailable:
                failures += 1
                left = deadline - time.monotonic()
                if left <= 0 or not all(call.repeatable for call in calls):
                    raise
                self._pause(min(left, wire.backoff_seconds(failures)))
        return [call.parse(reply) for call, reply in zip(calls, replies, strict=True)]

    def close(self) -> None:
        """Close the connection; it opens again on the next call."""
        self._combiner.alone(self._drop)

    def _exchange(self, calls: Sequence[Call[Any]]) -> list[Any]:
        """Send them and read the replies; what Redis refuses is an error in its reply's place."""
        replies = self._replies(calls)
        for i, (call, reply) in enumerate(zip(calls, replies, strict=True)):
            if isinstance(reply, Exception):
                replies[i] = error = wire.translate(reply, call)
                error.__cause__ = reply
                if isinstance(error, RedisUnavailable):
                    self._drop()
        return replies

    def _replies(self, calls: Sequence[Call[Any]]) -> list[Any]:
        """Replies and error replies; scripts that Redis does not have are loaded."""
        if self._connection is None:
            self._connection = self._open()
        try:
            replies = self._talk([self._words(call) for call in calls])
            missing = [i for i, reply in enumerate(replies) if wire.is_missing_script(reply)]
            if missing:
                wire.check_loaded(self._talk(wire.load_words()))
                again = self._talk([self._words(calls[i]) for i in missing])
                for i, reply in zip(missing, again, strict=True):
                    replies[i] = reply
        except BaseException:  # also an interrupt: its reply must not answer the next call
            self._drop()
            raise
        return replies

    def _open(self) -> AbstractConnection:
        return open_blocking(self.settings, self._client_name)

    def _words(self, call: Call[Any]) -> tuple[Word, ...]:
        return wire.words(call)

    def _talk(self, batch: Sequence[tuple[Word, ...]]) -> list[Any]:
        connection = self._connection
        assert connection is not None
        replies: list[Any] = []
        try:
            connection.send_packed_command(wire.pack(batch), check_health=False)
            for _ in batch:
                try:
                    replies.append(connection.read_response(disconnect_on_error=False))
                except wire.CONNECTION_LOST:
                    raise
                except Exception as error:  # noqa: BLE001 - redis-py raises what Redis replied
                    replies.append(error)
        except wire.CONNECTION_LOST as error:
            wire.fail(error)
        return replies

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()


def _raise_first(replies: Sequence[Any]) -> None:
    for reply in replies:
        if isinstance(reply, RedisError):
            raise reply
