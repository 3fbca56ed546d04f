"""TCP proxy between clients and Redis that cuts, holds, delays, refuses and loses real traffic."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import socket
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

READ_BYTES = 65_536


class Way(enum.Enum):
    """The direction of bytes."""

    REQUESTS = "requests"  # from the client to Redis
    REPLIES = "replies"


BOTH_WAYS = frozenset(Way)


@dataclass(eq=False)
class _Link:
    """One connection of a client, with its connection to Redis."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    lost: set[Way] = field(default_factory=set)  # what goes this way never arrives
    pumps: list[asyncio.Future[None]] = field(default_factory=list)
    replies: asyncio.Event = field(default_factory=asyncio.Event)  # set: they pass

    def cut(self) -> None:
        for end in (self.client, self.server):
            if end is not None:
                end.transport.abort()
        for pump in self.pumps:
            pump.cancel()


class Proxy:
    """Proxy to a port of the loopback interface, in the running event loop.

    ::

        async with Proxy(server.port) as proxy:
            client = Client(proxy.address)
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._port = 0
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows = {way: asyncio.Event() for way in Way}
        for flow in self._flows.values():
            flow.set()
        self._hold_at: tuple[bytes, Way] = (b"", Way.REPLIES)
        self._hold_link_at = b""
        self._swallowing: frozenset[Way] = frozenset()
        self._swallow_links_at = (b"", 0)
        self.swallowed = 0
        self._delay_seconds = 0.0
        self._bytes_per_second = 0.0
        self._refusing = False
        self.accepted = 0

    @property
    def address(self) -> str:
        """Address for the client."""
        return f"redis://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        listener = socket.create_server(("127.0.0.1", 0))
        # Small buffers, as on a slow link. Otherwise megabytes would seem to have arrived.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * READ_BYTES)
        self._server = await asyncio.start_server(self._accept, sock=listener)
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
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- connections: cut or refused ---

    def cut(self) -> None:
        """Reset all connections that are open now."""
        for link in list(self._links):
            link.cut()

    def refuse(self) -> None:
        """Cut, and close each new connection at once."""
        self._refusing = True
        self.cut()

    def accept(self) -> None:
        """Take connections again."""
        self._refusing = False

    def retarget(self, port: int) -> None:
        """Cut all connections, and forward new ones elsewhere, as after a change of DNS."""
        self._target_port = port
        self.cut()

    # --- bytes: delayed ---

    def hold_replies(self) -> None:
        """Hold back replies. Requests still reach Redis."""
        self._flows[Way.REPLIES].clear()

    def hold_replies_to(self, word: bytes) -> None:
        """Hold back replies as soon as the next request that contains the word has passed."""
        self._hold_at = (word, Way.REPLIES)

    def hold_its_replies(self, word: bytes) -> None:
        """Do as `hold_replies_to`, but only on the connection of that request."""
        self._hold_link_at = word

    def hold_request(self, word: bytes) -> None:
        """Hold back the next request that contains the word, and all requests after it.

        `release_requests` delivers them, even if their client has gone.
        """
        self._hold_at = (word, Way.REQUESTS)

    @property
    def holding(self) -> bool:
        """Return whether anything is held back."""
        return not all(flow.is_set() for flow in self._flows.values())

    def hold(self) -> None:
        """Hold back everything, both ways, until `release`."""
        for flow in self._flows.values():
            flow.clear()

    def release(self) -> None:
        """Deliver everything that was held back, in order."""
        for flow in self._flows.values():
            flow.set()

    def release_replies(self) -> None:
        """Deliver the replies that were held back."""
        self._flows[Way.REPLIES].set()
        for link in self._links:
            link.replies.set()

    def release_requests(self) -> None:
        """Deliver the requests that were held back."""
        self._flows[Way.REQUESTS].set()

    def delay_replies(self, seconds: float) -> None:
        """Delay each reply from now on; 0: end the delay."""
        self._delay_seconds = seconds

    def throttle(self, bytes_per_second: float) -> None:
        """Be a slow link, on each connection and in each direction; 0: end that."""
        self._bytes_per_second = bytes_per_second

    # --- bytes: lost ---

    def swallow(self, ways: frozenset[Way] = BOTH_WAYS) -> None:
        """Lose everything that is sent in these directions, while the connections stay open.

        A connection that has lost bytes never recovers, because TCP would not deliver later bytes
        either. Its end is not seen at the other side. New connections lose bytes as well until
        `stop_swallowing`.
        """
        self._swallowing = ways
        for link in self._links:
            link.lost |= ways

    def swallow_requests_with(self, word: bytes, links: int) -> None:
        """Silence the next connections that send the word, both ways, up to a number of them.

        `swallowed` counts them.
        """
        self.swallowed = 0
        self._swallow_links_at = (word, links)

    def stop_swallowing(self) -> None:
        """Let new connections work again."""
        self._swallowing = frozenset()

    # --- forwarding ---

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._refusing:
            writer.transport.abort()
            return
        link = _Link(writer, lost=set(self._swallowing))
        link.replies.set()
        self._links.add(link)
        task = asyncio.get_running_loop().create_task(self._serve(link, reader))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, link: _Link, reader: asyncio.StreamReader) -> None:
        try:
            up_reader, link.server = await asyncio.open_connection("127.0.0.1", self._target_port)
            link.pumps = [
                asyncio.ensure_future(self._pump(link, Way.REQUESTS, reader, link.server)),
                asyncio.ensure_future(self._pump(link, Way.REPLIES, up_reader, link.client)),
            ]
            if link in self._links:  # it was not cut meanwhile
                await asyncio.gather(*link.pumps, return_exceptions=True)
        except OSError:
            pass  # nobody listens there
        finally:
            link.cut()
            self._links.discard(link)

    async def _pump(
        self, link: _Link, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(READ_BYTES):
                self._look_at(link, way, data)
                if self._bytes_per_second:
                    await asyncio.sleep(len(data) / self._bytes_per_second)
                await self._flows[way].wait()
                if way is Way.REPLIES:
                    await link.replies.wait()
                if way is Way.REPLIES and self._delay_seconds:
                    await asyncio.sleep(self._delay_seconds)
                if way not in link.lost:
                    writer.write(data)
                    await writer.drain()
        if way not in link.lost:
            link.cut()

    def _look_at(self, link: _Link, way: Way, data: bytes) -> None:
        if way is Way.REQUESTS and self._hold_link_at and self._hold_link_at in data:
            self._hold_link_at = b""
            link.replies.clear()
        word, links = self._swallow_links_at
        if way is Way.REQUESTS and links and word in data and not link.lost:
            link.lost |= BOTH_WAYS
            self.swallowed += 1
            self._swallow_links_at = (word, links - 1)
        word, held = self._hold_at
        if way is Way.REQUESTS and word and word in data:
            self._hold_at = (b"", held)
            self._flows[held].clear()
