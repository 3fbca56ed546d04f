"""The asyncio connection: any number of coroutines share it, calls are pipelined by themselves.

While one batch is on its way, new calls gather; they leave together in the next. So a lone call
costs one round trip, and a thousand at once cost about two.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeVar

from redis import exceptions as redis_errors
from redis.asyncio.connection import (
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
from identtqueue.transport.outage import Outage
from identtqueue.transport.sentinel import find_master
from identtqueue.transport.server import check_server, introduce, is_new
from identtqueue.transport.settings import RedisSettings
from identtqueue.transport.slots import SlotMap
from identtqueue.transport.tls import find_trouble

T = TypeVar("T")

BATCH_CALLS: Final = 512
"""Calls in one batch at most: bounds the reply that has to be held, and others' waiting."""


def new_connection(
    settings: RedisSettings, client_name: str, server: Server | None = None
) -> AbstractConnection:
    """A connection that is not open yet; time-outs are the caller's (one per batch)."""
    kind: type[AbstractConnection] = Connection
    if settings.uses_tls:
        kind = SSLConnection
    elif settings.uses_socket_file:
        kind = UnixDomainSocketConnection
    return kind(
        **settings.connection_arguments(server),
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
    """An open connection, logged in, to a server that is new enough and has the expected role.

    Args:
        settings: where Redis is.
        client_name: shown by `CLIENT LIST`.
        server: of a cluster; None: what the address means, asking Sentinels or nodes if need be.
        key: of a cluster, whoever has this key; None: any primary.

    Raises:
        RedisUnavailable, RedisAuthFailed, RedisTlsFailed, RedisTooOld, RedisTopologyMismatch: it
            is not to be had.
    """
    if settings.topology is Topology.CLUSTER and server is None:
        found = await fetch_slots(settings)
        server = found.of(commands.server_info()) if key is None else found.of_key(key)
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
    """Which node has which slots, as the first that answers sees it.

    Raises:
        RedisUnavailable: no node answers.
        RedisError: the first node refuses us.
    """
    reason: RedisError = RedisUnavailable("Redis can't be reached: no node is known")
    for server in slots.candidates(settings):
        try:
            connection = await open_connection(settings, "identtqueue-slots", server)
        except RedisUnavailable as error:
            reason = error
            continue
        try:
            async with asyncio.timeout(settings.response_timeout_seconds):
                return slots.learn(
                    settings, await _ask(connection, commands.cluster_slots()), server
                )
        except (RedisUnavailable, *wire.CONNECTION_LOST) as error:
            reason = wire.translate(error)
        finally:
            await hang_up(connection)
    raise reason


async def _fail(settings: RedisSettings, server: Server | None, error: Exception) -> NoReturn:
    """Raise the translated error; if TLS may be the trouble, look closer."""
    translated: RedisError = wire.translate(error)
    server = server or next(iter(settings.place.servers), None)
    if settings.uses_tls and isinstance(translated, RedisUnavailable) and server is not None:
        found = await asyncio.to_thread(find_trouble, settings, server)
        translated = found or translated
    raise wire.as_outage(translated, settings) from error


async def hang_up(connection: AbstractConnection) -> None:
    """Close it at once, without TLS' farewell: the event loop may end before the server answers."""
    writer = connection._writer  # noqa: SLF001 - redis-py can close a connection, but not abort it
    await connection.disconnect(nowait=True)
    if writer is not None:
        # Before Python 3.11.4 a TLS transport that was closed twice has nothing left to abort.
        with contextlib.suppress(AttributeError):
            writer.transport.abort()
        await asyncio.sleep(0)  # for the loop to close the socket


async def _ask(connection: AbstractConnection, call: Call[T]) -> T:
    await connection.send_command(*wire.words(call), check_health=False)
    try:
        return call.parse(await connection.read_response())
    except redis_errors.NoPermissionError as error:
        raise wire.translate(error, call) from error


@dataclass(slots=True, eq=False)
class Waiting:
    """A call on its way, and who waits for it."""

    call: Call[Any]
    future: asyncio.Future[Any]
    deadline: float  # monotonic: no retry after it
    redirects: int = 0  # by the nodes of a cluster
    asking: bool = False  # for once, a node that does not have the slot yet


class AsyncRedis:
    """Runs calls. One connection, opened on first use and again after each loss.

    Args:
        settings: where Redis is.
        client_name: shown by `CLIENT LIST`.
        retry_for_seconds: how long a call is retried while Redis can't be reached. 0: not at all.
        outage: tells the log; shared with other connections.
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
        self._client_name = client_name
        self._retry_for = retry_for_seconds
        self._outage = outage or Outage()
        self._waiting: deque[Waiting] = deque()
        self._sent: list[Waiting] = []  # the batch on its way
        self._wanted = asyncio.Event()
        self._pump_task: asyncio.Task[None] | None = None
        self._connection: AbstractConnection | None = None
        self._failures = 0
        self._closed = False

    async def connect(self) -> None:
        """Open the connection now, to fail early.

        Raises:
            RedisUnavailable, RedisAuthFailed, RedisTlsFailed, RedisTopologyMismatch, RedisTooOld:
                it is not to be had.
        """
        await self.run(commands.server_info())

    async def run(self, call: Call[T], *, retry_for_seconds: float | None = None) -> T:
        """Send one call; gives its parsed reply.

        Args:
            call: to be sent.
            retry_for_seconds: instead of the client's own.

        Raises:
            RedisUnavailable: not reached within `retry_for_seconds`.
            RedisError: Redis refused it; or what the call's parser raises.
        """
        return call.parse(await self._submit(call, retry_for_seconds))

    async def run_all(self, calls: Iterable[Call[T]]) -> list[T]:
        """Send many calls in one batch; gives their parsed replies in order."""
        pending = [(call, self._submit(call)) for call in calls]
        replies = await asyncio.gather(*(future for _, future in pending), return_exceptions=True)
        for reply in replies:
            if isinstance(reply, BaseException):
                raise reply
        return [call.parse(reply) for (call, _), reply in zip(pending, replies, strict=True)]

    def send(self, call: Call[T], on_answer: Callable[[T | Exception], None]) -> None:
        """Send one call behind those before it, and don't wait.

        Args:
            call: to be sent.
            on_answer: told the parsed reply, or the error that `run` would raise.

        Raises:
            RedisUnavailable: the client was closed.
        """

        def answer(future: asyncio.Future[Any]) -> None:
            try:
                on_answer(call.parse(future.result()))
            except RedisError as error:
                on_answer(error)

        self._submit(call).add_done_callback(answer)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    async def close(self) -> None:
        """Close the connection; calls still on their way fail with RedisUnavailable."""
        self._closed = True
        if self._pump_task is not None:
            self._pump_task.cancel()
            await asyncio.gather(self._pump_task, return_exceptions=True)
        self._fail([*self._sent, *self._waiting], RedisUnavailable("the client was closed"))
        self._waiting.clear()
        await self._drop()

    def _submit(
        self, call: Call[Any], retry_for_seconds: float | None = None
    ) -> asyncio.Future[Any]:
        if self._closed:
            raise RedisUnavailable("the client was closed")
        patience = self._retry_for if retry_for_seconds is None else retry_for_seconds
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.put(Waiting(call, future, time.monotonic() + patience))
        return future

    def put(self, item: Waiting) -> None:
        """Send it with the next batch."""
        loop = asyncio.get_running_loop()
        if self._pump_task is None or self._pump_task.done():
            self._pump_task = loop.create_task(self._pump(), name=f"redis {self._client_name}")
        self._waiting.append(item)
        self._wanted.set()

    async def _pump(self) -> None:
        """Send what has gathered, for ever."""
        while True:
            await self._wanted.wait()
            batch = self._sent = self._take()
            if not batch:
                self._wanted.clear()
                continue
            try:
                await self._exchange(batch)
            except RedisError as error:
                await self._drop()
                await self._after_loss(batch, error)
            except BaseException as error:
                closed = isinstance(error, asyncio.CancelledError)
                self._fail(
                    self._sent, RedisUnavailable("the client was closed") if closed else error
                )
                await self._drop()
                raise

    def _take(self) -> list[Waiting]:
        """The next batch, without calls whose callers have gone."""
        batch: list[Waiting] = []
        while self._waiting and len(batch) < BATCH_CALLS:
            item = self._waiting.popleft()
            if not item.future.done():
                batch.append(item)
        return batch

    async def _exchange(self, batch: list[Waiting]) -> None:
        """Send a batch and hand out its replies; load scripts that Redis does not have."""
        if self._connection is None:
            self._connection = await self._open()
        replies = await self._send(batch)
        missing = [i for i, reply in enumerate(replies) if wire.is_missing_script(reply)]
        if missing:
            wire.check_loaded(await self._talk(wire.load_words()))
            again = await self._send([batch[i] for i in missing])
            for i, reply in zip(missing, again, strict=True):
                replies[i] = reply
        await self._deliver(batch, replies)

    async def _open(self) -> AbstractConnection:
        return await open_connection(self.settings, self._client_name)

    async def _send(self, batch: list[Waiting]) -> list[Any]:
        return await self._talk([wire.words(item.call) for item in batch])

    async def _talk(self, batch: Sequence[tuple[Word, ...]]) -> list[Any]:
        connection = self._connection
        assert connection is not None
        replies: list[Any] = []
        try:
            async with asyncio.timeout(self.settings.response_timeout_seconds):
                await connection.send_packed_command(wire.pack(batch), check_health=False)
                replies.extend([await _reply(connection) for _ in batch])
        except wire.CONNECTION_LOST as error:
            wire.fail(error)
        return replies

    async def _deliver(self, batch: list[Waiting], replies: list[Any]) -> None:
        passing: list[Waiting] = []
        reason: RedisError | None = None
        for item, reply in zip(batch, replies, strict=True):
            if item.future.done():
                continue
            if not isinstance(reply, Exception):
                item.future.set_result(reply)
                continue
            error = wire.translate(reply, item.call)
            if isinstance(error, RedisUnavailable):  # LOADING, READONLY: nothing was done
                passing.append(item)
                reason = error
            else:
                item.future.set_exception(error)
        if reason is None:
            self._failures = 0  # not before: who is let in may be refused all the same
            self._outage.worked(self._client_name)
        else:
            await self._drop()  # after a failover the same name may lead to the new master
            await self._after_loss(passing, reason, sent=False)

    async def _after_loss(
        self, batch: list[Waiting], error: RedisError, *, sent: bool = True
    ) -> None:
        """Keep what may be sent again, fail the rest, and wait before the next attempt."""
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
        if isinstance(error, RedisUnavailable):  # or each would wait for a time-out of its own
            self._fail([item for item in self._waiting if item.deadline <= now], error)
        self._waiting.extendleft(reversed(again))
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
        connection, self._connection = self._connection, None
        if connection is not None:
            await hang_up(connection)


async def _reply(connection: AbstractConnection) -> Any:
    """One reply; an error reply as a value, so that it does not hide the ones behind it."""
    try:
        return await connection.read_response(disconnect_on_error=False)
    except wire.CONNECTION_LOST:
        raise
    except Exception as error:  # noqa: BLE001 - redis-py raises what Redis replied
        return error
