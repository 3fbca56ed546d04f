"""The values: documented, typed, and refused in words that help."""

import json
import shlex
from typing import Any

import pytest
import yaml

from chart import helm

VALUES = yaml.safe_load((helm.CHART / "values.yaml").read_text())
SCHEMA = json.loads((helm.CHART / "values.schema.json").read_text())


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref")
    return SCHEMA["definitions"][reference.rsplit("/", 1)[1]] if reference else node


def nodes(node: dict[str, Any], path: str = "") -> dict[str, dict[str, Any]]:
    """Every node of the schema that values.yaml can have a key for."""
    node = resolved(node)
    found = {path: node}
    for name, child in node.get("properties", {}).items():
        found |= nodes(child, f"{path}.{name}")
    return found


def test_every_value_is_typed_and_nothing_else_is_accepted() -> None:
    # Parts of a pod specification, which the API server checks, and what Helm hands to subcharts.
    open_objects = {"tlsConfig", "affinity", "podSecurityContext", "securityContext", "global"}
    for path, node in nodes(SCHEMA).items():
        assert "type" in node or "enum" in node, path
        if node.get("type") == "object" and path.rsplit(".", 1)[-1] not in open_objects:
            assert "additionalProperties" in node, path


def test_schema_and_values_have_the_same_keys() -> None:
    def compare(value: Any, node: dict[str, Any], path: str) -> None:
        properties = resolved(node).get("properties")
        # `resources` names what may be there, not what is.
        if properties is None or "claims" in properties:
            return
        assert set(properties) - {"global"} == set(value), path
        for name, child in properties.items():
            if name != "global":
                compare(value[name], child, f"{path}.{name}")

    compare(VALUES, SCHEMA, "")


def test_versions_agree() -> None:
    import tomllib

    chart = yaml.safe_load((helm.CHART / "Chart.yaml").read_text())
    project = tomllib.loads((helm.ROOT / "pyproject.toml").read_text())["project"]
    assert chart["version"] == chart["appVersion"] == project["version"]


REFUSED = {
    # typos
    "replica=2": "additional properties 'replica' not allowed",
    "redis.persistense.enabled=true": "at '/redis': additional properties 'persistense'",
    # types and ranges
    "replicas=two": "at '/replicas': got string, want integer",
    "replicas=-1": "at '/replicas': minimum: got -1, want 0",
    "redis.enabled=yes": "at '/redis/enabled': got string, want boolean",
    "podLabels.tier=1": "at '/podLabels/tier': got number, want string",
    "test.timeoutSeconds=0": "at '/test/timeoutSeconds': minimum: got 0, want 1",
    # words
    "log.level=chatty": "value must be one of 'debug', 'info', 'warning', 'error'",
    "redis.appendfsync=no": "value must be one of 'always', 'everysec'",
    "image.pullPolicy=Sometimes": "value must be one of 'Always', 'IfNotPresent', 'Never'",
    # forms
    "redis.maxmemory=256 MB": "at '/redis/maxmemory': '256 MB' does not match pattern",
    "redis.maxmemory=0mb": "at '/redis/maxmemory'",
    "watchNamespaces={Docs}": "at '/watchNamespaces/0': 'Docs' does not match pattern",
    "watchNamespaces={a,a}": "at '/watchNamespaces': items at 0 and 1 are equal",
    "image.digest=latest": "at '/image/digest': 'latest' does not match pattern",
    "resources.limits.memory=lots": "at '/resources/limits/memory'",
    "podDisruptionBudget.maxUnavailable=half": "at '/podDisruptionBudget/maxUnavailable'",
    "metrics.serviceMonitor.interval=often": "at '/metrics/serviceMonitor/interval'",
    "redis.auth.key=pass word": "at '/redis/auth/key': 'pass word' does not match pattern",
    "redis.auth.key=": "at '/redis/auth/key': '' does not match pattern",
    "redis.persistence.size=big": "at '/redis/persistence/size': 'big' does not match pattern",
    "redis.persistence.size=0Gi": "at '/redis/persistence/size': '0Gi' does not match pattern",
    "redis.persistence.size=500m": "at '/redis/persistence/size': '500m' does not match pattern",
    "redis.persistence.size=-1": "at '/redis/persistence/size': minimum: got -1, want 1",
    "resources.requests.cpu=-1": "at '/resources/requests/cpu': minimum: got -1, want 0",
    # parts of pods
    "imagePullSecrets[0].secret=registry": "at '/imagePullSecrets/0': missing property 'name'",
    "imagePullSecrets={registry}": "at '/imagePullSecrets/0': got string, want object",
    "imagePullSecrets[0].name=Registry": "at '/imagePullSecrets/0/name'",
    "probes.startup.periodSeconds=0": "at '/probes/startup/periodSeconds': minimum: got 0, want 1",
    "probes.liveness.timeoutSeconds=5s": "at '/probes/liveness/timeoutSeconds': got string",
    "probes.readiness.failures=3": "at '/probes/readiness': additional properties 'failures'",
    "topologySpread.maxSkew=0": "at '/topologySpread/maxSkew': minimum: got 0, want 1",
    "topologySpread.topologyKey=the zone": "at '/topologySpread/topologyKey'",
    "topologySpread.whenUnsatisfiable=Maybe": "must be one of 'DoNotSchedule', 'ScheduleAnyway'",
    "extraEnv[0].value=x": "at '/extraEnv/0': missing property 'name'",
    "extraEnv[0].name=HTTP PROXY": "at '/extraEnv/0/name': 'HTTP PROXY' does not match pattern",
    "extraEnv[0].name=A,extraEnv[0].value=1": "at '/extraEnv/0/value': got number, want string",
    "extraEnv[0].name=A,extraEnv[0].valueFrom.secretRef.name=s": "properties 'secretRef'",
    "extraEnv[0].name=A,extraEnv[0].value=x,extraEnv[0].valueFrom.fieldRef.fieldPath=y": (
        "at '/extraEnv/0': 'not' failed"
    ),
    # parts of network policies
    "networkPolicy.metricsFrom[0].pods=all": "additional properties 'pods' not allowed",
    "networkPolicy.redisFrom[0].ipBlock.cidr=10.0.0.1": "/redisFrom/0/ipBlock/cidr'",
    "networkPolicy.redisFrom[0].ipBlock.except={10.0.0.0/24}": "missing property 'cidr'",
    "networkPolicy.egress[0].from[0].podSelector.x=y": "additional properties 'from' not allowed",
    "networkPolicy.egress[0].ports[0].port=70000": "maximum: got 70,000, want 65,535",
    "networkPolicy.egress[0].ports[0].protocol=HTTP": "must be one of 'TCP', 'UDP', 'SCTP'",
    "metrics.auth=basic": "at '/metrics/auth': value must be one of 'none', 'token'",
    "metrics.tls.secretName=The cert": "at '/metrics/tls/secretName'",
    "networkPolicy.enabled=1": "at '/networkPolicy/enabled': got number, want boolean",
    # every Secret, and a password where everybody can read it
    "rbac.secretNames={*}": "at '/rbac/secretNames/0': '*' does not match pattern",
    "test.redis.address=redis://:hunter2@redis": "at '/test/redis/address'",
    "authorPolicy.actions={Ignore}": "must be one of 'Deny', 'Warn', 'Audit'",
    # rules over several values
    "clusterWide=true,watchNamespaces={a}": "clusterWide and watchNamespaces exclude each other",
    "replicas=2,leaderElection.enabled=false": "replicas > 1 needs leaderElection.enabled",
    "serviceAccount.create=false": "serviceAccount.create=false needs serviceAccount.name",
    "authorPolicy.actions={Deny,Warn}": "Deny and Warn exclude each other",
    "test.redis.secretName=redis": "test.redis.secretName needs test.redis.address",
}


