"""The rights that the chart gives: few, named, and in the namespaces that were asked for."""

from typing import Any

import pytest

from chart import helm
from identtqueue_operator.gateway.names import PORT_VARIABLE
from identtqueue_operator.kube.leader import LEASE_NAME
from identtqueue_operator.workload.kinds import WATCHED

# All that the operator ever does. A new right has to be written here too.
ALLOWED = {
    ("identtqueue.dev", "taskqueues"): {"get", "list", "watch"},
    ("identtqueue.dev", "taskqueues/status"): {"patch"},
    **{(kind.group, kind.plural): {"get", "list", "watch"} for kind in WATCHED},
    **{(kind.group, f"{kind.plural}/scale"): {"patch"} for kind in WATCHED},
    ("apps", "deployments"): {"get", "list", "watch", "create", "patch"},
    ("apps", "replicasets"): {"get"},
    ("", "pods"): {"get", "list", "watch", "patch"},
    ("", "secrets"): {"get"},
    ("", "events"): {"create", "patch"},
    ("coordination.k8s.io", "leases"): {"get", "create", "update", "patch"},
    ("autoscaling", "horizontalpodautoscalers"): {"list", "watch"},
    ("keda.sh", "scaledobjects"): {"list"},
}

everywhere = pytest.mark.parametrize("name", helm.case_names())


# With metrics.auth=token or a gateway: to ask who a caller is, and what they may do.
REVIEWS = {
    ("authentication.k8s.io", "tokenreviews"): {"create"},
    ("authorization.k8s.io", "subjectaccessreviews"): {"create"},
}


def is_for_users(binding: helm.Object) -> bool:
    """Whether a binding is for the users of the gateway, and not for the operator."""
    return binding["kind"] == "RoleBinding" and binding["metadata"]["name"].endswith("-gateway")


def operator_rules(
    documents: list[helm.Object], *, of_dashboard: bool = False
) -> list[dict[str, Any]]:
    """The rules of the roles that are bound to the operator, or to the dashboard."""
    bound = {
        (
            binding["roleRef"]["kind"],
            binding["metadata"].get("namespace"),
            binding["roleRef"]["name"],
        )
        for binding in documents
        if binding["kind"] in {"RoleBinding", "ClusterRoleBinding"}
        and binding["subjects"][0]["name"].endswith("-dashboard") is of_dashboard
        and not is_for_users(binding)
    }
    return [
        rule
        for role in documents
        if (role["kind"], role["metadata"].get("namespace"), role["metadata"]["name"]) in bound
        for rule in role["rules"]
    ]


def namespaced(documents: list[helm.Object], kind: str) -> set[tuple[str, str]]:
    return {
        (document["metadata"]["namespace"], document["metadata"]["name"])
        for document in documents
        if document["kind"] == kind
    }


@everywhere
def test_the_operator_gets_what_it_does_and_no_more(name: str) -> None:
    rules = operator_rules(helm.objects(*helm.case(name)))
    granted: dict[tuple[str, str], set[str]] = {}
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                granted.setdefault((group, resource), set()).update(rule["verbs"])
    allowed = ALLOWED
    if name == "gateway":
        allowed = ALLOWED | REVIEWS
    if name == "metrics":  # the case has no templates either
        allowed = ALLOWED | REVIEWS | {("apps", "deployments"): {"get", "list", "watch"}}
    assert set(granted) - {("", "secrets")} == set(allowed) - {("", "secrets")}
    for what, verbs in granted.items():
        assert verbs == allowed[what], what


