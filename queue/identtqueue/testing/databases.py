"""The databases of a test server: each test gets an empty one.

A queue's name stays what the application calls it. What separates tests is the database, which the
library separates on all channels too (`protocol/keys.Channel`).
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import closing
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from msgspec.structs import replace

from identtqueue.errors import InvalidInput, RedisUnavailable
from identtqueue.protocol import keys
from identtqueue.protocol.call import Call, Word
from identtqueue.transport.address import Topology
from identtqueue.transport.blocking import SyncRedis
from identtqueue.transport.connect import blocking_redis
from identtqueue.transport.settings import RedisSettings

LOCK_MS: Final = 3_600_000
"""How long a database of a shared server stays taken by tests that have been killed."""

PATIENCE_SECONDS: Final = 5.0


class Databases(ABC):
    """The databases of one server, except for number 0.

    Args:
        settings: where the server is.

    Raises:
        InvalidInput: it is a cluster, which has one database, or is found through Sentinels.
    """

    def __init__(self, settings: RedisSettings) -> None:
        if settings.topology is not Topology.STANDALONE:
            raise InvalidInput("tests need a single server, whose databases they can use")
        self._settings = settings
        with closing(connect(settings)) as redis:
            found = redis.run(_plain("CONFIG", "GET", "databases", parse=_setting))
        self._numbers = list(range(1, found))

    @abstractmethod
    def fresh(self) -> RedisSettings:
        """Return the settings of an empty database."""

    @abstractmethod
    def close(self) -> None:
        """Give up the databases."""

    def at(self, number: int) -> RedisSettings:
        """Return the settings of a database by its number."""
        return replace(self._settings, address=with_database(self._settings.address, number))

    def empty(self, number: int) -> RedisSettings:
        """Empty a database, and return its settings."""
        settings = self.at(number)
        with closing(connect(settings)) as redis:
            redis.run(_plain("FLUSHDB"))
        return settings


class OwnDatabases(Databases):
    """The databases of a private server, in turn."""

    def fresh(self) -> RedisSettings:
        """Return the settings of the database that was not used for the longest time."""
        number = self._numbers.pop(0)
        self._numbers.append(number)
        return self.empty(number)

    def close(self) -> None:
        """Do nothing: the server ends."""


class SharedDatabases(Databases):
    """A database of a server that others use too: of people, or of other test processes.

    The process takes one that is empty, or that tests have used before, and keeps it. Locks in
    database 0 keep other test processes away from it.

    Args:
        settings: where the server is.
    """

    def __init__(self, settings: RedisSettings) -> None:
        super().__init__(settings)
        self._token = secrets.token_hex(8)
        self._redis = connect(self.at(0))
        self._number: int | None = None

    def fresh(self) -> RedisSettings:
        """Return the settings of this process's database, which is empty now.

        Raises:
            RedisUnavailable: all databases are in use.
        """
        if self._number is None or not self._renew(self._number):
            self._number = next(filter(self._take, self._numbers), None)
        if self._number is None:
            raise RedisUnavailable(
                f"{self._settings.safe_address}: none of the databases 1 to {len(self._numbers)} "
                "is free: each has data that is not of tests, or other tests run in it. Use a "
                "server of its own for tests, or raise its setting `databases`"
            )
        return self.empty(self._number)

    def close(self) -> None:
        """Leave the database empty, and let others have it."""
        if self._number is not None and self._renew(self._number):
            self.empty(self._number)
            self._redis.run(_plain("DEL", keys.testing_key("lock", self._number)))
        self._redis.close()

    def _take(self, number: int) -> bool:
        """Take a database; return whether it is free."""
        lock, used = keys.testing_key("lock", number), keys.testing_key("used", number)
        if self._redis.run(_plain("SET", lock, self._token, "NX", "PX", LOCK_MS)) is None:
            return False
        if self._redis.run(_plain("EXISTS", used)):
            return True
        with closing(connect(self.at(number))) as redis:
            is_empty: bool = redis.run(_plain("DBSIZE")) == 0
        if is_empty:
            self._redis.run(_plain("SET", used, "1"))
        else:
            self._redis.run(_plain("DEL", lock))
        return is_empty

    def _renew(self, number: int) -> bool:
        """Keep the database; return whether it is still this process's."""
        lock = keys.testing_key("lock", number)
        if self._redis.run(_plain("GET", lock)) != self._token.encode():
            return False
        self._redis.run(_plain("PEXPIRE", lock, LOCK_MS))
        return True


def connect(settings: RedisSettings) -> SyncRedis:
    """Make a blocking connection for the needs of tests."""
    return blocking_redis(settings, client_name="tests", retry_for_seconds=PATIENCE_SECONDS)


def with_database(address: str, number: int) -> str:
    """Return an address with another number of a database.

    Args:
        address: the address of a single server.
        number: the number of the database.
    """
    parts = urlsplit(address)
    options = {name: value for name, value in parse_qsl(parts.query) if name != "db"}
    if parts.scheme in ("redis", "rediss"):
        return urlunsplit(parts._replace(path=f"/{number}", query=urlencode(options)))
    query = urlencode({**options, "db": number})
    return f"{parts.scheme}://{parts.netloc}{parts.path}?{query}"


def _plain(name: str, *words: Word, parse: Any = lambda reply: reply) -> Call[Any]:
    return Call(name, (), words, parse, is_script=False)


def _setting(reply: Sequence[Any] | dict[Any, Any]) -> int:
    """Read the number in the answer of CONFIG GET."""
    values = list(reply.values()) if isinstance(reply, dict) else list(reply)[1:]
    return int(values[0])
