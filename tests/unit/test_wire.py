"""Translation of Redis' errors, versions of servers, and pauses between attempts."""

from __future__ import annotations

import pytest
from redis import exceptions as redis_errors

from identtqueue.errors import (
    RedisAuthFailed,
    RedisError,
    RedisFull,
    RedisTooOld,
    RedisTopologyMismatch,
    RedisUnavailable,
    ResultTimeout,
)
from identtqueue.protocol import commands, keys
from identtqueue.protocol.call import Call
from identtqueue.protocol.scripts import script
from identtqueue.transport import wire
from identtqueue.transport.address import Topology
from identtqueue.transport.server import check_server, own_name

QUOTED = "Error running script (call to f_0a): @user_script:7: @user_script: 7: "
"""How Redis 6.2 shows an error that a command inside a script met."""


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (redis_errors.ConnectionError("Connection refused"), RedisUnavailable),
        (redis_errors.TimeoutError("Timeout"), RedisUnavailable),
        (ConnectionResetError(), RedisUnavailable),
        (TimeoutError(), RedisUnavailable),
        (EOFError(), RedisUnavailable),
        (redis_errors.BusyLoadingError("Redis is loading"), RedisUnavailable),
        (redis_errors.ReadOnlyError("You can't write"), RedisUnavailable),
        (redis_errors.MasterDownError("Link with MASTER is down"), RedisUnavailable),
        (redis_errors.ClusterDownError("The cluster is down"), RedisUnavailable),
        (redis_errors.TryAgainError("Multiple keys"), RedisUnavailable),
        (redis_errors.ResponseError("BUSY Redis is busy running a script."), RedisUnavailable),
        (redis_errors.ResponseError("UNKILLABLE Sorry the script"), RedisUnavailable),
        (redis_errors.ResponseError("NOREPLICAS Not enough good replicas"), RedisUnavailable),
        (redis_errors.ResponseError("MISCONF Redis is configured to save"), RedisUnavailable),
        (redis_errors.ResponseError(QUOTED + "-READONLY You can't write"), RedisUnavailable),
        (redis_errors.ResponseError(QUOTED + "-NOREPLICAS Not enough good"), RedisUnavailable),
        (redis_errors.ResponseError(QUOTED + "-MISCONF Redis is configured"), RedisUnavailable),
        (redis_errors.AuthenticationError("invalid password"), RedisAuthFailed),
        (redis_errors.NoPermissionError("no permissions"), RedisAuthFailed),
        (redis_errors.OutOfMemoryError("command not allowed"), RedisFull),
        (redis_errors.ResponseError(QUOTED + "-OOM command not allowed when"), RedisFull),
        (redis_errors.ResponseError("wrong number of arguments"), RedisError),
        (redis_errors.ResponseError("BUSYGROUP Consumer Group name exists"), RedisError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else repr(value)[:60],
)
def test_errors_of_redis_are_translated(error: Exception, ours: type[RedisError]) -> None:
    translated = wire.translate(error)
    assert type(translated) is ours
    assert str(error) in str(translated)
    assert str(translated)
    with pytest.raises(ours) as caught:
        wire.fail(error)
    assert caught.value.__cause__ is error


def test_our_own_errors_stay_what_they_are() -> None:
    error = RedisTooOld("5", "6.2")
    assert wire.translate(error) is error
    assert not isinstance(wire.translate(ResultTimeout("q:1", 1)), ResultTimeout)


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


def test_pauses_grow_and_end_at_two_seconds() -> None:
    for failures in (0, 1, 2, 16, 10**9):
        pauses = [wire.backoff_seconds(failures) for _ in range(100)]
        assert all(0 <= pause <= 2.0 for pause in pauses)
    assert max(wire.backoff_seconds(1) for _ in range(100)) <= 0.1 + 1e-9
    for failures in (1, 9, 16):
        assert len({wire.backoff_seconds(failures) for _ in range(20)}) > 1, "jitter"


def test_a_plain_command_is_sent_as_it_is() -> None:
    assert wire.words(commands.in_flight("q", "w")) == ("LRANGE", "idtq:{q}:inflight:w", 0, -1)


def test_a_script_with_the_wrong_keys_is_not_sent() -> None:
    wanted = script("wake").key_count
    with pytest.raises(ValueError, match=f"wake takes {wanted} keys, got 1"):
        wire.words(Call("wake", ("one",), (), parse=int))


# --- keys ---


def test_every_key_of_a_queue_is_in_its_slot() -> None:
    k = keys.queue_keys("mrz")
    names = [getattr(k, name) for name in keys.QueueKeys.__slots__]
    assert len(set(names)) == len(names)
    assert all(name.startswith("idtq:{mrz}:") for name in names)
    assert k.task("mrz:1") == "idtq:{mrz}:task:mrz:1"
    assert k.inflight("w") == "idtq:{mrz}:inflight:w"


@pytest.mark.parametrize("queue", ["mrz", "a.b_c-9", "x" * 63])
def test_a_doorbell_says_whose_it_is(queue: str) -> None:
    assert keys.queue_of_doorbell(keys.queue_keys(queue).doorbell) == queue


def test_channels() -> None:
    assert keys.control_channel("w") == "idtq:control:w"
    assert keys.reply_channel("c") == "idtq:reply:c"
