"""The way to a Redis Cluster: each call goes to the node that has its queue.

There is one pipelined connection per node. A queue is one slot, so every call belongs to exactly
one node. A node that does not have the slot names the one that has it (MOVED, ASK), or reports that
the slot is not available at the moment (TRYAGAIN, CLUSTERDOWN). After any of these answers the
command was not executed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from redis import exceptions as redis_errors

from identtqueue.errors import RedisError, RedisUnavailable
from identtqueue.protocol.call import Call
from identtqueue.protocol.calls import server_facts
from identtqueue.transport import refusals, slot_map, wire
from identtqueue.transport.address import Server
from identtqueue.transport.backoff import backoff_seconds
from identtqueue.transport.home import detached
from identtqueue.transport.lanes import Waiting, fail, new_waiting
from identtqueue.transport.login import fetch_slots
from identtqueue.transport.node import Node
from identtqueue.transport.outage import Outage
from identtqueue.transport.settings import RedisSettings
from identtqueue.transport.slot_map import MOST_REDIRECTS, SlotMap

T = TypeVar("T")

CALM_SECONDS: Final = 5.0
"""If the slots were not fetched for this time, the next fetch starts with the shortest back-off."""


class Cluster:
    """A route over one connection per node.

    Args:
        settings: where Redis is.
        client_name: shown by `CLIENT LIST`.
        outage: logs failures.
        on_change: called when a connection was lost or opened again, or when a queue has moved.
    """

    def __init__(
        self,
        settings: RedisSettings,
        *,
        client_name: str,
        outage: Outage,
        on_change: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._client_name = client_name
        self._outage = outage
        self._on_change = on_change
        self._closed = False
        self._map: SlotMap | None = None
        self._known: SlotMap | None = None  # the last map, even if it may be out of date
        self._nodes: dict[Server, Node] = {}
        self._unrouted: list[Waiting] = []  # calls that wait until the slots are known (again)
        self._looking: asyncio.Task[None] | None = None
        self._looks = 0  # fetches of the slots in a row
        self._look_at = 0.0  # earliest time of the next fetch

    async def connect(self, retry_for_seconds: float) -> None:
        """Find the nodes now: see `Route.connect`."""
        await self._insist(self._find_nodes, time.monotonic() + retry_for_seconds)

    async def ask_all(self, item: Waiting) -> list[Any]:
        """Send a call to all nodes, and return the raw replies of those that could be reached.

        Args:
            item: the call. Its own future is not used.

        Raises:
            RedisUnavailable: a primary could not be reached before the deadline of the call. A
                replica that can't be reached is ignored: subscribers connect to primaries.
            RedisError: a node refuses the call.
        """
        return await self._insist(lambda: self._ask_nodes(item), item.deadline)

    async def _insist(self, attempt: Callable[[], Awaitable[T]], deadline: float) -> T:
        """Retry an operation that concerns several nodes. A node itself retries nothing."""
        failures = 0
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
            await asyncio.sleep(min(backoff_seconds(failures), left))

    async def _find_nodes(self) -> SlotMap:
        return self._note(await fetch_slots(self._settings))

    async def _see_nodes(self) -> SlotMap:
        """Find the nodes over an open connection if one answers, else like `_find_nodes`."""
        call = server_facts.cluster_slots()
        node = next((node for node in self._nodes.values() if node.is_open), None)
        if node is not None:
            try:
                reply = await self._ask(node.server, call, wire.pack(call))
                found = slot_map.learn(self._settings, wire.parse(call, reply), node.server)
                return self._note(found)
            except RedisError:
                pass  # perhaps another node answers
        return await self._find_nodes()

    def _note(self, found: SlotMap) -> SlotMap:
        """Use this map from now on, and report it if queues have moved."""
        if self._closed:  # it was closed meanwhile, so no connection may be opened any more
            raise RedisUnavailable("the client was closed")
        if self._known is not None and not found.agrees_with(self._known):
            self._changed()
        self._map = self._known = found
        return found

    async def _ask_nodes(self, item: Waiting) -> list[Any]:
        seen = await self._see_nodes()
        asked = [(server, self._ask(server, item.call, item.data)) for server in seen.nodes]
        await asyncio.gather(*(future for _, future in asked), return_exceptions=True)
        replies = []
        for server, future in asked:
            if future.exception() is None or server in seen.primaries:
                replies.append(future.result())
        return replies

    def _ask(self, server: Server, call: Call[Any], data: bytes) -> asyncio.Future[Any]:
        """Send a call to this node and no other, without retries."""
        item = new_waiting(call, data, retry_for_seconds=0)
        self._node(server).put(item)
        return item.future

    async def close(self) -> None:
        """Close the connections to all nodes. Calls without a reply fail with RedisUnavailable."""
        self._closed = True
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await asyncio.gather(*(node.close() for node in self._nodes.values()))
        fail(self._unrouted, RedisUnavailable("the client was closed"))

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
            self.put_off(item, refusals.translate(error))
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
            fail([item], error)
            self._outage.gave_up(self._client_name)
            return
        self._outage.failed(self._client_name, error)
        item.asking = False
        item.redirects += 1
        pause = min(backoff_seconds(item.redirects), left)
        asyncio.get_running_loop().call_later(pause, self._wait_for_map, item)

    def _wait_for_map(self, item: Waiting) -> None:
        """Fetch the slots anew, then queue the call."""
        if self._closed:
            fail([item], RedisUnavailable("the client was closed"))
            return
        self._unrouted.append(item)
        if self._looking is None or self._looking.done():
            self._looking = detached(self._look(), f"slots {self._client_name}")

    async def _look(self) -> None:
        """Fetch the slots anew, with back-off between fetches, and route the calls that waited."""
        loop = asyncio.get_running_loop()
        if loop.time() > self._look_at + CALM_SECONDS:
            self._looks = 0
        await asyncio.sleep(max(0.0, self._look_at - loop.time()))
        self._looks += 1
        self._look_at = loop.time() + backoff_seconds(self._looks)
        try:
            found = await self._find_nodes()
        except Exception as reason:  # noqa: BLE001 - all waiting calls get it
            error = refusals.translate(reason)
            unrouted, self._unrouted = self._unrouted, []
            for item in unrouted:
                if isinstance(error, RedisUnavailable):
                    self.put_off(item, error)
                else:
                    fail([item], error)
            return
        for server in self._nodes.keys() - found.nodes:
            await self._nodes.pop(server).retire()
        # Taken last, because calls that come during the steps above start no new task.
        unrouted, self._unrouted = self._unrouted, []
        for item in unrouted:
            self.put(item)

    def _node(self, server: Server) -> Node:
        node = self._nodes.get(server)
        if node is None:
            node = self._nodes[server] = Node(
                server,
                self._settings,
                self,
                client_name=self._client_name,
                outage=self._outage,
                on_change=self._changed,
            )
        return node

    def _changed(self) -> None:
        if not self._closed:
            self._on_change()
