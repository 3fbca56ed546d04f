"""The Deployment of a TaskQueue with `template`, pure: what is added to what the user wrote.

The worker reads the environment that is injected here; see `environment`. What the user gave is
never overwritten: an environment variable, a probe, a port or a grace period that is there stays.
"""

import copy
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .api.v1alpha1 import API_VERSION, KIND, Queue, TaskQueueSpec
from .model import Key
from .views import TEMPLATE_HASH

Json = dict[str, Any]

HTTP_PORT = 8080
LABEL = "identtqueue.dev/taskqueue"
"""By which the Deployment selects its pods."""
_FOLDER = "/var/run/identtqueue"
_GRACE_MARGIN_SECONDS = 10
"""Between the end of a worker's own drain and the kubelet's SIGKILL."""


def render(key: Key, uid: str, spec: TaskQueueSpec, replicas: int) -> Json:
    """The Deployment to apply. The same input gives the same `TEMPLATE_HASH`.

    Args:
        key: of the TaskQueue, and so of the Deployment.
        uid: of the TaskQueue, which becomes the owner.
        spec: of the TaskQueue.
        replicas: to write; not part of the hash.
    """
    assert spec.template is not None
    labels = {**spec.template.metadata.labels, LABEL: key.name}
    pod = _pod(spec)
    template: Json = {"metadata": {"labels": labels}, "spec": pod}
    if spec.template.metadata.annotations:
        template["metadata"]["annotations"] = dict(spec.template.metadata.annotations)
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:16]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "labels": {LABEL: key.name, "app.kubernetes.io/managed-by": "identtqueue-operator"},
            "annotations": {TEMPLATE_HASH: digest},
            # blockOwnerDeletion is left out: it would need a permission, and deletion never waits.
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": KIND,
                    "name": key.name,
                    "uid": uid,
                    "controller": True,
                }
            ],
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {LABEL: key.name}},
            "template": template,
        },
    }


def template_hash(deployment: Json) -> str:
    """The mark by which a later look sees whether the template has changed."""
    return str(deployment["metadata"]["annotations"][TEMPLATE_HASH])


def _pod(spec: TaskQueueSpec) -> Json:
    assert spec.template is not None
    pod: Json = copy.deepcopy(spec.template.spec)
    container = _worker_container(pod)
    grace = spec.drain.timeout_seconds
    pod.setdefault("terminationGracePeriodSeconds", grace + _GRACE_MARGIN_SECONDS)
    # Workers talk to Redis, not to the API server: a token would only be something to steal.
    pod.setdefault("automountServiceAccountToken", False)
    _add(container, "env", environment(spec, container.get("name") or "worker"))
    if "ports" not in container:
        container["ports"] = [{"name": "http", "containerPort": HTTP_PORT}]
    container.setdefault("livenessProbe", _probe("/livez", period_seconds=10, failures=3))
    # Quick to turn not ready: a draining worker is then the ReplicaSet's first choice.
    container.setdefault("readinessProbe", _probe("/readyz", period_seconds=2, failures=1))
    container.setdefault("startupProbe", _probe("/livez", period_seconds=1, failures=120))
    files = [file for file in _secret_files(spec) if not _is_set(container, file)]
    _add(container, "env", ({"name": file.variable, "value": file.path} for file in files))
    for secret, volume in _volumes(file.secret for file in files).items():
        # Only what is named: the Secret may hold the keys of others too.
        keys = dict.fromkeys(file.key for file in files if file.secret == secret)
        items = [{"key": key, "path": key} for key in keys]
        source = {"secretName": secret, "items": items}
        _add(pod, "volumes", [{"name": volume, "secret": source}])
        mount = {"name": volume, "mountPath": f"{_FOLDER}/{secret}", "readOnly": True}
        _add(container, "volumeMounts", [mount])
    return pod


