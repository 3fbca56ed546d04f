"""Malicious tenants on a real cluster: what each tries, what they achieve, what others notice.

Each is an unprivileged user. The test says which permissions the administrator has given them.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from testing.cluster.author import CREATE_DEPLOYMENTS, Author, queue, read, scale
from testing.cluster.cluster import Kubectl
from testing.cluster.release import RELEASE, Release, helm
from testing.cluster.workload import deployment, pod_spec, task_queue
from testing.tls import Certificates
from testing.waiting import wait_until


@pytest.fixture
def tenant(kubectl: Kubectl, name: str) -> Iterator[Author]:
    """Provide a tenant who may write TaskQueues and nothing else."""
    tenant = Author(kubectl, f"tenant-{name}")
    tenant.may()
    tenant.until_policy_holds()
    yield tenant
    kubectl("delete", "taskqueue", "-l", f"tenant={tenant.name}", "--ignore-not-found")
    tenant.gone()


def made_by(tenant: Author, body: dict[str, Any]) -> dict[str, Any]:
    """Label the TaskQueue, so that the fixture `tenant` deletes it."""
    body["metadata"]["labels"] = {"tenant": tenant.name}
    return body


def restarts(kubectl: Kubectl, release: Release) -> int:
    """Return how often the operator was restarted."""
    pods = kubectl.list("pods", release.operator_selector)
    return sum(s["restartCount"] for pod in pods for s in pod["status"]["containerStatuses"])


def test_a_tenant_who_may_not_create_pods_does_not_get_them_by_a_template(kubectl, tenant, name):
    """The template's pod would run as the operator, with its token."""
    pod = pod_spec() | {"serviceAccountName": RELEASE, "automountServiceAccountToken": True}
    said = tenant.kubectl.refused(queue(name, template={"spec": pod}))
    assert "needs an author who may create Deployments" in said
    assert not [o for o in kubectl.list("taskqueues") if o["metadata"]["name"] == name]
    assert not [o for o in kubectl.list("deployments") if o["metadata"]["name"] == name]


async def test_a_tenant_does_not_scale_somebody_elses_deployment(release, scene, tenant):
    """Neither a service nor the operator, and not through a TaskQueue that exists already."""
    theirs = deployment(release, scene.name, scene.name, replicas=1)
    scene.kubectl.apply(theirs)
    tenant.may(scale("patch", "mine"))
    tenant.until_taken(lambda: tenant.creates(queue(workloadRef={"name": "mine"})))
    for victim in (scene.name, RELEASE):
        said = tenant.kubectl.refused(queue("evil", workloadRef={"name": victim}))
        assert "needs an author who may scale the workload" in said
    # The tenant may read an existing TaskQueue for it and change its labels, and nothing else.
    scene.kubectl.apply(task_queue(release, scene.name, scene.name))
    assert "denied request" in tenant.patches(scene.name, {"spec": {"pausedReplicas": 0}})
    assert scene.replicas() == 1


def test_a_tenant_does_not_have_somebody_elses_secret_sent_to_them(release, kubectl, tenant, name):
    """The operator may read the password of the chart's Redis; the tenant names its own address."""
    collector = {"address": "collector.example:6379"}
    tenant.may(scale("patch", "mine"), read("my-own"))
    mine = collector | {"credentialsSecretRef": {"name": "my-own"}}
    tenant.until_taken(lambda: tenant.creates(queue(workloadRef={"name": "mine"}, redis=mine)))
    for secret in (release.redis_secret, f"{release.redis_secret}-operator"):
        theirs = collector | {"credentialsSecretRef": {"name": secret}}
        said = tenant.kubectl.refused(queue("evil", workloadRef={"name": "mine"}, redis=theirs))
        assert f"Secret {secret} needs an author who may get it" in said
    # Taking over a TaskQueue that names the Secret does not work either.
    kubectl.apply(task_queue(release, name, name))
    assert "denied request" in tenant.patches(name, {"spec": {"redis": collector}})
    assert release.redis_password() not in kubectl("get", "tq", "-o", "yaml")


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254:80", "127.0.0.1:8080", "[::ffff:169.254.169.254]:80", "0:8080"],
)
async def test_a_tenant_does_not_reach_what_only_the_operator_reaches(scene, tenant, name, address):
    """It tries the metadata service of a cloud, and the operator's own port."""
    tenant.may(scale("patch", name))
    body = made_by(tenant, queue(name, workloadRef={"name": name}, redis={"address": address}))
    tenant.until_taken(lambda: tenant.creates(body))
    scene.kubectl.apply(deployment_of_nothing(name))
    tenant.kubectl.apply(body)
    found = await scene.until("told", lambda: refused_address(scene.kubectl, name), 60)
    assert found["message"].count("redis.allow") == 1
    # The status repeats nothing of a server's answer.
    status = scene.kubectl("get", "tq", name, "-o", "yaml")
    assert "HTTP/" not in status
    assert "html" not in status.lower()


