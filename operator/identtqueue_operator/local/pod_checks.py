"""The specification of a pod, checked for what processes can have."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from identtqueue_operator.local.command import no_command, unsupported_source
from identtqueue_operator.local.objects import Json
from identtqueue_operator.local.probes import Probe

_CONTAINER = frozenset({"name", "command", "args", "env", "ports"})
"""Fields of a container that mean something to a process."""
_PROBES = frozenset({"livenessProbe", "readinessProbe", "startupProbe"})
_POD = frozenset({"containers", "terminationGracePeriodSeconds", "automountServiceAccountToken"})
"""Fields of a pod's specification that mean something here, or need no word."""


@dataclass
class Findings:
    """The faults of a pod, and the parts of it that have no meaning here."""

    problems: list[str] = field(default_factory=list)
    ignored: dict[str, set[str]] = field(default_factory=dict)
    """The names of what is ignored, by what they are."""

    def ignore(self, what: str, *names: str) -> None:
        """Note that something is ignored."""
        if names:
            self.ignored.setdefault(what, set()).update(names)


def check_pod(pod: Mapping[str, Any], workers: frozenset[str] | None) -> Findings:
    """Check the specification of a pod.

    Args:
        pod: the specification.
        workers: names of the containers that have to run; None: the first one.
    """
    findings = Findings()
    containers = pod.get("containers")
    if not isinstance(containers, list) or not containers:
        findings.problems.append("containers is missing")
        return findings
    findings.ignore("fields of pods", *(name for name in pod if name not in _POD))
    grace = pod.get("terminationGracePeriodSeconds", 0)
    if not isinstance(grace, int) or isinstance(grace, bool) or grace < 0:
        text = f"terminationGracePeriodSeconds is {grace!r}: write a number of seconds"
        findings.problems.append(text)
    for number, container in enumerate(containers):
        at = f"containers[{number}]"
        if not isinstance(container, dict):
            findings.problems.append(f"{at} is no container")
        elif container.get("command"):
            findings.problems += [f"{at}{text}" for text in _problems(container)]
            _ignore_rest(container, findings)
        elif number == 0 if workers is None else container.get("name") in workers:
            findings.problems.append(f"{at}: {no_command(container)}")
        else:
            findings.ignore("containers without a command", str(container.get("name")))
    return findings


def _problems(container: Json) -> Iterator[str]:
    """Say what is wrong with a container that has a command."""
    for name in ("command", "args", "env"):
        if not isinstance(container.get(name) or [], list):
            yield f".{name} is no list"
            return
    if container.get("envFrom"):
        yield ".envFrom: not supported without Kubernetes: write the variables in `env`"
    for item in container.get("env") or ():
        if not isinstance(item, dict) or not item.get("name"):
            yield ".env: a variable has no name"
            continue
        source = item.get("valueFrom")
        if source is None:
            continue
        if not isinstance(source, dict) or not {"fieldRef", "secretKeyRef"} & source.keys():
            known = source if isinstance(source, dict) else {}
            yield f": {unsupported_source(item['name'], known, container)}"
    for name in sorted(_PROBES & container.keys()):
        try:
            Probe.read(container[name])
        except (AttributeError, TypeError, ValueError):
            yield f".{name} can't be read: write httpGet, and seconds and failures as numbers"


def _ignore_rest(container: Json, findings: Findings) -> None:
    """Note what of a container is ignored."""
    for name in sorted(_PROBES & container.keys()):
        given = container[name]
        if isinstance(given, dict) and given and not given.get("httpGet"):
            findings.ignore("probes that are not httpGet", name)
    findings.ignore("fields of containers", *(container.keys() - _CONTAINER - _PROBES))
