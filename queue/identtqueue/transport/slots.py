"""Which node of a cluster has which keys."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final

from redis.crc import key_slot

from identtqueue.errors import RedisProtocolError, RedisUnavailable
from identtqueue.protocol.commands import Call
from identtqueue.transport.address import Server
from identtqueue.transport.settings import RedisSettings

SLOTS: Final = 16_384
"""Of each cluster."""
MOST_NODES: Final = 3_000
"""Redis' own documentation recommends at most about 1,000 primaries."""
MOST_REDIRECTS: Final = 5
"""Of one call, without a pause; then the nodes disagree, and it waits like in an outage."""

_KNOWN: Final[dict[RedisSettings, tuple[Server, ...]]] = {}
"""The nodes last seen: those that the address names may be gone by now."""


class SlotMap:
    """The nodes as one of them sees them.

    Args:
        reply: of `CLUSTER SLOTS`.
        asked: who gave it; nodes that don't know their own address leave it out.
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
        """Those that have slots."""
        return set(self._primaries.values())

    def agrees_with(self, other: SlotMap) -> bool:
        """Whether each slot is where the other map has it."""
        return self._primaries == other._primaries

    def of(self, call: Call[Any]) -> Server:
        """Whoever is to run the call.

        Raises:
            RedisUnavailable: nobody has the slot.
        """
        if not call.keys:
            return random.choice(sorted(self.primaries, key=str))
        return self.of_key(call.keys[0])

    def of_key(self, key: str) -> Server:
        """Whoever has the key.

        Raises:
            RedisUnavailable: nobody does.
        """
        server = self._primaries.get(slot_of(key))
        if server is None:
            raise RedisUnavailable(
                f"Redis can't be reached: no node of the cluster has slot {slot_of(key)}"
            )
        return server

    def moved(self, slot: int, server: Server) -> None:
        """Note that a slot has gone to a server."""
        if 0 <= slot < SLOTS:
            self._primaries[slot] = server
            self.nodes.add(server)


def slot_of(key: str) -> int:
    """The slot of a key, which is that of its hash tag: CRC16 mod 16384."""
    return int(key_slot(key.encode()))


def candidates(settings: RedisSettings) -> list[Server]:
    """Whom to ask about the slots: the nodes last seen, in any order, then those of the address."""
    known = list(_KNOWN.get(settings, ()))
    random.shuffle(known)
    return list(dict.fromkeys((*known, *settings.place.servers)))


def learn(settings: RedisSettings, reply: Sequence[Any], asked: Server) -> SlotMap:
    """The map from a node's answer; later connections will know its nodes.

    Raises:
        RedisUnavailable: the node knows of no slots.
        RedisProtocolError: this is no map.
    """
    try:
        found = SlotMap(reply, asked)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise RedisProtocolError(f"what {asked} says of the cluster's slots is no map") from error
    if not found.primaries:
        raise RedisUnavailable(f"Redis can't be reached: {asked} knows of no slots of the cluster")
    _KNOWN[settings] = tuple(found.nodes)
    return found


def _server(node: Sequence[Any], asked: Server) -> Server:
    host = node[0].decode() if node[0] else ""
    return Server.announced(asked.host if host in ("", "?") else host, node[1])
