"""A real Redis Cluster: three primaries with a replica each, on this machine."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import redis
from redis.crc import key_slot

from testing.redis_server import RedisServer
from testing.waiting import wait_until

NODE_TIMEOUT_MS = 2_000
"""Silence after which a node counts as dead. Redis' default is 15 s."""


class RedisCluster:
    """A cluster of three primaries with replicas.

    Args:
        replicas: number of replicas of each primary.
        options: options of each node.
    """

    def __init__(self, *, replicas: int = 0, options: tuple[str, ...] = ()) -> None:
        mode = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS))
        self.nodes = [
            RedisServer(aof=True, options=(*mode, *options)) for _ in range(3 * (1 + replicas))
        ]
        self._replicas = replicas

    @property
    def address(self) -> str:
        """Address for clients: two of the nodes. Clients find the others."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:2])

    def start(self) -> RedisCluster:
        """Start all nodes, join them to a cluster, and wait until every node reports it."""
        for node in self.nodes:
            node.start()
        hosts = [f"127.0.0.1:{node.port}" for node in self.nodes]
        self._cli("--cluster", "create", *hosts, "--cluster-replicas", str(self._replicas))
        wait_until("all nodes see the cluster whole", self._is_whole, ignore=redis.RedisError)
        return self

    def _cli(self, *words: str) -> None:
        subprocess.run(
            ["redis-cli", *words, "--cluster-yes"], check=True, capture_output=True, timeout=120
        )

    def _is_whole(self) -> bool:
        for node in self.nodes:
            with node.client() as client:
                info = client.execute_command("CLUSTER", "INFO")
                known = client.execute_command("CLUSTER", "NODES").splitlines()
            if b"cluster_state:ok" not in info or len(known) != len(self.nodes):
                return False
        return self._replicas == 0 or all(self._follows(node) for node in self.nodes)

    def _follows(self, node: RedisServer) -> bool:
        with node.client() as client:
            role = client.role()
        return role[0] == b"master" or role[3] == b"connected"

    def primary_of(self, queue: str) -> RedisServer:
        """Return the node that has the queue's slot now."""
        for node in self.running():
            with node.client() as client:
                try:
                    client.llen(f"idtq:{{{queue}}}:pending")
                except redis.RedisError:
                    continue
                if client.role()[0] == b"master":
                    return node
        raise AssertionError(f"nobody has {queue}")

    def running(self) -> Iterator[RedisServer]:
        """Nodes that were not killed."""
        return (node for node in self.nodes if node.is_running)

    def queue_on(self, node: RedisServer, prefix: str) -> str:
        """Make the name of a queue whose slot this node has."""
        for i in range(10_000):
            name = f"{prefix}-{i}"
            with node.client() as client:
                try:
                    client.llen(f"idtq:{{{name}}}:pending")
                except redis.RedisError:
                    continue
                return name
        raise AssertionError("no slot found")

    # --- moving a slot, as `redis-cli --cluster reshard` does it ---

    def begin_to_move(self, queue: str, target: RedisServer) -> RedisServer:
        """Begin to migrate the queue's slot, key by key; return the node that has it."""
        source, slot = self.primary_of(queue), key_slot(queue.encode())
        ids = {node: self._id(node) for node in (source, target)}
        with target.client() as client:
            client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        with source.client() as client:
            client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
        return source

    def move_keys(self, queue: str, source: RedisServer, target: RedisServer, count: int) -> int:
        """Move some keys of the slot; return how many were left to move."""
        slot = key_slot(queue.encode())
        with source.client() as client:
            names = client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, count)
            if names:
                client.execute_command(
                    *("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *names)
                )
        return len(names)

    def end_move(self, queue: str, target: RedisServer) -> None:
        """Finish the migration, so that the target has the slot."""
        slot, name = key_slot(queue.encode()), self._id(target)
        for node in (target, *(n for n in self.running() if n is not target)):
            with node.client() as client:
                if client.role()[0] == b"master":
                    client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", name)

    def _id(self, node: RedisServer) -> str:
        with node.client() as client:
            return str(client.execute_command("CLUSTER", "MYID"), "ascii")

    def destroy(self) -> None:
        """End all and remove their data."""
        for node in self.nodes:
            node.destroy()


class OneNodeCluster(RedisServer):
    """A cluster of one node that has all slots, so that a plain client sees all keys.

    Like any cluster, it refuses a command or a script that uses two slots.
    """

    def __init__(self) -> None:
        super().__init__(options=("--cluster-enabled", "yes"))
        self.address = f"redis+cluster://127.0.0.1:{self.port}"

    def start(self) -> OneNodeCluster:
        """Start it, and give it the slots."""
        super().start()
        with self.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTS", *range(16_384))
            wait_until(
                "the cluster is whole",
                lambda: b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO"),
                ignore=redis.RedisError,
            )
        return self
