"""A real master with a replica, and three real Sentinels that monitor them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import redis

from testing import servers
from testing.redis_server import RedisServer, free_port
from testing.waiting import wait_until

NAME = "mrz-master"
DOWN_AFTER_MS = 1_000
"""Silence after which a Sentinel takes the master for dead. Usually it is ten times as long."""


class Sentinels:
    """A master, its replica and three Sentinels.

    Args:
        options: options of master and replica.
        password: password that the Sentinels themselves require.
    """

    def __init__(self, *, options: tuple[str, ...] = (), password: str = "") -> None:
        self.master = RedisServer(aof=True, options=options)
        # Its promotion must not wait for a full resynchronisation to disk.
        follow = ("--replicaof", "127.0.0.1", str(self.master.port))
        self.replica = RedisServer(aof=True, options=(*options, *follow))
        self.ports = [free_port() for _ in range(3)]
        self._password = password
        self._folder = Path(tempfile.mkdtemp(prefix="identtqueue-sentinel-"))
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def address(self) -> str:
        """Address for clients."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return f"redis+sentinel://{hosts}/{NAME}"

    def start(self) -> Sentinels:
        """Start all servers; wait until the Sentinels know each other and the replica."""
        self.master.start()
        self.replica.start()
        wait_until("the replica follows", self._replica_follows, ignore=redis.RedisError)
        for port in self.ports:
            self._start_sentinel(port)
        for port in self.ports:
            wait_until(
                f"Sentinel {port} sees everybody",
                lambda port=port: self._is_ready(port),
                ignore=redis.RedisError,
            )
        return self

    def _start_sentinel(self, port: int) -> None:
        folder = self._folder / str(port)
        folder.mkdir()
        config = folder / "sentinel.conf"
        lines = [
            f"port {port}",
            "bind 127.0.0.1",
            f"dir {folder}",
            f"sentinel monitor {NAME} 127.0.0.1 {self.master.port} 2",
            f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {NAME} 10000",
        ]
        if self._password:
            lines += [f"requirepass {self._password}", f"sentinel sentinel-pass {self._password}"]
        config.write_text("\n".join(lines) + "\n")
        with (folder / "log").open("wb") as log:
            command = [servers.chosen(), str(config), "--sentinel"]
            self._processes.append(subprocess.Popen(command, stdout=log, stderr=log))

    def ask(self, port: int) -> dict[str, Any]:
        """Return what a Sentinel knows of the master."""
        with redis.Redis(port=port, password=self._password or None) as client:
            return dict(client.sentinel_master(NAME))

    def _replica_follows(self) -> bool:
        with self.replica.client() as client:
            return client.info("replication")["master_link_status"] == "up"

    def _is_ready(self, port: int) -> bool:
        state = self.ask(port)
        return state["num-slaves"] == 1 and state["num-other-sentinels"] == 2

    def kill_sentinel(self, index: int) -> None:
        """Kill a Sentinel, as a crash would."""
        self._processes[index].kill()
        self._processes[index].wait()

    def destroy(self) -> None:
        """End all servers and remove their data."""
        for process in self._processes:
            process.kill()
            process.wait()
        for server in (self.master, self.replica):
            server.destroy()
        shutil.rmtree(self._folder, ignore_errors=True)
