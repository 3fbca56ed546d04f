"""Renderings of the chart, case by case, compared with files that a reviewer reads.

After an intended change: `UPDATE_SNAPSHOTS=1 .venv/bin/pytest tests/chart -k snapshot`, then read
the difference in git.
"""

import os
import re
from pathlib import Path

import pytest

from chart import helm

SNAPSHOTS = Path(__file__).parent / "snapshots"


@pytest.mark.parametrize("name", helm.case_names())
def test_snapshot(name: str) -> None:
    # What differs each time, and the empty lines that Helm 4 leaves behind each object.
    password = re.compile(r'^(  password: )"[A-Za-z0-9+/=]{44}"$', re.MULTILINE)
    text = password.sub(r'\1"<random>"', helm.rendered(*helm.case(name)))
    text = re.sub(r"\n+(---\n|\Z)", r"\n\1", text)
    file = SNAPSHOTS / f"{name}.yaml"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        file.write_text(text)
    assert text == file.read_text()


def test_every_snapshot_has_a_case() -> None:
    assert [path.stem for path in sorted(SNAPSHOTS.glob("*.yaml"))] == helm.case_names()


@pytest.mark.parametrize("name", helm.case_names())
def test_lint_is_strictly_clean(name: str) -> None:
    result = helm.run("lint", "--strict", str(helm.CHART), *helm.case(name))
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("name", helm.case_names())
def test_every_object_says_whose_it_is_and_where(name: str) -> None:
    for document in helm.objects(*helm.case(name)):
        metadata = document["metadata"]
        labels = metadata["labels"]
        assert labels["app.kubernetes.io/instance"] == "identtqueue"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        of_the_cluster = document["kind"].startswith(("Cluster", "ValidatingAdmission"))
        assert ("namespace" in metadata) != of_the_cluster, metadata


@pytest.mark.parametrize(
    ("release", "prefix"),
    [
        ("identtqueue", "identtqueue"),
        ("prod", "prod-identtqueue"),
        ("r" * 53, "r" * 46),  # the longest name that Helm admits
    ],
)
def test_names_follow_the_release_and_stay_short_enough(release: str, prefix: str) -> None:
    arguments = ("--set", "redis.enabled=true")
    text = helm.template(*arguments, release=release)
    names = re.findall(r"^  name: (\S+)$", text, re.MULTILINE)
    assert {prefix, f"{prefix}-redis", f"{prefix}-metrics", f"{prefix}-selftest"} <= set(names)
    assert max(map(len, names)) <= 63
