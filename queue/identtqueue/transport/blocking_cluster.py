"""The blocking way to a Redis Cluster: see `cluster`, its asyncio counterpart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from redis import exceptions as redis_errors

from identtqueue.errors import RedisError, RedisUnavailable
from identtqueue.protocol.call import Call
from identtqueue.transport import refusals
from identtqueue.transport.address import Server
from identtqueue.transport.blocking import Packed
from identtqueue.transport.blocking_line import Line
from identtqueue.transport.login import fetch_slots_blocking, open_blocking
from identtqueue.transport.settings import RedisSettings
from identtqueue.transport.slot_map import MOST_REDIRECTS, SlotMap

_PENDING: Final = object()


class BlockingCluster:
    """A route over one connection per node, which runs calls on one node after the other.

    If a node can't be reached, the calls of a batch for other nodes run all the same, so that
    every lease that can be renewed is renewed.

    Args:
        settings: where Redis is.
        client_name: shown by `CLIENT LIST`.

    Attributes:
        failures: how many batches in a row held a call that could not be run.
    """

    def __init__(self, settings: RedisSettings, client_name: str) -> None:
        self.failures = 0
        self._settings = settings
        self._client_name = client_name
        self._map: SlotMap | None = None
        self._nodes: dict[Server, Line] = {}

    def exchange(self, batch: Sequence[Packed]) -> list[Any]:
        """Send a batch and read the replies: see `BlockingRoute.exchange`."""
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
        self.failures = self.failures + 1 if failed else 0
        return found

    def drop(self) -> None:
        """Close the connections to all nodes; the next batch opens them again."""
        nodes, self._nodes = self._nodes, {}
        for node in nodes.values():
            node.drop()

    def _final(self, call: Call[Any], reply: Any) -> Any:
        if reply is _PENDING:
            reply = RedisUnavailable("Redis can't be reached: the nodes of the cluster disagree")
        if not isinstance(reply, Exception):
            return reply
        error = refusals.translate(reply, call)
        if isinstance(error, RedisUnavailable):
            self._map = None  # so that the next call fetches the slots anew
        return error

    def _by_node(
        self, calls: Sequence[Call[Any]], positions: Sequence[int]
    ) -> dict[Server, list[int]]:
        found = self._map or fetch_slots_blocking(self._settings)
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

    def _node(self, server: Server) -> Line:
        node = self._nodes.get(server)
        if node is None:
            node = self._nodes[server] = Line(
                lambda: open_blocking(self._settings, self._client_name, server)
            )
        return node
