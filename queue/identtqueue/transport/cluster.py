"""The asyncio connection to a Redis Cluster: each call goes to the node that has its queue.

There is one pipelined connection per node. A queue is one slot, so every call belongs to exactly
one node. A node that does not have the slot answers where it is (MOVED, ASK), or that it can't say
at the moment (TRYAGAIN, CLUSTERDOWN). After any of these answers the command was not executed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from redis import exceptions as redis_errors
from redis.asyncio.connection import AbstractConnection

from identtqueue.errors import RedisError, RedisUnavailable
from identtqueue.protocol import commands
from identtqueue.protocol.call import Call
from identtqueue.transport import slot_map, wire
from identtqueue.transport.address import Server, Topology
from identtqueue.transport.lanes import Waiting
from identtqueue.transport.link import Link
from identtqueue.transport.outage import Outage
from identtqueue.transport.pipeline import AsyncRedis, fetch_slots, open_connection
from identtqueue.transport.settings import RedisSettings
from identtqueue.transport.slot_map import MOST_REDIRECTS, SlotMap

T = TypeVar("T")

CALM_SECONDS: Final = 5.0
"""If the slots were not fetched for this time, the next fetch starts with the shortest back-off."""

_ASKING: Final = wire.pack_words("ASKING")


def async_redis(
    settings: RedisSettings,
    *,
    client_name: str,
    retry_for_seconds: float,
    outage: Outage | None = None,
) -> AsyncRedis:
    """Create the kind of asyncio connection that fits the address.

    Args:
        settings: where Redis is.
        client_name: shown by `CLIENT LIST`.
        retry_for_seconds: see `AsyncRedis`.
        outage: see `AsyncRedis`.
    """
    kind = ClusterRedis if settings.topology is Topology.CLUSTER else AsyncRedis
    return kind(
        settings, client_name=client_name, retry_for_seconds=retry_for_seconds, outage=outage
    )


class ClusterRedis(AsyncRedis):
    """A connection that runs calls on a cluster; see `AsyncRedis` for the arguments."""

    def __init__(
        self,
        settings: RedisSettings,
        *,
        client_name: str,
        retry_for_seconds: float,
        outage: Outage | None = None,
    ) -> None:
        super().__init__(
            settings, client_name=client_name, retry_for_seconds=retry_for_seconds, outage=outage
        )
        self._map: SlotMap | None = None
        self._known: SlotMap | None = None  # the last map, even if it may be out of date
        self._nodes: dict[Server, _Node] = {}
        self._lost: list[Waiting] = []  # calls that wait until the slots are known (again)
        self._looking: asyncio.Task[None] | None = None
        self._looks = 0  # fetches of the slots in a row
        self._look_at = 0.0  # earliest time of the next fetch

    async def connect(self) -> None:
        """Find the nodes now, so that a wrong address or login fails early.

        Raises:
            RedisUnavailable, RedisAuthFailed, RedisTlsFailed, RedisTopologyMismatch, RedisTooOld:
                see `AsyncRedis.connect`.
        """
        await self._insist(self._find_nodes, self._retry_for)

    async def run(self, call: Call[T], *, retry_for_seconds: float | None = None) -> T:
        """Send one call, like `AsyncRedis.run`. A call with `merge` goes to all nodes.

        Args:
            call: the call to send.
            retry_for_seconds: see `AsyncRedis.run`.

        Raises:
            InvalidInput, RedisUnavailable, RedisError: see `AsyncRedis.run`.
        """
        if call.merge is None:
            return await super().run(call, retry_for_seconds=retry_for_seconds)
        patience = self._retry_for if retry_for_seconds is None else retry_for_seconds
        return await self._insist(lambda: self._ask_all(call), patience)

    async def _insist(self, attempt: Callable[[], Awaitable[T]], patience: float) -> T:
        """Retry an operation that concerns several nodes, so that no single node retries it."""
        deadline, failures = time.monotonic() + patience, 0
        while True:
            if self._closed:
                raise RedisUnavailable("the client was closed")
            try:
                found = await attempt()
            except RedisUnavailable as error:
                failures += 1
                left = deadline - time.monotonic()
                if left <= 0:
                    self._outage.gave_up(self._client_name)
                    raise
                self._outage.failed(self._client_name, error)
            else:
                self._outage.worked(self._client_name)
                return found
            await asyncio.sleep(min(wire.backoff_seconds(failures), left))

    async def _find_nodes(self) -> SlotMap:
        return self._note(await fetch_slots(self.settings))

    async def _see_nodes(self) -> SlotMap:
        """Find the nodes like `_find_nodes`, but over an open connection if one answers."""
        call = commands.cluster_slots()
        node = next((node for node in self._nodes.values() if node.is_open), None)
        if node is not None:
            try:
                reply = wire.parse(call, await node.ask(call))
                return self._note(slot_map.learn(self.settings, reply, node.server))
            except RedisError:
                pass  # perhaps another node answers
        return await self._find_nodes()

    def _note(self, found: SlotMap) -> SlotMap:
        if self._closed:  # it was closed meanwhile, so no connection may be opened any more
            raise RedisUnavailable("the client was closed")
        if self._known is not None and not found.agrees_with(self._known):
            self._changed()
        self._map = self._known = found
        return found

    async def _ask_all(self, call: Call[T]) -> T:
        seen = await self._see_nodes()
        assert call.merge is not None
        nodes = [self._node(server) for server in seen.nodes]
        futures = [node.ask(call) for node in nodes]
        answers = await asyncio.gather(*futures, return_exceptions=True)
        found = []
        for node, answer in zip(nodes, answers, strict=True):
            # A replica that can't be reached is ignored: subscribers connect to primaries.
            if isinstance(answer, BaseException) and node.server in seen.primaries:
                raise answer
            if not isinstance(answer, BaseException):
                found.append(wire.parse(call, answer))
        return call.merge(found)

    def _pack(self, call: Call[Any]) -> bytes:
        return wire.pack(call, in_cluster=True)

    async def close(self) -> None:
        """Close the connections to all nodes. Calls without a reply fail with RedisUnavailable."""
        self._closed = True
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await asyncio.gather(*(node.close() for node in self._nodes.values()))
        self._fail(self._lost, RedisUnavailable("the client was closed"))

    def put(self, item: Waiting) -> None:
        """Queue a call for its node."""
        if self._map is None:
            self._wait_for_map(item)
            return
        try:
            server = self._map.of(item.call)
        except RedisUnavailable as error:
            self.put_off(item, error)
        else:
            self._node(server).put(item)

    def follow(self, item: Waiting, error: redis_errors.AskError) -> None:
        """Follow a redirect: queue the call for the node that the answer names.

        Args:
            item: the call.
            error: the redirect, MOVED or ASK.
        """
        item.redirects += 1
        try:
            server = Server.announced(*error.node_addr)
        except ValueError:
            server = None
        if server is None or item.redirects % MOST_REDIRECTS == 0:
            self.put_off(item, wire.translate(error))
        elif isinstance(error, redis_errors.MovedError):
            if self._map is not None:
                self._map.moved(error.slot_id, server)
                self._changed()
            self.put(item)
        else:
            item.asking = True
            self._node(server).put(item)

    def put_off(self, item: Waiting, error: RedisError) -> None:
        """Send a call again later, wherever its queue is then; after its deadline fail it.

        Args:
            item: the call.
            error: why it was not executed; raised after the deadline.
        """
        left = item.deadline - time.monotonic()
        if left <= 0 or self._closed:
            self._fail([item], error)
            self._outage.gave_up(self._client_name)
            return
        self._outage.failed(self._client_name, error)
        item.asking = False
        item.redirects += 1
        pause = min(wire.backoff_seconds(item.redirects), left)
        asyncio.get_running_loop().call_later(pause, self._wait_for_map, item)

    def _wait_for_map(self, item: Waiting) -> None:
        """Fetch the slots anew, then queue the call."""
        if self._closed:
            self._fail([item], RedisUnavailable("the client was closed"))
            return
        self._lost.append(item)
        if self._looking is None or self._looking.done():
            loop = asyncio.get_running_loop()
            self._looking = loop.create_task(self._look(), name=f"slots {self._client_name}")

    async def _look(self) -> None:
        """Fetch the slots anew for all calls that wait for them, with back-off between fetches."""
        loop = asyncio.get_running_loop()
        if loop.time() > self._look_at + CALM_SECONDS:
            self._looks = 0
        await asyncio.sleep(max(0.0, self._look_at - loop.time()))
        self._looks += 1
        self._look_at = loop.time() + wire.backoff_seconds(self._looks)
        try:
            found = await self._find_nodes()
        except Exception as reason:  # noqa: BLE001 - all waiting calls get it
            error = wire.translate(reason)
            lost, self._lost = self._lost, []
            for item in lost:
                if isinstance(error, RedisUnavailable):
                    self.put_off(item, error)
                else:
                    self._fail([item], error)
            return
        for server in self._nodes.keys() - found.nodes:
            await self._nodes.pop(server).retire()
        lost, self._lost = self._lost, []  # last, since calls that come meanwhile start no new task
        for item in lost:
            self.put(item)

    def _node(self, server: Server) -> _Node:
        node = self._nodes.get(server)
        if node is None:
            node = self._nodes[server] = _Node(self, server, self._client_name, self._outage)
            node.on_change = self._changed
        return node


class _Node(AsyncRedis):
    """The connection to one node. It never retries by itself; the cluster does that."""

    def __init__(
        self, cluster: ClusterRedis, server: Server, client_name: str, outage: Outage
    ) -> None:
        super().__init__(
            cluster.settings, client_name=client_name, retry_for_seconds=0, outage=outage
        )
        self.server = server
        self._cluster = cluster

    @property
    def is_open(self) -> bool:
        """Whether it is connected, as far as this side knows."""
        return self._link is not None and not self._link.lost

    def ask(self, call: Call[Any]) -> asyncio.Future[Any]:
        """Send one call to this node, without retries; the future gets the raw reply."""
        return self._submit(call, self._pack(call))

    async def retire(self) -> None:
        """Close the connection to a node that has left the cluster.

        Calls that were not sent, or that may be repeated, go to other nodes.
        """
        sent, self._sent = self._sent, []
        waiting = list(self._waiting)
        self._waiting.clear()
        gone = RedisUnavailable(f"Redis can't be reached: {self.server} has left the cluster")
        await self._after_loss(sent, gone)
        for item in waiting:
            self._cluster.put(item)
        await self.close()

    def _pack(self, call: Call[Any]) -> bytes:
        return wire.pack(call, in_cluster=True)

    async def _open(self) -> AbstractConnection:
        return await open_connection(self.settings, self._client_name, self.server)

    async def _send(self, link: Link, batch: list[Waiting]) -> list[Any]:
        packed: list[bytes] = []
        ours: list[bool] = []
        for item in batch:
            if item.asking:
                packed.append(_ASKING)
                ours.append(False)
            packed.append(item.data)
            ours.append(True)
        replies = await link.exchange(packed)
        return [reply for reply, is_ours in zip(replies, ours, strict=True) if is_ours]

    async def _deliver(self, batch: list[Waiting], replies: list[Any]) -> None:
        for item, reply in zip(batch, replies, strict=True):
            item.asking = False
            if item.future.done():
                continue
            if not isinstance(reply, Exception):
                item.future.set_result(reply)
                self._outage.worked(self._client_name)
            elif isinstance(reply, redis_errors.AskError):
                self._cluster.follow(item, reply)
            else:
                error = wire.translate(reply, item.call)
                if isinstance(error, RedisUnavailable):
                    self._cluster.put_off(item, error)
                else:
                    item.future.set_exception(error)

    async def _after_loss(
        self, batch: list[Waiting], error: RedisError, *, sent: bool = True
    ) -> None:
        """Hand calls that may be sent again to the cluster, since their queues may have moved."""
        waiting: Sequence[Waiting] = list(self._waiting)
        self._waiting.clear()
        passing = isinstance(error, RedisUnavailable)
        for item in (*batch, *waiting):
            not_sent = not sent or item not in batch
            if passing and not item.future.done() and (item.call.repeatable or not_sent):
                self._cluster.put_off(item, error)
            else:
                self._fail([item], error)
