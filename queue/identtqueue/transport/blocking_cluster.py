"""The blocking connection to a Redis Cluster: see `cluster`, its asyncio counterpart."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from redis import exceptions as redis_errors
from redis.connection import AbstractConnection

from identtqueue.errors import RedisError, RedisUnavailable
from identtqueue.protocol.call import Call
from identtqueue.transport import wire
from identtqueue.transport.address import Server, Topology
from identtqueue.transport.blocking import (
    Packed,
    SyncRedis,
    fetch_slots_blocking,
    open_blocking,
)
from identtqueue.transport.settings import RedisSettings
from identtqueue.transport.slot_map import MOST_REDIRECTS, SlotMap

_PENDING: Final = object()
_ASKING: Final = wire.pack_words("ASKING")


def blocking_redis(
    settings: RedisSettings,
    *,
    client_name: str,
    retry_for_seconds: float,
    pause: Callable[[float], object] = time.sleep,
) -> SyncRedis:
    """Create the kind of blocking connection that fits the address.

    Args:
        settings: where Redis is.
        client_name: shown by `CLIENT LIST`.
        retry_for_seconds: see `SyncRedis`.
        pause: see `SyncRedis`.
    """
    kind = SyncClusterRedis if settings.topology is Topology.CLUSTER else SyncRedis
    return kind(settings, client_name=client_name, retry_for_seconds=retry_for_seconds, pause=pause)


class SyncClusterRedis(SyncRedis):
    """A blocking connection to a cluster, which runs calls on one node after the other.

    The arguments are those of `SyncRedis`. If a node can't be reached, the calls of a batch for
    other nodes run all the same, so that every lease that can be renewed is renewed.
    """

    def __init__(
        self,
        settings: RedisSettings,
        *,
        client_name: str,
        retry_for_seconds: float,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        super().__init__(
            settings, client_name=client_name, retry_for_seconds=retry_for_seconds, pause=pause
        )
        self._map: SlotMap | None = None
        self._nodes: dict[Server, _SyncNode] = {}

    def _exchange(self, batch: Sequence[Packed]) -> list[Any]:
        """Send a batch and read the replies, like `SyncRedis._exchange`."""
        calls = [item.call for item in batch]
        replies: list[Any] = [_PENDING] * len(calls)
        for _ in range(MOST_REDIRECTS):
            left = [i for i, reply in enumerate(replies) if reply is _PENDING]
            if not left:
                break
            for server, positions in self._by_node(calls, left).items():
                try:
                    answers = self._node(server).ask([batch[i] for i in positions])
                except RedisError as error:
                    answers = [error] * len(positions)
                for i, answer in zip(positions, answers, strict=True):
                    replies[i] = self._followed(batch[i], answer)
        found = [self._final(call, reply) for call, reply in zip(calls, replies, strict=True)]
        failed = any(isinstance(reply, RedisUnavailable) for reply in found)
        self._failures = self._failures + 1 if failed else 0
        return found

    def _final(self, call: Call[Any], reply: Any) -> Any:
        if reply is _PENDING:
            reply = RedisUnavailable("Redis can't be reached: the nodes of the cluster disagree")
        if not isinstance(reply, Exception):
            return reply
        error = wire.translate(reply, call)
        if isinstance(error, RedisUnavailable):
            self._map = None  # so that the next call fetches the slots anew
        return error

    def _by_node(
        self, calls: Sequence[Call[Any]], positions: Sequence[int]
    ) -> dict[Server, list[int]]:
        found = self._map or fetch_slots_blocking(self.settings)
        self._map = None  # in case `of` raises because a slot has no node
        groups: dict[Server, list[int]] = {}
        for i in positions:
            groups.setdefault(found.of(calls[i]), []).append(i)
        self._map = found
        return groups

    def _followed(self, item: Packed, answer: Any) -> Any:
        """Follow a redirect and return the reply; _PENDING: the call must be routed again."""
        if isinstance(answer, redis_errors.MovedError) and self._map is not None:
            self._map.moved(answer.slot_id, Server(*answer.node_addr))
            return _PENDING
        if isinstance(answer, redis_errors.AskError):
            try:
                return self._node(Server(*answer.node_addr)).ask([item], asking=True)[0]
            except RedisError as error:
                return error
        return answer

    def _node(self, server: Server) -> _SyncNode:
        node = self._nodes.get(server)
        if node is None:
            node = self._nodes[server] = _SyncNode(self.settings, self._client_name, server)
        return node

    def _pack(self, call: Call[Any]) -> bytes:
        return wire.pack(call, in_cluster=True)

    def _drop(self) -> None:
        nodes, self._nodes = self._nodes, {}
        for node in nodes.values():
            node.close()


class _SyncNode(SyncRedis):
    """The connection to one node."""

    def __init__(self, settings: RedisSettings, client_name: str, server: Server) -> None:
        super().__init__(settings, client_name=client_name, retry_for_seconds=0)
        self._server = server

    def ask(self, batch: Sequence[Packed], *, asking: bool = False) -> list[Any]:
        """Send a batch to the node and read its raw replies.

        Args:
            batch: the calls; only one if `asking`.
            asking: whether to send ASKING first, for a slot that is on its way to this node.
        """
        if not asking:
            return self._replies(batch)
        self._connection = self._connection or self._connect()
        try:
            return self._talk([_ASKING, batch[0].data])[1:]
        except BaseException:
            self._drop()
            raise

    def _open(self) -> AbstractConnection:
        return open_blocking(self.settings, self._client_name, self._server)
