"""The values: documented, typed, and refused in words that help."""

import json
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
    open_objects = {"affinity", "podSecurityContext", "securityContext", "global"}
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
    # every Secret, and a password where everybody can read it
    "rbac.secretNames={*}": "at '/rbac/secretNames/0': '*' does not match pattern",
    "test.redis.address=redis://:hunter2@redis": "at '/test/redis/address'",
    # rules over several values
    "clusterWide=true,watchNamespaces={a}": "clusterWide and watchNamespaces exclude each other",
    "replicas=2,leaderElection.enabled=false": "replicas > 1 needs leaderElection.enabled",
    "serviceAccount.create=false": "serviceAccount.create=false needs serviceAccount.name",
    "test.redis.secretName=redis": "test.redis.secretName needs test.redis.address",
}


@pytest.mark.parametrize("values", REFUSED)
def test_bad_values_are_refused_and_named(values: str) -> None:
    result = helm.run("template", "identtqueue", str(helm.CHART), "--set", values)
    assert result.returncode != 0
    assert REFUSED[values] in result.stderr


def test_works_as_a_dependency(tmp_path: Any) -> None:
    """A parent chart adds `global` to our values, which the schema must let through."""
    chart = {"apiVersion": "v2", "name": "parent", "version": "1.0.0"}
    chart["dependencies"] = [{"name": "identtqueue", "version": "0.1.0"}]
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(chart))
    (tmp_path / "values.yaml").write_text("global: {color: blue}\nidenttqueue: {replicas: 2}\n")
    (tmp_path / "charts").mkdir()
    (tmp_path / "charts" / "identtqueue").symlink_to(helm.CHART)
    result = helm.run("template", "parent", str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert "replicas: 2" in result.stdout
