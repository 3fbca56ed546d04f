"""The base of `BlockingAdmin`: its thread, and who acts through it."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from identtqueue.admin.admin import Admin
from identtqueue.admin.audit import check_actor, default_actor
from identtqueue.admin.base import ServerInfo
from identtqueue.checks import check_patience
from identtqueue.redaction import Redact, check_redact
from identtqueue.transport.background import LazyBackground
from identtqueue.transport.fork_local import ForkLocal
from identtqueue.transport.settings import RedisSettings

T = TypeVar("T")


class BlockingBase:
    """An asyncio client in a thread of its own, and the name of the one who acts."""

    def __init__(
        self,
        redis: str | RedisSettings | None = None,
        *,
        retry_for_seconds: float = 0,
        actor: str | None = None,
        audited: bool = True,
        redact: Redact | None = None,
    ) -> None:
        check_patience("retry_for_seconds", retry_for_seconds)
        check_redact(redact)
        settings = RedisSettings.of(redis)
        self._actor = default_actor() if actor is None else check_actor(actor)
        self._audited = audited
        self._threads: ForkLocal[LazyBackground[Admin]] = ForkLocal(
            lambda: LazyBackground(
                lambda: Admin(settings, retry_for_seconds=retry_for_seconds, redact=redact)
            )
        )

    def _run(self, work: Callable[[Admin], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine of the asyncio client in its thread, and return its result."""
        actor, audited = self._actor, self._audited
        return self._threads.here.running.run(
            lambda admin: work(admin.acting_as(actor, audited=audited))
        )

    def _iterate(self, start: Callable[[Admin], AsyncIterator[T]]) -> Iterator[T]:
        """Iterate over the values of an asynchronous generator of the asyncio client."""
        actor, audited = self._actor, self._audited
        return self._threads.here.running.iterate(
            lambda admin: start(admin.acting_as(actor, audited=audited))
        )

    def connect(self) -> None:
        """See `Admin.connect`."""
        self._run(lambda admin: admin.connect())

    def close(self) -> None:
        """Close the connection and end its thread; the next call opens it again."""
        self._threads.here.close()

    def __enter__(self) -> Self:
        try:
            self.connect()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def actor(self) -> str:
        """See `Admin.actor`."""
        return self._actor

    def acting_as(self, actor: str, *, audited: bool | None = None) -> Self:
        """See `Admin.acting_as`."""
        other = copy.copy(self)
        recorded = self._audited if audited is None else audited
        vars(other).update(_actor=check_actor(actor), _audited=recorded)
        return other

    def server(self) -> ServerInfo:
        """See `Admin.server`."""
        return self._run(lambda admin: admin.server())
