"""A Redis with TLS, client certificates and ACL users, and a password that changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import redis_pods
from harness.cluster import Kubectl, wait_until
from harness.release import Release
from harness.workload import pod_spec, task_queue

from identtqueue import Client, RedisSettings
from identtqueue.protocol.roles import Role, rules
from identtqueue.transport.blocking import open_blocking
from support.tls import Certificates

REDIS = "secured-redis"
LOGIN, CLIENT, AUTHORITY = "secured-login", "secured-client", "secured-ca"
"""Secrets; the operator may read them (`rbac.secretNames`)."""
PRODUCER, QUEUES, BOSS = "producer", "queues", "boss"
"""Redis users: the application, TaskQueue and workers, and whoever administrates Redis."""

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
user queues on >first-secret {queues}
"""


def secret(name: str, **data: str) -> dict:
    entries = {key.replace("_", "."): value for key, value in data.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "stringData": entries,
    }


def login(password: str) -> dict:
    return secret(LOGIN, username=QUEUES, password=password)


def redis_objects(certificates: Certificates, queue: str) -> list[dict]:
    """The server, with its configuration and certificates in a Secret."""
    queues = dict.fromkeys([*rules(Role.WORKER, [queue]), *rules(Role.OPERATOR, [queue])])
    # What resets comes first, once.
    words = sorted(queues, key=lambda word: not word.startswith(("reset", "-")))
    text = CONFIG.format(producer=" ".join(rules(Role.PRODUCER, [queue])), queues=" ".join(words))
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
    """The server runs; a local port that leads to it."""
    kubectl = release.kubectl
    pair = [Path(file).read_text() for file in certificates.client]
    kubectl.apply(
        login("first-secret"),
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
        kubectl("delete", "secret", REDIS, LOGIN, CLIENT, AUTHORITY, "--ignore-not-found")


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

        # As the documentation says: both passwords, the Secret, then the new one alone.
        as_boss(redis_port, certificates, ("ACL", "SETUSER", QUEUES, ">second-secret"))
        kubectl.apply(login("second-secret"))
        file = f"/var/run/identtqueue/{LOGIN}/password"

        def mounted() -> bool:
            return kubectl("exec", pod, "--", "cat", file) == "second-secret"

        await asyncio.to_thread(wait_until, "the Secret is in the pod", mounted, 150, 1)
        as_boss(
            redis_port,
            certificates,
            ("ACL", "SETUSER", QUEUES, "<first-secret"),
            ("CLIENT", "KILL", "USER", QUEUES),
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
    """Logs of the containers that were there before."""
    return "\n".join(
        kubectl("logs", pod["metadata"]["name"], "--previous", "--tail=60")
        for pod in kubectl.list("pods", f"app={name}")
        if any(s["restartCount"] for s in pod["status"]["containerStatuses"])
    )
