"""A Redis with TLS, client certificates and ACL users, and a password that changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from identtqueue import Client, RedisSettings
from identtqueue.protocol.roles import Role, rules
from identtqueue.transport.login import open_blocking
from testing.cluster import redis_pods
from testing.cluster.cluster import Kubectl
from testing.cluster.release import Release
from testing.cluster.workload import pod_spec, task_queue
from testing.tls import Certificates
from testing.waiting import wait_until

REDIS = "secured-redis"
LOGIN, CLIENT, AUTHORITY = "secured-login", "secured-client", "secured-ca"
"""Secrets; the operator may read them (`rbac.secretNames`)."""
WORKER_LOGIN = "secured-worker"
"""A Secret that only the kubelet reads."""
PRODUCER, OPERATOR, WORKER, BOSS = "producer", "operator", "worker", "boss"
"""Redis users: the application, the operator, the workers, and an administrator."""

CONFIG = """
port 0
tls-port 6379
tls-cert-file /etc/secured/server.crt
tls-key-file /etc/secured/server.key
tls-ca-cert-file /etc/secured/ca.crt
tls-auth-clients yes
dir /data
save ""
user default off
user boss on >boss-secret ~* &* +@all
user producer on >producer-secret {producer}
user operator on >first-secret {operator}
user worker on >first-secret {worker}
"""


def secret(name: str, **data: str) -> dict:
    entries = {key.replace("_", "."): value for key, value in data.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "stringData": entries,
    }


def logins(password: str) -> list[dict]:
    return [
        secret(LOGIN, username=OPERATOR, password=password),
        secret(WORKER_LOGIN, username=WORKER, password=password),
    ]


def redis_objects(certificates: Certificates, queue: str) -> list[dict]:
    """Make the objects of the server, with its configuration and certificates in a Secret."""
    roles = (Role.PRODUCER, Role.OPERATOR, Role.WORKER)
    text = CONFIG.format(**{role.value: " ".join(rules(role, [queue])) for role in roles})
    server = [Path(file).read_text() for file in certificates.server]
    files = secret(
        REDIS,
        redis_conf=text,
        server_crt=server[0],
        server_key=server[1],
        ca_crt=Path(certificates.ca).read_text(),
    )
    config = {"name": "config", "mountPath": "/etc/secured", "readOnly": True}
    container = redis_pods.container(
        "redis", ["redis-server", "/etc/secured/redis.conf"], redis_pods.PORT, config
    )
    volume = {"name": "config", "secret": {"secretName": REDIS}}
    return [files, *redis_pods.servers(REDIS, 1, [container], volume)]


@pytest.fixture
def certificates(release: Release, tmp_path: Path) -> Certificates:
    return Certificates(tmp_path, server_hosts=[f"{REDIS}.{release.namespace}.svc", "127.0.0.1"])


@pytest.fixture
def redis_port(release: Release, certificates: Certificates, name: str) -> Iterator[int]:
    """Start the server, and provide a local port that leads to it."""
    kubectl = release.kubectl
    pair = [Path(file).read_text() for file in certificates.client]
    kubectl.apply(
        *logins("first-secret"),
        secret(CLIENT, tls_crt=pair[0], tls_key=pair[1]),
        secret(AUTHORITY, ca_crt=Path(certificates.ca).read_text()),
    )
    try:
        with (
            redis_pods.running(kubectl, REDIS, *redis_objects(certificates, name)),
            kubectl.port_forward(f"svc/{REDIS}", redis_pods.PORT) as port,
        ):
            yield port
    finally:
        secrets = (REDIS, LOGIN, WORKER_LOGIN, CLIENT, AUTHORITY)
        kubectl("delete", "secret", *secrets, "--ignore-not-found")


def settings(port: int, certificates: Certificates, user: str) -> RedisSettings:
    return RedisSettings(
        address=f"rediss://127.0.0.1:{port}",
        username=user,
        password=f"{user}-secret",
        tls_ca_file=certificates.ca,
        tls_cert_file=certificates.client[0],
        tls_key_file=certificates.client[1],
    )


def as_boss(port: int, certificates: Certificates, *commands: tuple[str, ...]) -> None:
    connection = open_blocking(settings(port, certificates, BOSS), "boss")
    for words in commands:
        connection.send_command(*words, check_health=False)
        connection.read_response()
    connection.disconnect()


@pytest.mark.timeout(300, func_only=True)  # a kubelet takes a minute and more to mount a rotation
async def test_tls_client_certificates_acl_users_and_a_rotated_password(
    release: Release, certificates: Certificates, redis_port: int, name: str, figure
) -> None:
    kubectl = release.kubectl
    before = await asyncio.to_thread(_restarts, kubectl, name)  # the operator's, by earlier tests
    redis = {
        "address": f"{REDIS}.{release.namespace}.svc:6379",
        "credentialsSecretRef": {
            "name": LOGIN,
            "usernameKey": "username",
            "passwordKey": "password",
        },
        "workerCredentialsSecretRef": {"name": WORKER_LOGIN, "usernameKey": "username"},
        "tls": {
            "caSecretRef": {"name": AUTHORITY},
            "clientCertSecretRef": {"name": CLIENT},
        },
    }
    template = {"metadata": {"labels": {"app": name}}, "spec": pod_spec()}
    scaling = {"minReplicas": 1, "maxReplicas": 2}
    kubectl.apply(
        task_queue(
            release, name, name, workloadRef=None, template=template, redis=redis, scaling=scaling
        )
    )
    async with Client(settings(redis_port, certificates, PRODUCER)) as client:
        task_id = await client.enqueue_job(name, "nap", seconds=0)
        assert await client.wait_for_result(task_id, 90) == 1
        # The Service may reach the operator's node later than the worker's.
        await asyncio.to_thread(
            wait_until,
            "the operator reaches Redis",
            lambda: kubectl.condition(name, "RedisReachable").get("status") == "True",
            30,
        )
        (pod,) = [p["metadata"]["name"] for p in kubectl.list("pods", f"app={name}")]

        # The worker's pod has its own login and nothing of the operator's, nor a token.
        folders = kubectl("exec", pod, "--", "ls", "/var/run/identtqueue").split()
        assert LOGIN not in folders
        assert "serviceaccount" not in kubectl("exec", pod, "--", "cat", "/proc/mounts")

        # As the documentation says: both passwords, the Secret, then the new one alone.
        users = (OPERATOR, WORKER)
        both = [("ACL", "SETUSER", user, ">second-secret") for user in users]
        as_boss(redis_port, certificates, *both)
        kubectl.apply(*logins("second-secret"))
        file = f"/var/run/identtqueue/{WORKER_LOGIN}/password"

        def mounted() -> bool:
            return kubectl("exec", pod, "--", "cat", file) == "second-secret"

        await asyncio.to_thread(wait_until, "the Secret is in the pod", mounted, 150, 1)
        as_boss(
            redis_port,
            certificates,
            *(("ACL", "SETUSER", user, "<first-secret") for user in users),
            *(("CLIENT", "KILL", "USER", user) for user in users),
        )
        rotated_at = time.monotonic()
        task_id = await client.enqueue_job(name, "nap", seconds=0)
        assert await client.wait_for_result(task_id, 90) == 1
        figure(f"password rotated → the worker runs tasks: {time.monotonic() - rotated_at:.1f} s")

        naps = [await client.enqueue_job(name, "nap", seconds=20) for _ in range(2)]
        await asyncio.to_thread(
            wait_until,
            "the operator scales with the new password",
            lambda: kubectl.get("deployment", name)["spec"]["replicas"] == 2,
            60,
        )
        figure(f"password rotated → the operator scales: {time.monotonic() - rotated_at:.1f} s")
        for result in await client.wait_many(naps, 120):
            assert result.unwrap() == 1
    restarts = await asyncio.to_thread(_restarts, kubectl, name)
    assert restarts == before, await asyncio.to_thread(_last_words, kubectl, name)
    everything = kubectl("get", "taskqueue,deployment,events", "-o", "yaml")
    assert not any(word in everything for word in ("first-secret", "second-secret", "PRIVATE KEY"))


def _restarts(kubectl: Kubectl, name: str) -> int:
    pods = [*kubectl.list("pods", f"app={name}")]
    pods += kubectl.list("pods", "app.kubernetes.io/component=operator")
    return sum(s["restartCount"] for pod in pods for s in pod["status"]["containerStatuses"])


def _last_words(kubectl: Kubectl, name: str) -> str:
    """Return the logs of containers that have ended."""
    return "\n".join(
        kubectl("logs", pod["metadata"]["name"], "--previous", "--tail=60")
        for pod in kubectl.list("pods", f"app={name}")
        if any(s["restartCount"] for s in pod["status"]["containerStatuses"])
    )
