"""New connections: connect, log in, and check the server, for asyncio and for threads.

Both kinds take the same steps in the same order. Only the waiting differs.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from redis import connection as blocking
from redis import exceptions as redis_errors
from redis.asyncio import connection as asynchronous

from identtqueue.errors import (
    RedisAddressRefused,
    RedisAuthFailed,
    RedisError,
    RedisProtocolError,
    RedisTlsFailed,
    RedisUnavailable,
    ReplyUnreadable,
)
from identtqueue.protocol.call import Call
from identtqueue.protocol.calls import server_facts
from identtqueue.transport import refusals, slot_map, wire
from identtqueue.transport.address import Server, Topology
from identtqueue.transport.dial import (
    ASYNC_PARSER,
    BLOCKING_PARSER,
    UNNAMED,
    AsyncConnection,
    AsyncTlsConnection,
    BlockingConnection,
    BlockingTlsConnection,
)
from identtqueue.transport.link import hang_up
from identtqueue.transport.offload import offload
from identtqueue.transport.sentinel import check_master, find_master, find_master_blocking
from identtqueue.transport.server import check_server, introduce, is_new
from identtqueue.transport.settings import RedisSettings
from identtqueue.transport.slot_map import SlotMap
from identtqueue.transport.tls import find_trouble

if TYPE_CHECKING:
    from identtqueue.embedded.place import ServerPlace

T = TypeVar("T")

_LOGGED_IN: Final[set[RedisSettings]] = set()
"""Settings that have worked in this process and whose credential files may change."""


async def open_connection(
    settings: RedisSettings,
    client_name: str,
    server: Server | None = None,
    *,
    key: str | None = None,
) -> asynchronous.AbstractConnection:
    """Connect, log in, and check that the server is new enough and has the expected role.

    Args:
        settings: where Redis is.
        client_name: shown by `CLIENT LIST`.
        server: a node of a cluster; None: find the server that the address stands for, from
            Sentinels or nodes if need be.
        key: in a cluster without `server`: connect to the node that has this key; None: to any
            primary.

    Raises:
        RedisUnavailable, RedisAuthFailed, RedisTlsFailed, RedisTooOld, RedisTopologyMismatch:
            Redis cannot be reached or refuses the connection.
        EmbeddedServerFailed: the embedded server can't be started.
    """
    if settings.topology is Topology.CLUSTER and server is None:
        found = await fetch_slots(settings)
        server = found.of(server_facts.server_info()) if key is None else found.of_key(key)
    async with settings.gate.passage() if settings.gate else contextlib.nullcontext():
        return await _log_in(settings, client_name, server)


async def _log_in(
    settings: RedisSettings, client_name: str, server: Server | None
) -> asynchronous.AbstractConnection:
    connection: asynchronous.AbstractConnection | None = None
    try:
        async with asyncio.timeout(settings.connect_timeout_seconds):
            if settings.topology is Topology.SENTINEL:
                server = await find_master(settings)
            connection = await _new_connection(settings, client_name, server)
            await connection.connect()
            info = await _ask(connection, server_facts.server_info())
            check_server(info, settings.topology)
            if is_new(info):
                memory = await _ask(connection, server_facts.memory_info())
                introduce(info, memory, settings, server)
            if settings.topology is Topology.SENTINEL and server is not None:
                check_master(await _ask(connection, server_facts.role()), server)
            note_login(settings)
    except BaseException as error:
        if connection is not None:
            await hang_up(connection)
        if isinstance(error, Exception):
            suspect = _tls_suspect(settings, server, error)
            found = await offload(find_trouble, settings, suspect) if suspect else None
            raise as_outage(found or refusals.translate(error), settings) from error
        raise
    return connection


async def fetch_slots(settings: RedisSettings) -> SlotMap:
    """Ask the nodes of a cluster for the slot map, and return that of the first that answers.

    Raises:
        RedisUnavailable: no node answers.
        RedisError: a node refuses the connection.
    """
    reason: RedisError = RedisUnavailable("Redis can't be reached: no node is known")
    for server in slot_map.candidates(settings):
        try:
            connection = await open_connection(settings, "identtqueue-slots", server)
        except RedisUnavailable as error:
            reason = error
            continue
        try:
            async with asyncio.timeout(settings.response_timeout_seconds):
                return slot_map.learn(
                    settings, await _ask(connection, server_facts.cluster_slots()), server
                )
        except (RedisUnavailable, *refusals.CONNECTION_LOST) as error:
            reason = refusals.translate(error)
        finally:
            await hang_up(connection)
    raise reason


async def _new_connection(
    settings: RedisSettings, client_name: str, server: Server | None
) -> asynchronous.AbstractConnection:
    """Create a connection without opening it. The caller sets time-outs, one per batch."""
    arguments = settings.connection_arguments(server)
    kind: type[asynchronous.AbstractConnection] = asynchronous.UnixDomainSocketConnection
    if settings.uses_socket_file and settings.reach is not None:
        raise RedisAddressRefused(settings.safe_address)
    if settings.place.embedded is not None:
        arguments["path"] = await offload(_start_embedded, settings.place.embedded)
    if not settings.uses_socket_file:
        kind = AsyncTlsConnection if settings.uses_tls else AsyncConnection
        arguments["reply_budget"] = settings.reply_budget
        arguments["reach"] = settings.reach
    return kind(
        **arguments,
        protocol=2,
        socket_timeout=None,
        socket_connect_timeout=settings.connect_timeout_seconds,
        client_name=client_name,
        parser_class=ASYNC_PARSER,
        **UNNAMED,
    )


async def _ask(connection: asynchronous.AbstractConnection, call: Call[T]) -> T:
    await connection.send_command(*wire.words(call), check_health=False)
    try:
        return wire.parse(call, await connection.read_response())
    except redis_errors.NoPermissionError as error:
        raise refusals.translate(error, call) from error
    except ReplyUnreadable as error:
        raise RedisProtocolError(f"the server that answers is not Redis: {error}") from error


def _tls_suspect(settings: RedisSettings, server: Server | None, error: Exception) -> Server | None:
    """Return the server whose TLS may be why the login failed; None if TLS can't be the reason."""
    if not (settings.uses_tls and isinstance(refusals.translate(error), RedisUnavailable)):
        return None
    return server or next(iter(settings.place.servers), None)


