"""Asking the Sentinels where the master is. This is done at every connect, since it may have moved.

This follows Redis' guidelines for Sentinel clients: the first Sentinel that answers and knows a
healthy master is believed, and the caller checks the role after it has connected
(`check_master`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from redis import exceptions as redis_errors
from redis import sentinel as blocking_sentinel
from redis.asyncio import sentinel as asyncio_sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from identtqueue.errors import (
    RedisAddressRefused,
    RedisAuthFailed,
    RedisError,
    RedisTlsFailed,
    RedisTopologyMismatch,
    RedisUnavailable,
)
from identtqueue.transport import refusals
from identtqueue.transport.address import Server
from identtqueue.transport.dial import UNNAMED, AsyncConnection, AsyncTlsConnection, with_host_check
from identtqueue.transport.settings import RedisSettings

_REFUSED: Final = (
    *refusals.CONNECTION_LOST,
    redis_errors.RedisError,
    # redis-py raises these if the answer is not one of a Sentinel.
    *(ValueError, TypeError, LookupError, AttributeError),
)


async def find_master(settings: RedisSettings) -> Server:
    """Ask the Sentinels for the address of the master.

    Raises:
        RedisUnavailable: no Sentinel answers, or the master is down and no replica has taken its
            place yet.
        RedisTopologyMismatch: no Sentinel knows a master of that name, or the servers are not
            Sentinels.
        RedisAuthFailed, RedisTlsFailed: the Sentinels refuse the login or the certificate.
        RedisAddressRefused: a rule of the settings forbids the addresses of the Sentinels.
    """
    arguments = _arguments(settings) | {"retry": AsyncRetry(NoBackoff(), 0)}
    name = settings.place.master_name
    kind = AsyncTlsConnection if settings.uses_tls else AsyncConnection
    sentinel = asyncio_sentinel.Sentinel(_pairs(settings), sentinel_kwargs=arguments)
    for client in sentinel.sentinels:
        client.connection_pool.connection_class = kind
        client.connection_pool.connection_kwargs["reply_budget"] = settings.reply_budget
        client.connection_pool.connection_kwargs["reach"] = settings.reach
    try:
        return Server.announced(*await sentinel.discover_master(name))
    except _REFUSED:  # ask each Sentinel, to find out why
        answers: list[Any] = []
        for client in sentinel.sentinels:
            try:
                answers.append(await client.sentinel_masters())
            except _REFUSED as error:
                answers.append(error)
    finally:
        for client in sentinel.sentinels:
            await client.aclose()
    raise _explain(settings, answers)


def find_master_blocking(settings: RedisSettings) -> Server:
    """Ask the Sentinels for the address of the master: see `find_master`."""
    arguments = _arguments(settings) | {"retry": Retry(NoBackoff(), 0)}
    name = settings.place.master_name
    sentinel = blocking_sentinel.Sentinel(_pairs(settings), sentinel_kwargs=arguments)
    try:
        return Server.announced(*sentinel.discover_master(name))
    except _REFUSED:
        answers: list[Any] = []
        for client in sentinel.sentinels:
            try:
                answers.append(client.sentinel_masters())
            except _REFUSED as error:
                answers.append(error)
    finally:
        for client in sentinel.sentinels:
            client.close()
    raise _explain(settings, answers)


def check_master(role: list[Any], server: Server) -> None:
    """Refuse a server that the Sentinels still name although it was demoted.

    Args:
        role: the reply to `ROLE`.
        server: the server that gave it.

    Raises:
        RedisUnavailable: the server is a replica.
    """
    if role[0] != b"master":
        raise RedisUnavailable(
            f"Redis can't be reached: the Sentinels name {server}, which is a replica; a failover "
            "is under way"
        )


def _pairs(settings: RedisSettings) -> list[tuple[str, int]]:
    return [(server.host, server.port) for server in settings.place.servers]


def _arguments(settings: RedisSettings) -> dict[str, Any]:
    # All Sentinels share the time-out of one connect, so that a silent one does not use it up.
    seconds = settings.connect_timeout_seconds / len(settings.place.servers) / 2
    arguments = settings.sentinel_arguments()
    return (with_host_check(arguments) if settings.uses_tls else arguments) | {
        "ssl": settings.uses_tls,
        "protocol": 2,
        "decode_responses": True,
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
        "client_name": "identtqueue-sentinel",
        **UNNAMED,
    }


def _explain(settings: RedisSettings, answers: Sequence[Any]) -> RedisError:
    """Make the error for a master that was not found.

    Args:
        settings: where the Sentinels are.
        answers: the answer of each Sentinel: a table of masters, or an error.
    """
    name = settings.place.master_name
    tables = [answer for answer in answers if not isinstance(answer, Exception)]
    if any(name in table for table in tables):
        return RedisUnavailable(
            f"Redis can't be reached: the Sentinels see master {name!r} down, and there is no new "
            "one yet"
        )
    if tables:
        known = sorted({master for table in tables for master in table})
        return RedisTopologyMismatch(
            f"no Sentinel knows a master named {name!r}; they know {', '.join(known) or 'none'}"
        )
    errors = [refusals.translate(answer) for answer in answers]
    each = "; ".join(
        f"{server}: {error}" for server, error in zip(settings.place.servers, errors, strict=True)
    )
    if any("unknown command" in str(error) for error in errors):
        return RedisTopologyMismatch(
            f"redis+sentinel:// needs the addresses of Sentinels (usually port 26379): {each}"
        )
    refused = next((error for error in errors if isinstance(error, RedisAddressRefused)), None)
    if refused is not None:
        return refused
    for kind in (RedisAuthFailed, RedisTlsFailed):
        if any(isinstance(error, kind) for error in errors):
            return kind(f"the Sentinels refuse us: {each}")
    return RedisUnavailable(f"Redis can't be reached: no Sentinel answers: {each}")
