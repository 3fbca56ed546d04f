"""The size bounds of the resource: the API server accepts each bound, and refuses one more."""

from __future__ import annotations

import json
import subprocess

import pytest

from identtqueue_operator.api import crd
from testing.bounds import WORDS, Path, bounds, with_size
from testing.cluster.cluster import Kubectl
from testing.cluster.workload import task_queue

Bound = tuple[Path, str, int]
SCHEMA = crd.root_schema()["properties"]
SPEC = [(("spec", *path), word, limit) for path, word, limit in bounds(SCHEMA["spec"])]
STATUS = [(("status", *path), word, limit) for path, word, limit in bounds(SCHEMA["status"])]


def said(*command: str, stdin: str | None = None) -> str:
    """Run a dry run, which may be refused for other reasons too; return the API server's answer."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def is_refused(answer: str, bound: Bound) -> bool:
    """Return whether the API server says that the value is over this bound."""
    path, keyword, limit = bound
    where = "".join({"[]": "[0]", "{}": ".k"}.get(step, f".{step}") for step in path)
    sentence = WORDS[keyword].format(limit, over=limit + 1)
    lines = answer.replace(", ", "\n").splitlines()
    return any(where[1:] in line and sentence in line for line in lines)


def create(kubectl: Kubectl, bound: Bound, size: int) -> str:
    path, keyword, _ = bound
    head = {"apiVersion": "identtqueue.dev/v1alpha1", "kind": "TaskQueue"}
    body = head | {"metadata": {"name": "bound"}} | with_size(path, keyword, size)
    words = ("kubectl", "-n", kubectl.namespace, "create", "--validate=false", "--dry-run=server")
    return said(*words, "-f", "-", stdin=json.dumps(body))


@pytest.mark.parametrize("bound", SPEC, ids=lambda bound: ".".join(bound[0]))
def test_a_spec_is_refused_just_over_a_bound(kubectl, bound):
    limit = bound[2]
    over = create(kubectl, bound, limit + 1)
    assert is_refused(over, bound), over
    at = create(kubectl, bound, limit)
    assert "Too long" not in at, at
    assert "Too many" not in at, at


def test_a_status_is_refused_just_over_a_bound(kubectl, release, name):
    kubectl.apply(task_queue(release, name, "q"))
    words = ("kubectl", "-n", kubectl.namespace, "patch", "taskqueue", name, "--dry-run=server")
    for bound in STATUS:
        path, keyword, limit = bound
        for size in (limit, limit + 1):
            patch = json.dumps(with_size(path, keyword, size))
            answer = said(*words, "--subresource=status", "--type=merge", "-p", patch)
            assert is_refused(answer, bound) == (size > limit), (bound, size, answer)
