"""A real redis-server for the tests, on a free port of the loopback interface."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import redis

from testing import servers


def free_port() -> int:
    """Return a port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


BUS_OFFSET = 10_000
"""Distance from a node's port to its cluster bus port."""


def reserve(*, with_bus: bool) -> list[socket.socket]:
    """Reserve a port and its cluster bus port, until the two sockets are closed."""
    while True:
        held = [socket.socket() for _ in range(1 + with_bus)]
        try:
            held[0].bind(("127.0.0.1", 0))
            for bus in held[1:]:
                bus.bind(("127.0.0.1", held[0].getsockname()[1] + BUS_OFFSET))
        except (OSError, OverflowError):  # taken; or beyond the last port
            _close(held)
        else:
            return held


def _close(sockets: list[socket.socket]) -> None:
    while sockets:
        sockets.pop().close()


class RedisServer:
    """A redis-server to start, stop, kill, pause and promote. Its data outlives a restart.

    Args:
        executable: which server's program; None: as `testing.servers.chosen` says.
        aof: keep an append-only file, so that accepted tasks survive a kill.
        replica_of: port of the server that it is to follow.
        environ: more environment variables, as `HostClock.environ`.
        options: more command-line options, as `--maxmemory 10mb`.
    """

    def __init__(
        self,
        *,
        executable: str | None = None,
        aof: bool = False,
        replica_of: int | None = None,
        environ: dict[str, str] | None = None,
        options: tuple[str, ...] = (),
    ) -> None:
        self.executable = executable or servers.chosen()
        self._reserved = reserve(with_bus="--cluster-enabled" in options)
        self.port = int(self._reserved[0].getsockname()[1])
        self.address = f"redis://127.0.0.1:{self.port}"
        self._folder = Path(tempfile.mkdtemp(prefix="identtqueue-redis-"))
        self._options = (
            *("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder)),
            *("--save", "", "--appendonly", "yes" if aof else "no", "--appendfsync", "always"),
            *("--repl-diskless-sync-delay", "0"),
            *options,
        )
        self._replica_of = replica_of
        self._environment = os.environ | (environ or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._log = self._folder / "log"

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Start it for a block of code, and destroy it afterwards."""
        try:
            self.start()
            yield self
        finally:
            self.destroy()

    def start(self) -> RedisServer:
        """Start it and wait until it answers."""
        follow = () if self._replica_of is None else ("127.0.0.1", str(self._replica_of))
        command = [self.executable, *self._options, *(follow and ("--replicaof", *follow))]
        _close(self._reserved)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        self._wait_until_it_answers()
        return self

    def _wait_until_it_answers(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + 60
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"redis-server did not start: {self._log.read_text()}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        """Return whether it answers a PING, even with an error, unless it is still loading."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as link:
                link.sendall(b"PING\r\n")
                answer = link.recv(64)
        except OSError:
            return False
        return answer != b"" and not answer.startswith(b"-LOADING")

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not been ended."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """Id of the running server's process."""
        assert self._process is not None
        return self._process.pid

    def client(self, **options: object) -> redis.Redis:
        """Make a plain client, for looking at keys from outside."""
        return redis.Redis(port=self.port, **options)

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it hang: connections stay open, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it continue after `pause`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def promote(self) -> None:
        """Make a replica the primary, with the data that it has."""
        self._replica_of = None
        with self.client() as client:
            client.replicaof("NO", "ONE")

    def is_in_step(self) -> bool:
        """Return whether this replica has all data of its primary, also in its append-only file.

        After a full synchronisation it writes a new append-only file. Until that is finished, a
        restart would lose data that it has received.
        """
        with self.client() as client:
            about = client.info()
        if about.get("master_link_status") != "up":
            return False
        with redis.Redis(port=about["master_port"]) as primary:
            offset = primary.info("replication")["master_repl_offset"]
        rewriting = about["aof_rewrite_in_progress"] or about["aof_rewrite_scheduled"]
        return not rewriting and bool(about["slave_repl_offset"] >= offset)

    def replicated(self, timeout_ms: int, key: str = "written-last") -> int:
        """Return how many replicas have all data that was written until now.

        WAIT covers the writes of its own connection, so this connection must write last. In a
        cluster, the key must belong to this node.
        """
        with self.client() as client, client.pipeline(transaction=False) as batch:
            batch.set(key, 1)
            batch.wait(1, timeout_ms)
            return int(batch.execute()[1])

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(number)
            process.wait(timeout=30)

    def destroy(self) -> None:
        """End it and remove its data."""
        _close(self._reserved)
        self._end(signal.SIGKILL)
        shutil.rmtree(self._folder, ignore_errors=True)
