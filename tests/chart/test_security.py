"""Pod Security `restricted`, field by field, and no secret where it could be read."""

import base64
import json
import re
from typing import Any

import pytest
import yaml

from chart import helm

# The volume types that `restricted` admits and that make sense here.
VOLUMES = {"configMap", "emptyDir", "secret", "projected", "persistentVolumeClaim"}

everywhere = pytest.mark.parametrize("name", helm.case_names())


def violations(spec: dict[str, Any]) -> list[str]:
    """List the objections of the Pod Security Standard `restricted` to a pod."""
    found = [field for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    for volume in spec.get("volumes", []):
        found += [f"volume {kind}" for kind in set(volume) - {"name"} - VOLUMES]
    pod = spec.get("securityContext", {})
    found += [f"pod {field}" for field in ("sysctls", "windowsOptions") if field in pod]
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        own = container.get("securityContext", {})
        merged = pod | own
        capabilities = own.get("capabilities", {})
        checks = {
            "runAsNonRoot": merged.get("runAsNonRoot") is True,
            "runAsUser": merged.get("runAsUser") != 0,
            "seccompProfile": merged.get("seccompProfile", {}).get("type")
            in {"RuntimeDefault", "Localhost"},
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "privileged": not own.get("privileged"),
            "capabilities.drop": "ALL" in capabilities.get("drop", []),
            "capabilities.add": set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"},
            "procMount": "procMount" not in own,
            "seLinuxOptions": not {"user", "role"} & set(merged.get("seLinuxOptions", {})),
            "hostPort": not any("hostPort" in port for port in container.get("ports", [])),
        }
        found += [f"{container['name']}: {check}" for check, met in checks.items() if not met]
    return found


@everywhere
def test_every_pod_meets_the_restricted_standard(name: str) -> None:
    pods = dict(helm.pod_specs(helm.objects(*helm.case(name))))
    assert pods
    assert {pod: violations(spec) for pod, spec in pods.items()} == {pod: [] for pod in pods}


def test_the_check_itself_objects() -> None:
    assert violations({"containers": [{"name": "x"}]}) == [
        "x: runAsNonRoot",
        "x: seccompProfile",
        "x: allowPrivilegeEscalation",
        "x: capabilities.drop",
    ]


@everywhere
def test_root_file_systems_are_read_only_and_memory_is_limited(name: str) -> None:
    for pod, spec in helm.pod_specs(helm.objects(*helm.case(name))):
        assert spec["securityContext"]["runAsUser"] == 65532, pod
        for container in spec["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, pod
            assert "/tmp" in [mount["mountPath"] for mount in container["volumeMounts"]], pod
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), pod
            assert "memory" in container["resources"]["limits"], pod


@everywhere
def test_only_the_operator_has_a_token(name: str) -> None:
    documents = helm.objects(*helm.case(name))
    tokens = {pod: spec["automountServiceAccountToken"] for pod, spec in helm.pod_specs(documents)}
    assert [pod for pod, token in tokens.items() if token] == [
        f"Deployment/{deployment}" for deployment in helm.of_kind(documents, "Deployment")
    ]
    for account in helm.of_kind(documents, "ServiceAccount").values():
        assert account["automountServiceAccountToken"] is False


def test_the_password_is_in_its_secret_and_nowhere_else() -> None:
    result = helm.run(
        "install", "identtqueue", str(helm.CHART), "--dry-run=client", "--set", "redis.enabled=true"
    )
    assert result.returncode == 0, result.stderr
    encoded = re.findall(r'^  password: "(.+)"$', result.stdout, re.MULTILINE)
    assert len(set(encoded)) == len(encoded) == 5  # the default user's and those of four roles
    for each in encoded:
        password = base64.b64decode(each).decode()
        assert re.fullmatch("[A-Za-z0-9]{32}", password)
        assert password not in result.stdout  # NOTES included
        assert result.stdout.count(each) == 1


@everywhere
def test_secrets_reach_containers_by_reference(name: str) -> None:
    for pod, spec in helm.pod_specs(helm.objects(*helm.case(name))):
        for container in spec["containers"]:
            line = json.dumps([container.get("command"), container.get("args")])
            assert not re.search("pass|auth|secret", line, re.IGNORECASE), (pod, line)
            for variable in container.get("env", []):
                if variable["name"].endswith("_FILE"):
                    assert variable["value"].startswith("/etc/identtqueue/"), (pod, variable)
                elif re.search("PASS|AUTH|SECRET|TOKEN", variable["name"]):
                    assert set(variable["valueFrom"]) == {"secretKeyRef"}, (pod, variable["name"])


def test_two_renderings_without_a_cluster_have_two_passwords() -> None:
    """Nothing is derived from the release's name, which everybody knows."""
    first, second = (
        next(
            document["data"]["password"]
            for document in yaml.safe_load_all(helm.template(*helm.case("trial")))
            if document["kind"] == "Secret"
        )
        for _ in range(2)
    )
    assert first != second


def test_an_existing_secret_is_used_and_none_is_made() -> None:
    documents = helm.objects(*helm.case("redis-settings"))
    assert not helm.of_kind(documents, "Secret")
    assert "_PASSWORD" not in json.dumps(helm.of_kind(documents, "StatefulSet"))
    (redis,) = helm.of_kind(documents, "StatefulSet").values()
    assert redis["spec"]["template"]["spec"]["containers"][0]["env"][0]["valueFrom"] == {
        "secretKeyRef": {"name": "queue-password", "key": "redis-password"}
    }


def test_each_role_of_the_chart_s_redis_has_a_login_of_its_own() -> None:
    documents = helm.objects(*helm.case("trial"))
    logins = helm.of_kind(documents, "Secret")
    for role in ("operator", "worker", "producer", "admin"):
        data = logins[f"identtqueue-redis-{role}"]["data"]
        assert base64.b64decode(data["username"]).decode() == role
    (task_queue,) = helm.of_kind(documents, "TaskQueue").values()
    redis = task_queue["spec"]["redis"]
    assert redis["credentialsSecretRef"]["name"] == "identtqueue-redis-operator"
    assert redis["workerCredentialsSecretRef"]["name"] == "identtqueue-redis-worker"


def test_redis_is_not_restarted_by_an_operator_upgrade() -> None:
    (redis,) = helm.of_kind(helm.objects(*helm.case("trial")), "StatefulSet").values()
    labels = redis["spec"]["template"]["metadata"]["labels"]
    assert not {"helm.sh/chart", "app.kubernetes.io/version"} & set(labels)
