"""`async with`: connect, and close whatever happens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class AsyncConnected(ABC):
    """Something to connect and to close; what a failed connect had opened is closed too."""

    @abstractmethod
    async def connect(self) -> None:
        """Connect now, to fail early."""

    @abstractmethod
    async def close(self) -> None:
        """Close the connections; does no harm without any."""

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
