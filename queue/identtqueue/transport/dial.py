"""redis-py's connections, with host names resolved by `offload`, and with bounds for the operator.

redis-py leaves that to the event loop, which uses its default executor, or to `getaddrinfo`, which
has no time-out. Here each address of a host gets an equal share of the time-out, so that a silent
address (IPv6 without a route, say) does not use up the time of the others.

The asyncio connections also apply a rule for addresses (`reach`) and a bound on replies (`budget`).
"""

from __future__ import annotations

from asyncio import StreamReader
from collections.abc import Mapping
from socket import socket
from typing import Any, Final

import redis
from redis import connection as blocking
from redis import exceptions as redis_errors
from redis.asyncio import connection as asynchronous

from identtqueue.transport.budget import ReplyBudget, ReplyMeter
from identtqueue.transport.offload import resolve, resolve_blocking
from identtqueue.transport.reach import Reach

_NAMES_DRIVERS = tuple(map(int, redis.__version__.split(".")[:2])) >= (7, 2)
UNNAMED: Final[Mapping[str, Any]] = (
    {"driver_info": None} if _NAMES_DRIVERS else {"lib_name": None, "lib_version": None}
)
"""Arguments of redis-py's connections, so that they do not send `CLIENT SETINFO`, which costs a
round trip at each login and is unknown to Redis below 7.2."""


def _with_cluster_errors(parser: type[Any]) -> type[Any]:
    """Return a parser of replies that has a class for each error of a cluster.

    Below version 6, redis-py has them in its own cluster client only.

    Args:
        parser: redis-py's parser.
    """
    known = parser.EXCEPTION_CLASSES
    if "MOVED" in known:
        return parser
    added = {
        "ASK": redis_errors.AskError,
        "CLUSTERDOWN": redis_errors.ClusterDownError,
        "CROSSSLOT": redis_errors.ClusterCrossSlotError,
        "MASTERDOWN": redis_errors.MasterDownError,
        "MOVED": redis_errors.MovedError,
        "TRYAGAIN": redis_errors.TryAgainError,
    }
    return type(parser.__name__, (parser,), {"EXCEPTION_CLASSES": known | added})


ASYNC_PARSER: Final = _with_cluster_errors(asynchronous.DefaultParser)
BLOCKING_PARSER: Final = _with_cluster_errors(blocking.DefaultParser)


def with_host_check(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Add redis-py's option to check the host name, which is not its default below version 6.

    Args:
        arguments: those of a TLS connection. If they say something else, that counts.
    """
    return {"ssl_check_hostname": arguments.get("ssl_cert_reqs") != "none", **arguments}


class AsyncConnection(asynchronous.Connection):
    """A TCP connection for asyncio.

    Args:
        reply_budget: bounds what may be read, from the login on; None: no bound.
        reach: rule for the addresses that it may connect to; None: all.
        arguments: those of redis-py.

    Attributes:
        meter: measures what is read, if there is a budget.
    """

    _address = ""

    def __init__(
        self,
        *,
        reply_budget: ReplyBudget | None = None,
        reach: Reach | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self._reach = reach
        self._reply_budget = reply_budget
        self.meter: ReplyMeter | None = None

    async def _connect(self) -> None:
        await self._connect_to_any()
        if self._reply_budget is not None:
            self.meter = self._reply_budget.meter()
            _measure(self._reader, self.meter)  # type: ignore[arg-type]  # it is connected

    async def _connect_to_any(self) -> None:
        seconds = self.socket_connect_timeout
        addresses = await resolve(self.host, self.port)
        if self._reach is not None:
            addresses = self._reach.permitted(self.host, addresses)
        try:
            for n, self._address in enumerate(addresses, start=1):
                self.socket_connect_timeout = seconds / len(addresses) if seconds else None
                try:
                    await super()._connect()  # type: ignore[no-untyped-call]
                except OSError:  # includes a time-out
                    if n == len(addresses):
                        raise
                else:
                    return
        finally:
            self.socket_connect_timeout = seconds

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {"host": self._address, "port": self.port}


class AsyncTlsConnection(asynchronous.SSLConnection, AsyncConnection):
    """A TLS connection for asyncio. The certificate must match the host name, not the address."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**with_host_check(arguments))

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {**super()._connection_arguments(), "server_hostname": self.host}


def _measure(reader: StreamReader, meter: ReplyMeter) -> None:
    """Pass everything that is read through a meter, whether redis-py or a `Link` reads it."""
    read = reader.read

    async def measured(n: int = -1) -> bytes:
        data = await read(n)
        meter.feed(data)
        return data

    reader.read = measured  # type: ignore[method-assign]


class BlockingConnection(blocking.Connection):
    """A TCP connection for threads."""

    def _connect(self) -> socket:
        name, seconds = self.host, self.socket_connect_timeout
        addresses = resolve_blocking(name, self.port, seconds)
        try:
            for n, self.host in enumerate(addresses, start=1):
                self.socket_connect_timeout = seconds / len(addresses) if seconds else None
                try:
                    return super()._connect()  # type: ignore[no-any-return, no-untyped-call]
                except OSError:
                    if n == len(addresses):
                        raise
        finally:
            self.host, self.socket_connect_timeout = name, seconds
        raise OSError(f"{name} has no address")


class BlockingTlsConnection(blocking.SSLConnection, BlockingConnection):
    """A TLS connection for threads. The certificate must match the host name, not the address."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**with_host_check(arguments))
