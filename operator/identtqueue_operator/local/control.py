"""The socket by which other commands ask this instance: one line of JSON in, one out."""

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from identtqueue_operator.local.manifest import BadManifest
from identtqueue_operator.local.objects import KINDS, Json, Objects

logger = logging.getLogger(__name__)

MOST_REQUEST_BYTES = 64 * 1024


class Control:
    """The server behind the socket.

    Args:
        objects: the store.
        apply: takes up a file, or without one the instance's own files; returns what has changed.
        shown: makes an object readable for people.
        metrics: returns the operator's metrics as text.
    """

    def __init__(
        self,
        objects: Objects,
        apply: Callable[[Path | None], list[str]],
        shown: Callable[[Any], Any],
        metrics: Callable[[], bytes],
    ) -> None:
        self._objects = objects
        self._apply = apply
        self._shown = shown
        self._metrics = metrics
        self._server: asyncio.Server | None = None

    async def start(self, listening: socket.socket) -> None:
        """Answer on a socket from now on."""
        self._server = await asyncio.start_unix_server(
            self._serve, sock=listening, limit=MOST_REQUEST_BYTES
        )

    async def close(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            if line:  # else somebody looked whether the instance is alive
                writer.write(json.dumps(self._answer(json.loads(line))).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError) as error:
            logger.debug("a request was not answered: %s", error)
        finally:
            writer.close()

    def _answer(self, request: Mapping[str, Any]) -> Json:
        match request:
            case {"verb": "list", "plural": str(plural)} if plural in KINDS:
                if plural == "secrets":
                    return {"error": "Secrets are not shown"}
                return {"items": self._shown(self._objects.all(plural))}
            case {"verb": "apply", "path": str() | None as path}:
                try:
                    return {"changes": self._apply(None if path is None else Path(path))}
                except BadManifest as error:
                    return {"error": str(error)}
            case {"verb": "metrics"}:
                return {"text": self._metrics().decode()}
        return {"error": f"this is no request: {request!r:.200}"}
