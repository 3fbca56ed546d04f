"""The connection that fits an address: to one server, by way of Sentinels, or to a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from identtqueue.transport.address import Topology
from identtqueue.transport.connection import AsyncRedis, Route
from identtqueue.transport.outage import Outage
from identtqueue.transport.settings import RedisSettings
from identtqueue.transport.single import SingleServer

if TYPE_CHECKING:
    from identtqueue.transport.blocking import BlockingRoute, SyncRedis


def async_redis(
    settings: RedisSettings,
    *,
    client_name: str,
    retry_for_seconds: float,
    outage: Outage | None = None,
    on_change: Callable[[], None] = lambda: None,
) -> AsyncRedis:
    """Make the asyncio connection that fits the address.

    Args:
        settings: where Redis is.
        client_name: shown by `CLIENT LIST`.
        retry_for_seconds: how long a call is retried while Redis can't be reached. 0: not at all.
        outage: logs failures; shared with other connections.
        on_change: called when the connection was lost or opened again. After a failover or a
            restart, Redis may have lost data.
    """
    kind: Callable[..., Route] = SingleServer
    if settings.topology is Topology.CLUSTER:
        from identtqueue.transport.cluster import Cluster  # noqa: PLC0415 - others don't need it

        kind = Cluster
    route = kind(settings, client_name=client_name, outage=outage or Outage(), on_change=on_change)
    return AsyncRedis(settings, route, retry_for_seconds=retry_for_seconds)


def blocking_redis(
    settings: RedisSettings,
    *,
    client_name: str,
    retry_for_seconds: float,
    pause: Callable[[float], object] = time.sleep,
) -> SyncRedis:
    """Make the blocking connection that fits the address.

    Args:
        settings: where Redis is.
        client_name: shown by `CLIENT LIST`.
        retry_for_seconds: see `SyncRedis`.
        pause: see `SyncRedis`.
    """
    # Imported late: a worker opens none before its first task, and asyncio programs never do.
    from identtqueue.transport.blocking import SyncRedis  # noqa: PLC0415
    from identtqueue.transport.blocking_single import BlockingServer  # noqa: PLC0415

    kind: Callable[..., BlockingRoute] = BlockingServer
    if settings.topology is Topology.CLUSTER:
        from identtqueue.transport.blocking_cluster import BlockingCluster  # noqa: PLC0415

        kind = BlockingCluster
    route = kind(settings, client_name)
    return SyncRedis(settings, route, retry_for_seconds=retry_for_seconds, pause=pause)
