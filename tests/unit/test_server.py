"""Versions, kinds and names of servers."""

from __future__ import annotations

import pytest

from identtqueue.errors import RedisTooOld, RedisTopologyMismatch
from identtqueue.transport.address import Topology
from identtqueue.transport.server import check_server, own_name


@pytest.mark.parametrize(
    "version", ["6.2.0", "6.2", "7.0.15", "10.0.0", "8", "unknown", "", "255.255.255"]
)
def test_supported_versions(version: str) -> None:
    check_server({"redis_version": version}, Topology.STANDALONE)


@pytest.mark.parametrize("version", ["6.0.16", "6.1.240", "5.0.6", "2.8", "0.1"])
def test_versions_that_are_too_old(version: str) -> None:
    with pytest.raises(RedisTooOld, match=f"version {version}, idenTTqueue needs 6.2 or newer"):
        check_server({"redis_version": version}, Topology.STANDALONE)


VALKEY = {"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "9.1.2"}


@pytest.mark.parametrize("field", ["redis_mode", "server_mode"])
def test_the_topology_is_seen_under_either_name(field: str) -> None:
    """Valkey 9 only reports `server_mode`."""
    for mode, right in (("standalone", Topology.STANDALONE), ("cluster", Topology.CLUSTER)):
        for expected in Topology:
            info = VALKEY | {field: mode}
            if expected is right or (mode == "standalone" and expected is Topology.SENTINEL):
                check_server(info, expected)
            else:
                with pytest.raises(RedisTopologyMismatch):
                    check_server(info, expected)
    with pytest.raises(RedisTopologyMismatch, match="is a Sentinel"):
        check_server({field: "sentinel"}, Topology.STANDALONE)


def test_a_server_has_its_own_name() -> None:
    assert own_name({"redis_version": "7.0.15"}) == ("Redis", "7.0.15")
    assert own_name(VALKEY) == ("Valkey", "9.1.2")
    assert own_name({"redis_version": "7.2.4", "server_name": "new"}) == ("New", "7.2.4")
    assert own_name({}) == ("Redis", "unknown")
