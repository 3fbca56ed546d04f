"""The server of a test session: a private one, or one that the environment names."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from identtqueue.embedded import Durability, EmbeddedServer
from identtqueue.embedded.program import find_server
from identtqueue.errors import EmbeddedServerFailed, InvalidInput, RedisUnavailable
from identtqueue.protocol.calls import server_facts
from identtqueue.testing.databases import Databases, OwnDatabases, SharedDatabases
from identtqueue.transport.connect import blocking_redis
from identtqueue.transport.settings import RedisSettings

VARIABLE: Final = "IDENTTQUEUE_TEST_REDIS_ADDRESS"
"""Environment variable with the address of a server for tests, instead of a private one."""

PROGRAMS: Final = ("valkey-server", "redis-server")
START_SECONDS: Final = 30.0

_WATCHED: Final = '"$@" & server=$!; read -r _; kill $server; wait $server'
"""Shell script that runs a server and ends it when its own standard input ends. The kernel closes
the other end of that pipe when the test process has ended, however it ended."""


class TestServer:
    """A real server for tests, and an empty database of it for each test.

    ::

        with TestServer() as server:
            settings = server.fresh_database()

    It is the server that `IDENTTQUEUE_TEST_REDIS_ADDRESS` names. If that is not set, it is a
    private server that ends with this process: the one of the extra `embedded`, or else the
    `valkey-server` or `redis-server` on PATH. It listens on a Unix socket, and writes nothing to
    the disk.

    Args:
        redis_address: address of another server. Its databases 1 and up are used, if they are
            empty or were used by tests before. Database 0 only gets a few keys, which say by whom.

    Raises:
        InvalidInput: the address can't be read, or names a cluster or Sentinels.
    """

    __test__ = False  # it is no test class, although its name begins like one

    def __init__(self, redis_address: str | RedisSettings | None = None) -> None:
        given = redis_address or os.environ.get(VARIABLE) or None
        self._given = None if given is None else RedisSettings.of(given)
        self._private: _Embedded | _Program | None = None
        self._databases: Databases | None = None

    def start(self) -> Self:
        """Start the private server, or look whether the other one answers.

        Raises:
            IdenttqueueError: there is no server: nothing to start, or nothing answers.
        """
        if self._databases is not None:
            return self
        if self._given is not None:
            self._databases = SharedDatabases(self._given)
        else:
            self._private = _Embedded.find() or _Program.find()
            if self._private is None:
                raise InvalidInput(
                    "no server for tests: pip install 'identtqueue[embedded]', or put "
                    f"{' or '.join(PROGRAMS)} on PATH, or set {VARIABLE}=redis://localhost/0"
                )
            self._databases = OwnDatabases(RedisSettings(address=self._private.start()))
        return self

    def stop(self) -> None:
        """End the private server, or leave the databases of the other one empty."""
        databases, self._databases = self._databases, None
        private, self._private = self._private, None
        if databases is not None:
            databases.close()
        if private is not None:
            private.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.stop()

    def fresh_database(self) -> RedisSettings:
        """Return the settings of an empty database, for one test.

        Databases are used again, the longest unused first. So a task that an earlier test has left
        behind does not disturb the next test.

        Raises:
            RedisError: the server does not answer, or no database of it is free.
        """
        self.start()
        assert self._databases is not None
        return self._databases.fresh()


@cache
def shared_server() -> TestServer:
    """Return the server of this process, started with the first call, ended with the process."""
    server = TestServer().start()
    atexit.register(server.stop)
    return server


class _Embedded:
    """The server of the extra `embedded`, in a folder of its own."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="idtq-")
        self._server = EmbeddedServer(self._folder, durability=Durability.NONE)

    @classmethod
    def find(cls) -> _Embedded | None:
        """Return the server, if the extra is installed and has one for this platform."""
        try:
            find_server()
        except EmbeddedServerFailed:
            return None
        return cls()

    def start(self) -> str:
        """Start it and return its address."""
        return self._server.start().address

    def stop(self) -> None:
        """End it and remove its folder."""
        self._server.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


class _Program:
    """A server that is installed on this machine.

    Args:
        program: path of its executable.
    """

    def __init__(self, program: str) -> None:
        self._program = program
        self._folder = Path(tempfile.mkdtemp(prefix="idtq-"))
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def find(cls) -> _Program | None:
        """Return the first server that is found on PATH."""
        found = filter(None, map(shutil.which, PROGRAMS))
        return next(map(cls, found), None)

    def start(self) -> str:
        """Start it, wait until it answers, and return its address.

        Raises:
            RedisUnavailable: it does not start.
        """
        socket, log = self._folder / "server.sock", self._folder / "log"
        options = ("--port", "0", "--unixsocket", str(socket), "--dir", str(self._folder))
        silent = ("--save", "", "--appendonly", "no")
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - the user's own server
                ["/bin/sh", "-c", _WATCHED, "sh", self._program, *options, *silent],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + START_SECONDS
        while not socket.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                text = log.read_text("utf-8", "replace")
                self.stop()
                raise RedisUnavailable(f"{self._program} did not start: {text}")
            time.sleep(0.005)
        address = f"unix://{socket}"
        redis = blocking_redis(
            RedisSettings(address=address), client_name="tests", retry_for_seconds=START_SECONDS
        )
        redis.run(server_facts.server_info())
        redis.close()
        return address

    def stop(self) -> None:
        """End it and remove its folder."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
