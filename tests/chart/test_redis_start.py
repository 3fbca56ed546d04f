"""The start script of the chart's Redis, run for real: any password works and nobody sees it."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from chart import helm
from identtqueue import Client, RedisSettings, Worker
from identtqueue.admin import Admin
from testing import servers
from testing.serving import serving

FILES = helm.CHART / "files"


@contextmanager
def started(folder: Path, password: str, **roles: str) -> Iterator[subprocess.Popen[str]]:
    """The script as in the container, but in a folder and on a socket of this test's own."""
    for name in ("bin", "etc", "tmp", "data"):
        (folder / name).mkdir(exist_ok=True)
    program = folder / "bin" / "redis-server"
    if not program.exists():
        program.symlink_to(servers.executable(servers.OLDEST))
    config = (FILES / "redis.conf").read_text()
    config = config.replace("port 6379", f"port 0\nunixsocket {folder}/socket")
    (folder / "etc" / "redis.conf").write_text(config.replace("dir /data", f"dir {folder}/data"))
    (folder / "etc" / "users.conf").write_text((FILES / "redis-users.conf").read_text())
    script = (FILES / "redis-start.sh").read_text()
    script = re.sub("/(etc/identtqueue|tmp)/", lambda m: f"{folder}/{m[1][:3]}/", script)
    process = subprocess.Popen(
        ["sh", "-c", script],
        env={
            "PATH": f"{folder}/bin:{os.environ['PATH']}",
            "REDISCLI_AUTH": password,
            "APPENDFSYNC": "everysec",
            "MAXMEMORY": "64mb",
            **{f"{role.upper()}_PASSWORD": word for role, word in roles.items()},
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=10)
        if process.stdout:
            process.stdout.close()


def wait_until_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout
    log = []
    for line in process.stdout:
        log.append(line)
        if "ready to accept connections at" in line:
            return
    raise AssertionError("".join(log))


def client_of(folder: Path, password: str | None, user: str | None = None) -> "redis.Redis":
    once = Retry(NoBackoff(), 0)
    socket = str(folder / "socket")
    return redis.Redis(unix_socket_path=socket, username=user, password=password, retry=once)


@pytest.mark.parametrize(
    "password",
    ["plain123", "a b\"c'd\\e#f$g`h%s", "ünï cödé", "two\nlines"],
    ids=["plain", "special", "unicode", "newline"],
)
def test_any_password_works_and_is_nowhere_to_be_seen(tmp_path: Path, password: str) -> None:
    with started(tmp_path, password) as process:
        wait_until_ready(process)
        with client_of(tmp_path, password) as client:
            settings = client.config_get("*")
        assert settings["appendonly"] == "yes"
        assert settings["appendfsync"] == "everysec"
        assert settings["maxmemory"] == str(64 * 1024 * 1024)
        assert settings["maxmemory-policy"] == "noeviction"
        with client_of(tmp_path, None) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
        for file in ("cmdline", "environ"):
            assert password.encode() not in (Path("/proc") / str(process.pid) / file).read_bytes()
        process.terminate()
        assert process.stdout
        assert password not in process.stdout.read()
    for written in (
        path for path in tmp_path.rglob("*") if path.is_file() and "bin" not in path.parts
    ):
        assert password.encode() not in written.read_bytes(), written


def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    with started(tmp_path, "secret") as process:
        wait_until_ready(process)
        with client_of(tmp_path, "secret") as client:
            client.rpush("idtq:{mrz}:pending", "mrz:1", "mrz:2")
        process.kill()
        process.wait(timeout=10)
    with started(tmp_path, "secret") as process:
        wait_until_ready(process)
        with client_of(tmp_path, "secret") as client:
            assert client.lrange("idtq:{mrz}:pending", 0, -1) == [b"mrz:1", b"mrz:2"]


ROLES = {"operator": "op s3cret&/", "worker": "w\\1#", "producer": "pröducer", "admin": "ädmin &"}


def test_the_roles_have_users_whose_passwords_are_nowhere_to_be_seen(tmp_path: Path) -> None:
    with started(tmp_path, "secret", **ROLES) as process:
        wait_until_ready(process)
        for file in ("cmdline", "environ"):
            seen = (Path("/proc") / str(process.pid) / file).read_bytes()
            assert not [word for word in ROLES.values() if word.encode() in seen]
        written = (tmp_path / "tmp" / "redis.conf").read_text()
        assert not [word for word in ROLES.values() if word in written]
        with client_of(tmp_path, "secret") as client:
            users = {rule.split()[1]: rule for rule in client.acl_list()}
        assert set(users) == {"default", *ROLES}
        assert not [rule for rule in users.values() if "nopass" in rule]


async def test_each_role_does_its_work_with_its_own_login_and_no_other(tmp_path: Path) -> None:
    def settings(role: str) -> RedisSettings:
        return RedisSettings(
            address=f"unix://{tmp_path}/socket", username=role, password=ROLES[role]
        )

    with started(tmp_path, "secret", **ROLES) as process:
        wait_until_ready(process)
        worker = Worker({"upper": upper}, settings("worker"), "mrz")
        async with Client(settings("producer")) as client, serving(worker):
            task_id = await client.enqueue_job("mrz", "upper", "hello")
            assert await client.wait_for_result(task_id, 30) == "HELLO"
            async with Admin(settings("operator")) as admin:
                assert (await admin.depths(["mrz"]))["mrz"].counters["succeeded"] == 1
                assert len(await admin.workers("mrz")) == 1
        for role, others in {
            "producer": ["BLPOP idtq:{mrz}:wake 1", "CONFIG GET *", "ACL LIST"],
            "worker": ["HGETALL idtq:{mrz}:stats", "CONFIG GET *", "ACL LIST", "FLUSHALL"],
            "operator": ["BLPOP idtq:{mrz}:wake 1", "GET elsewhere", "FLUSHALL"],
            "admin": ["BLPOP idtq:{mrz}:wake 1", "GET elsewhere", "FLUSHALL"],
        }.items():
            with client_of(tmp_path, ROLES[role], role) as raw:
                for command in others:
                    with pytest.raises(redis.exceptions.NoPermissionError):
                        raw.execute_command(*command.split())


async def upper(_ctx: object, text: str) -> str:
    return text.upper()


def test_without_their_passwords_there_are_no_other_users(tmp_path: Path) -> None:
    with started(tmp_path, "secret") as process:
        wait_until_ready(process)
        with client_of(tmp_path, "secret") as client:
            assert [rule.split()[1] for rule in client.acl_list()] == ["default"]


def test_an_empty_password_is_refused(tmp_path: Path) -> None:
    with started(tmp_path, "") as process:
        output, _ = process.communicate(timeout=10)
    assert process.returncode != 0
    assert "an empty password would switch authentication off" in output