def _volumes(secrets: Iterable[str]) -> dict[str, str]:
    """Secret -> name of its volume, which has no dots and at most 63 characters.

    Two Secrets may become alike by that; only the later one gets a digest, since another name
    would roll out every Deployment that has been well.
    """
    names: dict[str, str] = {}
    for secret in dict.fromkeys(secrets):
        name = f"identtqueue-{secret.replace('.', '-')}"[:63].rstrip("-")
        if name in names.values():
            digest = hashlib.sha256(secret.encode()).hexdigest()[:8]
            name = f"{name[:54]}-{digest}"
        names[secret] = name
    return names


@dataclass(frozen=True)
class _SecretFile:
    """A key of a Secret as a file: unlike an environment variable it follows a rotation."""

    setting: str
    secret: str
    key: str

    @property
    def variable(self) -> str:
        return f"IDENTTQUEUE_REDIS_{self.setting}_FILE"

    @property
    def path(self) -> str:
        return f"{_FOLDER}/{self.secret}/{self.key}"


def _secret_files(spec: TaskQueueSpec) -> Iterator[_SecretFile]:
    """What the worker reads at each login."""
    redis = spec.redis
    logins = [("", redis.worker_credentials_secret_ref or redis.credentials_secret_ref)]
    if redis.sentinel:
        logins.append(("SENTINEL_", redis.sentinel.credentials_secret_ref))
    for prefix, login in logins:
        if login is not None:
            yield _SecretFile(f"{prefix}PASSWORD", login.name, login.password_key)
            if login.username_key is not None:
                yield _SecretFile(f"{prefix}USERNAME", login.name, login.username_key)
    if redis.tls and redis.tls.ca_secret_ref:
        yield _SecretFile("TLS_CA", redis.tls.ca_secret_ref.name, redis.tls.ca_secret_ref.key)
    if redis.tls and redis.tls.client_cert_secret_ref:
        pair = redis.tls.client_cert_secret_ref
        yield _SecretFile("TLS_CERT", pair.name, pair.cert_key)
        yield _SecretFile("TLS_KEY", pair.name, pair.key_key)


def _is_set(container: Json, file: _SecretFile) -> bool:
    """Whether the user has given it, by a file or by value."""
    names = {item.get("name") for item in container.get("env") or []}
    return bool(names & {file.variable, file.variable.removesuffix("_FILE")})


def environment(spec: TaskQueueSpec, container: str) -> list[Json]:
    """What a worker needs to know: who it is, where its tasks are, and how it should work."""
    fields = {"POD_UID": "metadata.uid", "POD_NAME": "metadata.name"}
    values = {
        "CONTAINER": container,
        "REDIS_ADDRESS": spec.redis.url,
        "QUEUES": ",".join(map(_queue_word, spec.queues)),
        "CONCURRENCY": str(spec.scaling.concurrency_per_replica),
        "LEASE_SECONDS": str(spec.recovery.lease_seconds),
        "MAX_DELIVERIES": str(spec.recovery.max_deliveries),
        "GRACE_SECONDS": str(spec.drain.timeout_seconds),
        "HTTP_PORT": str(HTTP_PORT),
    }
    return [
        *(_variable(n, {"fieldRef": {"fieldPath": path}}) for n, path in fields.items()),
        *({"name": f"IDENTTQUEUE_{name}", "value": value} for name, value in values.items()),
    ]


def _queue_word(queue: Queue) -> str:
    """As `identtqueue worker` reads it; a queue without weight is written as it ever was."""
    return queue.name if queue.weight is None else f"{queue.name}:{queue.weight}"


def _variable(name: str, source: Json) -> Json:
    return {"name": f"IDENTTQUEUE_{name}", "valueFrom": source}


def _worker_container(pod: Json) -> Json:
    containers: list[Json] = pod["containers"]
    for container in containers:
        if container.get("name") == "worker":
            return container
    return containers[0]


def _add(parent: Json, field: str, additions: Iterable[Json]) -> None:
    """Append to a list of named things those whose name is not there yet."""
    present = parent.get(field) or []
    names = {item.get("name") for item in present}
    parent[field] = [*present, *(item for item in additions if item["name"] not in names)]


def _probe(path: str, *, period_seconds: int, failures: int) -> Json:
    return {
        "httpGet": {"path": path, "port": HTTP_PORT},
        "periodSeconds": period_seconds,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }
