"""The Deployment of a TaskQueue with `template`, pure: what is added to what the user wrote.

The worker reads the environment that is injected here; see `environment`. What the user gave is
never overwritten: an environment variable, a probe, a port or a grace period that is there stays.
"""

import copy
import hashlib
import json
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from identtqueue_operator.api.v1alpha1 import (
    API_VERSION,
    KIND,
    Queue,
    Redis,
    ResolvedTrigger,
    TaskQueueSpec,
)
from identtqueue_operator.kube.parse import TEMPLATE_HASH
from identtqueue_operator.model import Key
from identtqueue_operator.workload.deployment import DEPLOYMENT

Json = dict[str, Any]

HTTP_PORT = 8080
LABEL = "identtqueue.dev/taskqueue"
"""Label by which the Deployment selects its pods."""
_FOLDER = "/var/run/identtqueue"
_GRACE_MARGIN_SECONDS = 10
"""Time between the end of a worker's own drain and the kubelet's SIGKILL."""


def render(key: Key, uid: str, spec: TaskQueueSpec, replicas: int) -> Json:
    """Render the Deployment to apply. The same input gives the same `TEMPLATE_HASH`.

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
        "apiVersion": f"{DEPLOYMENT.group}/{DEPLOYMENT.version}",
        "kind": DEPLOYMENT.name,
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
    """Compute the mark by which a later look sees whether the template has changed."""
    return str(deployment["metadata"]["annotations"][TEMPLATE_HASH])


def _pod(spec: TaskQueueSpec) -> Json:
    assert spec.template is not None
    pod: Json = copy.deepcopy(spec.template.spec)
    grace = spec.drain.timeout_seconds
    pod.setdefault("terminationGracePeriodSeconds", grace + _GRACE_MARGIN_SECONDS)
    # Workers talk to Redis, not to the API server: a token would only be something to steal.
    pod.setdefault("automountServiceAccountToken", False)
    main, *others = spec.worker_triggers
    named = {each.name: each for each in others}
    workers = [(_worker_container(pod, named), main)]
    workers += [(c, named[c["name"]]) for c in pod["containers"] if c.get("name") in named]
    files = [
        _worker(container, spec, trigger, HTTP_PORT + number)
        for number, (container, trigger) in enumerate(workers)
    ]
    every = [file for of_one in files for file in of_one]
    volumes = _volumes(file.secret for file in every)
    for secret, volume in volumes.items():
        # Only what is named: the Secret may hold the keys of others too.
        keys = dict.fromkeys(file.key for file in every if file.secret == secret)
        items = [{"key": key, "path": key} for key in keys]
        source = {"secretName": secret, "items": items}
        _add(pod, "volumes", [{"name": volume, "secret": source}])
    for (container, _), of_one in zip(workers, files, strict=True):
        for secret in dict.fromkeys(file.secret for file in of_one):
            path = f"{_FOLDER}/{secret}"
            mount = {"name": volumes[secret], "mountPath": path, "readOnly": True}
            _add(container, "volumeMounts", [mount])
    return pod


def _worker(
    container: Json, spec: TaskQueueSpec, trigger: ResolvedTrigger, port: int
) -> Sequence["_SecretFile"]:
    """Make a container a worker for a trigger.

    Returns:
        The files that it needs.
    """
    _add(container, "env", environment(spec, trigger, container.get("name") or "worker", port))
    if "ports" not in container:
        name = "http" if port == HTTP_PORT else f"http-{port}"  # unique in the pod
        container["ports"] = [{"name": name, "containerPort": port}]
    container.setdefault("livenessProbe", _probe("/livez", port, period_seconds=10, failures=3))
    # Quick to turn not ready: a draining worker is then the ReplicaSet's first choice.
    container.setdefault("readinessProbe", _probe("/readyz", port, period_seconds=2, failures=1))
    container.setdefault("startupProbe", _probe("/livez", port, period_seconds=1, failures=120))
    files = [file for file in _secret_files(trigger.redis) if not _is_set(container, file)]
    _add(container, "env", ({"name": file.variable, "value": file.path} for file in files))
    return files


def _volumes(secrets: Iterable[str]) -> dict[str, str]:
    """Name a volume for each Secret, without dots and with at most 63 characters.

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


def _secret_files(redis: Redis) -> Iterator[_SecretFile]:
    """List what the worker reads from files at each login."""
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
    """Return whether the user has given the variable, by a file or by value."""
    names = {item.get("name") for item in container.get("env") or []}
    return bool(names & {file.variable, file.variable.removesuffix("_FILE")})


def environment(
    spec: TaskQueueSpec, trigger: ResolvedTrigger, container: str, port: int
) -> list[Json]:
    """List what a worker needs to know: its identity, where its tasks are, and how to work."""
    fields = {"POD_UID": "metadata.uid", "POD_NAME": "metadata.name"}
    values = {
        "CONTAINER": container,
        "REDIS_ADDRESS": trigger.redis.url,
        "QUEUES": ",".join(map(_queue_word, trigger.queues)),
        "CONCURRENCY": str(trigger.concurrency_per_replica),
        "LEASE_SECONDS": str(spec.recovery.lease_seconds),
        "MAX_DELIVERIES": str(spec.recovery.max_deliveries),
        "GRACE_SECONDS": str(spec.drain.timeout_seconds),
        "HTTP_PORT": str(port),
    }
    return [
        *(_variable(n, {"fieldRef": {"fieldPath": path}}) for n, path in fields.items()),
        *({"name": f"IDENTTQUEUE_{name}", "value": value} for name, value in values.items()),
    ]


def _queue_word(queue: Queue) -> str:
    """Write a queue for `identtqueue worker`. Without a weight, its old form stays."""
    return queue.name if queue.weight is None else f"{queue.name}:{queue.weight}"


def _variable(name: str, source: Json) -> Json:
    return {"name": f"IDENTTQUEUE_{name}", "valueFrom": source}


def _worker_container(pod: Json, others: Container[str]) -> Json:
    """Find the container that is the worker of the first trigger."""
    containers: list[Json] = pod["containers"]
    for container in containers:
        if container.get("name") == "worker":
            return container
    free = (container for container in containers if container.get("name") not in others)
    return next(free, containers[0])


def _add(parent: Json, field: str, additions: Iterable[Json]) -> None:
    """Append to a list of named things those whose name is not there yet."""
    present = parent.get(field) or []
    names = {item.get("name") for item in present}
    parent[field] = [*present, *(item for item in additions if item["name"] not in names)]


def _probe(path: str, port: int, *, period_seconds: int, failures: int) -> Json:
    return {
        "httpGet": {"path": path, "port": port},
        "periodSeconds": period_seconds,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }
