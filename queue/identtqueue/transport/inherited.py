"""The Redis of the worker that this process runs jobs for, so that the jobs' app can enqueue there.

Only a process for jobs inherits one. Its worker may connect elsewhere than the app says, as with
`identtqueue --redis-address … worker`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from identtqueue.transport.settings import PLAIN_FIELDS, RedisSettings


class Inheritance(msgspec.Struct, array_like=True):
    """The settings that a worker passes on to its processes for jobs.

    Attributes:
        app_address: the address that the worker's app was made with; None: none.
        redis: settings of the worker's connection, by name.
    """

    app_address: str | dict[str, Any] | None
    redis: dict[str, Any]


class _Here:
    """The inheritance of this process."""

    app_address: str | RedisSettings | None = None
    redis: RedisSettings | None = None


def inheritance(
    app_address: str | RedisSettings | None, redis: RedisSettings
) -> Inheritance | None:
    """Describe the connection of a worker, for its processes for jobs.

    Args:
        app_address: the address that the worker's app was made with.
        redis: where the worker connects.

    Returns:
        None if the settings have rules that can't be passed on, such as `reach`.
    """
    rules = (name for name in redis.__struct_fields__ if name not in PLAIN_FIELDS)
    if any(getattr(redis, name) is not None for name in rules):
        return None
    own = _plain(app_address) if isinstance(app_address, RedisSettings) else app_address
    return Inheritance(own, _plain(redis))


def inherit(given: Inheritance) -> None:
    """Take over the Redis of the worker, in a process for jobs."""
    own = given.app_address
    _Here.app_address = RedisSettings(**own) if isinstance(own, dict) else own
    _Here.redis = RedisSettings(**given.redis)


def redis_of(app_address: str | RedisSettings | None) -> RedisSettings | None:
    """Return where the jobs of an app enqueue in this process, if it runs jobs for a worker.

    An app of the worker has the address of the worker's app, or none, if that includes it.

    Args:
        app_address: the address that the app was made with.

    Returns:
        None if this process has inherited nothing, or if the app names another Redis.
    """
    return _Here.redis if app_address in (None, _Here.app_address) else None


def _plain(settings: RedisSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in PLAIN_FIELDS}
