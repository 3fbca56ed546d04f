"""The user's file: TaskQueues, and the Deployments and Secrets that they name.

It is checked as a whole before anything of it is taken up, and by the same models as in a cluster.
What a process cannot have, such as an image or a volume, is left out with one note for each kind of
field. What would change the meaning, such as a variable from a ConfigMap, is an error.
"""

import base64
import binascii
import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from identtqueue_operator.api.v1alpha1 import API_VERSION, KIND, TaskQueueSpec
from identtqueue_operator.local.addresses import Addresses
from identtqueue_operator.local.objects import NAMESPACE, Json
from identtqueue_operator.local.pod_checks import check_pod
from identtqueue_operator.local.unknown_fields import unknown_fields
from identtqueue_operator.model import Key
from identtqueue_operator.rounds.resource import validate

PLURALS = {KIND: "taskqueues", "Deployment": "deployments", "Secret": "secrets"}
"""The kinds that are read, with their plurals."""
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_SECRET_KEY = re.compile(r"(?!\.\.?$)[-._a-zA-Z0-9]+")
MOST_NAME_CHARACTERS = 63
"""Longest name of a TaskQueue. Kubernetes allows longer ones for some kinds."""


class BadManifest(Exception):
    """The file cannot be used; each line of the message is one thing to change."""


@dataclass
class Manifest:
    """The declarations in a file."""

    objects: dict[tuple[str, Key], Json] = field(default_factory=dict)
    """The objects, by plural and key."""
    notes: tuple[str, ...] = ()
    """The parts of the file that have no meaning here."""

    def of(self, plural: str) -> Iterator[tuple[Key, Json]]:
        """List the objects of a kind."""
        return ((key, body) for (kind, key), body in self.objects.items() if kind == plural)


