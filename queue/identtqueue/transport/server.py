"""Checks of the server that answers: its name and version, its kind, and risky settings.

`Server`, a host and a port, is in `address`.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping
from typing import Final

from identtqueue.errors import RedisTooOld, RedisTopologyMismatch
from identtqueue.transport.address import Server, Topology
from identtqueue.transport.settings import RedisSettings

logger = logging.getLogger(__name__)

OLDEST_REDIS: Final = (6, 2)
"""The oldest supported version: the first with LPOP of several elements, and with ACL rules for
pub/sub channels."""

SAFE_POLICY: Final = "noeviction"

_SEEN: Final[dict[str, None]] = {}
"""Run ids of the servers that were logged, in that order."""
_MOST_SEEN: Final = 1_000
_RUN_ID: Final = 40  # characters
_SEEN_LOCK: Final = threading.Lock()


def own_name(info: Mapping[str, str]) -> tuple[str, str]:
    """Read the product's own name and version from INFO's `server` section.

    For Valkey this is not `redis_version`, which is the version of Redis it is compatible with
    (7.2).
    """
    name = info.get("server_name", "redis")
    version = info.get(f"{name}_version") or info.get("redis_version", "unknown")
    return name.capitalize(), version


def check_server(info: Mapping[str, str], expected: Topology) -> None:
    """Refuse a server that is too old, or of another kind than the address says.

    Args:
        info: INFO's `server` section.
        expected: the kind that the address stands for.

    Raises:
        RedisTooOld: the server is older than 6.2.
        RedisTopologyMismatch: the server is a node of a cluster or a Sentinel and should not be,
            or is a single server where a cluster was expected.
    """
    mode = info.get("redis_mode") or info.get("server_mode", "")  # Valkey 9 has only the second
    if mode == "sentinel":
        raise RedisTopologyMismatch(
            "this server is a Sentinel: use redis+sentinel://host:port/master-name"
        )
    if mode == "cluster" and expected is not Topology.CLUSTER:
        raise RedisTopologyMismatch(
            "this server is a node of a Redis Cluster: use redis+cluster://host:port"
        )
    if mode == "standalone" and expected is Topology.CLUSTER:
        raise RedisTopologyMismatch(
            "this server is no node of a Redis Cluster: use redis://, or "
            "redis+sentinel:// if Sentinels watch over it"
        )
    version = info.get("redis_version", "")
    numbers = tuple(int(part) for part in re.findall("[0-9]{1,9}", version)[:2])
    if numbers and numbers < OLDEST_REDIS:
        raise RedisTooOld(version, ".".join(map(str, OLDEST_REDIS)))


def is_new(info: Mapping[str, str]) -> bool:
    """Return whether this process has not logged this run of the server yet: see `introduce`."""
    return info.get("run_id", "")[:_RUN_ID] not in _SEEN


def introduce(
    info: Mapping[str, str],
    memory: Mapping[str, str],
    settings: RedisSettings,
    server: Server | None = None,
) -> None:
    """Log name and version of a server once, and warn if its settings may delete tasks.

    A server that was restarted may have other settings, so it is logged again.

    Args:
        info: INFO's `server` section.
        memory: INFO's `memory` section, which any user that may connect can read.
        settings: the settings by which it was reached.
        server: the server, if the address stands for several.
    """
    run_id = info.get("run_id", "")[:_RUN_ID]
    with _SEEN_LOCK:  # connections may open at the same time, in several threads
        if run_id in _SEEN:
            return
        _SEEN[run_id] = None
        if len(_SEEN) > _MOST_SEEN:
            del _SEEN[next(iter(_SEEN))]
    name, version = own_name(info)
    where = server or next(iter(settings.place.servers), settings.safe_address)
    logger.info("connected to %s %s at %s", name, version, where)
    policy = memory.get("maxmemory_policy", SAFE_POLICY)
    if policy != SAFE_POLICY:
        logger.warning(
            "%s at %s has maxmemory-policy %s: when its memory is full, it deletes tasks and "
            "results without an error. Set maxmemory-policy %s (see docs/redis.md)",
            name,
            where,
            policy,
            SAFE_POLICY,
        )
