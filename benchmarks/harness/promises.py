"""The promises of each library's documentation about delivery: from its adapter."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.harness.cases import Case
from benchmarks.harness.libraries import Library


def promises(libraries: tuple[Library, ...], redis: str) -> dict[str, Any]:
    """Return each library's `benchmarks.harness.adapters.base.Promise`, as a dictionary."""
    with TemporaryDirectory() as folder:
        record = Path(folder) / "record"
        return {item.name: Case(item).ask(redis, record, "promise") for item in libraries}
