"""The user's file: each mistake gets an error that says what to change."""

from __future__ import annotations

import base64
import copy
from pathlib import Path

import pytest
import yaml

from identtqueue_operator.local import secrets
from identtqueue_operator.local.addresses import Addresses
from identtqueue_operator.local.manifest import BadManifest, Manifest, read
from identtqueue_operator.model import Key
from testing.local import task_queue

TASK_QUEUE = task_queue("mrz", "mrz", "localhost:6379")
LOGIN = {"name": "login", "usernameKey": "user"}
DEPLOYMENT = {
    "kind": "Deployment",
    "metadata": {"name": "own"},
    "spec": {
        "selector": {"matchLabels": {"app": "own"}},
        "template": {
            "metadata": {"labels": {"app": "own"}},
            "spec": {"containers": [{"name": "main", "command": ["sleep", "9"]}]},
        },
    },
}


def changed(body, path: str, value):
    """Return a copy of an object in which one field has another value; None removes it."""
    body = copy.deepcopy(body)
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    inner = body
    for step in steps:
        inner = inner[step] if isinstance(step, int) else inner.setdefault(step, {})
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return body


def reading(tmp_path: Path, *bodies, addresses: Addresses | None = None) -> Manifest:
    file = tmp_path / "a.yaml"
    file.write_text(yaml.safe_dump_all(bodies))
    return read(file, Addresses() if addresses is None else addresses)


def test_all_that_is_there_is_read(tmp_path: Path) -> None:
    others = [{"kind": "ConfigMap", "metadata": {"name": "c"}}, None]
    manifest = reading(tmp_path, {"kind": "List", "items": [TASK_QUEUE]}, DEPLOYMENT, *others)
    assert list(manifest.objects) == [
        ("taskqueues", Key("default", "mrz")),
        ("deployments", Key("default", "own")),
    ]
    assert [note.partition(": ignored, ")[2] for note in manifest.notes] == [
        "fields of containers: image",
        "kinds without a meaning here: ConfigMap",
    ]


CONTAINER = "spec.template.spec.containers.0"
MISTAKES = {
    "no address and a wrong number": (
        changed(TASK_QUEUE, "spec.scaling.maxReplicas", 0),
        "TaskQueue mrz: spec.scaling.maxReplicas: Input should be greater than or equal to 1",
    ),
    "a rule over two fields": (
        changed(TASK_QUEUE, "spec.scaling.minReplicas", 9),
        "minReplicas must not exceed maxReplicas",
    ),
    "a typing error": (
        changed(TASK_QUEUE, "spec.scaling.maxReplica", 9),
        "spec.scaling.maxReplica: unknown field",
    ),
    "another version": (
        changed(TASK_QUEUE, "apiVersion", "v9"),
        "apiVersion is 'v9'; write identtqueue.dev/v1alpha1",
    ),
    "no spec": (changed(TASK_QUEUE, "spec", None), "TaskQueue mrz: spec is missing"),
    "no name": (changed(TASK_QUEUE, "metadata.name", None), "metadata.name is missing"),
    "no kind": (changed(TASK_QUEUE, "kind", None), "document 1: this is no Kubernetes object"),
    "an image": (
        changed(TASK_QUEUE, f"{CONTAINER}.command", None),
        "containers[0]: container worker has no command: an image cannot be run without",
    ),
    "a variable from a ConfigMap": (
        changed(
            TASK_QUEUE,
            f"{CONTAINER}.env",
            [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}],
        ),
        "env A: valueFrom.configMapKeyRef is not supported without Kubernetes: write the `value`",
    ),
    "envFrom": (
        changed(TASK_QUEUE, f"{CONTAINER}.envFrom", [{"secretRef": {"name": "s"}}]),
        "containers[0].envFrom: not supported without Kubernetes: write the variables in `env`",
    ),
    "a Deployment that is not there": (
        task_queue("mrz", "mrz", None, workloadRef={"name": "other"}),
        "names the Deployment other, which is not in the file; Deployments there: none",
    ),
    "another kind of workload": (
        task_queue("mrz", "mrz", None, workloadRef={"kind": "StatefulSet", "name": "s"}),
        "names a StatefulSet: without Kubernetes there are Deployments only",
    ),
    "a selector that selects nothing": (
        changed(DEPLOYMENT, "spec.selector.matchLabels", {"app": "x"}),
        "Deployment own: spec.selector.matchLabels must select the labels",
    ),
    "a number that is none": (
        changed(DEPLOYMENT, "spec.replicas", "3"),
        "spec.replicas is '3': write a number",
    ),
    "a Secret that is not base64": (
        {"kind": "Secret", "metadata": {"name": "s"}, "data": {"password": "?"}},
        "Secret s: data.password is not base64: write plain text in `stringData`",
    ),
    "a name that is a path": (
        {"kind": "Secret", "metadata": {"name": "../x"}},
        "metadata.name is '../x': use at most 63 of a-z, 0-9, '-' and '.'",
    ),
    "a key that is a path": (
        {"kind": "Secret", "metadata": {"name": "s"}, "stringData": {"..": "x"}},
        "Secret s: '..': a key has letters, digits, '-', '_' and '.' only",
    ),
    "variables that are no list": (
        changed(TASK_QUEUE, f"{CONTAINER}.env", {"A": "1"}),
        "spec.template.spec.containers[0].env is no list",
    ),
    "a probe that is none": (
        changed(
            TASK_QUEUE,
            f"{CONTAINER}.livenessProbe",
            {"httpGet": {"path": "/"}, "periodSeconds": "often"},
        ),
        "containers[0].livenessProbe can't be read: write httpGet",
    ),
    "a time that is none": (
        changed(TASK_QUEUE, "spec.template.spec.terminationGracePeriodSeconds", "1m"),
        "terminationGracePeriodSeconds is '1m': write a number of seconds",
    ),
    "nothing": ({"kind": "Service", "metadata": {"name": "s"}}, "there is no TaskQueue in it"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(mistake: str, tmp_path: Path) -> None:
    body, text = MISTAKES[mistake]
    with pytest.raises(BadManifest) as caught:
        reading(tmp_path, body)
    assert text in str(caught.value)
    assert str(tmp_path / "a.yaml") in str(caught.value)


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadManifest) as caught:
        reading(tmp_path, *(body for body, _ in MISTAKES.values()), TASK_QUEUE)
    assert len(str(caught.value).splitlines()) > 10
    assert "is in the file twice" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "text"),
    [(None, "No such file"), (b"a: [", "is not YAML"), (b"\xff", "is not YAML")],
)
def test_a_file_that_cannot_be_read(content: bytes | None, text: str, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadManifest, match=text):
        read(file, Addresses())