def refused_address(kubectl: Kubectl, name: str) -> dict[str, Any] | None:
    found = kubectl.condition(name, "RedisReachable")
    return found if found.get("reason") == "RedisAddressRefused" else None


def deployment_of_nothing(name: str) -> dict[str, Any]:
    """Make a Deployment without replicas, whose pods nobody needs."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod_spec()},
        },
    }


FLOOD = 120
HUGE = 900 * 1024


@pytest.mark.timeout(300, func_only=True)
async def test_a_flood_of_taskqueues_and_huge_ones_harm_nobody_else(
    release, scene, watch, tenant, name, figure
):
    """Their servers are silent, no Redis, or refuse; the objects are near etcd's limit."""
    before = restarts(scene.kubectl, release)
    names = [f"{name}-{number}" for number in range(FLOOD)]
    rights = scale("patch", "unused") | {"resourceNames": names}
    tenant.may(rights, CREATE_DEPLOYMENTS)
    servers = [
        "10.255.255.1:6379",  # silent
        f"{RELEASE}-metrics.{release.namespace}.svc:8080",  # speaks HTTP
        f"{RELEASE}-redis.{release.namespace}.svc:6379",  # lets nobody in without a password
    ]
    flood = [
        made_by(
            tenant,
            queue(each, workloadRef={"name": each}, redis={"address": servers[number % 3]}),
        )
        for number, each in enumerate(names)
    ]
    tenant.until_taken(lambda: tenant.creates(flood[0]))
    pod = pod_spec(env=[{"name": "HUGE", "value": "x" * HUGE}])
    huge = [
        made_by(
            tenant,
            queue(f"{name}-huge-{number}", template={"spec": pod}, redis={"address": servers[2]}),
        )
        for number in range(3)
    ]
    tenant.until_taken(lambda: tenant.creates(huge[0]))
    await asyncio.to_thread(scene.kubectl.apply, *(deployment_of_nothing(each) for each in names))
    try:
        # `create` and not `apply`, whose annotation would be too large.
        for body in huge:
            await asyncio.to_thread(create, tenant.kubectl, body)
        await asyncio.to_thread(tenant.kubectl.apply, *flood)
        scene.kubectl.apply(deployment(release, name, name), task_queue(release, name, name))
        await scene.until_looked_after()
        took = []
        for _ in range(3):
            replicas = watch()
            enqueued_at = time.time()
            task = await scene.client.enqueue_job(name, "nap", seconds=0)
            patched_at = await asyncio.to_thread(replicas.wait_for, lambda number: number > 0)
            took.append(patched_at - enqueued_at)
            assert await scene.client.wait_for_result(task, 90) == 1
            await scene.until("zero again", lambda: scene.replicas() == 0, 60)
        figure(
            f"push -> PATCH beside {FLOOD} TaskQueues at bad servers and 3 of 0.9 MB: "
            f"{', '.join(f'{seconds:.3f}' for seconds in took)} s"
        )
        assert min(took) < 2.0
        assert restarts(scene.kubectl, release) == before
    finally:
        words = ("-l", f"tenant={tenant.name}", "--wait=true", "--timeout=60s")
        await asyncio.to_thread(scene.kubectl, "delete", "taskqueue", *words)
        await asyncio.to_thread(
            scene.kubectl, "delete", "deployment", *names, "--wait=false", "--ignore-not-found"
        )


def create(kubectl: Kubectl, body: dict[str, Any]) -> None:
    kubectl("create", "-f", "-", stdin=json.dumps(body))


