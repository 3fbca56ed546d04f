"""The chart's Grafana dashboards and PodMonitor: what they ask for exists, and is valid PromQL."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart import helm
from identtqueue_operator.workload.template import LABEL
from testing.metrics_page import documented

FOLDER = helm.CHART / "dashboards"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
REAL = {
    name: labels
    for section in ("Of the operator", "Of a worker", "Of the exporter")
    for name, labels in documented(section).items()
}


def dashboard(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text())


def plots(name: str) -> list[dict[str, Any]]:
    return [panel for panel in dashboard(name)["panels"] if panel["type"] != "row"]


def queries(name: str) -> list[str]:
    """All queries, with the variables filled in."""
    found = [target["expr"] for panel in plots(name) for target in panel["targets"]]
    found = [query.replace("$__rate_interval", "5m") for query in found]
    return [re.sub(r"\$\w+", ".*", query) for query in found]


def base(metric: str) -> str:
    return metric if metric in REAL else re.sub(r"_(bucket|sum|count)$", "", metric)


def test_there_are_three() -> None:
    assert NAMES == ["operator", "queue", "worker"]


@pytest.mark.parametrize("name", NAMES)
def test_every_query_asks_for_metrics_and_labels_that_exist(name: str) -> None:
    """docs/metrics.md, with which these are compared, is compared with real processes."""
    for query in queries(name):
        metrics = {base(metric) for metric in re.findall(r"identtqueue_\w+", query)}
        assert metrics, query
        assert metrics <= set(REAL), query
        for metric, selector in re.findall(r"(identtqueue_\w+)\{([^}]*)\}", query):
            assert set(re.findall(r"(\w+)=", selector)) <= REAL[base(metric)], query
        used: set[str] = set()
        for labels in re.findall(r"by \(([^)]*)\)", query):
            used |= set(labels.replace(" ", "").split(",")) - {"", "le"}
        assert all(used <= REAL[metric] for metric in metrics), query


@pytest.mark.parametrize("name", NAMES)
def test_every_legend_names_labels_of_its_query(name: str) -> None:
    for panel in plots(name):
        for target in panel["targets"]:
            by = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", target["expr"]))))
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= by, target


@pytest.mark.parametrize("name", NAMES)
def test_variables_ask_for_metrics_that_exist(name: str) -> None:
    page = dashboard(name)
    variables = page["templating"]["list"]
    known = {variable["name"] for variable in variables}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(page["panels"]))) - {"__rate_interval"}
    assert used == known, "and each variable is used"
    for variable in variables:
        if variable["type"] == "query":
            metric, label = re.fullmatch(
                r"label_values\((\w+).*, (\w+)\)", variable["definition"]
            ).groups()
            assert label in REAL[metric]


def test_promtool_understands_every_query(tmp_path: Path) -> None:
    rules = [
        {"record": f"{name}:query{i}", "expr": query}
        for name in NAMES
        for i, query in enumerate(queries(name))
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))
    checked = subprocess.run(
        [helm.tool("promtool"), "check", "rules", "--lint=none", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(rules)} rules found" in checked.stdout


@pytest.mark.parametrize("name", NAMES)
def test_no_panel_lies_over_another(name: str) -> None:
    places: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in dashboard(name)["panels"]]
    assert len(ids) == len(set(ids))
    for panel in dashboard(name)["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & places, panel["title"]
        places |= cells


def test_the_config_map_has_them_as_they_are() -> None:
    arguments = ("--set", "metrics.grafanaDashboards.enabled=true", "--set", "crds.enabled=false")
    found = helm.of_kind(helm.objects(*arguments), "ConfigMap")["identtqueue-dashboards"]
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert {key: json.loads(text) for key, text in found["data"].items()} == {
        f"identtqueue-{name}.json": dashboard(name) for name in NAMES
    }
    assert len({dashboard(name)["uid"] for name in NAMES}) == 3


def test_without_the_values_there_is_neither() -> None:
    kinds = {each["kind"] for each in helm.objects()}
    assert "PodMonitor" not in kinds
    assert "identtqueue-dashboards" not in helm.of_kind(helm.objects(), "ConfigMap")


def pod_monitor(*values: str) -> dict[str, Any]:
    words = [word for value in values for word in ("--set", value)]
    arguments = ("--set", "metrics.podMonitor.enabled=true", "--set", "crds.enabled=false", *words)
    return helm.of_kind(helm.objects(*arguments), "PodMonitor")["identtqueue-workers"]["spec"]


def test_the_pod_monitor_finds_the_workers_of_templates() -> None:
    spec = pod_monitor()
    assert spec["selector"] == {"matchExpressions": [{"key": LABEL, "operator": "Exists"}]}
    assert spec["namespaceSelector"] == {"matchNames": ["queues"]}
    (endpoint,) = spec["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"], endpoint["honorLabels"]) == (
        "http",
        "/metrics",
        True,
    )


def test_the_pod_monitor_follows_what_the_operator_serves() -> None:
    spec = pod_monitor("watchNamespaces={a,b}")
    assert spec["namespaceSelector"] == {"matchNames": ["a", "b"]}
    assert pod_monitor("clusterWide=true")["namespaceSelector"] == {"any": True}
    own = pod_monitor("metrics.podMonitor.selector.matchLabels.app=mine")
    assert own["selector"] == {"matchLabels": {"app": "mine"}}
