"""Base of objects that `async with` connects and closes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class AsyncConnected(ABC):
    """An object with connections. `async with` closes them even if `connect` fails half-way."""

    @abstractmethod
    async def connect(self) -> None:
        """Connect now, so that a wrong address or login fails early."""

    @abstractmethod
    async def close(self) -> None:
        """Close the connections, if there are any."""

    async def __aenter__(self) -> Self:
        try:
            await self.connect()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.close()
