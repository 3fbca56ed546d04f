"""Who reaches the operator and the chart's Redis over the network, and who reads the metrics."""

import pytest

from chart import helm


def policies(*arguments: str) -> dict[str, helm.Object]:
    return helm.of_kind(helm.objects(*arguments), "NetworkPolicy")


def selects(policy: helm.Object, workload: helm.Object) -> bool:
    labels = workload["spec"]["template"]["metadata"]["labels"]
    return policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()


def test_the_operator_is_reached_at_its_port_only() -> None:
    policy = policies()["identtqueue"]
    (operator,) = helm.of_kind(helm.objects(), "Deployment").values()
    assert selects(policy, operator)
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    assert policy["spec"]["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}]}]


@pytest.mark.parametrize(
    ("case", "served"),
    [
        ("trial", ["queues"]),
        ("namespaces", ["billing", "documents", "queues"]),
        ("cluster-wide", None),
    ],
)
def test_redis_is_reached_from_the_namespaces_that_are_served(
    case: str, served: list[str] | None
) -> None:
    policy = policies(*helm.case(case))["identtqueue-redis"]
    (redis,) = helm.of_kind(helm.objects(*helm.case(case)), "StatefulSet").values()
    assert selects(policy, redis)
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in policy["spec"]
    (rule,) = policy["spec"]["ingress"]
    assert rule["ports"] == [{"port": "redis", "protocol": "TCP"}]
    (peer,) = rule["from"]
    if served is None:
        assert peer == {"namespaceSelector": {}}
        return
    (expression,) = peer["namespaceSelector"]["matchExpressions"]
    assert sorted(expression["values"]) == served


def test_every_pod_of_the_release_that_listens_has_a_policy() -> None:
    documents = helm.objects(*helm.case("trial"))
    listening = [
        workload
        for kind in ("Deployment", "StatefulSet")
        for workload in helm.of_kind(documents, kind).values()
    ]
    for workload in listening:
        assert any(selects(policy, workload) for policy in policies(*helm.case("trial")).values())


def test_it_can_be_switched_off() -> None:
    assert not policies("--set", "networkPolicy.enabled=false,redis.enabled=true")


def test_metrics_with_tokens_and_tls_reach_every_part() -> None:
    documents = helm.objects(*helm.case("metrics"))
    (deployment,) = helm.of_kind(documents, "Deployment").values()
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    environment = {item["name"]: item.get("value") for item in container["env"]}
    assert environment["IDENTTQUEUE_METRICS_ACCESS"] == "token"
    (mount,) = (m for m in container["volumeMounts"] if m["name"] == "tls")
    for part in ("CERT", "KEY"):
        assert environment[f"IDENTTQUEUE_TLS_{part}_FILE"].startswith(mount["mountPath"] + "/")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["scheme"] == "HTTPS"
    (monitor,) = helm.of_kind(documents, "ServiceMonitor").values()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["scheme"] == "https"
    assert endpoint["tlsConfig"]["serverName"] == "identtqueue-metrics.queues.svc"
    assert endpoint["bearerTokenFile"] == "/var/run/secrets/kubernetes.io/serviceaccount/token"
    reader = helm.of_kind(documents, "ClusterRole")["queues-identtqueue-metrics"]
    assert reader["rules"] == [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]


def test_without_them_nothing_of_it_is_there() -> None:
    text = helm.rendered(*helm.case("production"))
    for word in ("HTTPS\n", "scheme:", "bearerTokenFile", "IDENTTQUEUE_TLS", "METRICS_ACCESS"):
        assert word not in text
