"""Release of attempts by a thread, while the event loop of the worker is blocked."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from identtqueue.errors import RedisError
from identtqueue.protocol.calls import reporting
from identtqueue.transport.connect import blocking_redis
from identtqueue.transport.settings import RedisSettings

logger = logging.getLogger(__name__)

ANSWER_SECONDS: Final = 1.0
"""Longest wait for Redis. If it does not answer, the lease runs out instead."""


def hand_back(
    settings: RedisSettings, worker_id: str, attempts: Mapping[str, Sequence[tuple[str, int]]]
) -> int:
    """Release attempts over a connection of its own. Called in a thread.

    Args:
        settings: how to reach Redis.
        worker_id: id of the incarnation that owns the attempts.
        attempts: task ids and attempt numbers by queue.

    Returns:
        The number of released attempts.
    """
    quick = replace(
        settings,
        connect_timeout_seconds=ANSWER_SECONDS,
        response_timeout_seconds=ANSWER_SECONDS,
    )
    redis = blocking_redis(quick, client_name="identtqueue-release", retry_for_seconds=0)
    number = 0
    try:
        for queue, pairs in attempts.items():
            for part in reporting.in_releases(pairs):
                redis.run(reporting.release(queue, worker_id, part))
                number += len(part)
    except RedisError as error:
        logger.debug("attempts were not released: %s", error)
    finally:
        redis.close()
    return number
