"""A release of the chart in a namespace of its own, with the chart's Redis."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from testing.cluster import pools
from testing.cluster.cluster import ROOT, SCRIPTS, Kubectl, run

RELEASE = "identtqueue"
SCALE_TARGET = {"apiGroup": pools.GROUP, "resource": pools.PLURAL}


@dataclass(frozen=True)
class Release:
    """An installed chart.

    `system_node` runs the operator and Redis, so that a test may kill the other one.
    """

    kubectl: Kubectl
    system_node: str
    other_node: str

    @property
    def namespace(self) -> str:
        return self.kubectl.namespace

    @property
    def redis_address(self) -> str:
        """The address of Redis for pods in the namespace."""
        return f"redis://{RELEASE}-redis.{self.namespace}.svc:6379"

    @property
    def redis_secret(self) -> str:
        return f"{RELEASE}-redis"

    def redis_password(self) -> str:
        data = self.kubectl.get("secret", self.redis_secret)["data"]["password"]
        return base64.b64decode(data).decode()

    def scale_operator(self, replicas: int) -> None:
        """Remove the operator's pods, or bring them back and wait until one leads."""
        self.kubectl("scale", f"deployment/{RELEASE}", f"--replicas={replicas}")
        if replicas:
            self.kubectl("rollout", "status", f"deployment/{RELEASE}", "--timeout=120s")
        else:
            self.kubectl(
                "wait", "--for=delete", "pod", "-l", self.operator_selector, "--timeout=120s"
            )

    @property
    def operator_selector(self) -> str:
        return f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=operator"


@contextmanager
def installed() -> Iterator[Release]:
    """Build and load the images, install the chart, and delete everything afterwards."""
    run(SCRIPTS / "images.sh", "operator", "redis", timeout=1200)
    with namespace(f"e2e-{secrets.token_hex(3)}") as kubectl:
        release = release_in(kubectl)
        try:
            helm(release, "install", "--wait", "--timeout", "3m")
            yield release
        except BaseException:
            print(state_of(kubectl))
            raise


def release_in(kubectl: Kubectl) -> Release:
    """Describe a release that is, or is going to be, installed in that namespace."""
    nodes = _worker_nodes()
    return Release(kubectl, nodes[0], nodes[-1])


@contextmanager
def namespace(name: str) -> Iterator[Kubectl]:
    """Provide a namespace as strict as the release's, and delete it afterwards."""
    run("kubectl", "create", "namespace", name)
    try:
        run("kubectl", "label", "namespace", name, _RESTRICTED)
        yield Kubectl(name)
    finally:
        # The admission policy is a cluster-wide object, so it is not deleted with the namespace.
        run("helm", "-n", name, "uninstall", RELEASE, "--ignore-not-found", timeout=300)
        run("kubectl", "delete", "namespace", name, "--ignore-not-found", timeout=300)


def state_of(kubectl: Kubectl, name: str | None = None) -> str:
    """Return what a person would look at first when something is wrong."""
    texts = []
    looks = [
        ("get", "pods,deployments,statefulsets,taskqueues", "-o", "wide"),
        ("get", "events", "--sort-by=.lastTimestamp"),
        ("logs", f"deployment/{RELEASE}", "--tail=100", "--all-containers"),
    ]
    if name is not None:
        looks += [("describe", "taskqueue", name), ("logs", "-l", f"app={name}", "--tail=50")]
    for words in looks:
        try:
            texts.append(f"$ kubectl {' '.join(words)}\n{kubectl(*words)}")
        except AssertionError as error:
            texts.append(str(error))
    return "\n".join(texts)


_RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"
"""All pods of the project, the tests' included, meet the strictest Pod Security Standard."""


CHART = ROOT / "charts" / "identtqueue"


def helm(release: Release, verb: str, *words: str, chart: Path = CHART) -> str:
    """Run `helm install|upgrade` with the tests' values; values in `words` take precedence."""
    newest = chart == CHART
    pin = f"kubernetes\\.io/hostname={release.system_node}"
    return run(
        *("helm", "-n", release.namespace, verb, RELEASE, chart),
        # Another release may have installed the CRD, which is a cluster-wide object.
        *("--take-ownership", "--force-conflicts", "--set", "image.tag=dev,redis.enabled=true"),
        # For `kubectl tq`; charts of earlier releases have no such value.
        *(("--set", "gateway.enabled=true") if newest else ()),
        *("--set", "redis.image.repository=identtqueue/redis,redis.image.tag=dev"),
        *("--set", "redis.persistence.enabled=false,redis.appendfsync=always"),
        *("--set", f"nodeSelector.{pin},redis.nodeSelector.{pin}"),
        # The Secret that the tests' TaskQueues name.
        *("--set", "rbac.secretNames={late-secret,secured-login,secured-client,secured-ca}"),
        # The custom kind of the tests; charts of earlier releases ignore this value.
        *(("--set-json", f"rbac.scaleTargets={json.dumps([SCALE_TARGET])}") if newest else ()),
        *words,
        timeout=300,
    )


def _worker_nodes() -> list[str]:
    """List the nodes that take pods."""
    names = run(
        *("kubectl", "get", "nodes", "-l", "!node-role.kubernetes.io/control-plane"),
        *("-o", "jsonpath={.items[*].metadata.name}"),
    ).split()
    assert names, "the cluster has no node beside the control plane"
    return names
