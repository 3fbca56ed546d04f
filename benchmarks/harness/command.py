"""The common options of the commands of all benchmarks."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import Any

from benchmarks.harness.environments import ROOT, interpreter, python_of
from benchmarks.harness.libraries import ALL, Library
from benchmarks.harness.tables import write_into

OUTPUT = ROOT / "build" / "bench"
PAGE = ROOT / "docs" / "measurements.md"
PICTURES = ROOT / "docs" / "pictures"


def parser(about: str | None) -> argparse.ArgumentParser:
    """With the options that all have."""
    made = argparse.ArgumentParser(description=about)
    made.add_argument(
        "--only", nargs="+", metavar="LIBRARY", choices=[library.name for library in ALL]
    )
    made.add_argument(
        "--write", action="store_true", help="put the results into docs/measurements.md"
    )
    return made


def end_in_order() -> None:
    """An end from outside cleans up as an interrupt does."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def install(libraries: tuple[Library, ...]) -> tuple[tuple[Library, ...], dict[str, str]]:
    """Those that this Python can run, installed; and why the others can't be measured."""
    missing = {library.name: why for library in libraries if (why := _impossible(library))}
    possible = tuple(library for library in libraries if library.name not in missing)
    for library in possible:
        python_of(library.name)
    return possible, missing


def _impossible(library: Library) -> str | None:
    python = interpreter()
    if python.number >= library.oldest_python:
        return None
    return f"needs Python {'.'.join(map(str, library.oldest_python))}, found {python.version}"


def typed(name: str) -> str:
    """The command that makes the same results."""
    options = [word for word in sys.argv[1:] if word != "--write"]
    return " ".join([name, *([f'BENCH="{" ".join(options)}"'] if options else [])])


def save(name: str, saved: dict[str, Any], text: str) -> Path:
    """Raw numbers and report; gives the path of the numbers."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    results = OUTPUT / f"{name}.json"
    results.write_text(json.dumps(saved, indent=1), "utf-8")
    (OUTPUT / f"{name}.md").write_text(text, "utf-8")
    print(text)
    print(f"saved in {OUTPUT.relative_to(ROOT)}", file=sys.stderr)
    return results


def saved(name: str) -> dict[str, Any]:
    """The raw numbers of the command before; empty if there are none."""
    results = OUTPUT / f"{name}.json"
    found: dict[str, Any] = json.loads(results.read_text("utf-8")) if results.exists() else {}
    return found


def publish(section: str, text: str) -> None:
    """Put a report into the page of all measurements."""
    write_into(PAGE, section, text)