# --- addresses ---


@pytest.mark.parametrize(
    "address", ["embedded", "embedded:///srv/queue", "unix:///run/redis.sock?db=1"]
)
def test_an_address_without_host_and_port_becomes_a_name(address: str, tmp_path: Path) -> None:
    addresses = Addresses()
    manifest = reading(tmp_path, task_queue("mrz", "mrz", address), addresses=addresses)
    ((_, body),) = manifest.of("taskqueues")
    name = body["spec"]["redis"]["address"]
    assert addresses[f"redis://{name}"] == address
    assert addresses.shown(body)["spec"]["redis"]["address"] == address


def test_without_an_address_it_is_the_embedded_server(tmp_path: Path) -> None:
    addresses = Addresses()
    ((_, body),) = reading(tmp_path, task_queue("mrz", "mrz", None), addresses=addresses).of(
        "taskqueues"
    )
    assert addresses[f"redis://{body['spec']['redis']['address']}"] == "embedded"


# --- Secrets ---


def test_secrets_come_from_the_file_or_from_the_environment(tmp_path: Path) -> None:
    body = changed(TASK_QUEUE, "spec.redis.credentialsSecretRef", LOGIN)
    secret = {"kind": "Secret", "metadata": {"name": "login"}, "stringData": {"user": "me"}}
    manifest = reading(tmp_path, body, secret)
    assert secrets.add_from_environment(manifest, {}) == [
        (
            "Secret login with the key password is missing: put it into the file, or set the "
            "environment variable IDENTTQUEUE_SECRET_LOGIN_PASSWORD"
        )
    ]
    environment = {"IDENTTQUEUE_SECRET_LOGIN_PASSWORD": "p", "IDENTTQUEUE_SECRET_LOGIN_USER": "x"}
    assert secrets.add_from_environment(manifest, environment) == []
    ((_, stored),) = manifest.of("secrets")
    assert stored["data"] == {
        "user": base64.b64encode(b"me").decode(),
        "password": base64.b64encode(b"p").decode(),
    }
    values = secrets.write_files(manifest, tmp_path / "files")
    assert values["default", "login", "password"] == "p"
    file = tmp_path / "files/default/login/password"
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("p", 0o600)
    secrets.remove_files(tmp_path / "files")
    assert not file.exists()
