"""Kills a worker's container on its node, as the out-of-memory killer would."""

import inspect
import time
from pathlib import Path

from narrator.commands import lines_of
from narrator.namespace import Namespace
from narrator.world import CommandFailed


class Killer:
    """Processes on the nodes that can kill a worker's container (killer.yaml)."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace

    async def set_up(self) -> None:
        """Start a killer on each node.

        They have a namespace of their own, because they must see the node's processes.
        """
        await self.namespace.create(pod_security="privileged")
        await self.namespace.apply(Path(__file__).with_name("killer.yaml"))

    async def wait_until_ready(self) -> None:
        """Wait until a killer runs on each node."""
        await self.namespace.kubectl(
            "rollout", "status", "daemonset/killer", "--timeout=90s", timeout_seconds=95
        )

    async def pod_names(self) -> dict[str, str]:
        """Return the name of the killer pod of each node."""
        template = '{range .items[*]}{.spec.nodeName} {.metadata.name}{"\\n"}{end}'
        found = await self.namespace.kubectl("get", "pods", "-o", f"jsonpath={template}")
        return dict(line.split() for line in found.splitlines())

    async def kill(self, helper: str, pod_uid: str) -> tuple[str, float]:
        """Send SIGKILL to the first process of a worker's container.

        Returns:
            Its PID on the node, and the time when that arrived here. The killer prints the PID just
            before it sends the signal. So a time that is counted from then includes the way back
            from `kubectl exec`, and is never too short.

        Raises:
            CommandFailed: there is no such process.
        """
        program = f"{inspect.getsource(_kill_worker)}\n_kill_worker({pod_uid!r})"
        pid, at = "", 0.0
        async for line in lines_of(
            *("kubectl", "--namespace", self.namespace.name, "exec", helper, "--"),
            *("python", "-c", program),
        ):
            pid, at = line, time.time()
        if not pid:
            raise CommandFailed(f"no worker of pod {pod_uid} was found")
        return pid, at


def _kill_worker(pod_uid: str) -> None:
    """On the node: kill the container's PID 1, found by the pod UID in its environment."""
    import os
    import signal
    from pathlib import Path

    mark = f"IDENTTQUEUE_POD_UID={pod_uid}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark not in (process / "environ").read_bytes().split(b"\0"):
                continue
            status = (process / "status").read_text()
        except OSError:  # a process of another user, or one that has ended meanwhile
            continue
        numbers = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid"))
        if numbers[-1] == "1":
            print(process.name, flush=True)
            os.kill(int(process.name), signal.SIGKILL)
            return
