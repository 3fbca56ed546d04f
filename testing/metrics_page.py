"""Metrics: those that docs/metrics.md lists, that a process serves, and that are named anywhere."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "metrics.md"
NAMED_IN = (
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "charts").rglob("*.*"),
    *(ROOT / "manifests").rglob("*.yaml"),
    *(ROOT / "examples").rglob("*.yaml"),
    *ROOT.glob("*.md"),
)
"""Files in which users read of metrics, or alerts use them."""

_NO_METRICS = {
    "identtqueue_operator",  # the operator's Python package
    "identtqueue_app",  # a fixture and an ini option for tests
    "identtqueue_server",  # a fixture for tests
    "identtqueue_worker",  # Django's command
}
"""Names that look like a metric but are not."""


def documented(section: str) -> dict[str, set[str]]:
    """Return the labels of each metric in a section's table ("Of a worker")."""
    text = PAGE.read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*)\|", text, re.MULTILINE)
    return {name: set(re.findall(r"\w+", labels)) for name, labels in rows}


def explained(section: str) -> dict[str, str]:
    """Return the sentence about each metric in a section's table, as `/metrics` should have it."""
    text = PAGE.read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| [^|]*\| (.*) \|$", text, re.MULTILINE)
    plain = {name: re.sub(r"`| \(histogram\)$", "", meaning) for name, meaning in rows}
    return {name: f"{meaning[0].upper()}{meaning[1:]}." for name, meaning in plain.items()}


def helped(exposition: str) -> dict[str, str]:
    """Return the help text of each metric of this project in a page of `/metrics`."""
    found = dict(re.findall(r"^# HELP (identtqueue_\w+) (.*)$", exposition, re.MULTILINE))
    return {name: text for name, text in found.items() if not name.endswith("_created")}


def served(exposition: str) -> dict[str, set[str]]:
    """Return the labels of each metric of this project in a page of `/metrics`."""
    found = {
        name: set()
        for name in re.findall(r"^# TYPE (identtqueue_\w+) ", exposition, re.MULTILINE)
        if not name.endswith("_created")
    }
    for name, labels in re.findall(r"^(identtqueue_\w+)\{(.*)\} ", exposition, re.MULTILINE):
        base = _base(name)
        if base in found:
            found[base] |= set(re.findall(r'(\w+)="', labels)) - {"le"}
    return found


def named() -> dict[str, str]:
    """Return each metric that an alert or a page names, with one file that names it."""
    return {
        _base(name): str(file.relative_to(ROOT))
        for file in NAMED_IN
        for name in re.findall(r"\bidenttqueue_\w+", file.read_text())
        if name not in _NO_METRICS
    }


def _base(name: str) -> str:
    """Take the name of a histogram for that of its parts."""
    return re.sub(r"_(bucket|sum|count)$", "", name)
