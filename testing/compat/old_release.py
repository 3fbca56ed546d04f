"""The release of 2021, identtqueue 0.2.2, in an environment of its own below `build/`.

It needs Python 3.10 or older: its aioredis does not import on 3.11.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from typing import Final

from testing.compat import interpreters

FOLDER: Final = interpreters.ROOT / "build" / "old-release"
REQUIREMENTS: Final = interpreters.ROOT / "requirements" / "old-release.txt"
OLDEST: Final = (3, 8)
NEWEST: Final = (3, 10)


def interpreter() -> str | None:
    """Return the newest Python that the old release runs on; None: there is none here."""
    found = interpreters.find(OLDEST, NEWEST)
    return list(found.values())[-1] if found else None


def prepare(program: str) -> str:
    """Make the environment, once, and return its Python.

    Args:
        program: the Python to make it with.
    """
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + program.encode()).hexdigest()[:12]
    folder = FOLDER / digest
    python, ready = folder / "bin" / "python", folder / ".ready"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run side by side
        if not ready.exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([program, "-m", "venv", str(folder)], check=True)
            install = [str(python), "-m", "pip", "install", "--quiet"]
            install += ["--disable-pip-version-check", "--require-hashes", "-r", str(REQUIREMENTS)]
            subprocess.run(install, check=True)
            ready.touch()
    return str(python)