@pytest.mark.parametrize("name", ["dashboard", "proxied-dashboard"])
def test_the_dashboard_reads_taskqueues_and_events_and_nothing_else(name: str) -> None:
    documents = helm.objects(*helm.case(name))
    rules = operator_rules(documents, of_dashboard=True)
    assert [(rule["resources"], rule["verbs"]) for rule in rules] == [
        (["taskqueues"], ["get", "list"]),
        (["events"], ["list"]),
    ]
    off = ("--set", "dashboard.taskQueues.enabled=false")
    without = helm.objects(*helm.case(name), *off)
    assert operator_rules(without, of_dashboard=True) == []
    pod = helm.of_kind(without, "Deployment")["identtqueue-dashboard"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False


def test_without_templates_deployments_are_only_scaled() -> None:
    without = ("--set", "rbac.templates=false,redis.enabled=true")
    granted = [
        (resource, verb)
        for rule in operator_rules(helm.objects(*without))
        if rule["apiGroups"] == ["apps"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if verb not in {"get", "list", "watch"}
    ]
    assert granted == [("deployments/scale", "patch"), ("statefulsets/scale", "patch")]


def test_without_templates_the_operator_knows_it_and_nothing_needs_one() -> None:
    documents = helm.objects("--set", "rbac.templates=false,redis.enabled=true")
    (deployment,) = helm.of_kind(documents, "Deployment").values()
    environment = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "IDENTTQUEUE_TEMPLATES", "value": "false"} in environment
    assert not helm.of_kind(documents, "TaskQueue")
    (policy,) = helm.of_kind(documents, "ValidatingAdmissionPolicy").values()
    assert policy["spec"]["validations"][-1]["expression"] == "!has(object.spec.template)"


@everywhere
def test_no_role_has_a_wildcard(name: str) -> None:
    for document in helm.objects(*helm.case(name)):
        for rule in document.get("rules", []) if document["kind"].endswith("Role") else []:
            words = (rule.get(key, []) for key in ("apiGroups", "resources", "nonResourceURLs"))
            assert "*" not in [word for each in words for word in each] + rule["verbs"]


@everywhere
def test_secrets_only_by_name(name: str) -> None:
    for rule in operator_rules(helm.objects(*helm.case(name))):
        if "secrets" in rule["resources"]:
            assert rule["verbs"] == ["get"]
            assert rule["resourceNames"]
            assert rule["resources"] == ["secrets"]


@everywhere
def test_only_the_leaders_lease(name: str) -> None:
    for rule in operator_rules(helm.objects(*helm.case(name))):
        if "leases" in rule["resources"] and rule["verbs"] != ["create"]:
            assert rule["resourceNames"] == [LEASE_NAME]


def test_no_secrets_at_all_by_default() -> None:
    rules = operator_rules(helm.objects(*helm.case("defaults")))
    assert not [rule for rule in rules if "secrets" in rule["resources"]]


@everywhere
def test_cluster_roles_only_by_choice(name: str) -> None:
    kinds = {document["kind"] for document in helm.objects(*helm.case(name))}
    chosen = name in ("cluster-wide", "gateway", "metrics", "proxied-dashboard")
    assert ("ClusterRole" in kinds) == chosen
    assert ("ClusterRoleBinding" in kinds) == chosen


@everywhere
def test_every_binding_names_a_role_that_is_there_and_the_operator(name: str) -> None:
    documents = helm.objects(*helm.case(name))
    roles = {(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in documents}
    deployments = helm.of_kind(documents, "Deployment")
    for binding in documents:
        if binding["kind"] not in {"RoleBinding", "ClusterRoleBinding"}:
            continue
        role = binding["roleRef"]
        assert (role["kind"], binding["metadata"].get("namespace"), role["name"]) in roles
        if is_for_users(binding):
            continue
        of_dashboard = role["name"].endswith("-dashboard")
        (account,) = {
            deployment["spec"]["template"]["spec"]["serviceAccountName"]
            for each, deployment in deployments.items()
            if each.endswith("-dashboard") is of_dashboard
        }
        assert binding["subjects"] == [
            {
                "kind": "ServiceAccount",
                "name": account,
                "namespace": "queues",
            }
        ]


def test_one_role_for_each_served_namespace() -> None:
    expected = {("queues", "identtqueue"), ("queues", "identtqueue-own")}
    assert namespaced(helm.objects(*helm.case("defaults")), "Role") == expected

    documents = helm.objects(*helm.case("namespaces"))
    expected = {
        ("documents", "identtqueue"),
        ("billing", "identtqueue"),
        ("queues", "identtqueue-own"),
    }
    assert namespaced(documents, "Role") == namespaced(documents, "RoleBinding") == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [("defaults", "queues"), ("namespaces", "documents,billing"), ("cluster-wide", "*")],
)
def test_the_operator_is_told_what_its_roles_cover(name: str, value: str) -> None:
    (deployment,) = helm.of_kind(helm.objects(*helm.case(name)), "Deployment").values()
    environment = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "IDENTTQUEUE_NAMESPACES", "value": value} in environment


