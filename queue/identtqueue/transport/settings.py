"""The settings of a connection: where Redis is and how to log in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import force_setattr, replace

from identtqueue.checks import check_duration
from identtqueue.errors import InvalidInput, RedisAuthFailed, RedisTlsFailed
from identtqueue.transport import address as addresses
from identtqueue.transport.address import Address, Server, Topology
from identtqueue.transport.budget import Gate, ReplyBudget
from identtqueue.transport.reach import Reach

DEFAULT_ADDRESS: Final = "redis://localhost:6379"
RETRY_FOR_SECONDS: Final = 30.0
"""How long a client's call is retried by default: enough for a restart with AOF, or a failover."""

_ENVIRONMENT: Final = "IDENTTQUEUE_REDIS_"
_FROM_FILES: Final = ("username", "password", "sentinel_username", "sentinel_password")
"""Fields that can be read from a file instead."""


class RedisSettings(Struct, frozen=True, kw_only=True, eq=False):
    """Address, credentials and time-outs for one Redis.

    Attributes:
        address: `redis://host:port/db`, `rediss://…` for TLS, `unix:///path`;
            `redis+sentinel://host:port,host:port/master-name/db` (hosts and ports of Sentinels);
            `redis+cluster://host:port,host:port` (some nodes; the others are found); `embedded` or
            `embedded:///path` for a server that is started when it is needed. It may contain
            credentials. In a pod, prefer the environment for those (see `of`).
        username, password: used if the address has none.
        username_file, password_file: files with the user name and the password, used if `username`
            and `password` are not given. They are read at each login, so a rotated password is
            picked up.
        sentinel_username, sentinel_username_file, sentinel_password, sentinel_password_file: the
            same for the Sentinels, which have their own accounts.
        tls_ca_file: PEM file of the authority that signed the server's certificate.
        tls_cert_file, tls_key_file: client certificate and its key, if the server requires one.
            All three files are read at each connection.
        connect_timeout_seconds: time-out for the TCP and TLS handshakes and the login.
        response_timeout_seconds: how long Redis may be silent while a reply is awaited, before the
            connection counts as lost. Each byte that moves, in either direction, starts the time
            anew, so a slow link does not count as lost.
        reply_budget: bounds the size of replies; None: no bound. For asyncio, over TCP. A client
            of its own Redis needs none, and each reply costs a little more with one.
        reach: rule for the addresses that may be connected to, after names are resolved; None:
            all. For asyncio, over TCP. It is ignored when settings are compared.
        gate: decides when a connection may be opened; None: at once. For asyncio. It is ignored
            when settings are compared.

    Raises:
        InvalidInput: the address can't be read, or an attribute breaks a rule.
    """

    address: str = DEFAULT_ADDRESS
    username: str | None = None
    password: str | None = None
    username_file: str | None = None
    password_file: str | None = None
    sentinel_username: str | None = None
    sentinel_username_file: str | None = None
    sentinel_password: str | None = None
    sentinel_password_file: str | None = None
    tls_ca_file: str | None = None
    tls_cert_file: str | None = None
    tls_key_file: str | None = None
    connect_timeout_seconds: float = 5.0
    response_timeout_seconds: float = 10.0
    reply_budget: ReplyBudget | None = None
    reach: Reach | None = None
    gate: Gate | None = None

    def __post_init__(self) -> None:
        for name in ("connect_timeout_seconds", "response_timeout_seconds"):
            check_duration(name, getattr(self, name))
        for name in _TEXT_FIELDS[1:]:
            if not (getattr(self, name) is None or isinstance(getattr(self, name), str)):
                raise InvalidInput(f"{name} must be text, not {type(getattr(self, name)).__name__}")
        if not isinstance(self.address, str):
            raise InvalidInput(f"redis_address must be text, not {type(self.address).__name__}")
        force_setattr(self, "address", addresses.complete(self.address))
        addresses.parse(self.address)
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise InvalidInput("give both tls_cert_file and tls_key_file, or neither")
        for name in _FROM_FILES:
            if getattr(self, name) and getattr(self, f"{name}_file"):
                raise InvalidInput(f"give {name} or {name}_file, not both")

    def __repr__(self) -> str:
        """Show only the address without credentials, since this ends up in logs."""
        return f"RedisSettings({self.safe_address})"

    def __eq__(self, other: object) -> bool:
        """Compare all attributes but `reach` and `gate`."""
        if not isinstance(other, RedisSettings):
            return NotImplemented
        return self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash(self._compared())

    def _compared(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in (*PLAIN_FIELDS, "reply_budget"))

    @classmethod
    def of(cls, redis: str | RedisSettings | None) -> RedisSettings:
        """Make settings from an address and the environment; return settings unchanged.

        The environment adds what an address does not contain, such as the login and TLS files. If
        the address contains a login, the environment's login is ignored completely.

        Args:
            redis: settings, or an address, or None for the address in the environment.

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
        """Read the text fields from `IDENTTQUEUE_REDIS_ADDRESS`, `…_PASSWORD_FILE` and so on.

        A line break at the end of a value is dropped, as in a credentials file. A Secret often has
        one, when its value was made by `echo … | base64`.

        Args:
            environment: the variables.

        Raises:
            InvalidInput: a variable breaks a rule.
        """
        found = {
            name: environment.get(_ENVIRONMENT + name.upper(), "").rstrip("\r\n")
            for name in _TEXT_FIELDS
        }
        return cls(**{name: value for name, value in found.items() if value})  # type: ignore[arg-type]  # only text

    @property
    def place(self) -> Address:
        """The parsed address."""
        return addresses.parse(self.address)

    @property
    def topology(self) -> Topology:
        """The kind of deployment: one server, Sentinels or a cluster."""
        return self.place.topology

    @property
    def safe_address(self) -> str:
        """The address without credentials, for logs and errors."""
        return addresses.without_credentials(self.address)

    @property
    def uses_tls(self) -> bool:
        """Whether the address begins with `rediss`."""
        return self.place.uses_tls

    @property
    def database(self) -> int:
        """The number of the database."""
        return int(self.place.options.get("db", 0))

    @property
    def uses_socket_file(self) -> bool:
        """Whether the address begins with `unix://`."""
        return self.place.socket_file is not None or not self.place.servers

    @property
    def rereads_credentials(self) -> bool:
        """Whether a login that is refused may succeed later, because a file may change."""
        files = any(getattr(self, f"{name}_file") for name in _FROM_FILES)
        return files or (self.uses_tls and bool(self.tls_ca_file or self.tls_cert_file))

    def connection_arguments(self, server: Server | None = None) -> dict[str, Any]:
        """Make the keyword arguments for redis-py's connection classes, blocking and asyncio.

        Args:
            server: the server to connect to; None: the first one that the address names.

        Raises:
            RedisAuthFailed, RedisTlsFailed: a file that should hold a credential can't be read.
        """
        arguments = dict(self.place.options)
        if self.place.embedded is not None:  # it has no accounts: its folder is private
            return arguments
        username = self.username or _content(self.username_file, "username_file")
        password = self.password or _content(self.password_file, "password_file")
        if username and not arguments.get("username"):
            arguments["username"] = username
        if password and not arguments.get("password"):
            arguments["password"] = password
        return arguments | self._where(server) | self._tls_arguments()

    def sentinel_arguments(self) -> dict[str, Any]:
        """Make the keyword arguments for connections to the Sentinels, except host and port.

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
                raise RedisTlsFailed(f"the TLS file {file!r} ({name}) is missing or not readable")
        return {name: file for name, file in files.items() if file}


PLAIN_FIELDS: Final = tuple(
    name
    for name in RedisSettings.__struct_fields__
    if name not in ("reply_budget", "reach", "gate")
)
"""The fields that are plain data. The others are objects of the process."""

_TEXT_FIELDS: Final = tuple(name for name in PLAIN_FIELDS if not name.endswith("_seconds"))


def _content(file: str | None, name: str) -> str | None:
    """Read a credentials file, without the line break that editors add at the end."""
    if file is None:
        return None
    try:
        return Path(file).read_text("utf-8").rstrip("\r\n") or None
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise RedisAuthFailed(f"the {name} {file!r} can't be read: {why}") from None
