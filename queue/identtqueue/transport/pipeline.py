"""The asyncio connection: any number of coroutines share it, and calls are pipelined automatically.

While one batch is on its way, new calls gather and are sent together as the next one. So a single
call costs one round trip, and a thousand at once cost about two. A batch is bounded in calls and in
bytes, and small calls go before big ones (`lanes`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeVar, cast

from redis import exceptions as redis_errors
from redis.asyncio.connection import AbstractConnection, UnixDomainSocketConnection

from identtqueue.errors import (
    RedisAddressRefused,
    RedisError,
    RedisProtocolError,
    RedisUnavailable,
    ReplyUnreadable,
)
from identtqueue.protocol import commands
from identtqueue.protocol.call import Call
from identtqueue.transport import slot_map, wire
from identtqueue.transport.address import Server, Topology
from identtqueue.transport.dial import AsyncConnection, AsyncTlsConnection
from identtqueue.transport.lanes import Lanes, Waiting
from identtqueue.transport.link import Link, hang_up
from identtqueue.transport.offload import offload
from identtqueue.transport.outage import Outage
from identtqueue.transport.sentinel import find_master
from identtqueue.transport.server import check_server, introduce, is_new
from identtqueue.transport.settings import RedisSettings
from identtqueue.transport.slot_map import SlotMap
from identtqueue.transport.tls import find_trouble

logger = logging.getLogger(__name__)

T = TypeVar("T")


def new_connection(
    settings: RedisSettings, client_name: str, server: Server | None = None
) -> AbstractConnection:
    """Create a connection without opening it. The caller sets time-outs, one per batch.

    Args:
        settings: where Redis is.
        client_name: shown by `CLIENT LIST`.
        server: the server to connect to; None: the first one that the address names.

    Raises:
        RedisAddressRefused: a rule for addresses is set, which a socket file can't satisfy.
        RedisAuthFailed, RedisTlsFailed: a file that should hold a credential can't be read.
    """
    arguments = settings.connection_arguments(server)
    kind: type[AbstractConnection] = UnixDomainSocketConnection
    if settings.uses_socket_file and settings.reach is not None:
        raise RedisAddressRefused(settings.safe_address)
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
        driver_info=None,
    )


async def open_connection(
    settings: RedisSettings,
    client_name: str,
    server: Server | None = None,
    *,
    key: str | None = None,
) -> AbstractConnection:
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
    """
    if settings.topology is Topology.CLUSTER and server is None:
        found = await fetch_slots(settings)
        server = found.of(commands.server_info()) if key is None else found.of_key(key)
    async with settings.gate.passage() if settings.gate else contextlib.nullcontext():
        return await _open(settings, client_name, server)


async def _open(
    settings: RedisSettings, client_name: str, server: Server | None
) -> AbstractConnection:
    connection: AbstractConnection | None = None
    try:
        async with asyncio.timeout(settings.connect_timeout_seconds):
            if settings.topology is Topology.SENTINEL:
                server = await find_master(settings)
            connection = new_connection(settings, client_name, server)
            await connection.connect()
            info = await _ask(connection, commands.server_info())
            check_server(info, settings.topology)
            if is_new(info):
                memory = await _ask(connection, commands.memory_info())
                introduce(info, memory, settings, server)
            if settings.topology is Topology.SENTINEL and server is not None:
                wire.check_master(await _ask(connection, commands.role()), server)
            wire.note_login(settings)
    except BaseException as error:
        if connection is not None:
            await hang_up(connection)
        if isinstance(error, Exception):
            await _fail(settings, server, error)
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
                    settings, await _ask(connection, commands.cluster_slots()), server
                )
        except (RedisUnavailable, *wire.CONNECTION_LOST) as error:
            reason = wire.translate(error)
        finally:
            await hang_up(connection)
    raise reason


async def _fail(settings: RedisSettings, server: Server | None, error: Exception) -> NoReturn:
    """Raise the translated error. If TLS may be the cause, find out more first."""
    translated: RedisError = wire.translate(error)
    server = server or next(iter(settings.place.servers), None)
    if settings.uses_tls and isinstance(translated, RedisUnavailable) and server is not None:
        found = await offload(find_trouble, settings, server)
        translated = found or translated
    raise wire.as_outage(translated, settings) from error


async def _ask(connection: AbstractConnection, call: Call[T]) -> T:
    await connection.send_command(*wire.words(call), check_health=False)
    try:
        return wire.parse(call, await connection.read_response())
    except redis_errors.NoPermissionError as error:
        raise wire.translate(error, call) from error
    except ReplyUnreadable as error:
        raise RedisProtocolError(f"the server that answers is not Redis: {error}") from error


