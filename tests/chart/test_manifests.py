"""manifests/ follows from the chart, the chart's CRD from the models, and the samples are valid."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart import helm
from chart.test_security import violations
from identtqueue_operator.api import crd
from identtqueue_operator.api.v1alpha1 import TaskQueue

MANIFESTS = helm.ROOT / "manifests"
SAMPLES = sorted((MANIFESTS / "samples").glob("*.yaml"))


def load(path: Path) -> list[helm.Object]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def test_what_is_generated_is_up_to_date() -> None:
    result = helm.generate("--check")
    assert result.returncode == 0, result.stderr


def test_the_crd_is_the_models_with_the_keep_policy() -> None:
    (definition,) = helm.of_kind(helm.objects(), "CustomResourceDefinition").values()
    assert definition["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert definition["metadata"].pop("labels")["app.kubernetes.io/managed-by"] == "Helm"
    assert definition == crd.definition()


@pytest.mark.parametrize(
    ("values", "annotations"),
    [("crds.keep=false", [{}]), ("crds.enabled=false", [])],
)
def test_the_crd_can_be_let_go(values: str, annotations: list[Any]) -> None:
    found = helm.of_kind(helm.objects("--set", values), "CustomResourceDefinition")
    assert [o["metadata"].get("annotations", {}) for o in found.values()] == annotations


def test_the_manifests_are_not_helms() -> None:
    for file in ("crd.yaml", "install.yaml"):
        text = (MANIFESTS / file).read_text()
        assert "helm.sh/" not in text
        assert "managed-by" not in text


def test_install_brings_the_namespace_the_crd_and_the_operator() -> None:
    documents = load(MANIFESTS / "install.yaml")
    assert documents[0]["kind"] == "Namespace"
    assert load(MANIFESTS / "crd.yaml")[0] in documents
    assert {o["metadata"].get("namespace") for o in documents[1:]} == {"identtqueue", None}
    assert not helm.of_kind(documents, "Secret")


# --- samples --------------------------------------------------------------------------------------


def unknown_fields(value: Any, schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Fields that the API server would drop: a typo in a sample is such a field."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from unknown_fields(item, schema["items"], f"{path}[{index}]")
    if not isinstance(value, dict):
        return
    properties = schema.get("properties", {})
    for name, child in value.items():
        if name in properties:
            yield from unknown_fields(child, properties[name], f"{path}.{name}")
        elif "additionalProperties" not in schema and not schema.get(
            "x-kubernetes-preserve-unknown-fields"
        ):
            yield f"{path}.{name}"


def test_there_is_a_sample_of_each_kind() -> None:
    redis = {"redis-sentinel", "redis-cluster", "redis-with-password-and-tls"}
    workloads = {"workload-ref", "stateful-set", "template"}
    names = {"several-queues", "several-redis"} | workloads | redis
    assert {path.stem for path in SAMPLES} == names


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_sample_is_valid(path: Path) -> None:
    documents = load(path)
    task_queues = [o for o in documents if o["kind"] == "TaskQueue"]
    assert task_queues
    for document in task_queues:
        assert document["apiVersion"] == "identtqueue.dev/v1alpha1"
        assert list(unknown_fields(document["spec"], crd.root_schema()["properties"]["spec"])) == []
        assert TaskQueue.model_validate(document).spec.problems() == []
    for name, spec in helm.pod_specs(documents):
        assert violations(spec) == [], name
        assert spec["automountServiceAccountToken"] is False, name
    # They go where kubectl is pointed, and no password is in a file that gets copied.
    assert not any("namespace" in o["metadata"] or o["kind"] == "Secret" for o in documents)


def documented_task_queues() -> list[Any]:
    """The blocks of the documentation that are whole TaskQueues."""
    pages = [helm.ROOT / "README.md", *sorted((helm.ROOT / "docs").glob("*.md"))]
    fence = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [
        pytest.param(document, id=page.name)
        for page in pages
        for block in fence.findall(page.read_text())
        if "kind: TaskQueue" in block
        for document in yaml.safe_load_all(block)
        if document["kind"] == "TaskQueue"
    ]


def test_the_readme_has_a_task_queue() -> None:
    assert "README.md" in [case.id for case in documented_task_queues()]


@pytest.mark.parametrize("document", documented_task_queues())
def test_documented_task_queue_is_valid(document: dict[str, Any]) -> None:
    assert document["apiVersion"] == "identtqueue.dev/v1alpha1"
    assert list(unknown_fields(document["spec"], crd.root_schema()["properties"]["spec"])) == []
    assert TaskQueue.model_validate(document).spec.problems() == []


def test_the_check_for_unknown_fields_finds_one() -> None:
    schema = crd.root_schema()["properties"]["spec"]
    spec = {"queues": [{"name": "a", "wieght": 1}], "scaling": {"maxReplica": 3}}
    assert list(unknown_fields(spec, schema)) == [".queues[0].wieght", ".scaling.maxReplica"]


def test_the_selftest_of_the_chart_is_valid() -> None:
    (document,) = helm.of_kind(helm.objects(*helm.case("trial")), "TaskQueue").values()
    assert list(unknown_fields(document["spec"], crd.root_schema()["properties"]["spec"])) == []
    assert TaskQueue.model_validate(document).spec.problems() == []
