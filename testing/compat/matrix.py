"""`make matrix`: the tests of protocol, worker, client and topology on each server and each Python.

Every server is tested with one Python, and every Python with one server. Each row is saved when it
is complete. With `--write`, the tables in docs/compatibility.md are made from all saved rows, so a
single row can be repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from identtqueue.transport.server import own_name
from testing import servers
from testing.compat import interpreters
from testing.redis_server import RedisServer
from testing.revision import commit

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "compatibility.md"
SAVED: Final = ROOT / "build" / "matrix.json"
ON_SERVERS: Final = ("protocol", "worker", "client", "v02", "topology", "compat")
ON_PYTHONS: Final = ("unit", "cli", "architecture", "embedded", "frameworks", *ON_SERVERS)


@dataclass(frozen=True)
class Row:
    """One run of the tests."""

    what: str
    passed: int
    failed: int
    skipped: dict[str, int]
    seconds: float
    commit: str

    def __str__(self) -> str:
        left_out = "; ".join(f"{number}: {why}" for why, number in sorted(self.skipped.items()))
        failed = str(self.failed) if not self.failed else f"**{self.failed}**"
        return (
            f"| {self.what} | {self.passed} | {failed} | {left_out or 'none'} "
            f"| {self.seconds / 60:.1f} min | {self.commit} |"
        )


def save(row: Row, against: str) -> None:
    """Keep a row, in place of an earlier one of the same server or Python."""
    rows = saved()
    rows[f"{against}: {row.what}"] = row
    SAVED.parent.mkdir(parents=True, exist_ok=True)
    SAVED.write_text(json.dumps({key: asdict(row) for key, row in rows.items()}, indent=1))


def saved() -> dict[str, Row]:
    """Read all rows, in the order in which they were first measured."""
    if not SAVED.exists():
        return {}
    return {key: Row(**fields) for key, fields in json.loads(SAVED.read_text()).items()}


def run(what: str, python: str, server: str, folders: Iterable[str], more: list[str]) -> Row:
    """Run tests. A run that ends without a report counts as one failure."""
    print(f"\n== {what}", flush=True)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        tests = [f"tests/{name}" for name in folders]
        subprocess.run(
            [python, "-m", "pytest", "-q", "--no-header", f"--junitxml={report}", *tests, *more],
            cwd=ROOT,
            env=os.environ | {servers.VARIABLE: server},
            check=False,
        )
        passed, failed, skipped = _read(report)
    return Row(what, passed, failed, skipped, time.monotonic() - begun, commit())


def _read(report: Path) -> tuple[int, int, dict[str, int]]:
    if not report.exists():
        return 0, 1, {}
    (suite,) = ET.parse(report).getroot().iter("testsuite")
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    skipped: dict[str, int] = {}
    for skip in suite.iter("skipped"):
        why = re.sub(r"^Skipped: ", "", skip.get("message", ""))
        skipped[why] = skipped.get(why, 0) + 1
    return int(suite.get("tests", 0)) - failed - sum(skipped.values()), failed, skipped


def name_of(server: str) -> str:
    """Return the name and version that a server reports."""
    running = RedisServer(executable=servers.executable(server))
    try:
        with running.start().client() as client:
            text = {name: str(value) for name, value in client.info("server").items()}
    finally:
        running.destroy()
    return " ".join(own_name(text))


def table(rows: list[Row], title: str) -> str:
    """Format the rows as a table in Markdown."""
    head = f"| {title} | passed | failed | left out | took | commit |\n|---|---|---|---|---|---|"
    return "\n".join([head, *map(str, rows)])


def publish(about: str, tables: list[str]) -> None:
    """Write the table between the marks of the page."""
    begin, end = "<!-- begin: make matrix -->", "<!-- end: make matrix -->"
    before, _, rest = PAGE.read_text().partition(begin)
    _, _, after = rest.partition(end)
    PAGE.write_text(f"{before}{begin}\n" + "\n\n".join([about, *tables]) + f"\n{end}{after}")


def main() -> int:
    """Run all that was requested; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", action="append", choices=servers.NAMES, help="only this one")
    parser.add_argument("--python", action="append", metavar="3.12", help="only these versions")
    parser.add_argument("--jobs", default="2", help="test files at the same time")
    parser.add_argument("--write", action="store_true", help="put what was saved into the page")
    parser.add_argument("tests", nargs="*", help="options for pytest, behind --; nothing is saved")
    options = parser.parse_args()
    more = ["-n", options.jobs, "--dist", "loadfile", *options.tests]
    found = interpreters.find()
    if options.python:
        found = {v: p for v, p in found.items() if v.rpartition(".")[0] in options.python}
    mine = ".".join(map(str, sys.version_info[:3]))
    by_server = [] if options.python and not options.server else options.server or servers.NAMES
    by_python = {} if options.server and not options.python else found
    with_python, with_server = f"with Python {mine}", f"with {name_of(servers.SYSTEM)}"
    runs = [(with_python, name_of(name), sys.executable, name, ON_SERVERS) for name in by_server]
    runs += [
        (with_server, f"Python {v}", interpreters.prepare(v, path), servers.SYSTEM, ON_PYTHONS)
        for v, path in by_python.items()
    ]
    rows: list[tuple[str, Row]] = []
    for against, *what in runs:
        rows.append((against, row := run(*what, more)))
        if not options.tests:
            save(row, against)
    for title in (with_python, with_server):
        print("", table([row for against, row in rows if against == title], title), sep="\n")
    if options.write:
        tables = [
            table([row for key, row in saved().items() if key.startswith(f"{title}: ")], title)
            for title in (with_python, with_server)
        ]
        day = time.strftime("%Y-%m-%d", time.gmtime())
        publish(f"Measured by `make matrix` on {day}, {os.cpu_count()} cores.", tables)
    return 1 if any(row.failed for _, row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
