"""Where Redis is and how to log in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from identtqueue.checks import check_duration
from identtqueue.errors import InvalidInput, RedisAuthFailed, RedisTlsFailed
from identtqueue.transport import address as addresses
from identtqueue.transport.address import Address, Server, Topology
from identtqueue.transport.budget import Gate, ReplyBudget
from identtqueue.transport.reach import Reach

DEFAULT_ADDRESS: Final = "redis://localhost:6379"
RETRY_FOR_SECONDS: Final = 30.0
"""How long a client's call outlasts a Redis outage: a restart with AOF, or a failover."""

_ENVIRONMENT: Final = "IDENTTQUEUE_REDIS_"
_FROM_FILES: Final = ("username", "password", "sentinel_username", "sentinel_password")
"""What may stand in a file instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSettings:
    """Address and credentials of one Redis.

    Attributes:
        address: `redis://host:port/db`, `rediss://…` for TLS, `unix:///path`;
            `redis+sentinel://host:port,host:port/master-name/db` (hosts and ports of Sentinels);
            `redis+cluster://host:port,host:port` (some nodes; the others are found). Credentials
            may stand in it; in a pod, prefer the environment (`of`).
        username, password: used where the address has none.
        username_file, password_file: files that hold them, read at each login and used where
            `username` and `password` are not given: so a rotated password is picked up.
        sentinel_username, sentinel_username_file, sentinel_password, sentinel_password_file: the
            same for the Sentinels, which have accounts of their own.
        tls_ca_file: PEM file of the authority that signed the server's certificate.
        tls_cert_file, tls_key_file: client certificate, if the server wants one. All three are
            read at each connection.
        connect_timeout_seconds: for the TCP and TLS handshake and the login.
        response_timeout_seconds: how long Redis may be silent while a reply is awaited, before the
            connection counts as lost. Each byte that moves, either way, starts it anew: a slow
            link is not a lost one.
        reply_budget: how much the server may answer; None: as much as it likes. For asyncio, over
            TCP. A client of its own Redis needs none, and each reply costs a little more with one.
        reach: which addresses may be connected to, after names are resolved; None: all. For
            asyncio, over TCP. Two settings that differ in it alone are equal.
        gate: passed whenever a connection is opened; None: it is opened at once. For asyncio. Two
            settings that differ in it alone are equal.
    """

    address: str = DEFAULT_ADDRESS
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    username_file: str | None = None
    password_file: str | None = None
    sentinel_username: str | None = None
    sentinel_username_file: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    sentinel_password_file: str | None = None
    tls_ca_file: str | None = None
    tls_cert_file: str | None = None
    tls_key_file: str | None = None
    connect_timeout_seconds: float = 5.0
    response_timeout_seconds: float = 10.0
    reply_budget: ReplyBudget | None = None
    reach: Reach | None = field(default=None, compare=False)
    gate: Gate | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name in ("connect_timeout_seconds", "response_timeout_seconds"):
            check_duration(name, getattr(self, name))
        for name in _TEXT_FIELDS[1:]:
            if not (getattr(self, name) is None or isinstance(getattr(self, name), str)):
                raise InvalidInput(f"{name} must be text, not {type(getattr(self, name)).__name__}")
        if not isinstance(self.address, str):
            raise InvalidInput(f"redis_address must be text, not {type(self.address).__name__}")
        if "://" not in self.address:
            object.__setattr__(self, "address", f"redis://{self.address}")
        addresses.parse(self.address)
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise InvalidInput("give tls_cert_file and tls_key_file, both or neither")
        for name in _FROM_FILES:
            if getattr(self, name) and getattr(self, f"{name}_file"):
                raise InvalidInput(f"give {name} or {name}_file, not both")

    def __repr__(self) -> str:
        """Without credentials: this ends up in logs."""
        return f"RedisSettings({self.safe_address})"

    @classmethod
    def of(cls, redis: str | RedisSettings | None) -> RedisSettings:
        """Settings as they are given, or from an address; None: from the environment.

        What a plain address does not say (logins, TLS files) is the environment's. One that holds
        a login of its own gets no part of another.

        Raises:
            InvalidInput: the address or the environment breaks a rule.
        """
        if isinstance(redis, RedisSettings):
            return redis
        found = cls.from_environment()
        if redis is None:
            return found
        settings = replace(found, address=redis)
        if settings.place.options.keys() & {"username", "password"}:
            return replace(
                settings, username=None, username_file=None, password=None, password_file=None
            )
        return settings

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> RedisSettings:
        """Read `IDENTTQUEUE_REDIS_ADDRESS`, `…_PASSWORD_FILE` and so on: each text field's name.

        A line break at the end is left out, as in a credentials file: `base64` of a text that
        `echo` wrote has one.
        """
        found = {
            name: environment.get(_ENVIRONMENT + name.upper(), "").rstrip("\r\n")
            for name in _TEXT_FIELDS
        }
        return cls(**{name: value for name, value in found.items() if value})  # type: ignore[arg-type]  # only text

    @property
    def place(self) -> Address:
        """The address, read."""
        return addresses.parse(self.address)

    @property
    def topology(self) -> Topology:
        """Whether the address means one server, Sentinels or a cluster."""
        return self.place.topology

    @property
    def safe_address(self) -> str:
        """The address without credentials, also if it can't be read."""
        return addresses.without_credentials(self.address)

    @property
    def uses_tls(self) -> bool:
        """Whether the address says `rediss://`."""
        return self.place.uses_tls

    @property
    def database(self) -> int:
        """The number of the database."""
        return int(self.place.options.get("db", 0))

    @property
    def uses_socket_file(self) -> bool:
        """Whether the address says `unix://`."""
        return self.place.socket_file is not None or not self.place.servers

    @property
    def rereads_credentials(self) -> bool:
        """Whether a login that is refused may succeed later, because a file will have changed."""
        files = any(getattr(self, f"{name}_file") for name in _FROM_FILES)
        return files or (self.uses_tls and bool(self.tls_ca_file or self.tls_cert_file))

    def connection_arguments(self, server: Server | None = None) -> dict[str, Any]:
        """Keyword arguments for redis-py's connection classes, blocking and asyncio alike.

        Args:
            server: to connect to; None: the (first) one that the address names.

        Raises:
            RedisAuthFailed, RedisTlsFailed: a file that should hold a credential can't be read.
        """
        arguments = dict(self.place.options)
        username = self.username or _content(self.username_file, "username_file")
        password = self.password or _content(self.password_file, "password_file")
        if username and not arguments.get("username"):
            arguments["username"] = username
        if password and not arguments.get("password"):
            arguments["password"] = password
        return arguments | self._where(server) | self._tls_arguments()

    def sentinel_arguments(self) -> dict[str, Any]:
        """Keyword arguments for connections to the Sentinels, but for host and port.

        Raises:
            RedisAuthFailed, RedisTlsFailed: a file that should hold a credential can't be read.
        """
        options = self.place.options.items()
        arguments = {name: value for name, value in options if name.startswith("ssl_")}
        for name in ("username", "password"):
            own, file = f"sentinel_{name}", f"sentinel_{name}_file"
            value = getattr(self, own) or _content(getattr(self, file), file)
            if value:
                arguments[name] = value
        return arguments | self._tls_arguments()

    def _where(self, server: Server | None) -> dict[str, Any]:
        place = self.place
        if not place.servers:
            return {"path": place.socket_file} if place.socket_file else {}
        server = server or place.servers[0]
        return {"host": server.host, "port": server.port}

    def _tls_arguments(self) -> dict[str, Any]:
        if not self.uses_tls:
            return {}
        files = {
            "ssl_ca_certs": self.tls_ca_file,
            "ssl_certfile": self.tls_cert_file,
            "ssl_keyfile": self.tls_key_file,
        }
        for name, file in files.items():
            if file and not os.access(file, os.R_OK):
                raise RedisTlsFailed(f"the TLS file {file!r} ({name}) is not there or not readable")
        return {name: file for name, file in files.items() if file}


_TEXT_FIELDS: Final = tuple(
    entry.name for entry in fields(RedisSettings) if "str" in str(entry.type)
)


def _content(file: str | None, name: str) -> str | None:
    """What a credentials file holds now, without the line break that editors add."""
    if file is None:
        return None
    try:
        return Path(file).read_text("utf-8").rstrip("\r\n") or None
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise RedisAuthFailed(f"the {name} {file!r} can't be read: {why}") from None
