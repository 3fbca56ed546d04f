"""Secrets: from the file or from the environment, for the operator and for workers' files."""

import base64
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from identtqueue_operator.api.v1alpha1 import Redis, TaskQueueSpec
from identtqueue_operator.local.command import SECRET_VARIABLES
from identtqueue_operator.local.manifest import Manifest
from identtqueue_operator.local.objects import Json
from identtqueue_operator.model import Key
from identtqueue_operator.rounds.resource import validate

Values = dict[tuple[str, str, str], str]
"""Values of Secrets, by namespace, name and key."""


def add_from_environment(manifest: Manifest, environment: Mapping[str, str]) -> list[str]:
    """Add to a file what it names of Secrets and does not hold, from environment variables.

    Args:
        manifest: gets the Secrets, or keys of them.
        environment: variables such as `IDENTTQUEUE_SECRET_REDIS_LOGIN_PASSWORD`.

    Returns:
        What is still missing, one text for each key.
    """
    missing = []
    for namespace, name, key in dict.fromkeys(_named(manifest)):
        at = ("secrets", Key(namespace, name))
        data = (manifest.objects.get(at) or {}).get("data") or {}
        if key in data:
            continue
        variable = variable_of(name, key)
        value = environment.get(variable)
        if value is None:
            missing.append(
                f"Secret {name} with the key {key} is missing: put it into the file, or set the "
                f"environment variable {variable}"
            )
            continue
        body: Json = manifest.objects.setdefault(
            at, {"metadata": {"name": name, "namespace": namespace}}
        )
        body["data"] = {**data, key: base64.b64encode(value.encode()).decode()}
    return missing


def variable_of(name: str, key: str) -> str:
    """Return the environment variable that may hold a key of a Secret."""
    return SECRET_VARIABLES + re.sub("[^A-Z0-9]", "_", f"{name}_{key}".upper())


def write_files(manifest: Manifest, folder: Path) -> Values:
    """Write the Secrets as the files that workers read; return them as text too.

    Args:
        manifest: holds the Secrets.
        folder: gets a folder for each namespace, in it one for each Secret.
    """
    values: Values = {}
    for key, body in manifest.of("secrets"):
        own = folder / key.namespace / key.name
        own.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, value in (body.get("data") or {}).items():
            content = base64.b64decode(value)
            file = os.open(own / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(file, "wb") as opened:
                opened.write(content)
            values[key.namespace, key.name, name] = content.decode(errors="replace")
    return values


def remove_files(folder: Path) -> None:
    """Remove all files of Secrets."""
    shutil.rmtree(folder, ignore_errors=True)


def _named(manifest: Manifest) -> Iterator[tuple[str, str, str]]:
    """List namespace, name and key of all that the file names of Secrets."""
    for key, body in manifest.of("taskqueues"):
        spec = validate(body["spec"])
        if isinstance(spec, TaskQueueSpec):
            for trigger in spec.all_triggers:
                yield from ((key.namespace, *each) for each in _of_redis(trigger.redis))
            if spec.template is not None:
                yield from ((key.namespace, *each) for each in _of_pod(spec.template.spec))
    for key, body in manifest.of("deployments"):
        pod = body["spec"]["template"]["spec"]
        yield from ((key.namespace, *each) for each in _of_pod(pod))


def _of_redis(redis: Redis) -> Iterator[tuple[str, str]]:
    logins = [redis.credentials_secret_ref, redis.worker_credentials_secret_ref]
    logins.append(redis.sentinel.credentials_secret_ref if redis.sentinel else None)
    for login in logins:
        if login is not None:
            yield login.name, login.password_key
            if login.username_key is not None:
                yield login.name, login.username_key
    if redis.tls and redis.tls.ca_secret_ref:
        yield redis.tls.ca_secret_ref.name, redis.tls.ca_secret_ref.key
    if redis.tls and redis.tls.client_cert_secret_ref:
        pair = redis.tls.client_cert_secret_ref
        yield pair.name, pair.cert_key
        yield pair.name, pair.key_key


def _of_pod(pod: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for container in pod["containers"]:
        for item in container.get("env") or ():
            wanted = (item.get("valueFrom") or {}).get("secretKeyRef")
            if wanted:
                yield str(wanted.get("name")), str(wanted.get("key"))
