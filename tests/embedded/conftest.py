"""Fixtures for embedded servers: a folder, its users, and a look at the processes behind it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

from testing.processes import environment
from testing.waiting import wait_until

HERE = Path(__file__).parent


@dataclass
class User:
    """A process that uses an embedded server."""

    process: subprocess.Popen[str]

    def read(self) -> str:
        """Read the next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def enqueue(self) -> int:
        """Let it enqueue a task; return how many are pending then."""
        self.tell()
        return int(self.read())

    def tell(self) -> None:
        """Let it enqueue a task, without waiting for that."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def leave(self) -> None:
        """Let it end in order."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)

    def close(self) -> None:
        """Close its files."""
        self.process.wait(60)
        for file in (self.process.stdin, self.process.stdout):
            if file is not None:
                with contextlib.suppress(OSError):  # what was not sent to a process that is dead
                    file.close()


@dataclass
class Premises:
    """A folder for an embedded server, and the users that a test has started."""

    folder: Path
    users: list[User] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"embedded://{self.folder}"

    def user(self, program: str = "user.py", address: str | None = None) -> User:
        """Start a process that uses the server when it is told to."""
        command = [sys.executable, str(HERE / program), address or self.address]
        made = User(
            subprocess.Popen(
                command,
                env=environment(""),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        self.users.append(made)
        return made

    def ready_user(self) -> User:
        """Start such a process; return when it could connect."""
        made = self.user()
        assert made.read() == "ready"
        return made

    @contextlib.contextmanager
    def client(self) -> Iterator[redis.Redis]:
        """Make a plain client, which is no user: the server may end meanwhile."""
        socket_file = os.path.relpath(self.folder / "valkey.sock")
        with redis.Redis(unix_socket_path=socket_file) as plain:
            yield plain

    @property
    def server_pid(self) -> int:
        with self.client() as plain:
            return int(plain.info("server")["process_id"])

    @property
    def starts(self) -> int:
        """How many servers have been started in the folder, by their log."""
        return (self.folder / "valkey.log").read_text().count("Server initialized")

    def wait_for_end(self, *pids: int) -> None:
        """Wait until processes have ended. One that nobody waits for counts, too."""
        for pid in pids:
            wait_until(f"process {pid} ends", lambda pid=pid: not is_running(pid), every=0.01)


def is_running(pid: int) -> bool:
    """Return whether a process runs. The state of a dead one that is still listed is Z."""
    asked = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], check=False, capture_output=True, text=True
    )
    return asked.stdout.strip()[:1] not in {"", "Z"}


def parent_of(pid: int) -> int:
    """Return the parent of a process: of a server, that is its keeper."""
    asked = subprocess.run(
        ["ps", "-o", "ppid=", "-p", str(pid)], check=True, capture_output=True, text=True
    )
    return int(asked.stdout)


@pytest.fixture
def premises(tmp_path: Path) -> Iterator[Premises]:
    """Provide a folder that does not exist yet. Its users are ended after the test."""
    made = Premises(tmp_path / "queue")
    yield made
    for user in made.users:
        user.process.kill()
        user.close()


@pytest.fixture
def limited_python(tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Provide a function that runs code in a Python whose packages lack the embedded server."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for entry in Path(redis.__file__).parents[1].iterdir():
        if not entry.name.startswith("valkey"):
            (packages / entry.name).symlink_to(entry)

    def run(code: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([environment("")["PYTHONPATH"], str(packages)])
        return subprocess.run(
            [sys.executable, "-S", "-c", code],
            env=environment("") | {"PYTHONPATH": path},
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run
