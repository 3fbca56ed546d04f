"""The slot map of a cluster, which says which node has which keys."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final

from redis.crc import key_slot

from identtqueue.errors import RedisProtocolError, RedisUnavailable
from identtqueue.protocol.call import Call
from identtqueue.transport.address import Server
from identtqueue.transport.settings import RedisSettings

SLOTS: Final = 16_384
"""Number of slots of every cluster."""
MOST_NODES: Final = 3_000
"""Upper bound for the nodes of a map. Redis' documentation recommends at most about 1,000
primaries."""
MOST_REDIRECTS: Final = 5
"""How many redirects a call follows without a pause. After that the nodes disagree, and the call
waits as in an outage."""

_KNOWN: Final[dict[RedisSettings, tuple[Server, ...]]] = {}
"""The nodes that were last seen. Those that the address names may be gone by now."""


class SlotMap:
    """The slots and nodes of a cluster, as one of its nodes sees them.

    Args:
        reply: the reply to `CLUSTER SLOTS`.
        asked: the node that gave it. A node that does not know its own address leaves it out.

    Attributes:
        nodes: all nodes, primaries and replicas.

    Raises:
        ValueError, TypeError, LookupError, AttributeError: the reply is not a valid map.
    """

    def __init__(self, reply: Sequence[Any], asked: Server) -> None:
        self._primaries: dict[int, Server] = {}
        self.nodes: set[Server] = set()
        for first, last, *nodes in reply:
            if not 0 <= first <= last < SLOTS:
                raise ValueError("no slots of a cluster")
            servers = [_server(node, asked) for node in nodes]
            self.nodes.update(servers)
            if len(self.nodes) > MOST_NODES:
                raise ValueError("too many nodes")
            self._primaries.update(dict.fromkeys(range(first, last + 1), servers[0]))

    @property
    def primaries(self) -> set[Server]:
        """The nodes that have slots."""
        return set(self._primaries.values())

    def agrees_with(self, other: SlotMap) -> bool:
        """Return whether both maps have every slot at the same node."""
        return self._primaries == other._primaries

    def of(self, call: Call[Any]) -> Server:
        """Return the node that must run a call.

        Raises:
            RedisUnavailable: no node has the slot.
        """
        if not call.keys:
            return random.choice(sorted(self.primaries, key=str))
        return self.of_key(call.keys[0])

    def of_key(self, key: str) -> Server:
        """Return the node that has a key.

        Raises:
            RedisUnavailable: no node has the slot.
        """
        server = self._primaries.get(slot_of(key))
        if server is None:
            raise RedisUnavailable(
                f"Redis can't be reached: no node of the cluster has slot {slot_of(key)}"
            )
        return server

    def moved(self, slot: int, server: Server) -> None:
        """Note that a slot has moved to a server."""
        if 0 <= slot < SLOTS:
            self._primaries[slot] = server
            self.nodes.add(server)


def slot_of(key: str) -> int:
    """Compute the slot of a key: CRC16 of its hash tag, modulo 16384."""
    return int(key_slot(key.encode()))


def candidates(settings: RedisSettings) -> list[Server]:
    """List the nodes to ask for the slots: those last seen, shuffled, then those of the address."""
    known = list(_KNOWN.get(settings, ()))
    random.shuffle(known)
    return list(dict.fromkeys((*known, *settings.place.servers)))


def learn(settings: RedisSettings, reply: Sequence[Any], asked: Server) -> SlotMap:
    """Make the slot map from a node's reply, and remember its nodes for later connections.

    Args:
        settings: the settings of the cluster.
        reply: the reply to `CLUSTER SLOTS`.
        asked: the node that gave it.

    Raises:
        RedisUnavailable: the node knows of no slots.
        RedisProtocolError: the reply is not a valid map.
    """
    try:
        found = SlotMap(reply, asked)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise RedisProtocolError(f"{asked} gave no valid map of the cluster's slots") from error
    if not found.primaries:
        raise RedisUnavailable(f"Redis can't be reached: {asked} knows of no slots of the cluster")
    _KNOWN[settings] = tuple(found.nodes)
    return found


def _server(node: Sequence[Any], asked: Server) -> Server:
    host = node[0].decode() if node[0] else ""
    return Server.announced(asked.host if host in ("", "?") else host, node[1])
