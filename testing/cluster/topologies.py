"""A Redis that survives the loss of a server: one behind Sentinels, and a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from testing.cluster import redis_pods
from testing.cluster.cluster import Kubectl
from testing.cluster.redis_pods import PORT, SENTINEL_PORT, ask
from testing.waiting import wait_until

SERVERS, SENTINELS, MASTER = "watched-redis", "sentinels", "tasks"
NODES = "clustered-redis"
SILENCE_MS = 2_000
"""After which a server is taken for dead; by default Sentinels wait 30 s, a cluster 15 s."""


@dataclass(frozen=True)
class Topology:
    """Redis servers of which one can replace another.

    Attributes:
        kubectl: in their namespace.
        redis: that part of a TaskQueue's spec.
        address: the same for an application.
        pods: of the servers; each primary has one replica.
    """

    kubectl: Kubectl
    redis: dict[str, Any]
    address: str
    pods: list[str]

    def primary_of(self, queue: str) -> str:
        """Return the pod of the server that has the queue now."""
        return wait_until(f"a server that has {queue}", lambda: self._find(queue), 30)

    def _find(self, queue: str) -> str | None:
        for pod in self.pods:
            try:
                length, role, *_ = ask(self.kubectl, pod, f"LLEN idtq:{{{queue}}}:pending", "ROLE")
            except AssertionError:
                continue  # one that has just died, or is about to start
            if length.isdigit() and role == "master":
                return pod
        return None

    def replicate(self, queue: str, primary: str) -> None:
        """Wait until the replica of the queue's primary has all that was written."""
        # WAIT covers what its own connection has written, and everything before that.
        write = f"SET idtq:{{{queue}}}:e2e 1 EX 60"
        assert ask(self.kubectl, primary, write, "WAIT 1 10000") == ["OK", "1"]


# Servers announce addresses, not names: Sentinels that look up names stand still for half a minute
# ("TILT") if the name of a dead pod does not resolve quickly. A pod that comes back empty asks the
# Sentinels for the master and follows it, because it must never act as the master that it was:
# https://redis.io/docs/latest/operate/oss_and_stack/management/replication/#safety-of-replication-when-master-has-persistence-turned-off
_SERVER = """
known() {{
  timeout 1 redis-cli -h {sentinels} -p {sentinel_port} --raw \\
    sentinel get-master-addr-by-name {name} | head -n 1
}}
for attempt in $(seq 120); do
  master=$(known 2>/dev/null)
  [ -n "$master" ] || break  # there is no Sentinel yet: the first start of all
  timeout 1 redis-cli -h "$master" ping >/dev/null 2>&1 && break
  sleep 0.5
done
[ -n "$master" ] || [ "$(hostname)" = {pod}-0 ] || master={pod}-0.{pod}
exec redis-server --dir /data --save "" --protected-mode no ${{master:+--replicaof $master {port}}}
"""
_SENTINEL = """
cat > /data/sentinel.conf <<END
port {sentinel_port}
dir /data
protected-mode no
sentinel monitor {name} $(getent hosts {pod}-0.{pod} | cut -d " " -f 1) {port} 2
sentinel down-after-milliseconds {name} {silence}
sentinel failover-timeout {name} 10000
END
exec redis-server /data/sentinel.conf --sentinel
"""


@contextmanager
def sentinels(kubectl: Kubectl) -> Iterator[Topology]:
    """Provide a master with a replica, and three Sentinels."""
    words = {
        "pod": SERVERS,
        "port": PORT,
        "sentinels": SENTINELS,
        "sentinel_port": SENTINEL_PORT,
        "name": MASTER,
        "silence": SILENCE_MS,
    }
    server = redis_pods.container("redis", ["sh", "-c", _SERVER.format(**words)], PORT)
    watcher = redis_pods.container(
        "sentinel", ["sh", "-c", _SENTINEL.format(**words)], SENTINEL_PORT
    )
    hosts = [
        f"{SENTINELS}-{i}.{SENTINELS}.{kubectl.namespace}.svc:{SENTINEL_PORT}" for i in range(3)
    ]
    with (
        redis_pods.running(kubectl, SERVERS, *redis_pods.servers(SERVERS, 2, [server])),
        redis_pods.running(kubectl, SENTINELS, *redis_pods.servers(SENTINELS, 3, [watcher])),
    ):
        wait_until("the Sentinels know all", lambda: _all_known(kubectl), 60)
        yield Topology(
            kubectl,
            redis={"sentinel": {"addresses": hosts, "masterName": MASTER}},
            address=f"redis+sentinel://{','.join(hosts)}/{MASTER}/0",
            pods=[f"{SERVERS}-{i}" for i in range(2)],
        )


def _all_known(kubectl: Kubectl) -> bool:
    """Return whether each Sentinel knows the replica and the other two Sentinels."""
    for i in range(3):
        answer = ask(kubectl, f"{SENTINELS}-{i}", f"SENTINEL MASTER {MASTER}", port=SENTINEL_PORT)
        fields = dict(zip(answer[::2], answer[1::2], strict=False))
        if (fields.get("num-slaves"), fields.get("num-other-sentinels")) != ("1", "2"):
            return False
    return True


@contextmanager
def cluster(kubectl: Kubectl) -> Iterator[Topology]:
    """Provide three primaries with a replica each."""
    options = ["--cluster-enabled", "yes", "--cluster-node-timeout", str(SILENCE_MS)]
    command = ["redis-server", "--dir", "/data", "--save", "", "--protected-mode", "no", *options]
    node = redis_pods.container("redis", command, PORT)
    pods = [f"{NODES}-{i}" for i in range(6)]
    hosts = [f"{pod}.{NODES}.{kubectl.namespace}.svc:{PORT}" for pod in pods]
    with redis_pods.running(kubectl, NODES, *redis_pods.servers(NODES, 6, [node])):
        found = kubectl.list("pods", f"app={NODES}")
        nodes = [f"{pod['status']['podIP']}:{PORT}" for pod in found]
        words = ("--cluster", "create", *nodes, "--cluster-replicas", "1", "--cluster-yes")
        kubectl("exec", pods[0], "--", "redis-cli", *words)
        wait_until("the cluster is whole", lambda: all(_is_whole(kubectl, p) for p in pods), 60)
        yield Topology(
            kubectl,
            redis={"cluster": {"addresses": hosts}},
            address=f"redis+cluster://{','.join(hosts)}",
            pods=pods,
        )


def _is_whole(kubectl: Kubectl, pod: str) -> bool:
    """Return whether a node has joined, knows all others, and follows its primary, if any."""
    says = {line.strip() for line in ask(kubectl, pod, "CLUSTER INFO", "ROLE")}
    takes_part = {"cluster_state:ok", "cluster_known_nodes:6"} <= says
    return takes_part and not says.isdisjoint({"master", "connected"})
