"""Where Redis is, how a worker works, where it runs."""

from __future__ import annotations

import math
from typing import Any

import pytest

from identtqueue.errors import InvalidInput, InvalidQueueName
from identtqueue.schedule import Cron
from identtqueue.transport.settings import DEFAULT_ADDRESS, RedisSettings
from identtqueue.worker.settings import Identity, WorkerSettings

SECRET = "s3cr3t"


# --- addresses ---


@pytest.mark.parametrize(
    ("address", "arguments"),
    [
        ("redis://redis", {"host": "redis"}),
        ("redis", {"host": "redis"}),
        ("redis:6380", {"host": "redis", "port": 6380}),
        ("10.0.0.7:6380/3", {"host": "10.0.0.7", "port": 6380, "db": 3}),
        ("redis://redis:6380/3", {"host": "redis", "port": 6380, "db": 3}),
        ("redis://[::1]:6380", {"host": "::1", "port": 6380}),
        ("redis://redis?db=3", {"host": "redis", "db": 3}),
        ("redis://:p%40ss@redis", {"host": "redis", "password": "p@ss"}),
        ("redis://me:pass@redis", {"host": "redis", "username": "me", "password": "pass"}),
        (
            "me:pass@redis:6380",
            {"host": "redis", "port": 6380, "username": "me", "password": "pass"},
        ),
        ("unix:///run/redis.sock", {"path": "/run/redis.sock"}),
        ("unix:///run/redis.sock?db=2", {"path": "/run/redis.sock", "db": 2}),
    ],
)
def test_addresses(address: str, arguments: dict[str, Any]) -> None:
    assert RedisSettings(address=address).connection_arguments() == arguments


def test_tls() -> None:
    settings = RedisSettings(
        address="rediss://redis:6380", tls_ca_file="ca", tls_cert_file="crt", tls_key_file="key"
    )
    assert settings.uses_tls
    assert settings.connection_arguments() == {
        "host": "redis",
        "port": 6380,
        "ssl_ca_certs": "ca",
        "ssl_certfile": "crt",
        "ssl_keyfile": "key",
    }
    assert not RedisSettings(address="redis://redis", tls_ca_file="ca").uses_tls


def test_tls_options_in_the_address() -> None:
    settings = RedisSettings(address="rediss://redis?ssl_ca_certs=ca&ssl_check_hostname=no")
    assert settings.connection_arguments() == {
        "host": "redis",
        "ssl_ca_certs": "ca",
        "ssl_check_hostname": False,
    }
    with pytest.raises(InvalidInput):
        RedisSettings(address="redis://redis?ssl_ca_certs=ca")


def test_a_socket_file() -> None:
    assert RedisSettings(address="unix:///run/redis.sock").uses_socket_file
    assert not RedisSettings(address="redis://redis").uses_socket_file


@pytest.mark.parametrize(
    "address",
    [
        "http://redis",
        "redis:/redis",
        "redis://redis:port",
        "redis://redis:99999",
        "redis://redis:-1",
        "redis://redis/zero",
        "redis://redis?db=zero",
        "redis://redis?no_such_option=1",
        "redis://redis?socket_timeout=5",
        "redis://redis?protocol=3",
        "redis://[::1",
        "://",
    ],
)
def test_addresses_that_can_not_be_read(address: str) -> None:
    with pytest.raises(InvalidInput, match=r"redis_address .* expected redis://host:port/db"):
        RedisSettings(address=address)


@pytest.mark.parametrize("address", [None, 5, b"redis://redis"], ids=repr)
def test_addresses_that_are_no_text(address: Any) -> None:
    with pytest.raises(InvalidInput, match="redis_address"):
        RedisSettings(address=address)


# --- credentials ---


def test_credentials_beside_the_address() -> None:
    settings = RedisSettings(address="redis", username="me", password=SECRET)
    assert settings.connection_arguments() == {
        "host": "redis",
        "username": "me",
        "password": SECRET,
    }


def test_those_in_the_address_come_first() -> None:
    settings = RedisSettings(address="redis://you:other@redis", username="me", password=SECRET)
    arguments = settings.connection_arguments()
    assert (arguments["username"], arguments["password"]) == ("you", "other")


@pytest.mark.parametrize(
    "settings",
    [
        RedisSettings(address=f"redis://me:{SECRET}@redis:6379/0"),
        RedisSettings(address=f"me:{SECRET}@redis"),
        RedisSettings(address=f"redis://redis?password={SECRET}"),
        RedisSettings(address="redis://redis", password=SECRET),
        RedisSettings(address=f"unix://:{SECRET}@/run/redis.sock"),
    ],
    ids=["address", "short address", "option", "beside", "socket"],
)
def test_the_password_is_not_shown(settings: RedisSettings) -> None:
    for text in (repr(settings), str(settings), settings.safe_address, f"{settings}"):
        assert SECRET not in text
        assert "redis" in text


