"""Identity of processes, from the kernel (proc(5)): which one this is, and which have ended.

Only Linux has this information. On other systems nothing is known, and nothing is concluded.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

PROC: Final = Path("/proc")

_SAFE: Final = "[bcdf-hj-np-tv-z2456789]"
_OF_DEPLOYMENT: Final = f"-({_SAFE}{{6,10}})-{_SAFE}{{5}}$"
"""End of the name of a Deployment's pod: the hash of the template, and a random part. Kubernetes
uses only these characters."""


class Identity(msgspec.Struct, frozen=True):
    """Identity of a worker: its host, pod, container and process.

    Attributes:
        host: name of the host; in a pod, name of the pod.
        pod_uid: `IDENTTQUEUE_POD_UID` (metadata.uid); None outside a pod. Names of pods repeat,
            UIDs do not.
        pod_name: `IDENTTQUEUE_POD_NAME`; None outside a pod.
        container: `IDENTTQUEUE_CONTAINER`; None outside a pod.
        node: `IDENTTQUEUE_NODE_NAME` (spec.nodeName); None if it is not set.
        release: `IDENTTQUEUE_RELEASE`, which tells releases of the application apart. Default: the
            part of the pod's name that changes with the template of its Deployment; None outside a
            pod of a Deployment.
        boot: when the container's first process started, which tells one start of the container
            from the next; None: not known.
        domain: scope in which `process` is unique (see `domain()` below); None: not known.
        process: id and start of this process (see `itself()` below); None: not known.
    """

    host: str
    pod_uid: str | None = None
    pod_name: str | None = None
    container: str | None = None
    node: str | None = None
    release: str | None = None
    boot: str | None = None
    domain: str | None = None
    process: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Identity:
        """Read the identity from the Downward API's environment variables and from the kernel."""
        pod_name = environment.get("IDENTTQUEUE_POD_NAME") or None
        return cls(
            host=os.uname().nodename,
            pod_uid=environment.get("IDENTTQUEUE_POD_UID") or None,
            pod_name=pod_name,
            node=environment.get("IDENTTQUEUE_NODE_NAME") or None,
            release=environment.get("IDENTTQUEUE_RELEASE", "")[:100] or _template_hash(pod_name),
            container=environment.get("IDENTTQUEUE_CONTAINER") or None,
            boot=started(1),
            domain=domain(),
            process=itself(),
        )

    def worker_id(self, nonce: str) -> str:
        """Make the id of one incarnation: `<pod UID or host>.<nonce>`."""
        return f"{self.pod_uid or self.host}.{nonce}"


def _template_hash(pod_name: str | None) -> str | None:
    found = re.search(_OF_DEPLOYMENT, pod_name) if pod_name else None
    return None if found is None else found[1]


def memory_bytes() -> int | None:
    """Return how much memory this process has in RAM; None: not known."""
    try:
        return int((PROC / "self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def started(pid: int) -> str | None:
    """Return when a process started, in clock ticks since the host booted; None: not known."""
    fields = _stat(pid)
    return None if fields is None else fields[19]


def domain() -> str | None:
    """Identify the scope of process ids: one boot of one host, and one PID namespace in it.

    Returns:
        `<boot id>:<inode of the PID namespace>`; None: not known.
    """
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot}:{(PROC / 'self/ns/pid').stat().st_ino}"
    except OSError:
        return None


def itself() -> str | None:
    """Identify this process in its `domain`.

    Returns:
        `<pid>:<start>`, which no other process in the domain ever has; None: not known.
    """
    pid = os.getpid()
    at = started(pid)
    return None if at is None else f"{pid}:{at}"


def is_gone(process: str) -> bool:
    """Return whether a process of this `domain` has certainly ended.

    Args:
        process: the value that `itself` returned in that process.
    """
    pid, _, at = process.partition(":")
    if not (pid.isascii() and pid.isdigit()):
        return False
    try:
        os.kill(int(pid), 0)  # sends nothing; needed because /proc may hide other users' processes
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass  # it belongs to another user: it is alive, or its id was reused
    fields = _stat(int(pid))
    # A zombie ("Z") has ended. A different start time means that the id was reused.
    return fields is not None and (fields[0] == "Z" or fields[19] != at)


def _stat(pid: int) -> list[str] | None:
    """Read the fields of /proc/<pid>/stat, from the third (the state) on."""
    try:
        text = (PROC / str(pid) / "stat").read_text("ascii", errors="replace")
    except OSError:
        return None
    # The second field, the name, may contain anything, even a ')'.
    fields = text.rpartition(")")[2].split()
    return fields if len(fields) > 19 else None
