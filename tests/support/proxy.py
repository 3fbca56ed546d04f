"""A TCP proxy between a client and Redis, to cut, hold and refuse connections for real."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self


class Proxy:
    """Forwards to a port of the loopback interface, in the running loop.

    ::

        async with Proxy(server.port) as proxy:
            client = Client(proxy.address)
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._port = 0
        self._links: set[asyncio.Task[None]] = set()
        self._open: set[asyncio.StreamWriter] = set()
        self._replies_flow = asyncio.Event()
        self._replies_flow.set()
        self._hold_at = b""
        self._refusing = False
        self.accepted = 0

    @property
    def address(self) -> str:
        """What the client is to use."""
        return f"redis://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._links, return_exceptions=True)

    def cut(self) -> None:
        """Reset all connections that are open now."""
        for writer in self._open:
            writer.transport.abort()

    def refuse(self) -> None:
        """Cut, and close each new connection at once."""
        self._refusing = True
        self.cut()

    def accept(self) -> None:
        """Take connections again."""
        self._refusing = False

    def hold_replies(self) -> None:
        """Requests still arrive at Redis, its answers are held back."""
        self._replies_flow.clear()

    def hold_replies_to(self, word: bytes) -> None:
        """The next request that contains the word still arrives; then as `hold_replies`."""
        self._hold_at = word

    @property
    def holding(self) -> bool:
        """Whether replies are held back."""
        return not self._replies_flow.is_set()

    def release_replies(self) -> None:
        """Hand out what was held back."""
        self._replies_flow.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._refusing:
            writer.transport.abort()
            return
        self._open.add(writer)
        link = asyncio.ensure_future(self._link(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            self._open.discard(writer)
            writer.transport.abort()
            return
        self._open.add(up_writer)
        forth = asyncio.ensure_future(self._pump(reader, up_writer, held=False))
        back = asyncio.ensure_future(self._pump(up_reader, writer, held=True))
        await asyncio.wait({forth, back}, return_when=asyncio.FIRST_COMPLETED)
        for end in (writer, up_writer):
            end.transport.abort()
        self._open -= {writer, up_writer}
        back.cancel()  # it may wait for the replies to flow
        await asyncio.gather(forth, back, return_exceptions=True)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, held: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if held:
                    await self._replies_flow.wait()
                elif self._hold_at and self._hold_at in data:
                    self._hold_at = b""
                    self.hold_replies()
                writer.write(data)
                await writer.drain()