class AsyncRedis:
    """A connection that runs calls; it opens on first use, and again after each loss.

    Args:
        settings: where Redis is.
        client_name: shown by `CLIENT LIST`.
        retry_for_seconds: how long a call is retried while Redis can't be reached. 0: not at all.
        outage: logs failures; shared with other connections.

    Attributes:
        on_change: called when the connection was lost or opened again. After a failover or a
            restart, Redis may have lost data.
    """

    def __init__(
        self,
        settings: RedisSettings,
        *,
        client_name: str,
        retry_for_seconds: float,
        outage: Outage | None = None,
    ) -> None:
        self.settings = settings
        self._database = settings.database
        self._client_name = client_name
        self._retry_for = retry_for_seconds
        self._outage = outage or Outage()
        self._waiting = Lanes()
        self._sent: list[Waiting] = []  # the batch that is on its way
        self._wanted = asyncio.Event()
        self._pump_task: asyncio.Task[None] | None = None
        self._link: Link | None = None
        self._opened = False
        self.on_change: Callable[[], None] | None = None
        self._failures = 0
        self._closed = False

    async def connect(self) -> None:
        """Open the connection now, so that a wrong address or login fails early.

        Raises:
            RedisUnavailable, RedisAuthFailed, RedisTlsFailed, RedisTopologyMismatch, RedisTooOld:
                Redis cannot be reached or refuses the connection.
        """
        await self.run(commands.server_info())

    async def run(self, call: Call[T], *, retry_for_seconds: float | None = None) -> T:
        """Send one call and return its parsed reply.

        Args:
            call: the call to send.
            retry_for_seconds: how long to retry; None: as long as the connection's own setting.

        Raises:
            InvalidInput: the call can't be encoded; nothing was sent.
            RedisUnavailable: Redis could not be reached within `retry_for_seconds`.
            RedisError: Redis refused the call, or the call's parser raised it.
        """
        reply = await self._submit(call, self._pack(call), retry_for_seconds)
        return wire.parse(call, reply)

    async def run_all(self, calls: Iterable[Call[T]]) -> list[T]:
        """Send many calls together and return their parsed replies in order.

        Raises:
            InvalidInput, RedisUnavailable, RedisError: for the first call that failed; see `run`.
        """
        answers = await self.run_each(calls)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return cast("list[T]", answers)

    async def run_each(
        self, calls: Iterable[Call[T]], *, retry_for_seconds: float | None = None
    ) -> list[T | Exception]:
        """Send many calls together and collect their replies and errors.

        Args:
            calls: the calls to send.
            retry_for_seconds: see `run`.

        Returns:
            For each call, in order, the value that `run` would return or the error that it would
            raise.

        Raises:
            InvalidInput: a call can't be encoded; none was sent.
        """
        packed = [(call, self._pack(call)) for call in calls]
        sent = [(call, self._submit(call, data, retry_for_seconds)) for call, data in packed]
        await asyncio.gather(*(future for _, future in sent), return_exceptions=True)
        return [_answer(call, future) for call, future in sent]

    def send(self, call: Call[T], on_answer: Callable[[T | Exception], None]) -> None:
        """Send one call after those before it, without waiting for the reply.

        Args:
            call: the call to send.
            on_answer: called with the parsed reply, or with the error that `run` would raise. If
                it raises an error itself, that is logged.

        Raises:
            InvalidInput: the call can't be encoded.
            RedisUnavailable: the client was closed.
        """

        def answer(future: asyncio.Future[Any]) -> None:
            try:
                on_answer(_answer(call, future))
            except Exception:
                logger.exception("handling the reply to %s failed", call.name)

        self._submit(call, self._pack(call)).add_done_callback(answer)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    async def close(self) -> None:
        """Close the connection. Calls without a reply fail with RedisUnavailable."""
        self._closed = True
        if self._pump_task is not None:
            self._pump_task.cancel()
            await asyncio.gather(self._pump_task, return_exceptions=True)
        self._fail([*self._sent, *self._waiting], RedisUnavailable("the client was closed"))
        self._waiting.clear()
        await self._drop()

    def _pack(self, call: Call[Any]) -> bytes:
        return wire.pack(call, database=self._database)

    def _submit(
        self, call: Call[Any], data: bytes, retry_for_seconds: float | None = None
    ) -> asyncio.Future[Any]:
        if self._closed:
            raise RedisUnavailable("the client was closed")
        patience = self._retry_for if retry_for_seconds is None else retry_for_seconds
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.put(Waiting(call, data, future, time.monotonic() + patience))
        return future

    def put(self, item: Waiting) -> None:
        """Queue a call for the next batch."""
        if self._pump_task is None or self._pump_task.done():
            loop = asyncio.get_running_loop()
            self._pump_task = loop.create_task(self._pump(), name=f"redis {self._client_name}")
        self._waiting.put(item)
        self._wanted.set()

    async def _pump(self) -> None:
        """Send the calls that have gathered, batch after batch, for ever."""
        try:
            while True:
                await self._wanted.wait()
                batch = self._sent = self._waiting.take()
                if not batch:
                    self._wanted.clear()
                    continue
                try:
                    await self._exchange(batch)
                except RedisError as error:
                    await self._drop()
                    await self._after_loss(batch, error)
        except GeneratorExit:  # the event loop was closed before: nothing can be awaited any more
            raise
        except BaseException as error:  # this was closed, the loop ends, or there is a bug here
            closed = isinstance(error, asyncio.CancelledError)
            self._fail(self._sent, RedisUnavailable("the client was closed") if closed else error)
            await self._drop()
            raise

    async def _exchange(self, batch: list[Waiting]) -> None:
        """Send a batch and deliver its replies; load scripts that Redis does not have."""
        if self._link is not None and self._link.lost:  # it was lost while it was idle
            await self._drop()
        if self._link is None:
            connection = await self._open()
            self._link = Link(connection, self.settings.response_timeout_seconds, self._changed)
            if self._opened:
                self._changed()
            self._opened = True
        replies = await self._send(self._link, batch)
        missing = wire.missing_scripts(replies)
        if missing:
            wire.check_loaded(await self._link.exchange(wire.pack_load()))
            again = await self._send(self._link, [batch[i] for i in missing])
            for i, reply in zip(missing, again, strict=True):
                replies[i] = reply
        await self._deliver(batch, replies)

    def _changed(self) -> None:
        if self.on_change is not None and not self._closed:
            self.on_change()

    async def _open(self) -> AbstractConnection:
        return await open_connection(self.settings, self._client_name)

    async def _send(self, link: Link, batch: list[Waiting]) -> list[Any]:
        return await link.exchange([item.data for item in batch])

    async def _deliver(self, batch: list[Waiting], replies: list[Any]) -> None:
        passing: list[Waiting] = []
        reason: RedisError | None = None
        stays = True
        for item, reply in zip(batch, replies, strict=True):
            if item.future.done():
                continue
            if not isinstance(reply, Exception):
                item.future.set_result(reply)
                continue
            error = wire.translate(reply, item.call)
            stays = stays and wire.keeps_connection(reply)
            if isinstance(error, RedisUnavailable):  # LOADING, READONLY: nothing was done
                passing.append(item)
                reason = error
            else:
                item.future.set_exception(error)
        if not stays:
            await self._drop()  # after a failover the same name may lead to the new master
        if reason is None:
            self._failures = 0  # not at the login: Redis may still refuse the calls
            self._outage.worked(self._client_name)
        else:
            await self._after_loss(passing, reason, sent=False)

    async def _after_loss(
        self, batch: list[Waiting], error: RedisError, *, sent: bool = True
    ) -> None:
        """Keep the calls that may be sent again, fail the rest, and pause before a new attempt."""
        now = time.monotonic()
        again = [
            item
            for item in batch
            if isinstance(error, RedisUnavailable)
            and now < item.deadline
            and (item.call.repeatable or not sent)
        ]
        kept = set(map(id, again))
        self._fail([item for item in batch if id(item) not in kept], error)
        if isinstance(error, RedisUnavailable):  # else each would wait for its own time-out
            self._fail([item for item in self._waiting if item.deadline <= now], error)
        self._waiting.put_back(again)
        if again:
            self._failures += 1
            pause = min(wire.backoff_seconds(self._failures), max(0.0, again[0].deadline - now))
            self._outage.failed(self._client_name, error)
            await asyncio.sleep(pause)
        else:
            self._outage.gave_up(self._client_name)

    @staticmethod
    def _fail(batch: list[Waiting], error: BaseException) -> None:
        for item in batch:
            if not item.future.done():
                item.future.set_exception(error)

    async def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()


def _answer(call: Call[Any], future: asyncio.Future[Any]) -> Any:
    """Return the parsed reply, or the error that `run` would raise."""
    try:
        return wire.parse(call, future.result())
    except Exception as error:  # noqa: BLE001 - only this call's caller gets it
        return error
