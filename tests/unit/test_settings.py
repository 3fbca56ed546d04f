"""Settings of Redis and of workers, and the identity of workers."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from identtqueue.errors import InvalidInput, InvalidQueueName, RedisAuthFailed, RedisTlsFailed
from identtqueue.schedule import Cron
from identtqueue.transport import inherited
from identtqueue.transport.address import Server, Topology
from identtqueue.transport.budget import ReplyBudget
from identtqueue.transport.settings import DEFAULT_ADDRESS, RedisSettings
from identtqueue.worker.identity import Identity
from identtqueue.worker.settings import WorkerSettings
from testing.processes import environment

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
    default = {} if address.startswith("unix:") else {"port": 6379}
    assert RedisSettings(address=address).connection_arguments() == default | arguments


def test_tls(tmp_path: Path) -> None:
    files = {name: str(tmp_path / name) for name in ("ca", "crt", "key")}
    settings = RedisSettings(
        address="rediss://redis:6380",
        tls_ca_file=files["ca"],
        tls_cert_file=files["crt"],
        tls_key_file=files["key"],
    )
    assert settings.uses_tls
    with pytest.raises(RedisTlsFailed, match=r"ca' .* is missing or not readable"):
        settings.connection_arguments()
    for file in files.values():
        Path(file).touch()
    assert settings.connection_arguments() == {
        "host": "redis",
        "port": 6380,
        "ssl_ca_certs": files["ca"],
        "ssl_certfile": files["crt"],
        "ssl_keyfile": files["key"],
    }
    assert not RedisSettings(address="redis://redis", tls_ca_file="ca").uses_tls


def test_tls_options_in_the_address() -> None:
    settings = RedisSettings(address="rediss://redis?ssl_ca_certs=ca&ssl_check_hostname=no")
    assert settings.connection_arguments() == {
        "host": "redis",
        "port": 6379,
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


# --- Sentinels and clusters ---


@pytest.mark.parametrize(
    ("address", "servers", "master", "options"),
    [
        ("redis+sentinel://a:1,b:2/mrz", "a:1 b:2", "mrz", {}),
        ("redis+sentinel://a,b/mrz/3", "a:26379 b:26379", "mrz", {"db": 3}),
        ("redis+sentinel://[::1]:5,[::2]/a%2Fb/0", "[::1]:5 [::2]:26379", "a/b", {"db": 0}),
        (
            "rediss+sentinel://me:p%40ss@a,b/mrz?ssl_check_hostname=no",
            "a:26379 b:26379",
            "mrz",
            {"username": "me", "password": "p@ss", "ssl_check_hostname": False},
        ),
    ],
)
def test_addresses_of_sentinels(
    address: str, servers: str, master: str, options: dict[str, Any]
) -> None:
    settings = RedisSettings(address=address)
    place = settings.place
    assert settings.topology is Topology.SENTINEL
    assert (" ".join(map(str, place.servers)), place.master_name) == (servers, master)
    assert place.options == options
    assert settings.uses_tls == address.startswith("rediss")
    found = settings.connection_arguments(Server("master", 7))
    assert found == {"host": "master", "port": 7} | options


def test_sentinels_have_credentials_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("theirs\n")
    settings = RedisSettings(
        address=f"redis+sentinel://me:{SECRET}@a/mrz",
        sentinel_username="watcher",
        sentinel_password_file=str(file),
    )
    assert settings.sentinel_arguments() == {"username": "watcher", "password": "theirs"}
    bare = RedisSettings(address=f"redis+sentinel://me:{SECRET}@a/mrz")
    assert bare.sentinel_arguments() == {}


def test_addresses_of_clusters() -> None:
    settings = RedisSettings(address="rediss+cluster://:pass@a:1,b/")
    assert settings.topology is Topology.CLUSTER
    assert [str(server) for server in settings.place.servers] == ["a:1", "b:6379"]
    assert settings.place.options == {"password": "pass"}
    assert settings.uses_tls


@pytest.mark.parametrize(
    "address",
    [
        "redis+sentinel://a,b",
        "redis+sentinel://a,b/",
        "redis+sentinel://a,,b/mrz",
        "redis+sentinel:///mrz",
        "redis+sentinel://a/mrz/zero",
        "redis+sentinel://a/mrz?db=3",
        "redis+cluster://a,b/3",
        "redis+cluster://",
        "redis+cluster://a?db=3",
        "redis+standalone://a",
        "redis+ring://a",
        "unix+cluster://a",
        "redis://a,b",
    ],
)
def test_addresses_of_several_servers_that_can_not_be_read(address: str) -> None:
    with pytest.raises(InvalidInput, match=r"redis\+sentinel://host:port,host:port/master-name/db"):
        RedisSettings(address=address)


# --- credentials ---


def test_credentials_in_files_are_read_anew(tmp_path: Path) -> None:
    username, password = tmp_path / "username", tmp_path / "password"
    settings = RedisSettings(
        address="redis", username_file=str(username), password_file=str(password)
    )
    with pytest.raises(RedisAuthFailed, match=r"username_file .*No such file"):
        settings.connection_arguments()
    for name in ("first", "second"):
        username.write_text(name)
        password.write_text(f"{name} secret\r\n")
        arguments = settings.connection_arguments()
        assert (arguments["username"], arguments["password"]) == (name, f"{name} secret")
    assert settings.rereads_credentials
    assert not RedisSettings(address="redis", password=SECRET).rereads_credentials
    password.write_bytes(b"\xff")
    with pytest.raises(RedisAuthFailed, match=r"password_file .*not text"):
        settings.connection_arguments()


@pytest.mark.parametrize(
    "settings",
    [
        {"tls_cert_file": "crt"},
        {"tls_key_file": "key"},
        {"password": SECRET, "password_file": "f"},
        {"username": "me", "username_file": "f"},
        {"sentinel_password": SECRET, "sentinel_password_file": "f"},
    ],
    ids=str,
)
def test_settings_that_contradict(settings: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        RedisSettings(**settings)


def test_credentials_beside_the_address() -> None:
    settings = RedisSettings(address="redis", username="me", password=SECRET)
    assert settings.connection_arguments() == {
        "host": "redis",
        "port": 6379,
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


SCHEMES = ["redis://", "rediss://", "redis+sentinel://", "redis+cluster://", "unix://", ""]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("mark", "#?/")
@pytest.mark.parametrize("user", ["", "me"])
@pytest.mark.parametrize("first", ["s3", "12", "", "12@s3"], ids=repr)
@pytest.mark.parametrize("tail", ["", ":6379", "/0", ":6379/mrz/0", "?db=1"])
def test_a_password_that_is_not_escaped_is_never_shown_nor_taken_for_a_host(
    scheme: str, mark: str, user: str, first: str, tail: str
) -> None:
    """It may look like the start of a port, a path, an option or a fragment."""
    address = f"{scheme}{user}:{first}{mark}cr3t@redis{tail}"
    if scheme == "unix://" and mark == "/":
        address = address.replace("/cr3t", "%2Fcr3t")  # what stands there is a path
        assert "cr3t" not in repr(RedisSettings(address=address))
        return
    with pytest.raises(InvalidInput, match="IDENTTQUEUE_REDIS_PASSWORD") as caught:
        RedisSettings(address=address)
    said = str(caught.value)
    assert "cr3t" not in said
    assert "s3" not in said.replace("redis", "")
    assert "12" not in said
    assert "%23" in said


@pytest.mark.parametrize("address", [f"redis://me:{SECRET}", f":{SECRET}", f"redis://:{SECRET}/0"])
def test_a_password_without_a_host_is_not_shown(address: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        RedisSettings(address=address)
    assert SECRET not in str(caught.value)


def test_a_password_may_hold_anything_that_is_escaped() -> None:
    settings = RedisSettings(address="redis://me:%23%3F%2F%40%3A@redis")
    assert settings.connection_arguments()["password"] == "#?/@:"
    assert RedisSettings(address="unix:///run/a@b.sock").connection_arguments() == {
        "path": "/run/a@b.sock"
    }


# --- environment ---


def test_the_environment() -> None:
    settings = RedisSettings.from_environment(
        {
            "IDENTTQUEUE_REDIS_ADDRESS": "rediss://redis:6380",
            "IDENTTQUEUE_REDIS_USERNAME": "me",
            "IDENTTQUEUE_REDIS_PASSWORD": SECRET,
            "IDENTTQUEUE_REDIS_TLS_CA_FILE": "/ca.crt",
            "IDENTTQUEUE_REDIS_TLS_CERT_FILE": "/tls.crt",
            "IDENTTQUEUE_REDIS_TLS_KEY_FILE": "/tls.key",
            "IDENTTQUEUE_REDIS_SENTINEL_USERNAME": "watcher",
            "IDENTTQUEUE_REDIS_SENTINEL_PASSWORD_FILE": "/sentinel",
        }
    )
    assert settings == RedisSettings(
        address="rediss://redis:6380",
        username="me",
        password=SECRET,
        tls_ca_file="/ca.crt",
        tls_cert_file="/tls.crt",
        tls_key_file="/tls.key",
        sentinel_username="watcher",
        sentinel_password_file="/sentinel",
    )


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"], ids=repr)
def test_a_line_break_at_the_end_is_no_part_of_a_variable(end: str, tmp_path: Path) -> None:
    """The same rule holds for variables and files, because a Secret made with `echo` has one."""
    kinds = RedisSettings.__annotations__
    names = [name for name in RedisSettings.__struct_fields__ if "str" in str(kinds[name])]
    values = {name: "redis://redis" if name == "address" else f" {name} " for name in names}
    for name in ("username", "password", "sentinel_username", "sentinel_password"):
        del values[f"{name}_file"]
    environment = {f"IDENTTQUEUE_REDIS_{k.upper()}": v + end for k, v in values.items()}
    assert RedisSettings.from_environment(environment) == RedisSettings(**values)
    (tmp_path / "password").write_text(f" {SECRET} {end}")
    settings = RedisSettings(password_file=str(tmp_path / "password"))
    assert settings.connection_arguments()["password"] == f" {SECRET} "


@pytest.mark.parametrize("environment", [{}, {"IDENTTQUEUE_REDIS_ADDRESS": ""}])
def test_an_empty_environment_means_localhost(environment: dict[str, str]) -> None:
    assert RedisSettings.from_environment(environment) == RedisSettings(address=DEFAULT_ADDRESS)


def test_what_callers_may_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTTQUEUE_REDIS_ADDRESS", "redis://from-environment")
    settings = RedisSettings(address="redis://given")
    assert RedisSettings.of(settings) is settings
    assert RedisSettings.of("redis://given") == settings
    assert RedisSettings.of(None).address == "redis://from-environment"


@pytest.fixture
def credentials_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTTQUEUE_REDIS_ADDRESS", "redis://elsewhere")
    monkeypatch.setenv("IDENTTQUEUE_REDIS_USERNAME", "me")
    monkeypatch.setenv("IDENTTQUEUE_REDIS_PASSWORD", SECRET)
    monkeypatch.setenv("IDENTTQUEUE_REDIS_SENTINEL_PASSWORD_FILE", "/sentinel")
    monkeypatch.setenv("IDENTTQUEUE_REDIS_TLS_CA_FILE", "/ca.crt")


@pytest.mark.usefixtures("credentials_of_the_environment")
def test_a_plain_address_has_the_environments_credentials() -> None:
    assert RedisSettings.of("redis://given") == RedisSettings(
        address="redis://given",
        username="me",
        password=SECRET,
        sentinel_password_file="/sentinel",
        tls_ca_file="/ca.crt",
    )


@pytest.mark.usefixtures("credentials_of_the_environment")
@pytest.mark.parametrize("login", [":own@", "you:own@", "you@"])
def test_an_address_with_a_login_gets_no_part_of_another(login: str) -> None:
    assert RedisSettings.of(f"redis://{login}given") == RedisSettings(
        address=f"redis://{login}given", sentinel_password_file="/sentinel", tls_ca_file="/ca.crt"
    )


@pytest.mark.usefixtures("credentials_of_the_environment")
def test_settings_are_taken_as_they_are() -> None:
    settings = RedisSettings(address="redis://given", username="you")
    assert RedisSettings.of(settings) is settings


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
        {"max_loop_block_seconds": 0.5},
        {"max_loop_block_seconds": None},
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


def test_what_processes_for_jobs_inherit() -> None:
    """The settings arrive as they were, except for objects that belong to the worker's process."""
    redis = RedisSettings(address="redis://elsewhere:6380/3", password="secret", tls_ca_file="/ca")
    own = (None, "redis://here", RedisSettings(address="redis://here", username="me"))
    sent = [msgspec.msgpack.encode(inherited.inheritance(address, redis)) for address in own]
    there = subprocess.run(
        [sys.executable, "-c", INHERIT, *(data.hex() for data in sent)],
        env=environment("redis://unused"),
        capture_output=True,
        text=True,
        check=True,
    )
    wanted = "True True redis://elsewhere:6380/3 secret"
    assert there.stdout.splitlines() == ["None", wanted, wanted, wanted]
    budget = RedisSettings(address="redis://elsewhere", reply_budget=ReplyBudget())
    assert inherited.inheritance(None, budget) is None


INHERIT = """
import sys
import msgspec
from identtqueue.transport import inherited
from identtqueue.transport.settings import RedisSettings
print(inherited.redis_of(None))
for data in sys.argv[1:]:
    given = msgspec.msgpack.decode(bytes.fromhex(data), type=inherited.Inheritance)
    inherited.inherit(given)
    own = given.app_address
    found = inherited.redis_of(RedisSettings(**own) if isinstance(own, dict) else own)
    print(found == inherited.redis_of(None), inherited.redis_of("redis://other") is None, end=" ")
    print(found.address, found.password)
"""
