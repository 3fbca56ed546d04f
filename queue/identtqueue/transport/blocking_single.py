"""The blocking way to one Redis server, or to the master that Sentinels name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from identtqueue.errors import RedisUnavailable
from identtqueue.transport import refusals
from identtqueue.transport.blocking import Packed
from identtqueue.transport.blocking_line import Line
from identtqueue.transport.login import open_blocking
from identtqueue.transport.settings import RedisSettings


class BlockingServer:
    """A route over one connection.

    Args:
        settings: where Redis is.
        client_name: shown by `CLIENT LIST`.
    """

    def __init__(self, settings: RedisSettings, client_name: str) -> None:
        self._line = Line(lambda: open_blocking(settings, client_name))

    @property
    def failures(self) -> int:
        """How many batches or attempts to connect have failed in a row."""
        return self._line.failures

    def exchange(self, batch: Sequence[Packed]) -> list[Any]:
        """Send a batch and read the replies: see `BlockingRoute.exchange`."""
        replies = self._line.ask(batch)
        passing = False
        for i, (item, reply) in enumerate(zip(batch, replies, strict=True)):
            if isinstance(reply, Exception):
                replies[i] = error = refusals.translate(reply, item.call)
                error.__cause__ = reply
                passing = passing or isinstance(error, RedisUnavailable)
                if not refusals.keeps_connection(reply):
                    self._line.drop()
        self._line.failures = self._line.failures + 1 if passing else 0
        return replies

    def drop(self) -> None:
        """Close the connection; the next batch opens it again."""
        self._line.drop()
