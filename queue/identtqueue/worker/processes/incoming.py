"""Reader of the messages that a process for jobs sends, without a task of its own.

The worker reads a small message for each attempt. A coroutine that waits for the length and then
for the body would register the socket twice with the event loop, and be resumed twice. This reader
stays registered, and takes all messages that have arrived from one read.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Final

from identtqueue.worker.processes import messages

logger = logging.getLogger(__name__)

READ_BYTES: Final = 65_536


class Incoming:
    """Reader of one connection. It reads from now on.

    Args:
        connection: our end of the connection to the process, non-blocking.
        on_message: called with the body of each message.

    Attributes:
        ended: future that is done when the process has closed its end, or after `close`.
    """

    def __init__(self, connection: socket.socket, on_message: Callable[[bytes], None]) -> None:
        self._connection = connection
        self._on_message = on_message
        self._loop = asyncio.get_running_loop()
        self._rest = bytearray()  # a message that has not arrived whole
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(connection, self._read)

    def close(self) -> None:
        """Stop reading."""
        if not self.ended.done():
            self._loop.remove_reader(self._connection)
            self.ended.set_result(None)

    def _read(self) -> None:
        try:
            data = self._connection.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._rest += data
        try:
            self._take_messages()
        except Exception:
            logger.exception("listening to a process failed by a bug")
            self.close()

    def _take_messages(self) -> None:
        rest, start, head = self._rest, 0, messages.LENGTH.size
        while len(rest) >= start + head:
            (length,) = messages.LENGTH.unpack_from(rest, start)
            end = start + head + length
            if len(rest) < end:
                break
            body, start = bytes(rest[start + head : end]), end
            self._on_message(body)
        del rest[:start]
