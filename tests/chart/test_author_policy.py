"""The admission policy: it covers every right that a TaskQueue lends, where this release acts.

What it admits and refuses is tested on an API server (e2e/test_authors.py).
"""

from collections.abc import Iterator
from typing import Any

import pytest

from chart import helm
from identtqueue_operator.api import admission, crd

POLICY = "queues-identtqueue-authors"


def policy(*arguments: str) -> helm.Object:
    return helm.of_kind(helm.objects(*arguments), "ValidatingAdmissionPolicy")[POLICY]["spec"]


def nodes(schema: dict[str, Any], path: str = "spec") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field of the CRD; a list is marked by `[]`."""
    for name, child in schema.get("properties", {}).items():
        here = f"{path}.{name}" + ("[]" if child.get("type") == "array" else "")
        yield here, child
        yield from nodes(child.get("items", child), here)


SPEC = crd.root_schema()["properties"]["spec"]
SECRETS = [path for path, _ in nodes(SPEC) if path.endswith("SecretRef")]


def test_the_policy_looks_at_each_secret_that_the_crd_can_name() -> None:
    assert "spec.redis.credentialsSecretRef" in SECRETS
    assert sorted(map(str, admission.references())) == sorted(SECRETS)


@pytest.mark.parametrize("path", SECRETS)
def test_the_installed_policy_has_the_place(path: str) -> None:
    secrets = next(v for v in policy()["variables"] if v["name"] == "secrets")["expression"]
    *_, last = path.replace("[]", "").split(".")
    whole = path.replace("[]", "") if "[]" not in path else last
    assert f"{whole}.name" in secrets


def test_what_names_a_secret_is_called_so() -> None:
    """The policy finds a reference by its name, so a field of another name would escape it."""
    described = [
        path.rpartition(".")[0]
        for path, node in nodes(SPEC)
        if path.endswith(".name") and "Secret" in node.get("description", "")
    ]
    assert sorted(described) == sorted(SECRETS)


def test_there_is_a_rule_for_each_secret_that_one_taskqueue_can_name() -> None:
    most = sum(reference.most for reference in admission.references())
    rules = [rule for rule in policy()["validations"] if "'secrets'" in rule["expression"]]
    assert len(rules) == most >= len(SECRETS)


def test_references_in_lists_are_found() -> None:
    names = {"properties": {"name": {"type": "string"}}}
    item = {"properties": {"tls": {"properties": {"caSecretRef": names}}}}
    schema = {"properties": {"others": {"type": "array", "maxItems": 3, "items": item}}}
    (reference,) = admission.references_in(schema, admission.FieldReference())
    assert str(reference) == "spec.others[].tls.caSecretRef"
    assert reference.most == 3
    assert reference.names() == (
        "(has(object.spec.others) ? object.spec.others.map(e, "
        "has(e.tls) && has(e.tls.caSecretRef), e.tls.caSecretRef.name) : [])"
    )


def test_every_refusal_says_what_is_needed_and_is_a_403() -> None:
    for rule in policy()["validations"]:
        assert "needs an author who may" in rule["message"]
        assert rule["reason"] == "Forbidden"
    assert policy()["failurePolicy"] == "Fail"


@pytest.mark.parametrize(
    ("case", "namespaces"),
    [
        ("defaults", ["queues"]),
        ("namespaces", ["documents", "billing"]),
        ("cluster-wide", None),
    ],
)
def test_it_holds_where_the_operator_acts(case: str, namespaces: list[str] | None) -> None:
    found = helm.of_kind(helm.objects(*helm.case(case)), "ValidatingAdmissionPolicyBinding")
    (binding,) = found.values()
    assert binding["spec"]["policyName"] == POLICY
    assert binding["spec"]["validationActions"] == ["Deny"]
    match = binding["spec"].get("matchResources")
    if namespaces is None:
        assert match is None
        return
    (expression,) = match["namespaceSelector"]["matchExpressions"]
    assert expression == {
        "key": "kubernetes.io/metadata.name",
        "operator": "In",
        "values": namespaces,
    }


@pytest.mark.parametrize(
    "arguments",
    [("--set", "authorPolicy.enabled=false"), ("--kube-version", "1.29.9")],
    ids=["switched off", "before 1.30"],
)
def test_it_can_be_absent(arguments: tuple[str, ...]) -> None:
    kinds = {document["kind"] for document in helm.objects(*arguments)}
    assert not {kind for kind in kinds if kind.startswith("ValidatingAdmission")}


def notes(*arguments: str) -> str:
    dry = ("install", "identtqueue", str(helm.CHART), "--dry-run=client")
    return helm.run(*dry, *arguments).stdout.partition("NOTES:")[2]


def test_its_absence_is_told_to_the_one_who_installs() -> None:
    assert "No admission policy" not in notes()
    assert "(authorPolicy.enabled is false)" in notes("--set", "authorPolicy.enabled=false")


def test_a_distributions_version_is_understood() -> None:
    documents = helm.objects("--kube-version", "v1.30.1-gke.100")
    assert helm.of_kind(documents, "ValidatingAdmissionPolicy")


def test_two_releases_of_one_name_do_not_collide() -> None:
    other = helm.template("--show-only", "templates/author-policy.yaml", namespace="others")
    assert "name: others-identtqueue-authors" in other
    assert POLICY not in other


def test_it_can_begin_with_warnings() -> None:
    documents = helm.objects("--set", "authorPolicy.actions={Warn,Audit}")
    (binding,) = helm.of_kind(documents, "ValidatingAdmissionPolicyBinding").values()
    assert binding["spec"]["validationActions"] == ["Warn", "Audit"]
