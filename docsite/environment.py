"""The site's own virtual environment, so that the programs that make it do not bind the project's.

It is made once for each state of requirements/docs.txt, in build/docs-venv.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

from docsite.pages import ROOT

REQUIREMENTS = ROOT / "requirements" / "docs.txt"
FOLDER = ROOT / "build" / "docs-venv"
STAMP = FOLDER / "made-from"


def executable(name: str) -> Path:
    """Return a program of the environment; make the environment if it is missing or outdated."""
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if not STAMP.exists() or STAMP.read_text("ascii") != wanted:
        _make()
        STAMP.write_text(wanted, "ascii")
    return FOLDER / "bin" / name


def _make() -> None:
    sys.stderr.write(f"docs: Python environment in {FOLDER.relative_to(ROOT)}\n")
    venv.create(FOLDER, clear=True, with_pip=True)
    pip = (str(FOLDER / "bin" / "python"), "-m", "pip", "install", "--quiet")
    subprocess.run(
        (*pip, "--disable-pip-version-check", "--require-hashes", "-r", str(REQUIREMENTS)),
        check=True,
    )
