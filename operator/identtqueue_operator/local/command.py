"""The command and the environment of a container as a process of this machine.

The environment of `identtqueue local` is the base, because a process needs its PATH and HOME. What
differs from a container is replaced: the port of the probes, since all pods share this machine's
ports; files below `/var/run/identtqueue`, since nothing is mounted; and names of a Redis that is
not reached by host and port.
"""

import os
import re
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from identtqueue_operator.local.objects import Json

MOUNTED = "/var/run/identtqueue/"
"""Where a template's workers expect the files of Secrets."""
HTTP_PORT = "IDENTTQUEUE_HTTP_PORT"
REDIS_ADDRESS = "IDENTTQUEUE_REDIS_ADDRESS"
INSTANCE = "IDENTTQUEUE_LOCAL_INSTANCE"
"""Variable by which the processes of one `identtqueue local` are found."""
SECRET_VARIABLES = "IDENTTQUEUE_SECRET_"  # noqa: S105 - a name
"""Prefix of the variables that hold Secrets. Only those that a worker needs reach it, as files."""
_SUPERVISOR = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID")
"""Variables by which systemd talks to its own child."""
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")


class NotRunnable(Exception):
    """A container cannot be run as a process; the message says what to change."""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """The sources of a container's environment, apart from its own specification."""

    instance: str
    """Identifies this run of `identtqueue local`."""
    secrets_folder: Path
    """Holds a folder for each namespace, with one for each Secret, and a file for each key."""
    aliases: Mapping[str, str]
    """Where the Redis of some addresses really is."""
    secret: Mapping[tuple[str, str, str], str]
    """Values of Secrets, by namespace, name and key."""
    base: Mapping[str, str]
    """The environment of this process."""


@dataclass(frozen=True)
class Command:
    """The program to start."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    port: int | None
    """Port on which the worker answers probes; None: on none that is known."""


def command_of(container: Json, pod: Json, around: Surroundings) -> Command:
    """Make the command of a container.

    Args:
        container: as in a pod's specification.
        pod: the pod, which says its name and UID.
        around: everything else.

    Raises:
        NotRunnable: it has no command, or a value comes from a place that does not exist here.
    """
    if not container.get("command"):
        raise NotRunnable(no_command(container))
    own = _own_variables(container, pod, around)
    port = _free_port() if own.get(HTTP_PORT) else None
    if port is not None:
        own[HTTP_PORT] = str(port)
    if REDIS_ADDRESS in own:
        own[REDIS_ADDRESS] = around.aliases.get(own[REDIS_ADDRESS], own[REDIS_ADDRESS])
    for name, value in own.items():
        if value.startswith(MOUNTED):
            folder = around.secrets_folder / pod["metadata"]["namespace"]
            own[name] = str(folder / value.removeprefix(MOUNTED))
    words = [*container["command"], *(container.get("args") or ())]
    arguments = tuple(expand(str(word), own) for word in words)
    return Command(arguments, {**_base(around), **_identity(container, pod), **own}, port)


def no_command(container: Json) -> str:
    """Say that a container has no command, and what to do about it."""
    return (
        f"container {container.get('name')} has no command: an image cannot be run without "
        "Kubernetes, so write `command` (and `args`), such as [identtqueue, worker, jobs:app]"
    )


def _base(around: Surroundings) -> dict[str, str]:
    """Return the inherited variables."""
    inherited = {
        name: value
        for name, value in around.base.items()
        if name not in _SUPERVISOR and not name.startswith(SECRET_VARIABLES)
    }
    # `python` and `identtqueue` mean those that run this process, as in its virtual environment.
    folders = [str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)]
    return {
        "PYTHONUNBUFFERED": "1",
        **inherited,
        "PATH": os.pathsep.join(folders),
        INSTANCE: around.instance,
    }


def _identity(container: Json, pod: Json) -> dict[str, str]:
    """Return what a worker says about itself. A user's own variables of these names win."""
    metadata = pod["metadata"]
    return {
        "IDENTTQUEUE_POD_UID": metadata["uid"],
        "IDENTTQUEUE_POD_NAME": metadata["name"],
        "IDENTTQUEUE_CONTAINER": str(container.get("name") or "worker"),
    }


def _own_variables(container: Json, pod: Json, around: Surroundings) -> dict[str, str]:
    """Return the variables that the container's specification sets."""
    own: dict[str, str] = {}
    for item in container.get("env") or ():
        name = str(item["name"])
        if item.get("valueFrom") is not None:
            own[name] = _from(item["valueFrom"], name, container, pod, around)
        else:
            own[name] = expand(str(item.get("value") or ""), own)
    return own


def _from(
    source: Mapping[str, Any], name: str, container: Json, pod: Json, around: Surroundings
) -> str:
    if "fieldRef" in source:
        return field_of(pod, str(source["fieldRef"].get("fieldPath")))
    if "secretKeyRef" in source:
        wanted = source["secretKeyRef"]
        key = (pod["metadata"]["namespace"], str(wanted.get("name")), str(wanted.get("key")))
        if key in around.secret:
            return around.secret[key]
        raise NotRunnable(f"env {name}: there is no key {key[2]} of a Secret {key[1]}")
    raise NotRunnable(unsupported_source(name, source, container))


def unsupported_source(name: str, source: Mapping[str, Any], container: Json) -> str:
    """Say that a variable comes from what does not exist here."""
    return (
        f"container {container.get('name')}: env {name}: valueFrom.{next(iter(source), '?')} is "
        "not supported without Kubernetes: write the `value`, or use a secretKeyRef or a fieldRef"
    )


FIELDS: Mapping[str, Callable[[Json], Any]] = {
    "metadata.name": lambda pod: pod["metadata"]["name"],
    "metadata.namespace": lambda pod: pod["metadata"]["namespace"],
    "metadata.uid": lambda pod: pod["metadata"]["uid"],
    "spec.nodeName": lambda pod: pod["spec"].get("nodeName", ""),
    "spec.serviceAccountName": lambda pod: pod["spec"].get("serviceAccountName", "default"),
    "status.hostIP": lambda _: "127.0.0.1",
    "status.podIP": lambda _: "127.0.0.1",
}
"""The fields of the downward API that are known here, apart from labels and annotations."""
_KEYED_FIELD = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


def field_of(pod: Json, path: str) -> str:
    """Read a field of the downward API.

    Raises:
        NotRunnable: there is no such field here.
    """
    if path in FIELDS:
        return str(FIELDS[path](pod))
    keyed = _KEYED_FIELD.fullmatch(path)
    if keyed:
        return str((pod["metadata"].get(keyed[1]) or {}).get(keyed[2], ""))
    known = ", ".join([*FIELDS, "metadata.labels['…'] and metadata.annotations['…']"])
    raise NotRunnable(f"fieldRef {path} is not known without Kubernetes; known are {known}")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Put variables in the place of `$(NAME)`, as Kubernetes does; `$$` is a dollar sign."""

    def value(found: re.Match[str]) -> str:
        name = found[1]
        return "$" if name is None else variables.get(name, found[0])

    return _REFERENCE.sub(value, text)


def _free_port() -> int:
    """Find a port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
