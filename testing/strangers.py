"""Servers that are no Redis, or answer as no Redis would."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import hiredis

PIECE = 1 << 16

ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "a text": (b"$2000000000\r\n", b"x" * PIECE),
    "a list": (b"*100000000\r\n", b":1\r\n" * (PIECE // 4)),
    "small replies": (b"", b"-\r\n" * (PIECE // 3)),
    "a line": (b"+", b"x" * PIECE),
    "a nest": (b"", b"*1\r\n" * (PIECE // 4)),
    "a page": (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"<html>" * (PIECE // 6)),
}
"""Endless replies: how each begins, and what follows for ever."""


class Stranger:
    """Server that treats all connections alike.

    Attributes:
        port: port that it listens on.
        opened_at: times at which connections were opened, on the loop's clock.
        most_sent: largest number of bytes that a connection took.
    """

    def __init__(self) -> None:
        self.port = 0
        self.opened_at: list[float] = []
        self.most_sent = 0
        self._answer: tuple[bytes, bytes] | None = None
        self._hangs_up = False
        self._reply: Callable[[list[bytes]], bytes] | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(
        self,
        *,
        says: str = "",
        hangs_up: bool = False,
        reply: Callable[[list[bytes]], bytes] | None = None,
        host: str = "127.0.0.1",
    ) -> Stranger:
        """Start. Without arguments it accepts connections and never sends anything.

        Args:
            says: one of the `ENDLESS` replies.
            hangs_up: end each connection at once.
            reply: what it answers to each command, as it goes over the wire.
            host: address to listen on.
        """
        self._reply = reply
        self._answer, self._hangs_up = ENDLESS[says] if says else None, hangs_up
        self._server = await asyncio.start_server(self._serve, host, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def close(self) -> None:
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened_at.append(asyncio.get_running_loop().time())
        self._open.add(writer)
        sent = 0
        try:
            with contextlib.suppress(OSError):
                if self._reply is not None:
                    await self._serve_commands(reader, writer)
                while not self._hangs_up and await reader.read(4096):
                    if self._answer is None:
                        continue
                    piece = self._answer[0]
                    while True:
                        writer.write(piece)
                        await writer.drain()
                        sent += len(piece)
                        self.most_sent = max(self.most_sent, sent)
                        piece = self._answer[1]
        finally:
            self._open.discard(writer)
            writer.close()

    async def _serve_commands(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        assert self._reply is not None
        commands = hiredis.Reader()
        while data := await reader.read(1 << 16):
            commands.feed(data)
            while (command := commands.gets()) is not False:
                writer.write(self._reply(command))
            await writer.drain()