async def test_a_template_that_pod_security_refuses_says_so_and_is_not_made_to_pass(
    release, scene, kubectl, tenant, name
):
    """The namespace enforces `restricted`; the tenant may create Deployments, as the role edit."""
    tenant.may(CREATE_DEPLOYMENTS, read(release.redis_secret))
    pod = pod_spec()
    pod["containers"][0]["securityContext"] = {"privileged": True}
    pod["hostNetwork"] = True
    redis = task_queue(release, name, name)["spec"]["redis"]
    scaling = {"minReplicas": 1, "maxReplicas": 1}
    queues = [{"name": name}]
    body = made_by(
        tenant, queue(name, template={"spec": pod}, redis=redis, scaling=scaling, queues=queues)
    )
    tenant.until_taken(lambda: tenant.creates(body))
    tenant.kubectl.apply(body)
    found = await scene.until("told", lambda: violated(kubectl, name), 90)
    assert "violates PodSecurity" in found["message"]
    assert "privileged" in found["message"]
    assert not kubectl.list("pods", f"identtqueue.dev/taskqueue={name}")
    kept = kubectl.get("deployment", name)["spec"]["template"]["spec"]
    assert kept["containers"][0]["securityContext"] == {"privileged": True}
    await scene.until_told("PodSecurityViolated", "WorkloadWarning")


def violated(kubectl: Kubectl, name: str) -> dict[str, Any] | None:
    found = kubectl.condition(name, "WorkersReady")
    return found if found.get("reason") == "PodSecurityViolated" else None


@pytest.mark.timeout(420, func_only=True)
async def test_a_stranger_does_not_read_the_metrics(release, kubectl, tmp_path):
    """The API server's own TokenReview and SubjectAccessReview decide, over TLS."""
    reader = f"{release.namespace}-{RELEASE}-metrics"
    binding = f"{release.namespace}-reads-metrics"
    certificates = Certificates(tmp_path, server_hosts=["127.0.0.1"])
    cert, key = certificates.server
    kubectl("create", "secret", "tls", "operator-tls", f"--cert={cert}", f"--key={key}")
    values = "metrics.auth=token,metrics.tls.secretName=operator-tls"
    try:
        # It waits until the pods are ready, so the kubelet's probes work over TLS.
        words = ("upgrade", "--wait", "--timeout", "3m", "--set", values)
        await asyncio.to_thread(helm, release, *words)
        # The forwarded port must not be that of the old pod, which answers everybody.
        await asyncio.to_thread(wait_until, "one pod", lambda: is_alone(release), 60)
        for account in ("prometheus", "stranger"):
            kubectl("create", "serviceaccount", account)
        subject = f"--serviceaccount={release.namespace}:prometheus"
        kubectl("create", "clusterrolebinding", binding, f"--clusterrole={reader}", subject)
        good, weak = (
            kubectl("create", "token", account).strip() for account in ("prometheus", "stranger")
        )
        user = f"system:serviceaccount:{release.namespace}:prometheus"
        may = Kubectl(release.namespace, user)
        await asyncio.to_thread(wait_until, "the right is there", lambda: may_get_metrics(may), 20)
        trust = ssl.create_default_context(cafile=certificates.ca)
        with kubectl.port_forward(f"deployment/{RELEASE}", 8080) as port:

            async def status(token: str | None, path: str = "/metrics") -> int:
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                url = f"https://127.0.0.1:{port}{path}"
                async with (
                    aiohttp.ClientSession() as session,
                    session.get(url, headers=headers, ssl=trust) as response,
                ):
                    return response.status

            assert await status(good) == 200
            assert await status(weak) == 403
            assert await status("forged") == 401
            assert await status(None) == 401
            assert await status(None, "/readyz") == 200
    finally:
        kubectl("delete", "clusterrolebinding", binding, "--ignore-not-found")
        kubectl("delete", "serviceaccount", "prometheus", "stranger", "--ignore-not-found")
        await asyncio.to_thread(helm, release, "upgrade", "--wait", "--timeout", "3m")
        kubectl("delete", "secret", "operator-tls", "--ignore-not-found")


def is_alone(release: Release) -> bool:
    return len(release.kubectl.list("pods", release.operator_selector)) == 1


def may_get_metrics(kubectl: Kubectl) -> bool:
    try:
        return kubectl("auth", "can-i", "get", "/metrics").strip() == "yes"
    except AssertionError:
        return False
