"""Who acts, and on what: the words of the audit list."""

from __future__ import annotations

import getpass
import os
import socket
from typing import Final

from identtqueue.errors import InvalidInput

LONGEST_ACTOR: Final = 200


def check_actor(actor: str) -> str:
    """Check the name of one who acts, and return it unchanged.

    Raises:
        InvalidInput: it is empty, too long or not on one line.
    """
    if not isinstance(actor, str) or not (0 < len(actor) <= LONGEST_ACTOR and actor.isprintable()):
        raise InvalidInput(
            f"actor={actor!r}: must be 1 to {LONGEST_ACTOR} characters without control characters"
        )
    return actor


def default_actor() -> str:
    """Return the user and the host of this process: `user@host`."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container whose user has no name
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"{user}@{socket.gethostname()}"[:LONGEST_ACTOR]
