"""Python interpreters on this machine, each with an environment for the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from testing import environments

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / ".tools" / "pythons"
REQUIREMENTS: Final = ROOT / "requirements" / "dev.txt"

OLDEST: Final = (3, 11)

_ASK: Final = "import sys; print(*sys.version_info[:3], sys.implementation.name)"


def find(oldest: tuple[int, int] = OLDEST, newest: tuple[int, int] = (3, 99)) -> dict[str, str]:
    """Find the newest interpreter of each minor version, as in "3.12.1" -> its program.

    It looks on PATH, and where pyenv and uv install them.

    Args:
        oldest, newest: the minor versions to look for.
    """
    known: dict[tuple[int, int], tuple[tuple[int, ...], str]] = {}
    for program in dict.fromkeys(_candidates()):
        version = _version(program)
        if version is not None and oldest <= version[:2] <= newest:
            best = known.get(version[:2])
            if best is None or version > best[0]:
                known[version[0], version[1]] = (version, program)
    return {".".join(map(str, version)): program for _, (version, program) in sorted(known.items())}


def _candidates() -> Iterator[str]:
    yield sys.executable  # has its environment already
    for folder in os.get_exec_path():
        yield from map(str, sorted(Path(folder).glob("python3.[0-9]*[0-9]")))
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT", home / ".pyenv"))
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", home / ".local" / "share" / "uv" / "python"))
    for root in (pyenv / "versions", uv):
        yield from map(str, sorted(root.glob("*/bin/python3")))


def _version(program: str) -> tuple[int, ...] | None:
    """Return the version; None if it does not run (a shim of pyenv, say) or is no CPython."""
    try:
        asked = subprocess.run(
            [program, "-c", _ASK], check=False, capture_output=True, text=True, timeout=30
        )
    except OSError:
        return None
    words = asked.stdout.split()
    if asked.returncode or words[3:] != ["cpython"]:
        return None
    return tuple(map(int, words[:3]))


def prepare(version: str, program: str) -> str:
    """Make an environment with an interpreter and all that the tests need, once."""
    if program == sys.executable:
        return program
    own = ["--no-deps", "--no-build-isolation", "-e", str(ROOT)]
    return environments.prepare(FOLDER / version, program, REQUIREMENTS, then=[own])
