"""Where an embedded server is, and how durable it is: what the address `embedded://…` says."""

from __future__ import annotations

import enum
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

from identtqueue.errors import InvalidInput

SCHEME: Final = "embedded"
FORM: Final = "embedded, or embedded:///path/to/folder"
DATABASES: Final = 16
"""How many databases an embedded server has, which is Valkey's own default."""


class Durability(enum.StrEnum):
    """How much of the data outlives a crash."""

    ALWAYS = "always"
    """Each write is on the disk before it is acknowledged: nothing is lost if the machine fails."""
    EVERYSEC = "everysec"
    """The disk is up to a second behind: nothing is lost if a process fails."""
    NONE = "none"
    """Nothing is written: all data is gone when the server ends. For tests."""


@dataclass(frozen=True, slots=True)
class ServerPlace:
    """The folder of an embedded server, and how it is to be run.

    Attributes:
        folder: absolute path; holds the data, the socket and the log.
        durability: counts for the process that starts the server.
        database: number of the database.
    """

    folder: Path
    durability: Durability = Durability.EVERYSEC
    database: int = 0

    @classmethod
    def parse(cls, address: str) -> ServerPlace:
        """Read an address such as `embedded:///path?durability=always&db=1`.

        Raises:
            InvalidInput: it can't be read, or this platform has no embedded server.
        """
        if sys.platform == "win32":
            raise InvalidInput(
                "an embedded server needs Linux or macOS: use it inside WSL, or give the address "
                "of a Redis or Valkey server"
            )
        path, _, query = address.removeprefix(SCHEME).removeprefix("://").partition("?")
        if path and not path.startswith("/"):
            raise InvalidInput(
                f"redis_address {address!r} can't be read: the folder must be an absolute path, as "
                "in embedded:///path/to/folder"
            )
        folder = Path(os.path.normpath(unquote(path))) if path else default_folder()
        return cls(folder, *_options(address, query))

    @property
    def address(self) -> str:
        """The address that names this place in full."""
        options: dict[str, str | int] = {}
        if self.durability is not Durability.EVERYSEC:
            options["durability"] = self.durability.value
        if self.database:
            options["db"] = self.database
        query = f"?{urlencode(options)}" if options else ""
        return f"{SCHEME}://{quote(str(self.folder))}{query}"


def default_folder() -> Path:
    """Return the folder of the address `embedded`: one for each user of the machine.

    It is `$XDG_STATE_HOME/identtqueue/embedded`, by default `~/.local/state/identtqueue/embedded`.

    Raises:
        InvalidInput: the user has no home directory.
    """
    state = os.environ.get("XDG_STATE_HOME", "")
    if Path(state).is_absolute():
        return Path(state) / "identtqueue" / "embedded"
    try:
        return Path.home() / ".local" / "state" / "identtqueue" / "embedded"
    except RuntimeError:
        raise InvalidInput(
            "this user has no home directory for the embedded server: name a folder, as in "
            "embedded:///path/to/folder"
        ) from None


def _options(address: str, query: str) -> tuple[Durability, int]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    durability = options.pop("durability", Durability.EVERYSEC)
    database = options.pop("db", "0")
    if options:
        raise InvalidInput(
            f"redis_address {address!r} can't be read: it may have the options durability and db, "
            f"not {', '.join(options)}"
        )
    if durability not in list(Durability):
        raise InvalidInput(
            f"redis_address {address!r} can't be read: durability is always, everysec or none"
        )
    if not (database.isascii() and database.isdigit() and int(database) < DATABASES):
        raise InvalidInput(
            f"redis_address {address!r} can't be read: db is a number below {DATABASES}"
        )
    return Durability(durability), int(database)
