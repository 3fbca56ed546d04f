"""The uploaded documents: a folder for each, with the scanned pages and what was found."""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any


def folder(document: str) -> Path:
    """Return the folder of a document."""
    return Path(os.environ["DOCUMENTS_FOLDER"], document)


def mrz_line(document: str) -> str:
    """Return the second line of the machine-readable zone."""
    return (folder(document) / "mrz.txt").read_text().strip()


def number(document: str) -> str:
    """Return the passport's number."""
    return mrz_line(document)[:9].rstrip("<")


def pages(document: str) -> list[str]:
    """Return the names of the scanned pages, in order."""
    return sorted(path.stem for path in folder(document).glob("*.pgm"))


def page(document: str, name: str) -> Path:
    """Return the image of a page."""
    return folder(document) / f"{name}.pgm"


def save(document: str, name: str, finding: Any) -> None:
    """Save a finding; a second time under the same name replaces the first."""
    target = folder(document) / f"{name}.json"
    draft = target.with_suffix(f".{os.getpid()}-{time.monotonic_ns()}")
    draft.write_text(json.dumps(finding))
    draft.rename(target)  # at once, so that no reader sees half a file


def finding(document: str, name: str) -> Any:
    """Return a finding; None: there is none."""
    path = folder(document) / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def checks(document: str) -> list[str]:
    """Return the names of all findings that a report needs."""
    return ["mrz", "register", *pages(document)]


def is_complete(document: str) -> bool:
    """Return whether all findings that a report needs are there."""
    return all(finding(document, name) is not None for name in checks(document))


def forget_older_than(seconds: float) -> list[str]:
    """Delete the documents that were uploaded longer ago; return their names."""
    root = Path(os.environ["DOCUMENTS_FOLDER"])
    old = [path for path in root.iterdir() if path.stat().st_mtime < time.time() - seconds]
    for path in old:
        shutil.rmtree(path, ignore_errors=True)
    return sorted(path.name for path in old)
