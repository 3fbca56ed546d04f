"""Translation of Redis' errors to ours."""

from __future__ import annotations

import pytest
from redis import exceptions as redis_errors

from identtqueue.errors import (
    RedisAuthFailed,
    RedisError,
    RedisFull,
    RedisTooOld,
    RedisUnavailable,
    ResultTimeout,
)
from identtqueue.transport import refusals

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
    translated = refusals.translate(error)
    assert type(translated) is ours
    assert str(error) in str(translated)
    assert str(translated)
    with pytest.raises(ours) as caught:
        refusals.fail(error)
    assert caught.value.__cause__ is error


def test_our_own_errors_stay_what_they_are() -> None:
    error = RedisTooOld("5", "6.2")
    assert refusals.translate(error) is error
    assert not isinstance(refusals.translate(ResultTimeout("q:1", 1)), ResultTimeout)
