"""A virtual environment per library, in a cache folder outside the tree; made once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from testing.environments import prepare

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "benchmarks" / "requirements"
NEWEST = ("3.13", "3.12", "3.11")
"""Pythons to look for: one and the same for all libraries, the newest that is there."""


@dataclass(frozen=True)
class Interpreter:
    """A Python."""

    path: str
    version: str

    @property
    def number(self) -> tuple[int, int]:
        major, minor, *_ = self.version.split(".")
        return int(major), int(minor)


def cache_folder() -> Path:
    """`IDENTTQUEUE_BENCH_CACHE`, else the user's cache folder."""
    given = os.environ.get("IDENTTQUEUE_BENCH_CACHE")
    if given:
        return Path(given)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "identtqueue-bench"


@cache
def interpreter() -> Interpreter:
    """The newest Python of the above, on PATH or among pyenv's; else the one that runs this."""
    for version in NEWEST:
        for path in _candidates(version):
            found = _version_of(path)
            if found and found.startswith(version + "."):
                return Interpreter(path, found)
    return Interpreter(sys.executable, ".".join(map(str, sys.version_info[:3])))


def _candidates(version: str) -> list[str]:
    on_path = shutil.which(f"python{version}")
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    installed = sorted(pyenv.glob(f"{version}.*/bin/python3"), reverse=True)
    return [*([on_path] if on_path else []), *map(str, installed)]


def _version_of(path: str) -> str | None:
    """None: it does not start (a shim of a version that is not chosen, say)."""
    code = "import sys, venv, ensurepip; print('.'.join(map(str, sys.version_info[:3])))"
    try:
        done = subprocess.run(
            [path, "-c", code], capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def bytecode_folder() -> Path:
    """Return the folder in which all processes of the benchmarks keep bytecode.

    An installed package is compiled; the library of this tree would not be, and the tree is to stay
    as it is. So everything is compiled into one place, once.
    """
    return cache_folder() / f"python{interpreter().version}" / "bytecode"


def python_of(name: str) -> str:
    """The Python of a library's environment; installs it if its requirements have changed."""
    requirements = REQUIREMENTS / f"{name}.txt"
    base = interpreter()
    folder = cache_folder() / f"python{base.version}" / name
    return prepare(folder, base.path, requirements)
