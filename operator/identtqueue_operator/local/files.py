"""The user's files and what is stored of them: taken up at the start, and again on request."""

import copy
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from identtqueue_operator.local import secrets
from identtqueue_operator.local.addresses import Addresses
from identtqueue_operator.local.manifest import BadManifest, Manifest, read
from identtqueue_operator.local.objects import KINDS, Json, Objects
from identtqueue_operator.model import Key

logger = logging.getLogger(__name__)

IN_ORDER = ("secrets", "deployments", "taskqueues")
"""The kinds, each after those that it may name."""
MANAGER = "identtqueue-local"


class Files:
    """The files of one instance.

    Args:
        paths: of the files.
        objects: gets what they declare.
        addresses: gets the addresses of Redis that are no host and port.
        folder: gets the files of Secrets.
        environment: may hold Secrets.
        memory: metadata and status of TaskQueues, as an earlier instance has left them.

    Attributes:
        values: of all Secrets, by namespace, name and key.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        objects: Objects,
        addresses: Addresses,
        folder: Path,
        environment: Mapping[str, str],
        memory: Mapping[str, Json],
    ) -> None:
        self.values: secrets.Values = {}
        self._paths = paths
        self._objects = objects
        self._addresses = addresses
        self._folder = folder
        self._environment = environment
        self._memory = memory
        self._own: dict[tuple[str, Key], Json] = {}
        """The contents of the files when they were last taken up."""
        self._said: set[str] = set()

    def take_up(self, path: Path | None = None) -> list[str]:
        """Take up the instance's own files as they are now, or another one in addition.

        What has left the own files is deleted. What another file has added stays.

        Returns:
            What has changed, in words.

        Raises:
            BadManifest: something is wrong; nothing has changed then.
        """
        manifest = self._read(self._paths if path is None else (path,))
        self._check_immutable(manifest)
        missing = secrets.add_from_environment(manifest, self._environment)
        self.values.update(secrets.write_files(manifest, self._folder))
        self._say(logging.INFO, manifest.notes)
        self._say(logging.WARNING, missing)
        changes = []
        for plural in IN_ORDER:
            for key, body in manifest.of(plural):
                change = self._put(plural, key, body, manifest)
                changes.append(f"{_word(plural)}/{key.name} {change}")
        if path is None:
            for plural, key in self._own.keys() - manifest.objects.keys():
                self._objects.remove(plural, key)
                changes.append(f"{_word(plural)}/{key.name} deleted")
            self._own = copy.deepcopy(manifest.objects)
        else:
            self._own |= {
                at: copy.deepcopy(body) for at, body in manifest.objects.items() if at in self._own
            }
        return changes

    def _say(self, level: int, texts: Sequence[str]) -> None:
        """Log what was not logged before."""
        for text in texts:
            if text not in self._said:
                self._said.add(text)
                logger.log(level, "%s", text)

    def _read(self, paths: Sequence[Path]) -> Manifest:
        found, problems = Manifest(), []
        known = {
            Key(each["metadata"]["namespace"], each["metadata"]["name"])
            for each in self._objects.all("deployments")
        }
        for path in paths:
            try:
                read_now = read(path, self._addresses, known)
            except BadManifest as error:
                problems.append(str(error))
                continue
            twice = read_now.objects.keys() & found.objects.keys()
            problems += [f"{path}: {key.name} of {plural} is in two files" for plural, key in twice]
            found.objects |= read_now.objects
            found.notes += read_now.notes
            known |= {key for key, _ in read_now.of("deployments")}
        if problems:
            raise BadManifest("\n".join(problems))
        return found

    def _check_immutable(self, manifest: Manifest) -> None:
        """Refuse what the API server would refuse because of the state before."""
        problems = []
        for key, body in manifest.of("taskqueues"):
            before = self._objects.find("taskqueues", key)
            if before is None:
                continue
            old, new = (each["spec"].get("workloadRef") for each in (before, body))
            if old != new:
                problems.append(
                    f"TaskQueue {key.name}: spec.workloadRef cannot be changed: delete the "
                    "TaskQueue first, or give it another name"
                )
        if problems:
            raise BadManifest("\n".join(problems))

    def _put(self, plural: str, key: Key, body: Json, manifest: Manifest) -> str:
        """Create or change one object; return what was done."""
        known = self._objects.find(plural, key)
        if known is None:
            self._objects.create(plural, self._first(plural, key, body, manifest))
            return "created"
        changed = {**known, **copy.deepcopy(body)}
        changed["metadata"] = {**known["metadata"], **body["metadata"]}
        if plural == "deployments":
            self._keep_replicas(key, known, changed)
        changed["kind"], changed["apiVersion"] = known["kind"], known["apiVersion"]
        if changed == known:
            return "unchanged"
        self._objects.replace(plural, key, changed, MANAGER)
        return "configured"

    def _first(self, plural: str, key: Key, body: Json, manifest: Manifest) -> Json:
        body = copy.deepcopy(body)
        if plural == "taskqueues":
            remembered = self._memory.get(str(key)) or {}
            body["metadata"] |= remembered.get("metadata") or {}
            body["status"] = remembered.get("status") or {}
        if plural == "deployments" and "replicas" not in body["spec"]:
            scaled = (
                each["spec"].get("workloadRef") or {} for _, each in manifest.of("taskqueues")
            )
            if any(reference.get("name") == key.name for reference in scaled):
                body["spec"]["replicas"] = 0  # the operator's first round says how many
        return body

    def _keep_replicas(self, key: Key, known: Json, changed: Json) -> None:
        """Leave the number to the operator, unless the file has another one than before."""
        before = (self._own.get(("deployments", key)) or {}).get("spec") or {}
        if changed["spec"].get("replicas") == before.get("replicas"):
            changed["spec"]["replicas"] = known["spec"].get("replicas", 1)


def _word(plural: str) -> str:
    return KINDS[plural][1].lower()