def read(path: Path, addresses: Addresses, known: Iterable[Key] = ()) -> Manifest:
    """Read and check a file.

    Args:
        path: the file; it may hold several documents, and Lists.
        addresses: gets the addresses of Redis that are no host and port.
        known: Deployments that exist already, which a `workloadRef` may name too.

    Raises:
        BadManifest: it cannot be read, or something in it is wrong.
    """
    try:
        documents = list(yaml.safe_load_all(path.read_text("utf-8")))
    except OSError as error:
        raise BadManifest(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadManifest(f"{path} is not YAML: {error}") from None
    reading = _Reading(str(path), addresses, set(known))
    for number, document in enumerate(documents, 1):
        reading.take(document, f"{path}, document {number}")
    return reading.finish()


class _Reading:
    """One file while it is read."""

    def __init__(self, path: str, addresses: Addresses, known: set[Key]) -> None:
        self._path = path
        self._addresses = addresses
        self._known = known
        self._problems: list[str] = []
        self._ignored: dict[str, set[str]] = {}
        self._manifest = Manifest()

    def take(self, body: Any, where: str) -> None:
        """Take in a document, or an item of a List."""
        if body is None:
            return
        if not isinstance(body, dict) or not isinstance(body.get("kind"), str):
            self._problems.append(f"{where}: this is no Kubernetes object: it has no `kind`")
            return
        if body["kind"].endswith("List") and isinstance(body.get("items"), list):
            for number, item in enumerate(body["items"], 1):
                self.take(item, f"{where}, item {number}")
            return
        plural = PLURALS.get(body["kind"])
        if plural is None:
            self._ignore("kinds without a meaning here", body["kind"])
            return
        metadata = body.get("metadata")
        if not isinstance(metadata, dict) or not metadata.get("name"):
            self._problems.append(f"{where}: {body['kind']}: metadata.name is missing")
            return
        self._add(plural, body, f"{self._path}: {body['kind']} {metadata['name']}")

    def _add(self, plural: str, body: Json, where: str) -> None:
        metadata = body["metadata"]
        kept = {
            name: metadata[name] for name in ("name", "labels", "annotations") if name in metadata
        }
        kept["namespace"] = str(metadata.get("namespace") or NAMESPACE)
        kept["name"] = str(metadata["name"])
        key = Key(kept["namespace"], kept["name"])
        for what, name in (("metadata.name", key.name), ("metadata.namespace", key.namespace)):
            if not _NAME.fullmatch(name) or len(name) > MOST_NAME_CHARACTERS:
                text = f"is {name!r}: use at most {MOST_NAME_CHARACTERS} of a-z, 0-9, '-' and '.'"
                self._problems.append(f"{where}: {what} {text}")
        if (plural, key) in self._manifest.objects:
            self._problems.append(f"{where} is in the file twice")
            return
        body = {name: copy.deepcopy(value) for name, value in body.items() if name != "status"}
        body["metadata"] = kept
        check = {
            "taskqueues": self._check_task_queue,
            "deployments": self._check_deployment,
            "secrets": self._check_secret,
        }[plural]
        check(body, where)
        self._manifest.objects[plural, key] = body

    def finish(self) -> Manifest:
        """Check what concerns several objects, and return what was read.

        Raises:
            BadManifest: something in the file is wrong.
        """
        manifest = self._manifest
        deployments = {key for key, _ in manifest.of("deployments")} | self._known
        for key, body in manifest.of("taskqueues"):
            self._check_reference(key, body, deployments)
        if not self._problems and not manifest.objects:
            self._problems.append(f"{self._path}: there is no {KIND} in it")
        if self._problems:
            raise BadManifest("\n".join(self._problems))
        manifest.notes = tuple(
            f"{what}: {', '.join(sorted(names))}" for what, names in self._ignored.items()
        )
        return manifest

    def _ignore(self, what: str, *names: str) -> None:
        if names:
            self._ignored.setdefault(f"{self._path}: ignored, {what}", set()).update(names)

    # --- TaskQueues ---

    def _check_task_queue(self, body: Json, where: str) -> None:
        if body.get("apiVersion") != API_VERSION:
            text = f"apiVersion is {body.get('apiVersion')!r}; write {API_VERSION}"
            self._problems.append(f"{where}: {text}")
            return
        spec = body.get("spec")
        if not isinstance(spec, dict):
            self._problems.append(f"{where}: spec is missing")
            return
        self._problems += [f"{where}: {path}: unknown field" for path in unknown_fields(spec)]
        self._addresses.name_in(spec)
        found = validate(spec)
        if isinstance(found, str):
            self._problems += [f"{where}: {text}" for text in found.split("; ")]
        elif found.template is not None:
            self._check_pod(found.template.spec, where, _workers(found))

    def _check_reference(self, key: Key, body: Json, deployments: set[Key]) -> None:
        reference = (body.get("spec") or {}).get("workloadRef")
        if not isinstance(reference, dict):
            return
        where = f"{self._path}: {KIND} {key.name}: spec.workloadRef"
        kind = reference.get("kind", "Deployment")
        if kind != "Deployment":
            text = f"names a {kind}: without Kubernetes there are Deployments only"
            self._problems.append(f"{where} {text}")
        elif Key(key.namespace, str(reference.get("name"))) not in deployments:
            there = ", ".join(sorted(each.name for each in deployments)) or "none"
            text = f"names the Deployment {reference.get('name')}, which is not in the file"
            self._problems.append(f"{where} {text}; Deployments there: {there}")

    # --- Deployments ---

    def _check_deployment(self, body: Json, where: str) -> None:
        spec = body.get("spec")
        template = spec.get("template") if isinstance(spec, dict) else None
        if not isinstance(spec, dict) or not isinstance(template, dict):
            self._problems.append(f"{where}: spec.template is missing")
            return
        if not isinstance(template.get("spec"), dict):
            self._problems.append(f"{where}: spec.template.spec is missing")
            return
        labels = (template.get("metadata") or {}).get("labels") or {}
        wanted = (spec.get("selector") or {}).get("matchLabels")
        if not wanted or not wanted.items() <= labels.items():
            text = "spec.selector.matchLabels must select the labels of spec.template.metadata"
            self._problems.append(f"{where}: {text}")
        replicas = spec.get("replicas", 1)
        if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
            self._problems.append(f"{where}: spec.replicas is {replicas!r}: write a number")
        self._check_pod(template["spec"], where, None)

    def _check_pod(
        self, pod: Mapping[str, Any], where: str, workers: frozenset[str] | None
    ) -> None:
        """Check the specification of a pod; see `check_pod`."""
        findings = check_pod(pod, workers)
        self._problems += [f"{where}: spec.template.spec.{text}" for text in findings.problems]
        for what, names in findings.ignored.items():
            self._ignore(what, *names)

    # --- Secrets ---

    def _check_secret(self, body: Json, where: str) -> None:
        """Check the values, and write all of them as the API server stores them."""
        data = dict(body.get("data") or {})
        for name in (*data, *(body.get("stringData") or ())):
            if not _SECRET_KEY.fullmatch(str(name)):
                text = "a key has letters, digits, '-', '_' and '.' only"
                self._problems.append(f"{where}: {name!r}: {text}")
        for name, value in data.items():
            try:
                base64.b64decode(value, validate=True)
            except (binascii.Error, TypeError, ValueError):
                text = "is not base64: write plain text in `stringData`"
                self._problems.append(f"{where}: data.{name} {text}")
        for name, value in (body.pop("stringData", None) or {}).items():
            if isinstance(value, str):
                data[name] = base64.b64encode(value.encode()).decode()
            else:
                self._problems.append(f"{where}: stringData.{name} is no text: put it in quotes")
        body["data"] = data


def _workers(spec: TaskQueueSpec) -> frozenset[str]:
    """Name the containers that serve triggers."""
    assert spec.template is not None
    names = {each.name for each in spec.worker_triggers[1:]}
    containers = spec.template.container_names
    if "worker" in containers:
        return frozenset(names | {"worker"})
    free = [name for name in containers if name not in names]
    return frozenset(names | set(free[:1] or containers[:1]))
