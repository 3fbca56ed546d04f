"""Users of a dashboard under test: one who may look, and one who may act."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Final

VIEWER: Final = ("vera", "may look")
OPERATOR: Final = ("otto", "may act: also öäü")


def user_line(login: tuple[str, str], role: str) -> str:
    """Make a line of a file of users. Its hash is quick to check, and so no good one."""
    name, password = login
    digest = hashlib.scrypt(password.encode(), salt=b"salt", n=2, r=8, p=1, dklen=32)
    words = (base64.b64encode(part).decode().rstrip("=") for part in (b"salt", digest))
    return f"{name}:{role}:scrypt$1$8$1${'$'.join(words)}\n"


def users_file(folder: Path) -> Path:
    """Write the file with the two users."""
    path = folder / "users"
    lines = user_line(VIEWER, "viewer") + user_line(OPERATOR, "operator")
    path.write_text(f"# who may look\n\n{lines}")
    return path
