"""redis-py's connections, with host names looked up by `offload`.

redis-py leaves the look-up to the event loop, which does it in its default executor, or to
`getaddrinfo`, which has no time-out. Each address of a host gets its share of the time, so that
one that is silent (IPv6 without a route, say) does not use up that of the others.
"""

from __future__ import annotations

from asyncio import StreamReader
from collections.abc import Mapping
from socket import socket
from typing import Any

from redis import connection as blocking
from redis.asyncio import connection as asynchronous

from identtqueue.transport.budget import ReplyBudget, ReplyMeter
from identtqueue.transport.offload import resolve, resolve_blocking
from identtqueue.transport.reach import Reach


class AsyncConnection(asynchronous.Connection):
    """A TCP connection for asyncio.

    Args:
        reply_budget: what may be read from it, from the login on; None: anything.
        reach: which addresses it may connect to; None: all.
        arguments: redis-py's.
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
                except OSError:  # a time-out too
                    if n == len(addresses):
                        raise
                else:
                    return
        finally:
            self.socket_connect_timeout = seconds

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {"host": self._address, "port": self.port}


class AsyncTlsConnection(asynchronous.SSLConnection, AsyncConnection):
    """The same with TLS; the certificate is compared with the host's name, not its address."""

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {**super()._connection_arguments(), "server_hostname": self.host}


def _measure(reader: StreamReader, meter: ReplyMeter) -> None:
    """Have all that is read measured first, whether redis-py reads it or a `Link`."""
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
    """The same with TLS; the certificate is compared with the host's name, not its address."""
