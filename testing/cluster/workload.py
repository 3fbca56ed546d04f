"""A Deployment of test workers, and the TaskQueue that looks after it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from testing.cluster.release import Release

JOBS = Path(__file__).with_name("jobs.py")
PRODUCE = Path(__file__).with_name("produce.py")
IMAGE = "identtqueue/operator:dev"
"""Holds the library; the jobs come in by a ConfigMap."""


def jobs_config_map() -> dict[str, Any]:
    """Make the ConfigMap with the module of the test jobs and the script of a producer."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "e2e-jobs"},
        "data": {"e2e_jobs.py": JOBS.read_text(), "produce.py": PRODUCE.read_text()},
    }


def producer(name: str, redis_address: str) -> dict[str, Any]:
    """Make a pod that waits for `kubectl exec … python /jobs/produce.py`."""
    spec = pod_spec(env=[{"name": "IDENTTQUEUE_REDIS_ADDRESS", "value": redis_address}])
    spec["containers"][0]["command"] = ["sleep", "infinity"]
    spec["terminationGracePeriodSeconds"] = 0
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def pod_spec(
    *, spread: str | None = None, env: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Make a restricted pod with one worker. `spread`: at most one pod of this app per node."""
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "worker",
                "image": IMAGE,
                "imagePullPolicy": "IfNotPresent",
                "command": ["identtqueue", "worker", "e2e_jobs:app"],
                "workingDir": "/jobs",
                "env": env or [],
                "resources": {
                    "requests": {"cpu": "10m", "memory": "48Mi"},
                    "limits": {"memory": "128Mi"},
                },
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": True,
                },
                "volumeMounts": [{"name": "jobs", "mountPath": "/jobs"}],
            }
        ],
        "volumes": [{"name": "jobs", "configMap": {"name": "e2e-jobs"}}],
    }
    if spread is not None:
        term = {
            "labelSelector": {"matchLabels": {"app": spread}},
            "topologyKey": "kubernetes.io/hostname",
        }
        spec["affinity"] = {
            "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
        }
    return spec


def deployment(
    release: Release,
    name: str,
    queue: str,
    *,
    replicas: int = 0,
    concurrency: int = 1,
    grace_seconds: int = 60,
    spread: bool = False,
    node: str | None = None,
) -> dict[str, Any]:
    """Make a user's own Deployment, as the documentation describes it."""
    fields = {
        "IDENTTQUEUE_POD_UID": "metadata.uid",
        "IDENTTQUEUE_POD_NAME": "metadata.name",
    }
    env: list[dict[str, Any]] = [
        {"name": key, "valueFrom": {"fieldRef": {"fieldPath": path}}}
        for key, path in fields.items()
    ]
    values = {
        "IDENTTQUEUE_CONTAINER": "worker",
        "IDENTTQUEUE_REDIS_ADDRESS": release.redis_address,
        "IDENTTQUEUE_QUEUES": queue,
        "IDENTTQUEUE_CONCURRENCY": str(concurrency),
        "IDENTTQUEUE_GRACE_SECONDS": str(grace_seconds - 10),
        "IDENTTQUEUE_HTTP_PORT": "8080",
    }
    env += [{"name": key, "value": value} for key, value in values.items()]
    env.append(
        {
            "name": "IDENTTQUEUE_REDIS_PASSWORD",
            "valueFrom": {"secretKeyRef": {"name": release.redis_secret, "key": "password"}},
        }
    )
    spec = pod_spec(spread=name if spread else None, env=env)
    if node is not None:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    spec["terminationGracePeriodSeconds"] = grace_seconds
    spec["containers"][0]["readinessProbe"] = {
        "httpGet": {"path": "/readyz", "port": 8080},
        "periodSeconds": 1,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
        },
    }


def task_queue(release: Release, name: str, queue: str, **overrides: Any) -> dict[str, Any]:
    """Make a TaskQueue for the Deployment of that name; `overrides` replace parts of its spec."""
    spec: dict[str, Any] = {
        "workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "queues": [{"name": queue}],
        "redis": {
            "address": release.redis_address,
            "credentialsSecretRef": {"name": release.redis_secret, "passwordKey": "password"},
        },
        "scaling": {
            "maxReplicas": 3,
            "concurrencyPerReplica": 1,
            "scaleDown": {"stabilizationSeconds": 0, "idleSeconds": 2},
        },
        "drain": {"timeoutSeconds": 120},
    }
    for key, value in overrides.items():
        if value is None:
            spec.pop(key)
        elif isinstance(value, dict) and key in spec:
            spec[key] = {**spec[key], **value}
        else:
            spec[key] = value
    return {
        "apiVersion": "identtqueue.dev/v1alpha1",
        "kind": "TaskQueue",
        "metadata": {"name": name},
        "spec": spec,
    }
