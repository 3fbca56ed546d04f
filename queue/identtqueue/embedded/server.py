"""The embedded server as an object, for programs that decide themselves how long it runs."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from identtqueue.embedded.place import Durability, ServerPlace, default_folder
from identtqueue.errors import InvalidInput


class EmbeddedServer:
    """A private Valkey server in a folder, which runs at least while this object is open.

    Most programs do not need it: a client or worker with the address `embedded` starts the server
    itself, and holds it until the process ends. Use this object to start it before other
    processes need it, or to be sure when it ends::

        with EmbeddedServer("/var/lib/mrz/queue") as server:
            subprocess.run(["identtqueue", "--redis-address", server.address, "depth", "mrz"])

    Several objects and processes may use one folder. The server ends after the last of them.

    Args:
        folder: holds the data, the socket and the log. It is created with permissions 0700. None:
            `default_folder()`.
        durability: what outlives a crash: `always`, `everysec` or `none`. It counts for the one
            that starts the server.

    Attributes:
        folder: the folder, as an absolute path.
        address: what clients, workers and the command line take as `redis_address`.

    Raises:
        InvalidInput: an argument breaks a rule, or this platform has no embedded server.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        durability: Durability | str = Durability.EVERYSEC,
    ) -> None:
        try:
            durability = Durability(durability)
        except ValueError:
            raise InvalidInput(
                f"durability must be always, everysec or none, not {durability!r}"
            ) from None
        absolute = default_folder() if folder is None else Path(os.path.abspath(folder))  # noqa: PTH100 - it leaves links as they are
        self._place = ServerPlace.parse(ServerPlace(absolute, durability).address)
        self._is_open = False
        self.folder = self._place.folder
        self.address = self._place.address

    def __repr__(self) -> str:
        return f"EmbeddedServer({str(self.folder)!r})"

    def start(self) -> Self:
        """Start the server, or join it if it runs; return when it has loaded its data.

        It blocks for some 50 ms, and longer if there is much data.

        Raises:
            EmbeddedServerFailed: the server can't be started; the text says why.
        """
        from identtqueue.embedded import share  # noqa: PLC0415 - only those that start it need it

        if not self._is_open:
            share.hold(self._place)
            self._is_open = True
        return self

    def stop(self) -> None:
        """Let the server end, unless others use it. If nobody does, return when it has ended.

        Clients of this process that are still connected get RedisUnavailable.
        """
        from identtqueue.embedded import share  # noqa: PLC0415

        if self._is_open:
            self._is_open = False
            share.release(self._place)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.stop()