def test_the_redis_password_is_readable_only_where_its_taskqueues_are() -> None:
    def readable(case: str) -> list[str]:
        rules = operator_rules(helm.objects(*helm.case(case)))
        secrets = [rule for rule in rules if rule["resources"] == ["secrets"]]
        return [name for rule in secrets for name in rule["resourceNames"]]

    assert readable("trial") == ["identtqueue-redis", "identtqueue-redis-operator"]
    assert readable("redis-settings") == ["queue-password"]
    # The release's namespace is not served: no TaskQueue there can name the Secret.
    assert set(readable("namespaces")) == {"redis"}


def test_users_may_write_taskqueues_but_not_their_status() -> None:
    roles = helm.of_kind(helm.objects(*helm.case("cluster-wide")), "ClusterRole")
    edit = roles["queues-identtqueue-edit"]
    assert edit["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
    assert [rule["resources"] for rule in edit["rules"]] == [["taskqueues"]]


def test_other_kinds_may_be_scaled_if_they_are_named() -> None:
    targets = 'rbac.scaleTargets=[{"apiGroup":"argoproj.io","resource":"rollouts"}]'
    rules = operator_rules(helm.objects("--set", "crds.enabled=false", "--set-json", targets))
    found = [rule for rule in rules if rule["apiGroups"] == ["argoproj.io"]]
    assert [(rule["resources"], rule["verbs"]) for rule in found] == [
        (["rollouts/scale"], ["get", "patch"])
    ]


# --- the gateway ---


def test_those_who_may_connect_get_a_tunnel_and_no_tasks() -> None:
    documents = helm.objects(*helm.case("gateway"))
    role = helm.of_kind(documents, "Role")["identtqueue-gateway"]
    assert {(tuple(rule["resources"]), tuple(rule["verbs"])) for rule in role["rules"]} == {
        (("leases",), ("get",)),
        (("pods",), ("get",)),
        (("pods/portforward",), ("create",)),
    }
    binding = helm.of_kind(documents, "RoleBinding")["identtqueue-gateway"]
    assert [(each["kind"], each["name"]) for each in binding["subjects"]] == [
        ("Group", "oidc:developers"),
        ("ServiceAccount", "pipeline"),
    ]
    assert binding["subjects"][1]["namespace"] == "ci"


def test_viewers_see_no_arguments_and_change_nothing() -> None:
    roles = helm.of_kind(helm.objects(*helm.case("gateway")), "ClusterRole")
    parts = ["taskqueues/tasks", "taskqueues/queues", "taskqueues/workers"]
    view, edit = (roles[f"queues-identtqueue-{name}"]["rules"][1:] for name in ("view", "edit"))
    assert [(rule["resources"], rule["verbs"]) for rule in view] == [(parts, ["get"])]
    assert [(rule["resources"], rule["verbs"]) for rule in edit] == [
        (["taskqueues/arguments"], ["get"]),
        (parts, ["update"]),
    ]


def test_without_a_gateway_the_operator_has_none() -> None:
    (deployment,) = helm.of_kind(helm.objects(*helm.case("defaults")), "Deployment").values()
    names = [
        variable["name"]
        for variable in deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    ]
    assert PORT_VARIABLE not in names
    assert "-gateway" not in str(helm.objects(*helm.case("defaults")))


def test_a_subject_must_be_one() -> None:
    words = ("--set-json", 'gateway={"enabled":true,"subjects":[{"kind":"Pod","name":"x"}]}')
    result = helm.run("template", "identtqueue", str(helm.CHART), *words)
    assert result.returncode
    assert "gateway" in result.stderr
