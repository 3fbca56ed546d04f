"""Runs the real helm on the chart, for the tests in this folder."""

import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "identtqueue"
CASES = Path(__file__).parent / "cases"

Object = dict[str, Any]


@functools.cache
def program() -> str:
    """Path of helm. There is no skipping: where none is found, one is built."""
    return os.environ.get("HELM") or tool("helm")


def tool(name: str) -> str:
    """Path of a program that the tests need; it is built where none is found."""
    tools = [str(ROOT / "e2e/cluster/tools.sh"), name]
    return subprocess.run(tools, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run helm, away from any cluster; the caller looks at the exit code."""
    environment = {**os.environ, "KUBECONFIG": os.devnull}
    return subprocess.run(
        [program(), *arguments], capture_output=True, text=True, env=environment, check=False
    )


def template(*arguments: str, release: str = "identtqueue", namespace: str = "queues") -> str:
    """Return the output of `helm template`."""
    result = run("template", release, str(CHART), "--namespace", namespace, *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


@functools.cache
def rendered(*arguments: str) -> str:
    """The same, remembered: most tests look at the same few renderings."""
    return template(*arguments)


def objects(*arguments: str) -> list[Object]:
    """The rendered objects."""
    return [document for document in yaml.safe_load_all(rendered(*arguments)) if document]


def case(name: str) -> tuple[str, ...]:
    """Arguments that select the values of a case, without the CRD, which has tests of its own."""
    return ("--set", "crds.enabled=false", "--values", str(CASES / f"{name}.yaml"))


def case_names() -> list[str]:
    """Every case."""
    return sorted(path.stem for path in CASES.glob("*.yaml"))


def of_kind(documents: list[Object], kind: str) -> dict[str, Object]:
    """The objects of one kind, by name."""
    return {o["metadata"]["name"]: o for o in documents if o["kind"] == kind}


def pod_specs(documents: list[Object]) -> Iterator[tuple[str, Object]]:
    """Every pod specification among the objects, with a name for messages."""
    for document in documents:
        name = f"{document['kind']}/{document['metadata']['name']}"
        if document["kind"] == "Pod":
            yield name, document["spec"]
        elif document["kind"] in {"Deployment", "StatefulSet", "TaskQueue"}:
            pod_template = document["spec"].get("template")
            if pod_template:
                yield name, pod_template["spec"]


def generate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run charts/generate.sh with this helm and this Python."""
    environment = {**os.environ, "HELM": program(), "PYTHON": sys.executable}
    script = str(ROOT / "charts/generate.sh")
    return subprocess.run(
        [script, *arguments], capture_output=True, text=True, env=environment, check=False
    )
