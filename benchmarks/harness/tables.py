"""Markdown that reports are made of, and the page that they are written into."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

NONE = "-"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], rule: str = "--:") -> str:
    """A table; `rule` aligns all columns but the first."""
    lines = ["| " + " | ".join(head) + " |", "|---" + f"|{rule}" * (len(head) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def about(facts: dict[str, Any], missing: dict[str, str]) -> str:
    """Write the facts of `machine.facts`, and the measures that are missing."""
    versions = "; ".join(
        " ".join(f"{package} {number}" for package, number in found.items())
        for found in facts["versions"].values()
    )
    machine = (
        f"{facts['date']}, commit {facts['commit']}, `{facts['command']}`. {facts['cores']} "
        f"cores ({facts['processor']}), {facts['memory_gb']} GiB, {facts['system']}, Python "
        f"{facts['python']}, Redis {facts['redis']} on the same machine; load at the start "
        f"{facts['load']}."
    )
    paragraphs = [machine, f"Versions: {versions}."]
    paragraphs += [f"Missing: {what}: {why}." for what, why in missing.items()]
    return "\n\n".join(paragraphs)


def write_into(page: Path, section: str, text: str) -> None:
    """Replace what stands between a section's two marks."""
    begin, end = f"<!-- {section}: written by run.py --write -->", f"<!-- end of {section} -->"
    before, rest = page.read_text("utf-8").split(begin)
    after = rest.split(end)[1]
    page.write_text(f"{before}{begin}\n\n{text}\n{end}{after}", "utf-8")