@pytest.mark.parametrize(
    "address",
    [
        f"redis://me:{SECRET}@redis:port",
        f"redis://me:{SECRET}/1@redis",
        f"redis://me:{SECRET}#1@redis",
        f"redis://me:1/{SECRET}@redis:6379",
        f"http://me:{SECRET}@redis",
        f"redis://redis:port?password={SECRET}",
    ],
)
def test_the_password_is_not_shown_when_the_address_can_not_be_read(address: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        RedisSettings(address=address)
    error: BaseException | None = caught.value
    while error is not None:  # the whole chain ends up in a log
        assert SECRET not in str(error)
        error = None if error.__suppress_context__ else error.__cause__ or error.__context__


# --- environment ---


def test_the_environment() -> None:
    settings = RedisSettings.from_environment(
        {
            "IDENTTQUEUE_REDIS_ADDRESS": "rediss://redis:6380",
            "IDENTTQUEUE_REDIS_USERNAME": "me",
            "IDENTTQUEUE_REDIS_PASSWORD": SECRET,
            "IDENTTQUEUE_REDIS_TLS_CA_FILE": "/ca.crt",
        }
    )
    assert settings == RedisSettings(
        address="rediss://redis:6380", username="me", password=SECRET, tls_ca_file="/ca.crt"
    )


@pytest.mark.parametrize("environment", [{}, {"IDENTTQUEUE_REDIS_ADDRESS": ""}])
def test_an_empty_environment_means_localhost(environment: dict[str, str]) -> None:
    assert RedisSettings.from_environment(environment) == RedisSettings(address=DEFAULT_ADDRESS)


def test_what_callers_may_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTTQUEUE_REDIS_ADDRESS", "redis://from-environment")
    settings = RedisSettings(address="redis://given")
    assert RedisSettings.of(settings) is settings
    assert RedisSettings.of("redis://given") == settings
    assert RedisSettings.of(None).address == "redis://from-environment"


def test_credentials_of_the_environment_fill_gaps_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTTQUEUE_REDIS_ADDRESS", "redis://elsewhere")
    monkeypatch.setenv("IDENTTQUEUE_REDIS_USERNAME", "me")
    monkeypatch.setenv("IDENTTQUEUE_REDIS_PASSWORD", SECRET)
    filled = RedisSettings(address="redis://given", username="you").with_environment_credentials()
    assert (filled.address, filled.username, filled.password) == ("redis://given", "you", SECRET)


# --- workers ---


def test_the_defaults_of_a_worker() -> None:
    settings = WorkerSettings(queues=("mrz",))
    assert (settings.concurrency, settings.max_deliveries, settings.lease_ms) == (10, 5, 15_000)


@pytest.mark.parametrize(
    "settings",
    [
        {"queues": ()},
        {"queues": ("a", "b", "a")},
        {"concurrency": 0},
        {"concurrency": math.nan},
        {"max_deliveries": 0},
        {"lease_seconds": 4.9},
        {"lease_seconds": math.nan},
        {"lease_seconds": math.inf},
        {"grace_seconds": -1},
        {"grace_seconds": math.nan},
        {"timeout_seconds": 0},
        {"timeout_seconds": -1},
        {"timeout_seconds": math.nan},
    ],
    ids=str,
)
def test_settings_of_a_worker_that_break_a_rule(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        WorkerSettings(**{"queues": ("mrz",)} | settings)


def test_queue_names_of_a_worker() -> None:
    with pytest.raises(InvalidQueueName):
        WorkerSettings(queues=("mrz", "MRZ"))


def test_two_schedules_of_one_name() -> None:
    def entry(queue: str | None) -> Cron:
        return Cron(name="nightly", function_name="job", expression="0 0 * * *", queue=queue)

    WorkerSettings(queues=("a", "b"), cron=(entry(None), entry("b")))
    with pytest.raises(InvalidInput, match="two cron entries of one queue have the same name"):
        WorkerSettings(queues=("a", "b"), cron=(entry(None), entry("a")))


# --- identity ---


def test_a_pod() -> None:
    identity = Identity.from_environment(
        {
            "IDENTTQUEUE_POD_UID": "0a1b",
            "IDENTTQUEUE_POD_NAME": "mrz-7",
            "IDENTTQUEUE_CONTAINER": "worker",
        }
    )
    assert (identity.pod_uid, identity.pod_name, identity.container) == ("0a1b", "mrz-7", "worker")
    assert identity.worker_id("nonce") == "0a1b.nonce"


def test_outside_a_pod_the_host_stands_for_it() -> None:
    identity = Identity.from_environment({})
    assert identity.pod_uid is None
    assert identity.worker_id("nonce") == f"{identity.host}.nonce"
    assert identity.boot is not None
    assert identity.boot.isdigit(), "the start time of PID 1"
    assert identity == Identity.from_environment({}), "the same for every process of one start"
