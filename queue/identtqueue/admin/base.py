"""The base of `Admin`: its connection, and who acts through it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Self

from identtqueue.admin.audit import check_actor, default_actor
from identtqueue.checks import check_patience
from identtqueue.protocol.calls import acting, server_facts
from identtqueue.redaction import Redact, check_redact
from identtqueue.transport.connect import async_redis
from identtqueue.transport.connection import AsyncRedis
from identtqueue.transport.home import Home
from identtqueue.transport.lifecycle import AsyncConnected
from identtqueue.transport.server import own_name
from identtqueue.transport.settings import RedisSettings


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Product, version and uptime of the server that answers.

    Attributes:
        version: the product's own version: for Valkey its own, not the version of Redis that it
            is compatible with.
        uptime_seconds: time since the server was started.
        name: the product: "Redis", "Valkey" or any other name that the server reports.
        now_ms: its clock, in ms since 1970; None if the server does not say. In a cluster, that of
            one of the nodes.
    """

    version: str
    uptime_seconds: int
    name: str = "Redis"
    now_ms: int | None = None


class AdminBase(AsyncConnected):
    """The connection of an administration client, and the name of the one who acts."""

    def __init__(
        self,
        redis: str | RedisSettings | None = None,
        *,
        retry_for_seconds: float = 0,
        actor: str | None = None,
        audited: bool = True,
        redact: Redact | None = None,
    ) -> None:
        self._redact = check_redact(redact)
        check_patience("retry_for_seconds", retry_for_seconds)
        self._actor = None if actor is None else check_actor(actor)
        self._audited = audited
        self._settings = RedisSettings.of(redis)
        self._home = Home(
            lambda: async_redis(
                self._settings, client_name="identtqueue-admin", retry_for_seconds=retry_for_seconds
            ),
            "Admin",
        )

    @property
    def _redis(self) -> AsyncRedis:
        return self._home.here

    @property
    def actor(self) -> str:
        """Name of the one who acts, as the audit list shows it."""
        if self._actor is None:
            self._actor = default_actor()
        return self._actor

    def acting_as(self, actor: str, *, audited: bool | None = None) -> Self:
        """Return an Admin on the same connection that acts in another name.

        A service whose users act, such as a dashboard, needs one connection and a name for each
        request.

        Args:
            actor: who acts, for the audit list.
            audited: whether these acts are recorded in it; None: as those of this Admin.

        Raises:
            InvalidInput: the name is empty, too long, or not on one line.
        """
        other = copy.copy(self)
        recorded = self._audited if audited is None else audited
        vars(other).update(_actor=check_actor(actor), _audited=recorded)
        return other

    def _note(self, act: str, what: str = "") -> bytes:
        """Make a note for the audit list; empty if acts are not recorded."""
        return acting.new_note(self.actor, act, what) if self._audited else b""

    async def connect(self) -> None:
        """Connect now, so that a wrong address or login fails early.

        Raises:
            RedisUnavailable, RedisAuthFailed, RedisTlsFailed, RedisTopologyMismatch, RedisTooOld:
                Redis cannot be reached or refuses the connection.
        """
        await self._redis.connect()

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.close()

    async def server(self) -> ServerInfo:
        """Return the name, version, uptime and time of the server."""
        info = await self._redis.run(server_facts.server_info())
        name, version = own_name(info)
        return ServerInfo(
            version, server_facts.uptime_seconds(info), name, server_facts.server_time_ms(info)
        )