# --- a login that worked before ---


def note_login(settings: RedisSettings) -> None:
    """Remember that a login with these settings has worked."""
    if settings.rereads_credentials:
        _LOGGED_IN.add(settings)


def as_outage(error: RedisError, settings: RedisSettings) -> RedisError:
    """Turn the refusal of a login that worked before into an outage, which is retried.

    The credentials may be in rotation. Files are read at each login, and a mounted Secret follows a
    rotation by up to a minute, so a retry may help. A login that never worked stays refused.

    Args:
        error: the error of the login.
        settings: the settings of the connection.
    """
    if isinstance(error, RedisAuthFailed | RedisTlsFailed) and settings in _LOGGED_IN:
        return RedisUnavailable(f"{error}; its file is read again")
    return error


# --- for threads ---


def open_blocking(
    settings: RedisSettings, client_name: str, server: Server | None = None
) -> blocking.AbstractConnection:
    """Connect, log in and check the server, like `open_connection`.

    Args:
        settings: where Redis is.
        client_name: shown by `CLIENT LIST`.
        server: the server to connect to. It is required for a cluster.

    Raises:
        RedisUnavailable, RedisAuthFailed, RedisTlsFailed, RedisTooOld, RedisTopologyMismatch:
            Redis cannot be reached or refuses the connection.
        EmbeddedServerFailed: the embedded server can't be started.
    """
    connection: Any = None
    try:
        if settings.topology is Topology.SENTINEL:
            server = find_master_blocking(settings)
        connection = _new_blocking(settings, client_name, server)
        connection.connect()
        info = _ask_blocking(connection, server_facts.server_info())
        check_server(info, settings.topology)
        if is_new(info):
            memory = _ask_blocking(connection, server_facts.memory_info())
            introduce(info, memory, settings, server)
        if settings.topology is Topology.SENTINEL and server is not None:
            check_master(_ask_blocking(connection, server_facts.role()), server)
        note_login(settings)
    except Exception as error:
        if connection is not None:
            connection.disconnect()
        suspect = _tls_suspect(settings, server, error)
        found = find_trouble(settings, suspect) if suspect else None
        raise as_outage(found or refusals.translate(error), settings) from error
    return cast("blocking.AbstractConnection", connection)


def fetch_slots_blocking(settings: RedisSettings) -> SlotMap:
    """Ask the nodes of a cluster for the slot map, like `fetch_slots`.

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
            reply = _ask_blocking(connection, server_facts.cluster_slots())
            return slot_map.learn(settings, reply, server)
        except (RedisUnavailable, *refusals.CONNECTION_LOST) as error:
            reason = refusals.translate(error)
        finally:
            connection.disconnect()
    raise reason


def _new_blocking(settings: RedisSettings, client_name: str, server: Server | None) -> Any:
    arguments = settings.connection_arguments(server)
    if settings.place.embedded is not None:
        arguments["path"] = _start_embedded(settings.place.embedded)
    kind: type[BlockingConnection | blocking.UnixDomainSocketConnection] = BlockingConnection
    if settings.uses_tls:
        kind = BlockingTlsConnection
    elif settings.uses_socket_file:
        kind = blocking.UnixDomainSocketConnection
    return kind(
        **arguments,
        protocol=2,
        socket_timeout=settings.response_timeout_seconds,
        socket_connect_timeout=settings.connect_timeout_seconds,
        client_name=client_name,
        parser_class=BLOCKING_PARSER,
        **UNNAMED,
    )


def _start_embedded(place: ServerPlace) -> str:
    """Start an embedded server if it does not run; return the path of its socket."""
    from identtqueue.embedded.share import ensure  # noqa: PLC0415 - other addresses don't need it

    return ensure(place)


def _ask_blocking(connection: Any, call: Call[T]) -> T:
    connection.send_command(*wire.words(call), check_health=False)
    try:
        return wire.parse(call, connection.read_response())
    except redis_errors.NoPermissionError as error:
        raise refusals.translate(error, call) from error
