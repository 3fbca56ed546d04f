"""Checks of the Redis servers: their version, what they keep, what they may delete."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from identtqueue.cli.display.times import duration
from identtqueue.cli.doctor.facts import Facts, ServerFacts
from identtqueue.cli.doctor.finding import Finding, Level, bad_or_well, many
from identtqueue.transport.address import Topology
from identtqueue.transport.server import SAFE_POLICY, own_name

PAGE: Final = "docs/redis.md"

NEWEST_TESTED: Final = {"Redis": (8, 2), "Valkey": (9, 1)}
"""The newest tested version of each product (docs/compatibility.md)."""

MIB: Final = 1 << 20

FULL_AT: Final = 0.8
"""Part of `maxmemory` from which a server counts as nearly full."""

LAG_SECONDS: Final = 10
"""From this lag on, a replica counts as behind its primary."""

LEAST_BUFFER_BYTES: Final = 8 * MIB
"""A smaller hard limit for subscribers cannot hold the results of a large batch: 128 of the largest
that are published, 64 KiB each."""


def product(facts: Facts) -> list[Finding]:
    """Check that product and version are among those that this library is tested with."""

    def untested() -> Iterator[Finding]:
        for server in facts.servers:
            name, version = own_name(server.info)
            numbers = tuple(map(int, re.findall("[0-9]{1,9}", version)[:2]))
            newest = NEWEST_TESTED.get(name)
            if newest is None:
                found = f"{server.product}: this product is not tested"
            elif numbers > newest:
                found = f"{server.product} is newer than the newest that is tested"
            else:
                continue
            mend = "docs/compatibility.md lists what is; try `identtqueue selftest`"
            yield Finding("version", Level.WARNING, found, mend, server.name)

    products = ", ".join(sorted({server.product for server in facts.servers}))
    return bad_or_well("version", untested(), products)


def persistence(facts: Facts) -> list[Finding]:
    """Check that a restart of the server does not lose accepted tasks."""
    bad = (finding for server in facts.servers if (finding := _persistence_of(server)))
    return bad_or_well("persistence", bad, _keeps(facts))


def _persistence_of(server: ServerFacts) -> Finding | None:
    def finding(level: Level, found: str, mend: str) -> Finding:
        return Finding("persistence", level, found, mend, server.name)

    snapshots = server.settings.get("save")
    if server.info.get("aof_last_write_status", "ok") != "ok":
        found = "the last write to the append-only file failed, so Redis refuses all writes"
        return finding(Level.ERROR, found, "make room on its disk; its log says why")
    if snapshots != "" and server.info.get("rdb_last_bgsave_status", "ok") != "ok":
        found = "the last snapshot failed; by default Redis then refuses all writes"
        return finding(Level.ERROR, found, "make room on its disk; its log says why")
    if server.number("aof_enabled"):
        if server.settings.get("appendfsync") != "no":
            return None
        found = "appendfsync is no: a crash of the machine loses up to 30 s of accepted tasks"
        return finding(Level.WARNING, found, "CONFIG SET appendfsync everysec")
    level, found = Level.WARNING, "there is no append-only file: a restart may lose tasks"
    if snapshots:
        found = f"there are snapshots only: a crash loses all since the last one ({snapshots})"
    elif snapshots == "":
        level, found = Level.ERROR, "nothing is kept on a disk: a restart loses every task"
    return finding(level, found, f"CONFIG SET appendonly yes, and in redis.conf ({PAGE})")


def _keeps(facts: Facts) -> str:
    how = {server.settings.get("appendfsync") for server in facts.servers} - {None}
    return f"append-only file, fsync {', '.join(sorted(map(str, how))) or 'not known'}"


def eviction(facts: Facts) -> list[Finding]:
    """Check that a full server refuses writes instead of deleting tasks."""

    def deleting() -> Iterator[Finding]:
        for server in facts.servers:
            policy = server.info.get("maxmemory_policy", SAFE_POLICY)
            if policy != SAFE_POLICY:
                what = "results, dead letters and unique keys"
                if policy.startswith("allkeys"):
                    what = "tasks"
                found = f"maxmemory-policy is {policy}: a full server deletes {what} silently"
                yield Finding(
                    "eviction",
                    Level.ERROR,
                    found,
                    f"CONFIG SET maxmemory-policy {SAFE_POLICY}, and in redis.conf ({PAGE})",
                    server.name,
                )

    return bad_or_well("eviction", deleting(), f"maxmemory-policy is {SAFE_POLICY}")


def memory(facts: Facts) -> list[Finding]:
    """Compare the memory that is used with `maxmemory`."""

    def filling() -> Iterator[Finding]:
        for server in facts.servers:
            used, most = server.number("used_memory"), server.number("maxmemory")
            if most and used >= FULL_AT * most:
                full = used >= most
                found = f"{_mib(used)} of {_mib(most)} used"
                found += ": it is full, and refuses new tasks" if full else f": {used / most:.0%}"
                mend = "raise maxmemory, add workers, or shorten result_ttl_seconds"
                level = Level.ERROR if full else Level.WARNING
                yield Finding("memory", level, found, mend, server.name)

    used = sum(server.number("used_memory") for server in facts.servers)
    most = sum(server.number("maxmemory") for server in facts.servers)
    limit = f"of {_mib(most)}" if most else "(no maxmemory is set)"
    return bad_or_well("memory", filling(), f"{_mib(used)} used {limit}")


def output_buffers(facts: Facts) -> list[Finding]:
    """Check that Redis keeps subscribers that get many results at once."""

    def closing() -> Iterator[Finding]:
        for server in facts.servers:
            name = server.name
            closed = server.number("client_output_buffer_limit_disconnections")
            mend = "CONFIG SET client-output-buffer-limit 'pubsub 32mb 8mb 60'"
            hard = pubsub_limit(server.settings.get("client-output-buffer-limit", ""))
            if 0 < hard < LEAST_BUFFER_BYTES:
                found = (
                    f"subscribers are cut off at {hard:,} bytes: clients that await many results"
                )
                found += " have to ask for them again"
                yield Finding("output buffers", Level.WARNING, found, mend, name)
            elif closed:
                found = f"{many(closed, 'connection')} closed because a buffer was full"
                yield Finding("output buffers", Level.WARNING, found, mend, name)

    known = all(server.settings for server in facts.servers)
    well = "no connection was closed because its buffer was full"
    return bad_or_well(
        "output buffers", closing(), well if known else f"{well}; the limits can't be read"
    )


def pubsub_limit(setting: str) -> int:
    """Read the hard limit for subscribers from `client-output-buffer-limit`, in bytes; 0: none."""
    words = setting.split()
    if "pubsub" not in words[:-1]:
        return 0
    return int(words[words.index("pubsub") + 1])


def idle_connections(facts: Facts) -> list[Finding]:
    """Check that Redis leaves idle connections alone, and notices those that are dead."""
    if not all(server.settings for server in facts.servers):
        found = "this user may not read settings (CONFIG GET), so timeout and tcp-keepalive "
        found += "are not checked"
        return [Finding("connections", Level.UNKNOWN, found, f"see {PAGE}")]

    def unfit() -> Iterator[Finding]:
        for server in facts.servers:
            idle = int(server.settings.get("timeout") or 0)
            if idle:
                found = f"timeout is {idle}: Redis closes connections that are idle for {idle} s"
                mend = "CONFIG SET timeout 0"
                yield Finding("connections", Level.WARNING, found, mend, server.name)
            if server.settings.get("tcp-keepalive") == "0":
                found = "tcp-keepalive is 0: a worker whose host is gone still counts as connected"
                mend = "CONFIG SET tcp-keepalive 60"
                yield Finding("connections", Level.WARNING, found, mend, server.name)

    return bad_or_well("connections", unfit(), "idle ones are kept, dead ones are noticed")


def topology(facts: Facts) -> list[Finding]:
    """Check that the address leads to the primary also after a failover."""
    return bad_or_well("topology", _astray(facts), _shape(facts))


def _astray(facts: Facts) -> Iterator[Finding]:
    kind, named = facts.settings.topology, len(facts.settings.place.servers)
    if kind is not Topology.STANDALONE and named < 2:
        what = "Sentinel" if kind is Topology.SENTINEL else "node"
        found = f"the address names one {what}: while it is away, nobody can connect"
        yield Finding(
            "topology", Level.WARNING, found, f"name several: host:port,host:port ({PAGE})"
        )
    for server in facts.servers:
        name, info = server.name, server.info
        if kind is Topology.STANDALONE and info.get("role") == "slave":
            found = f"this is a replica of {info.get('master_host')}: it takes no tasks"
            yield Finding("topology", Level.ERROR, found, "use the address of the primary", name)
        if info.get("role") == "slave" and info.get("master_link_status") == "down":
            found = "this replica has lost its primary"
            yield Finding("topology", Level.ERROR, found, "its log says why", name)
        for replica, seconds in lags(info):
            if seconds > LAG_SECONDS:
                found = f"the replica {replica} is {duration(seconds * 1000)} behind: a failover"
                found += " to it would lose that much"
                yield Finding("topology", Level.WARNING, found, "INFO replication", name)


def lags(info: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """Read address and lag of each replica from INFO, in seconds."""
    for name, value in info.items():
        if re.fullmatch("slave[0-9]{1,4}", name):
            fields = dict(part.partition("=")[::2] for part in value.split(","))
            yield f"{fields.get('ip')}:{fields.get('port')}", int(fields.get("lag") or 0)


def _shape(facts: Facts) -> str:
    kind = facts.settings.topology
    replicas = sum(server.number("connected_slaves") for server in facts.servers)
    if kind is Topology.CLUSTER:
        return f"a cluster of {len(facts.servers)} nodes"
    behind = "" if kind is Topology.STANDALONE else " behind Sentinels"
    if not replicas:
        return f"one server{behind}, without replicas"
    return f"a primary{behind} with {replicas} replica{'s' * (replicas > 1)}"


def _mib(size: int) -> str:
    return f"{size / MIB:,.0f} MiB" if size >= 10 * MIB else f"{size / MIB:,.1f} MiB"
