"""The examination: read the facts, then let each check judge them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from identtqueue.admin import Admin
from identtqueue.cli.doctor import link, rights, workers
from identtqueue.cli.doctor import queues as queue_checks
from identtqueue.cli.doctor import server as server_checks
from identtqueue.cli.doctor.facts import Facts, QueueFacts, ServerFacts
from identtqueue.cli.doctor.finding import Finding, Level
from identtqueue.cli.doctor.queue_facts import read_queue
from identtqueue.errors import (
    RedisAuthFailed,
    RedisError,
    RedisTlsFailed,
    RedisTooOld,
    RedisTopologyMismatch,
)
from identtqueue.protocol import roles
from identtqueue.protocol.calls import checkup, leasing, server_facts
from identtqueue.protocol.roles import Role
from identtqueue.transport.connect import async_redis
from identtqueue.transport.connection import AsyncRedis
from identtqueue.transport.settings import RedisSettings

PINGS: Final = 100

CHECKS: Final[tuple[Callable[[Facts], list[Finding]], ...]] = (
    server_checks.product,
    server_checks.topology,
    server_checks.persistence,
    server_checks.eviction,
    server_checks.memory,
    server_checks.output_buffers,
    server_checks.idle_connections,
    link.latency,
    link.clocks,
    rights.rights,
    rights.registry,
    queue_checks.unreadable,
    queue_checks.versions_of_protocol,
    queue_checks.unserved,
    queue_checks.unrunnable,
    queue_checks.held_back,
    queue_checks.suspected,
    queue_checks.dead_letters,
    queue_checks.paused,
    workers.silent,
    workers.stuck,
    workers.versions,
)
"""All checks, in the order in which they are shown."""

_MENDS: Final[tuple[tuple[type[RedisError], str], ...]] = (
    (RedisAuthFailed, "check IDENTTQUEUE_REDIS_USERNAME and …_PASSWORD; docs/redis.md"),
    (RedisTlsFailed, "check IDENTTQUEUE_REDIS_TLS_CA_FILE; docs/redis.md"),
    (RedisTopologyMismatch, "correct IDENTTQUEUE_REDIS_ADDRESS; docs/redis.md"),
    (RedisTooOld, "upgrade the server; docs/compatibility.md"),
    (RedisError, "check IDENTTQUEUE_REDIS_ADDRESS, and whether the server runs"),
)


async def examine(address: str | RedisSettings, names: Sequence[str], role: Role) -> list[Finding]:
    """Run all checks. If Redis can't be reached, that is the only finding.

    Args:
        address: address of Redis.
        names: the queues to look at; empty: all that are known.
        role: the role whose rights are checked.

    Raises:
        InvalidInput: the address or the name of a queue breaks a rule.
    """
    settings = RedisSettings.of(address)
    redis = async_redis(settings, client_name="identtqueue-doctor", retry_for_seconds=0)
    try:
        await redis.connect()
        async with Admin(settings) as admin:
            facts = await _read(redis, admin, names, role)
    except RedisError as error:
        mend = next(mend for kind, mend in _MENDS if isinstance(error, kind))
        return [Finding("connection", Level.ERROR, str(error), mend)]
    finally:
        await redis.close()
    connected = Finding("connection", Level.OK, f"connected to {settings.safe_address}")
    return [connected, *(finding for check in CHECKS for finding in check(facts))]


async def _read(redis: AsyncRedis, admin: Admin, names: Sequence[str], role: Role) -> Facts:
    servers = await _servers(redis)
    asked = time.time()
    redis_time = await redis.run(server_facts.server_time())
    ahead_ms = round(((asked + time.time()) / 2 - redis_time) * 1000)
    facts = Facts(
        settings=redis.settings,
        role=role,
        now_ms=round(redis_time * 1000),
        clock_ahead_ms=ahead_ms,
        pings_ms=await _pings_ms(redis),
        servers=servers,
    )
    if not names:
        try:
            names = [queue.name for queue in await admin.queues()]
        except RedisAuthFailed as error:
            return replace(facts, registry_refused=f"{error}; name queues by --queue")
    queues: list[QueueFacts] = []
    unread: dict[str, str] = {}
    for name in names:
        try:
            found = await read_queue(redis, admin, name, facts.now_ms)
            queues.append(await _with_rights(redis, found, facts))
        except RedisError as error:  # what is known of the server and of other queues still counts
            unread[name] = str(error)
    return replace(facts, queues=queues, unread=unread)


async def _servers(redis: AsyncRedis) -> list[ServerFacts]:
    infos = await redis.run(checkup.about())
    columns: dict[str, list[str]] = {}
    for name in checkup.SETTINGS:
        try:
            values = await redis.run(checkup.setting(name))
        except RedisError:  # a managed service, or a user with few rights
            continue
        if len(values) == len(infos):
            columns[name] = values
    return [
        ServerFacts(
            name="" if len(infos) == 1 else f"node {info.get('tcp_port')}",
            info=info,
            settings={name: values[number] for name, values in columns.items()},
        )
        for number, info in enumerate(infos)
    ]


async def _pings_ms(redis: AsyncRedis) -> list[float]:
    """Measure PINGs, one after the other. A Redis that can't write to its disk answers none."""
    found: list[float] = []
    with contextlib.suppress(RedisError):
        for _ in range(PINGS):
            started = time.perf_counter()
            await redis.run(checkup.ping())
            found.append((time.perf_counter() - started) * 1000)
    return found


async def _with_rights(redis: AsyncRedis, queue: QueueFacts, facts: Facts) -> QueueFacts:
    """Add which commands of the role the user lacks on a queue, if the server can say it."""
    if any(server.info.get("redis_version", "").startswith("6.") for server in facts.servers):
        return queue
    names = {*roles.script_commands(facts.role), *roles.plain_commands(facts.role)}
    refused = await redis.run(leasing.permitted(queue.name, sorted(names)))
    return replace(queue, refused=refused)
