"""The handler of the default log: standard error, with several lines in one write.

A worker writes a line for each attempt that ends. One write per line would cost more than a short
job. So the lines of one turn of the event loop are written together, before the worker sends the
reports of the same attempts to Redis. Whenever the process dies, Redis knows of no end whose line
is missing: the task runs again, and its next attempt has a line.

All other records are written at once, after the lines that wait, so the order is kept.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, TextIO

MOST_AT_ONCE: Final = 4096
"""Most bytes in one write, unless a line is longer. Linux keeps such a write to a pipe in one piece
(PIPE_BUF), so lines of processes that share a pipe do not mix."""


class LineStream(logging.StreamHandler[TextIO]):
    """A handler that writes to standard error, and can let lines wait for each other."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: deque[str] = deque()  # a deque, since appending needs no lock

    def put(self, line: str) -> bool:
        """Take a formatted line. It is written by the next `flush`, or before the next record.

        Args:
            line: the line, with its line break.

        Returns:
            Whether it is the only line that waits. Then the caller has to see to a `flush`.
        """
        self._waiting.append(line)
        return len(self._waiting) == 1

    def emit(self, record: logging.LogRecord) -> None:
        """Write the lines that wait, and then the record."""
        if self._waiting:
            self._write()
        super().emit(record)

    def flush(self) -> None:
        """Write the lines that wait, and flush the stream."""
        with self.lock:  # type: ignore[union-attr]  # None only for a handler without `createLock`
            if self._waiting:
                self._write()
            super().flush()

    def flush_unless_busy(self) -> None:
        """Write the lines that wait, unless another thread is writing, or stuck in a write."""
        lock = self.lock
        if self._waiting and lock is not None and lock.acquire(blocking=False):
            try:
                self.flush()
            finally:
                lock.release()

    def _write(self) -> None:
        """Write all lines that wait, in pieces of at most MOST_AT_ONCE bytes. The lock is held."""
        while self._waiting:  # other threads may add lines meanwhile
            lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
            text = "".join(lines)
            if _most_bytes(text) <= MOST_AT_ONCE:  # nearly always
                self._write_piece(text)
            else:
                for piece in _pieces(lines):
                    self._write_piece(piece)

    def _write_piece(self, text: str) -> None:
        try:
            self.stream.write(text)
        except Exception:  # noqa: BLE001 - as `StreamHandler.emit` does
            self.handleError(logging.makeLogRecord({"msg": text}))


def _pieces(lines: Iterable[str]) -> Iterator[str]:
    """Join lines to pieces of at most MOST_AT_ONCE bytes, unless a line is longer."""
    piece: list[str] = []
    size = 0
    for line in lines:
        more = _most_bytes(line)
        if piece and size + more > MOST_AT_ONCE:
            yield "".join(piece)
            piece, size = [], 0
        piece.append(line)
        size += more
    yield "".join(piece)


def _most_bytes(text: str) -> int:
    """Return how many bytes a text has at most."""
    return len(text) if text.isascii() else 4 * len(text)
