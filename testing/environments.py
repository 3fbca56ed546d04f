"""Virtual environments for programs whose packages must not meet those of the tests."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def prepare(
    folder: Path, program: str, requirements: Path, *, then: Sequence[Sequence[str]] = ()
) -> str:
    """Make an environment from hashed requirements, once, and return its Python.

    Changed requirements make a new environment beside the old one. If several processes ask for the
    same one, the first makes it and the others wait.

    Args:
        folder: where it goes; the requirements' hash is added to the name.
        program: the Python that it is made with.
        requirements: hashed requirements.
        then: words of further installations, such as `["-e", "."]`.

    Raises:
        CalledProcessError: a package cannot be installed.
    """
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    folder = folder.with_name(f"{folder.name}-{digest}")
    python, ready = folder / "bin" / "python", folder / ".ready"
    if ready.exists():
        return str(python)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            print(f"installing {folder.name}", file=sys.stderr)
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([program, "-m", "venv", str(folder)], check=True)
            pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            for words in (["--require-hashes", "-r", str(requirements)], *then):
                subprocess.run([*pip, *words], check=True)
            ready.touch()
    return str(python)