@pytest.mark.parametrize("values", REFUSED)
def test_bad_values_are_refused_and_named(values: str) -> None:
    result = helm.run("template", "identtqueue", str(helm.CHART), "--set", values)
    assert result.returncode != 0
    assert REFUSED[values] in result.stderr


def documented_installs() -> list[list[str]]:
    """The arguments of every `helm install` that the documentation has one type."""
    found = []
    for file in ("charts/identtqueue/README.md", "examples/document-ocr/README.md"):
        text = (helm.ROOT / file).read_text().replace("\\\n", " ")
        commands = [
            shlex.split(line) for line in text.splitlines() if line.startswith("helm install")
        ]
        assert commands, file
        found += [words[2:] for words in commands]
    return found


@pytest.mark.parametrize("arguments", documented_installs(), ids=" ".join)
def test_documented_installs_name_an_image_that_exists(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is published: the default tag can't be pulled from anywhere."""
    monkeypatch.chdir(helm.ROOT)
    result = helm.run("template", *(word for word in arguments if word != "--create-namespace"))
    assert result.returncode == 0, result.stderr
    images = {
        container["image"]
        for document in yaml.safe_load_all(result.stdout)
        if document and document["kind"] == "Deployment"
        for container in document["spec"]["template"]["spec"]["containers"]
    }
    assert images == {"identtqueue/operator:dev"}


def test_works_as_a_dependency(tmp_path: Any) -> None:
    """A parent chart adds `global` to our values, which the schema must let through."""
    chart = {"apiVersion": "v2", "name": "parent", "version": "1.0.0"}
    chart["dependencies"] = [{"name": "identtqueue", "version": "1.0.0"}]
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(chart))
    (tmp_path / "values.yaml").write_text("global: {color: blue}\nidenttqueue: {replicas: 2}\n")
    (tmp_path / "charts").mkdir()
    (tmp_path / "charts" / "identtqueue").symlink_to(helm.CHART)
    result = helm.run("template", "parent", str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert "replicas: 2" in result.stdout


def test_where_redis_may_be_reaches_the_operator() -> None:
    allow = "redis.allow={10.1.0.0/16,*.cache.example.com}"
    (deployment,) = helm.of_kind(helm.objects("--set", allow), "Deployment").values()
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    found = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert found["IDENTTQUEUE_REDIS_ALLOW"] == "10.1.0.0/16,*.cache.example.com"
