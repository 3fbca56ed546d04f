"""The cluster as its user sees it (kubectl), and as a fault does (kill a container, a node)."""

from __future__ import annotations

import json
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from testing.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "e2e" / "cluster"


def run(*command: str | Path, stdin: str | None = None, timeout: float = 300) -> str:
    """Run a command and return its output. If it fails, raise an error with that output."""
    done = subprocess.run(
        [str(word) for word in command],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode != 0:
        said = f"{done.stdout}\n{done.stderr}".strip()
        raise AssertionError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{said}")
    return done.stdout


class Kubectl:
    """kubectl in one namespace, as the cluster's administrator or as another user."""

    def __init__(self, namespace: str, user: str = "") -> None:
        self.namespace = namespace
        self._as = ("--as", user) if user else ()

    def __call__(self, *words: str, stdin: str | None = None, timeout: float = 300) -> str:
        start = ("kubectl", "-n", self.namespace, *self._as)
        return run(*start, *words, stdin=stdin, timeout=timeout)

    def apply(self, *objects: dict[str, Any]) -> str:
        """Apply objects."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        return self("apply", "-f", "-", stdin=json.dumps(items))

    def refused(self, *objects: dict[str, Any]) -> str:
        """Apply what must be refused; return what the API server says."""
        try:
            self.apply(*objects)
        except AssertionError as error:
            return str(error)
        raise AssertionError("the API server took it")

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """Return an object."""
        return json.loads(self("get", kind, name, "-o", "json"))

    def list(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        """Return the objects of a kind."""
        words = ["get", kind, "-o", "json", *(("-l", selector) if selector else ())]
        return json.loads(self(*words))["items"]

    def condition(self, name: str, kind: str) -> dict[str, Any]:
        """Return a condition of a TaskQueue; {} if it has none of that type."""
        status = self.get("taskqueue", name).get("status") or {}
        found = [c for c in status.get("conditions", []) if c["type"] == kind]
        return found[0] if found else {}

    def events(self, name: str) -> list[tuple[str, str]]:
        """Return reason and message of each event of a TaskQueue."""
        return [
            (event["reason"], event.get("message") or event.get("note", ""))
            for event in self.list("events")
            if (event.get("involvedObject") or event.get("regarding") or {}).get("name") == name
        ]

    @contextmanager
    def port_forward(self, target: str, port: int) -> Iterator[int]:
        """Provide a local port that leads to a pod or a Service."""
        process = subprocess.Popen(
            ["kubectl", "-n", self.namespace, "port-forward", target, f":{port}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            assert process.stdout is not None
            readable, _, _ = select.select([process.stdout], [], [], 60)
            line = process.stdout.readline() if readable else "nothing within 60 s"
            assert "Forwarding from" in line, line
            yield int(line.split("127.0.0.1:")[1].split()[0])
        finally:
            process.terminate()
            process.communicate(timeout=10)


def ready_pods(pods: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the pods that are ready and not being deleted."""
    return [
        pod
        for pod in pods
        if not pod["metadata"].get("deletionTimestamp")
        and any(
            c["type"] == "Ready" and c["status"] == "True"
            for c in pod.get("status", {}).get("conditions", [])
        )
    ]


def kill_container(kubectl: Kubectl, pod_name: str, name: str | None = None) -> float:
    """SIGKILL a container from its node, as the kernel's OOM killer would; return the time.

    Works on kind, whose nodes are containers with containerd inside.

    Args:
        kubectl: in the pod's namespace.
        pod_name: the pod.
        name: of the container, which may be an init container that goes on; else the first one.
    """

    def try_once() -> float:
        pod = kubectl.get("pod", pod_name)
        status = container_status(pod, name)
        container = status.get("containerID", "").removeprefix("containerd://")
        if "running" not in status.get("state", {}) or not container:
            return 0.0  # the kubelet has not reported the present container yet
        at = time.time()
        kill = ("ctr", "-n", "k8s.io", "tasks", "kill", "-s", "SIGKILL", container)
        try:
            run("docker", "exec", pod["spec"]["nodeName"], *kill)
        except AssertionError:
            return 0.0  # it reported the one before
        return at

    return wait_until(f"a running container of {pod_name} to kill", try_once, 30)


def container_status(pod: dict[str, Any], name: str | None = None) -> dict[str, Any]:
    """Return the status of a container of any kind, or of the first one; {} if not known."""
    if name is None:
        return next(iter(pod["status"].get("containerStatuses") or []), {})
    kinds = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    found = [status for kind in kinds for status in pod["status"].get(kind) or []]
    return next((status for status in found if status["name"] == name), {})


def process_of(kubectl: Kubectl, pod_name: str) -> tuple[str, str]:
    """Return a pod's node, and the process id there of its first container's first process."""
    pod = kubectl.get("pod", pod_name)
    container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    node = pod["spec"]["nodeName"]
    listed = run("docker", "exec", node, "ctr", "-n", "k8s.io", "tasks", "ls")
    (line,) = [line for line in listed.splitlines() if line.startswith(container)]
    return node, line.split()[1]


@contextmanager
def frozen(kubectl: Kubectl, pod_name: str) -> Iterator[None]:
    """Stop the pod's process, as an overloaded host does, and let it continue afterwards."""
    node, process = process_of(kubectl, pod_name)
    run("docker", "exec", node, "kill", "-STOP", process)
    try:
        yield
    finally:
        run("docker", "exec", node, "kill", "-CONT", process)


def kill_for_good(kubectl: Kubectl, pod_name: str) -> float:
    """SIGKILL a pod's process and let nothing start in its place; return the time.

    A kubelet would start it anew within a second, in the same pod and so under the same name. Hence
    the pod is deleted; and before that the process is stopped, or the deletion would let it end in
    good order.
    """
    node, process = process_of(kubectl, pod_name)
    at = time.time()
    run("docker", "exec", node, "kill", "-STOP", process)
    kubectl("delete", "pod", pod_name, "--force", "--grace-period=0", "--wait=false")
    run("docker", "exec", node, "sh", "-c", f"kill -KILL {process} || true")
    return at


@contextmanager
def cut_off(node: str, address: str) -> Iterator[None]:
    """Drop all packets from and to a pod's address at its node; its processes run on."""
    rules = [("FORWARD", side, address, "-j", "DROP") for side in ("-s", "-d")]
    for rule in rules:
        run("docker", "exec", node, "iptables", "-I", *rule)
    try:
        yield
    finally:
        for rule in rules:
            run("docker", "exec", node, "iptables", "-D", *rule)


@contextmanager
def silent_kubelet(node: str) -> Iterator[None]:
    """Stop a node's kubelet; its pods run on, and the API server hears nothing of them."""
    run("docker", "exec", node, "systemctl", "stop", "kubelet")
    try:
        yield
    finally:
        run("docker", "exec", node, "systemctl", "start", "kubelet")
        run("kubectl", "wait", "--for=condition=Ready", f"node/{node}", "--timeout=180s")


def node_is_ready(node: str) -> bool:
    """Return whether the control plane takes the node for alive."""
    conditions = json.loads(run("kubectl", "get", "node", node, "-o", "json"))["status"]
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions["conditions"])


def kill_node(node: str) -> float:
    """End a kind node as a power failure would; return the time."""
    at = time.time()
    run("docker", "kill", node)
    return at


def revive_node(node: str) -> None:
    """Start a killed node and wait until it is Ready again.

    One that has just died is Ready in the API for 40 s more: only a new heartbeat tells.
    """
    before = _heartbeat(node)
    run("docker", "start", node)
    wait_until(f"a heartbeat of {node}", lambda: _heartbeat(node) != before, 120)
    run("kubectl", "wait", "--for=condition=Ready", f"node/{node}", "--timeout=180s")


def _heartbeat(node: str) -> str:
    lease = ("get", "lease", node, "-o", "jsonpath={.spec.renewTime}")
    return run("kubectl", "-n", "kube-node-lease", *lease)
